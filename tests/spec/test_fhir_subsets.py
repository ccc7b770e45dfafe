"""Parts of resources, links, and what is said beside matches (fhir_rest.md §7, §9; us_core.md G11–G13, G19)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capability.elements import MANDATORY_ELEMENTS, RESOURCE_TYPES
from capability.subsets import modifier_elements, summary_elements
from fhir_server.fhir.subset import Subset, Summary, subset
from storage.codec import decode, encode
from tests.site import issues, observation, patient

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Peter</div>'}
OWN_TAG = {"system": "urn:tests", "code": "own"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def is_marked(resource: dict[str, Any]) -> bool:
    return sum(SUBSETTED.items() <= tag.items() for tag in resource["meta"].get("tag", [])) == 1


def link(answer: httpx.Response, relation: str) -> str | None:
    return next((each["url"] for each in answer.json().get("link", []) if each["relation"] == relation), None)


def entries(answer: httpx.Response, mode: str) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [each["resource"] for each in answer.json().get("entry", []) if each["search"]["mode"] == mode]


@pytest.fixture(scope="module")
def person(fhir: httpx.Client) -> str:
    """A Patient with all kinds of elements; two versions of it, and an Observation."""
    name = f"s-{uuid4().hex[:8]}"
    whole = patient(
        "Chalmers",
        id=name,
        meta={"tag": [OWN_TAG]},
        text=NARRATIVE,
        birthDate="1974-12-25",
        _birthDate={"extension": [{"url": "urn:time", "valueString": "noon"}]},
        deceasedBoolean=False,
        contact=[{"name": {"family": "Du"}}],
        multipleBirthInteger=2,
        extension=[{"url": "urn:x", "valueDecimal": 1.5}],
    )
    assert fhir.put(f"/Patient/{name}", json=whole).status_code == 201
    assert fhir.put(f"/Patient/{name}", json={**whole, "gender": "male"}).status_code == 200
    measured = observation(f"Patient/{name}", id=f"o{name}", text=NARRATIVE, valueQuantity={"value": 1, "unit": "mg"})
    assert fhir.put(f"/Observation/o{name}", json=measured).status_code == 201
    return name


EXPECTED = {
    "_summary=true": {"active", "gender", "birthDate", "_birthDate", "deceasedBoolean", "name"} - {"active"},
    "_summary=text": {"text", "deceasedBoolean"},
    "_summary=data": {
        "gender", "birthDate", "_birthDate", "deceasedBoolean", "name", "contact", "multipleBirthInteger", "extension"
    },
    "_elements=name,multipleBirth,nonsense": {"name", "multipleBirthInteger", "deceasedBoolean"},
    "_elements=birthDate&_elements=gender": {"birthDate", "_birthDate", "gender", "deceasedBoolean"},
}  # fmt: skip


@pytest.mark.parametrize("asked", EXPECTED)
@pytest.mark.parametrize("address", ["/Patient?_id={}&", "/Patient/{}?", "/Patient/{}/_history/2?"])
def test_fhir_Q5_Q6_R4_a_part_of_a_resource_is_shown_and_tagged(fhir, person, address, asked):
    answer = fhir.get(address.format(person) + asked)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    found = body["entry"][0]["resource"] if body["resourceType"] == "Bundle" else body
    assert is_marked(found)
    assert OWN_TAG in found["meta"]["tag"]
    assert found["meta"]["versionId"] == "2"
    assert set(found) - {"resourceType", "id", "meta"} == EXPECTED[asked]


def test_fhir_Q5_false_is_the_whole_resource(fhir, person):
    whole = fhir.get(f"/Patient/{person}")
    assert fhir.get(f"/Patient/{person}?_summary=false").content == whole.content
    assert entries(fhir.get(f"/Patient?_id={person}&_summary=false"), "match") == [whole.json()]


@pytest.mark.parametrize("asked", ["_summary=true", "_elements=name"])
@pytest.mark.parametrize(
    "address", ["/Patient/{}/_history?", "/Patient/_history?", "/_history?", "/Patient/{}/$everything?"]
)
def test_fhir_Q5_Q6_histories_and_records_show_parts_as_well(fhir, person, address, asked):
    answer = fhir.get(address.format(person) + asked)
    assert answer.status_code == 200, answer.text
    shown = [entry["resource"] for entry in answer.json()["entry"] if "resource" in entry]
    assert shown
    assert all(is_marked(each) and "text" not in each for each in shown)
    assert asked.replace("=", "=") in str(link(answer, "self"))


@pytest.mark.parametrize("asked", ["_summary=count", "_summary=all", "_summary=true&_elements=name"])
def test_fhir_Q5_what_a_read_cannot_be_asked_for_is_refused(fhir, person, asked):
    refused = fhir.get(f"/Patient/{person}?{asked}")
    assert refused.status_code == 400
    assert issues(refused)[0]["code"] == "invalid"
    assert fhir.get(f"/Patient?_id={person}&_summary=all").status_code == 400
    assert fhir.get(f"/Patient?_id={person}&_summary=true&_elements=name").status_code == 400


def test_fhir_Q5_summaries_are_of_included_resources_too_but_named_elements_are_not(fhir, person):
    asked = f"/Observation?_id=o{person}&_include=Observation:subject"
    summary = entries(fhir.get(f"{asked}&_summary=true"), "include")
    assert [is_marked(each) for each in summary] == [True]
    assert "contact" not in summary[0]
    named = entries(fhir.get(f"{asked}&_elements=status"), "include")
    assert named == [fhir.get(f"/Patient/{person}").json()]
    assert "valueQuantity" not in entries(fhir.get(f"{asked}&_elements=status"), "match")[0]


def test_fhir_Q5_texts_come_without_includes(fhir, person):
    asked = f"/Observation?_id=o{person}&_include=Observation:subject&_summary=text"
    answer = fhir.get(asked)
    assert set(entries(answer, "match")[0]) == {"resourceType", "id", "meta", "text", "status", "code"}
    assert entries(answer, "include") == []
    assert "_summary=text" in str(entries(answer, "outcome")[0]["issue"])
    assert "_include" not in str(link(answer, "self"))
    assert fhir.get(asked, headers={"Prefer": "handling=strict"}).status_code == 400


def test_fhir_Q5_count_gives_the_total_alone(fhir, person):
    body = fhir.get(f"/Patient?_id={person}&_summary=count").json()
    assert (body["total"], "entry" in body) == (1, False)


def test_fhir_Q6_a_part_is_refused_on_put(fhir, person):
    part = fhir.get(f"/Patient/{person}?_elements=name").json()
    refused = fhir.put(f"/Patient/{person}", json=part)
    assert refused.status_code == 422
    assert fhir.get(f"/Patient/{person}").json()["birthDate"] == "1974-12-25"


def test_fhir_R2_a_part_has_the_tag_of_its_version(fhir, person):
    headers = {"If-None-Match": fhir.get(f"/Patient/{person}?_summary=true").headers["ETag"]}
    assert fhir.get(f"/Patient/{person}?_summary=true", headers=headers).status_code == 304


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_fhir_B10_parts_are_shown_in_bundles(fhir, person, kind):
    urls = [f"Patient/{person}?_elements=name", f"Patient?_id={person}&_summary=true"]
    request = {
        "resourceType": "Bundle",
        "type": kind,
        "entry": [{"request": {"method": "GET", "url": u}} for u in urls],
    }
    read, searched = fhir.post("/", json=request).json()["entry"]
    assert is_marked(read["resource"])
    assert is_marked(searched["resource"]["entry"][0]["resource"])


# --- pure -------------------------------------------------------------------------------------------------------------


@given(
    resource_type=st.sampled_from(RESOURCE_TYPES),
    keys=st.sets(st.sampled_from(["status", "text", "id", "contained", "extension", "identifier", "name", "subject"])),
    asked=st.one_of(
        st.sampled_from(list(Summary)).map(Subset),
        st.sets(st.sampled_from(["status", "name", "nonsense", "text"]), min_size=1).map(
            lambda names: Subset(elements=frozenset(names))
        ),
    ),
)
def test_fhir_Q6_what_stays_is_as_it_was_and_nothing_is_added_but_the_tag(resource_type, keys, asked):
    whole = {"resourceType": resource_type, "meta": {"versionId": "3"}, **{key: f"v {key}" for key in keys}}
    body = encode(whole)
    part = decode(subset(resource_type, body, asked))
    assert is_marked(part)
    part["meta"].pop("tag")
    assert part.items() <= whole.items()
    again = subset(resource_type, subset(resource_type, body, asked), asked)
    assert is_marked(decode(again))
    kept = {*MANDATORY_ELEMENTS[resource_type], *modifier_elements(resource_type), "id"}
    assert {key for key in keys if key in kept} <= part.keys()


def test_fhir_Q5_the_summary_of_an_unknown_type_leaves_out_what_no_summary_has():
    unknown = [each for each in RESOURCE_TYPES if summary_elements(each) is None]
    assert "Account" in unknown
    assert len(unknown) == 105
    body = encode({"resourceType": "Account", "meta": {}, "text": {}, "status": "active", "name": "x"})
    assert decode(subset("Account", body, Subset(Summary.TRUE))).keys() == {"resourceType", "meta", "status", "name"}


def test_fhir_H12_a_part_keeps_the_digits_of_numbers():
    body = b'{"resourceType":"Observation","meta":{},"valueQuantity":{"value":1.10},"status":"final"}'
    assert b'"value":1.10}' in subset("Observation", body, Subset(elements=frozenset({"value"})))


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(fhir: httpx.Client) -> str:
    mark = uuid4().hex[:8]
    for number in range(7):
        own = patient(f"L{mark}", id=f"l{number}-{mark}", birthDate=f"200{number % 3}-01-01")
        fhir.put(f"/Patient/l{number}-{mark}", json={k: v for k, v in own.items() if number != 5 or k != "birthDate"})
    return mark


def names(answer: httpx.Response) -> list[str]:
    return [each["id"] for each in entries(answer, "match")]


@pytest.mark.parametrize("sort", ["", "&_sort=_id", "&_sort=birthdate", "&_sort=-birthdate,_id", "&_sort=family"])
def test_fhir_S2_links_lead_on_and_back(fhir, many, sort):
    asked = f"/Patient?family=L{many}&_count=2{sort}"
    there, back = [], []
    answer = fhir.get(asked)
    assert link(answer, "previous") is None
    while True:
        there.append(names(answer))
        assert fhir.get(str(link(answer, "first"))).json()["entry"][0]["resource"]["id"] == there[0][0]
        following = link(answer, "next")
        if following is None:
            break
        answer = fhir.get(following)
    assert [len(page) for page in there] == [2, 2, 2, 1]
    while (before := link(answer, "previous")) is not None:
        answer = fhir.get(before)
        back.append(names(answer))
        assert link(answer, "next") is not None
    assert back == there[-2::-1]
    assert link(answer, "last") is None


def test_fhir_S2_the_self_link_shows_what_was_used_and_defaults(fhir, many):
    answer = fhir.get(f"/Patient?family=L{many}&nonsense=1&_contained=true&name=&_format=json")
    assert parse_qsl(urlsplit(str(link(answer, "self"))).query) == [("family", f"L{many}"), ("_count", "50")]
    assert len(entries(answer, "outcome")[0]["issue"]) == 2
    capped = fhir.get(f"/Patient?family=L{many}&_count=100000")
    assert ("_count", "1000") in parse_qsl(urlsplit(str(link(capped, "self"))).query)


def test_fhir_Q3_the_next_page_of_a_search_by_post_is_a_get(fhir, many):
    first = fhir.post("/Patient/_search", data={"family": f"L{many}", "_count": "3"}, headers=FORM)
    following = str(link(first, "next"))
    assert ("family", f"L{many}") in parse_qsl(urlsplit(following).query)
    second = fhir.get(following)
    third = fhir.get(str(link(second, "next")))
    assert sorted(names(first) + names(second) + names(third)) == [f"l{n}-{many}" for n in range(7)]


@pytest.mark.parametrize(
    "asked", ["_contained=true", "_contained=both", "_containedType=contained", "_score=true", "_maxresults=1"]
)
def test_fhir_Q10_Q11_what_is_not_supported_is_named_or_with_strict_refused(fhir, many, asked):
    answer = fhir.get(f"/Patient?family=L{many}&{asked}")
    assert len(names(answer)) == 7
    assert asked.partition("=")[0] in entries(answer, "outcome")[0]["issue"][0]["diagnostics"]
    assert fhir.get(f"/Patient?family=L{many}&{asked}", headers={"Prefer": "handling=strict"}).status_code == 400
    strict = fhir.get(f"/Patient?family=L{many}&_contained=false", headers={"Prefer": "handling=strict"})
    assert len(names(strict)) == 7


@pytest.mark.parametrize(("asked", "total"), [("none", None), ("estimate", 7), ("accurate", 7)])
def test_fhir_Q4_totals_are_given_as_asked_for(fhir, many, asked, total):
    assert fhir.get(f"/Patient?family=L{many}&_count=2&_total={asked}").json().get("total") == total


# --- codes that cannot be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
def test_uscore_G19_a_status_that_cannot_be_is_no_error_but_a_warning(fhir, person, strict):
    headers = {"Prefer": "handling=strict"} if strict else {}
    answer = fhir.get(f"/Observation?patient={person}&status=final,perfect", headers=headers)
    assert len(entries(answer, "match")) == 1
    (issue,) = entries(answer, "outcome")[0]["issue"]
    assert issue["severity"] == "warning"
    assert "status" in issue["diagnostics"]
    assert "final" in issue["diagnostics"]
    assert "perfect" not in issue["diagnostics"]
    plain = fhir.get(f"/Observation?patient={person}&status=FINAL,http://hl7.org/fhir/observation-status|amended")
    assert entries(plain, "outcome") == []


@pytest.mark.parametrize("query", ["status=http://x|final", "status:not=perfect"])
def test_uscore_G19_another_system_or_a_negation_is_told_too(fhir, person, query):
    assert len(entries(fhir.get(f"/Observation?patient={person}&{query}"), "outcome")) == 1


def test_uscore_G12_G13_every_entry_has_a_resource_and_a_mode(fhir, person):
    answer = fhir.get(
        f"/Observation?patient={person}&_include=Observation:subject&status=perfect,final&_revinclude=Provenance:target"
    )
    bundle = answer.json()
    assert bundle["type"] == "searchset"
    kinds = {(entry["search"]["mode"], entry["resource"]["resourceType"]) for entry in bundle["entry"]}
    assert kinds >= {("match", "Observation"), ("include", "Patient"), ("outcome", "OperationOutcome")}
    assert {kind for mode, kind in kinds if mode == "match"} == {"Observation"}
