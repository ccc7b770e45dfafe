"""Searches over several types and in compartments (fhir_rest.md §7)."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx
import pytest

from tests.site import Site, issues, observation, patient

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def put(fhir: httpx.Client, resource: dict[str, object]) -> str:
    """Store a resource and return `Type/id`."""
    name = f"{resource['resourceType']}/{resource['id']}"
    answer = fhir.put(f"/{name}", json=resource)
    assert answer.status_code in {200, 201}, answer.text
    return name


def found(answer: httpx.Response, mode: str = "match") -> list[str]:
    """Return `Type/id` of the entries of a page."""
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert bundle["type"] == "searchset"
    entries = [entry for entry in bundle.get("entry", []) if entry["search"]["mode"] == mode]
    return [f"{each['resource']['resourceType']}/{each['resource'].get('id')}" for each in entries]


def link(answer: httpx.Response, relation: str) -> str | None:
    return next((each["url"] for each in answer.json().get("link", []) if each["relation"] == relation), None)


def pages(fhir: httpx.Client, address: str) -> Iterator[httpx.Response]:
    following: str | None = address
    while following is not None:
        answer = fhir.get(following)
        assert answer.status_code == 200, answer.text
        yield answer
        following = link(answer, "next")


def all_found(fhir: httpx.Client, address: str) -> list[str]:
    return [name for page in pages(fhir, address) for name in found(page)]


@pytest.fixture(scope="module")
def record(fhir: httpx.Client) -> str:
    """Two patients with records under ids that end in a mark of their own; returns the mark."""
    mark = uuid4().hex[:8]
    doctor = put(fhir, {"resourceType": "Practitioner", "id": f"d-{mark}", "name": [{"family": "Adams"}]})
    device = put(fhir, {"resourceType": "Device", "id": f"v-{mark}"})
    for who in ("a", "b"):
        person = put(fhir, patient(f"Family{who}", id=f"{who}-{mark}"))
        visit = put(
            fhir,
            {
                "resourceType": "Encounter",
                "id": f"e{who}-{mark}",
                "status": "finished",
                "class": {"code": "AMB"},
                "subject": {"reference": person},
                "participant": [{"individual": {"reference": doctor}}],
            },
        )
        for number in range(3):
            measured = observation(
                person,
                id=f"o{who}{number}-{mark}",
                effectiveDateTime=f"2024-01-0{number + 1}",
                encounter={"reference": visit},
                performer=[{"reference": doctor}],
                meta={"tag": [{"system": "urn:tests", "code": mark}]},
            )
            put(fhir, measured)
        put(
            fhir,
            {
                "resourceType": "Condition",
                "id": f"c{who}-{mark}",
                "subject": {"reference": person},
                "code": {"text": "x"},
                "meta": {"tag": [{"system": "urn:tests", "code": mark}]},
            },
        )
    put(fhir, observation(f"Patient/b-{mark}", id=f"od-{mark}", device={"reference": device}))
    put(
        fhir,
        {
            "resourceType": "RelatedPerson",
            "id": f"r-{mark}",
            "patient": {"reference": f"Patient/a-{mark}"},
        },
    )
    return mark


def test_fhir_S6_a_search_without_parameters_lists_all_that_is_visible(site: Site, fhir, record):
    names = all_found(fhir, "/Observation")
    assert len(names) == len(set(names)) == fhir.get("/Observation?_count=0").json()["total"]
    assert {f"Observation/o{who}{n}-{record}" for who in "ab" for n in range(3)} < set(names)
    own = site.client("patient/*.rs", role="PATIENT", patient=f"a-{record}")
    assert sorted(all_found(own, "/Observation")) == [f"Observation/oa{n}-{record}" for n in range(3)]
    assert all_found(own, "/Patient") == [f"Patient/a-{record}"]


# --- several types ----------------------------------------------------------------------------------------------------


def test_fhir_S1_a_search_over_types_finds_matches_of_all_of_them(fhir, record):
    answer = fhir.get("/", params={"_type": "Observation,Condition", "patient": f"a-{record}"})
    names = found(answer)
    assert sorted(names) == sorted([f"Condition/ca-{record}", *(f"Observation/oa{n}-{record}" for n in range(3))])
    assert answer.json()["total"] == 4
    assert all(
        entry["fullUrl"].endswith(f"{entry['resource']['resourceType']}/{entry['resource']['id']}")
        for entry in answer.json()["entry"]
    )


def test_fhir_S1_a_search_over_types_by_post_finds_the_same(fhir, record):
    asked = {"_type": "Observation,Condition", "_tag": record}
    by_form = fhir.post("/_search", data=asked, headers=FORM)
    assert found(by_form) == found(fhir.get("/", params=asked)) != []
    both = fhir.post("/_search?_type=Condition", data={"_tag": record}, headers=FORM)
    assert sorted(found(both)) == [f"Condition/ca-{record}", f"Condition/cb-{record}"]


def test_fhir_S1_without_types_all_that_the_caller_may_search_are_searched(fhir, record):
    names = found(fhir.get("/", params={"_tag": f"urn:tests|{record}"}))
    assert sorted(names) == sorted(
        [f"Condition/c{who}-{record}" for who in "ab"]
        + [f"Observation/o{who}{n}-{record}" for who in "ab" for n in range(3)]
    )
    by_id = found(fhir.get("/", params={"_id": f"a-{record},ca-{record}"}))
    assert sorted(by_id) == [f"Condition/ca-{record}", f"Patient/a-{record}"]


@pytest.mark.parametrize("sort", ["", "_id", "-_id", "-_lastUpdated,_id", "_lastUpdated", "-date"])
def test_fhir_S1_one_order_and_one_cursor_run_over_all_types(fhir, record, sort):
    asked = f"/?_type=Observation,Encounter&patient=a-{record},b-{record}"
    asked += f"&_sort={sort}" if sort else ""
    whole = found(fhir.get(f"{asked}&_count=100"))
    assert len(whole) == len(set(whole)) == 9
    assert all_found(fhir, f"{asked}&_count=2") == whole
    if sort in {"_id", "-_id"}:
        ids = [name.partition("/")[2] for name in whole]
        assert ids == sorted(ids, reverse=sort == "-_id")


def test_fhir_S1_the_total_is_that_of_all_types(fhir, record):
    asked = {"_type": "Observation,Condition,Encounter", "patient": f"a-{record}"}
    assert fhir.get("/", params={**asked, "_count": "1", "_total": "accurate"}).json()["total"] == 5
    counted = fhir.get("/", params={**asked, "_summary": "count"}).json()
    assert counted["total"] == 5
    assert "entry" not in counted
    assert fhir.get("/", params={"_count": "0"}).json()["total"] >= 17


def test_fhir_S1_includes_of_each_type_come_along(fhir, record):
    answer = fhir.get(
        "/",
        params=[
            ("_type", "Observation,Encounter"),
            ("patient", f"a-{record}"),
            ("_include", "Observation:performer"),
            ("_include", "Encounter:subject"),
        ],
    )
    assert sorted(found(answer, "include")) == [f"Patient/a-{record}", f"Practitioner/d-{record}"]
    everything = fhir.get("/", params={"_type": "Observation,Encounter", "patient": f"a-{record}", "_include": "*"})
    assert f"Patient/a-{record}" in found(everything, "include")


def test_fhir_S1_only_parameters_that_all_types_have_are_used(fhir, record):
    asked = {"_type": "Observation,Patient", "code": "29463-7", "_id": f"oa0-{record}"}
    answer = fhir.get("/", params=asked)
    assert found(answer) == [f"Observation/oa0-{record}"]
    assert "code" in answer.json()["entry"][-1]["resource"]["issue"][0]["diagnostics"]
    assert "code=" not in str(link(answer, "self"))
    refused = fhir.get("/", params=asked, headers={"Prefer": "handling=strict"})
    assert refused.status_code == 400
    assert "_type" in str(issues(refused)[0]["diagnostics"])
    unsorted = fhir.get("/", params={"_type": "Observation,Patient", "_sort": "date", "_id": f"a-{record}"})
    assert "_sort" in unsorted.json()["entry"][-1]["resource"]["issue"][0]["diagnostics"]


@pytest.mark.parametrize("types", ["Nothing", "Observation,nothing", "observation"])
def test_fhir_S1_a_name_that_is_no_type_is_refused(fhir, types):
    refused = fhir.get("/", params={"_type": types})
    assert refused.status_code == 400
    assert issues(refused)[0]["code"] == "invalid"


def test_fhir_S2_the_links_of_a_search_over_types_lead_to_the_base(site, fhir, record):
    answer = fhir.get("/", params={"_type": "Observation,Condition", "_tag": record, "_count": "3"})
    for relation in ("self", "first", "next"):
        address = str(link(answer, relation))
        assert address.startswith(f"{site.base}?")
        assert ("_type", "Observation,Condition") in parse_qsl(urlsplit(address).query)


def test_fhir_Q3_a_place_of_one_search_is_none_of_another(fhir, record):
    following = link(fhir.get("/", params={"_type": "Observation,Condition", "_tag": record, "_count": "3"}), "next")
    cursor = dict(parse_qsl(urlsplit(str(following)).query))["_cursor"]
    for address, asked in (
        ("/", {"_type": "Condition,Observation", "_tag": record, "_count": "3"}),
        ("/Observation", {"_tag": record, "_count": "3"}),
        (f"/Patient/a-{record}/*", {"_tag": record, "_count": "3"}),
    ):
        assert fhir.get(address, params={**asked, "_cursor": cursor}).status_code == 400


@pytest.mark.parametrize("address", ["/?_type=Observation,Condition&_tag={}", "/Patient/a-{}/*?_tag={}"])
def test_security_AZ10_a_place_is_its_callers_alone_and_survives_a_new_token(site: Site, fhir, record, address):
    following = str(link(fhir.get(address.format(record, record) + "&_count=1"), "next"))
    assert site.client("system/*.rs").get(following).status_code == 200
    for other in (
        site.client("patient/*.rs", role="PATIENT", patient=f"a-{record}"),
        site.client("patient/*.rs", role="PATIENT", patient=f"b-{record}"),
    ):
        refused = other.get(following)
        assert refused.status_code in {400, 404}  # the compartment of another is not there at all
    altered = following[:-3] + ("AAA" if not following.endswith("AAA") else "BBB")
    assert fhir.get(altered).status_code == 400


# --- who may see what -------------------------------------------------------------------------------------------------


def test_security_AZ2_a_patient_finds_nothing_of_another_over_types(site: Site, fhir, record):
    own = site.client("patient/*.rs", role="PATIENT", patient=f"a-{record}")
    names = found(own.get("/", params={"_tag": record, "_total": "accurate"}))
    assert sorted(names) == sorted([f"Condition/ca-{record}", *(f"Observation/oa{n}-{record}" for n in range(3))])
    both = own.get("/", params={"_type": "Observation,Condition", "patient": f"b-{record}"})
    assert found(both) == []
    assert both.json()["total"] == 0
    all_types = all_found(own, "/?_count=3")
    assert f"Patient/a-{record}" in all_types
    others = {"b-", "ob", "cb", "eb"}
    assert not [name for name in all_types if name.endswith(record) and name.split("/")[1][:2] in others]


def test_security_AZ4_types_without_a_scope_are_left_out_and_refused_when_named(site: Site, record):
    narrow = site.client("patient/Observation.rs patient/Patient.rs", role="PATIENT", patient=f"a-{record}")
    names = found(narrow.get("/", params={"_tag": record}))
    assert sorted(names) == [f"Observation/oa{n}-{record}" for n in range(3)]
    refused = narrow.get("/", params={"_type": "Observation,Condition", "_tag": record})
    assert refused.status_code == 403
    nothing = site.client("patient/Observation.r", role="PATIENT", patient=f"a-{record}")
    assert nothing.get("/", params={"_tag": record}).status_code == 403
    assert nothing.get("/?_type=Observation").status_code == 403
    assert nothing.get(f"/Patient/a-{record}/*").status_code == 403


@pytest.mark.parametrize("address", ["/?_type=Patient", "/Patient/1/Observation", "/Patient/1/*"])
def test_security_AZ1_without_a_token_nothing_is_found(site: Site, address):
    assert httpx.get(f"{site.base}{address}").status_code == 401


# --- compartments -----------------------------------------------------------------------------------------------------


def test_fhir_S1_a_compartment_is_searched_for_one_type(fhir, record):
    names = found(fhir.get(f"/Patient/a-{record}/Observation"))
    assert sorted(names) == [f"Observation/oa{n}-{record}" for n in range(3)]
    dated = fhir.get(f"/Patient/a-{record}/Observation", params={"date": "ge2024-01-02", "_sort": "-date"})
    assert found(dated) == [f"Observation/oa{n}-{record}" for n in (2, 1)]
    coded = fhir.get(f"/Patient/a-{record}/Observation", params={"code": "http://loinc.org|29463-7"})
    assert len(found(coded)) == 3
    assert found(fhir.get(f"/Patient/a-{record}/Patient")) == [f"Patient/a-{record}"]


def test_fhir_S1_a_compartment_is_searched_by_post_as_well(fhir, record):
    by_form = fhir.post(f"/Patient/a-{record}/Observation/_search", data={"date": "2024-01-01"}, headers=FORM)
    assert found(by_form) == [f"Observation/oa0-{record}"]
    whole = fhir.post(f"/Patient/a-{record}/*/_search", data={"_type": "Condition"}, headers=FORM)
    assert found(whole) == [f"Condition/ca-{record}"]


def test_fhir_S1_a_whole_compartment_is_searched(fhir, record):
    expected = {f"Patient/a-{record}", f"Encounter/ea-{record}", f"Condition/ca-{record}", f"RelatedPerson/r-{record}"}
    expected |= {f"Observation/oa{n}-{record}" for n in range(3)}
    assert set(all_found(fhir, f"/Patient/a-{record}/*?_count=2")) == expected
    assert set(found(fhir.get(f"/Patient/a-{record}/*", params={"_tag": record}))) == {
        name for name in expected if name.startswith(("Observation", "Condition"))
    }
    typed = fhir.get(f"/Patient/a-{record}/*", params={"_type": "Encounter,Condition"})
    assert set(found(typed)) == {f"Encounter/ea-{record}", f"Condition/ca-{record}"}


@pytest.mark.parametrize(
    ("owner", "within", "names"),
    [
        ("Encounter/ea-{}", "Observation", ["Observation/oa0-{}", "Observation/oa1-{}", "Observation/oa2-{}"]),
        ("Encounter/ea-{}", "Encounter", ["Encounter/ea-{}"]),
        ("Encounter/ea-{}", "*", ["Encounter/ea-{}", "Observation/oa0-{}", "Observation/oa1-{}", "Observation/oa2-{}"]),
        ("Practitioner/d-{}", "Encounter", ["Encounter/ea-{}", "Encounter/eb-{}"]),
        ("Practitioner/d-{}", "Condition", []),
        ("Device/v-{}", "Observation", ["Observation/od-{}"]),
        ("RelatedPerson/r-{}", "RelatedPerson", ["RelatedPerson/r-{}"]),
    ],
)
def test_fhir_S1_the_compartments_of_other_types_are_searched(fhir, record, owner, within, names):
    assert sorted(found(fhir.get(f"/{owner.format(record)}/{within}"))) == [name.format(record) for name in names]


@pytest.mark.parametrize("address", ["Location/1/Observation", "Patient/1/Practitioner", "Practitioner/1/Organization"])
def test_fhir_S1_what_no_compartment_holds_is_refused(fhir, address):
    refused = fhir.get(f"/{address}")
    assert refused.status_code == 404
    assert issues(refused)[0]["code"] == "not-supported"
    assert "compartment" in str(issues(refused)[0]["diagnostics"])


def test_fhir_S1_a_type_that_lies_in_no_such_compartment_cannot_be_named(fhir, record):
    assert fhir.get(f"/Patient/a-{record}/*", params={"_type": "Practitioner"}).status_code == 400


def test_fhir_S1_the_compartment_of_nobody_is_not_there(fhir, record):
    absent = fhir.get("/Patient/nobody/Observation")
    assert absent.status_code == 404
    assert issues(absent)[0]["code"] == "not-found"
    gone = put(fhir, patient(id=f"gone-{record}"))
    fhir.delete(f"/{gone}")
    assert fhir.get(f"/{gone}/Observation").status_code == 410


def test_security_AZ2_the_compartment_of_another_patient_is_as_absent(site: Site, record):
    own = site.client("patient/*.rs", role="PATIENT", patient=f"a-{record}")
    assert len(found(own.get(f"/Patient/a-{record}/Observation"))) == 3
    headers = {"X-Request-Id": "same"}
    other = own.get(f"/Patient/b-{record}/Observation", headers=headers)
    absent = own.get("/Patient/nobody/Observation", headers=headers)
    assert other.status_code == 404
    assert other.content.replace(f"b-{record}".encode(), b"nobody") == absent.content
    # a directory row is open, what refers to it is not
    seen = found(own.get(f"/Practitioner/d-{record}/Encounter"))
    assert seen == [f"Encounter/ea-{record}"]
    assert own.get(f"/Encounter/eb-{record}/Observation").status_code == 404


def test_fhir_Q3_pages_of_a_compartment_go_on_and_back(site: Site, fhir, record):
    first = fhir.get(f"/Patient/a-{record}/Observation", params={"_sort": "date", "_count": "1"})
    assert str(link(first, "next")).startswith(f"{site.base}/Patient/a-{record}/Observation?")
    second = fhir.get(str(link(first, "next")))
    assert found(second) == [f"Observation/oa1-{record}"]
    assert found(fhir.get(str(link(second, "previous")))) == found(first)


# --- in bundles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize(
    "url",
    [
        "?_type=Observation,Condition&_tag={}",
        "Patient/a-{}/*?_count=3",
        "Patient/a-{}/Observation?date=2024-01-01",
        "Encounter/ea-{}/Observation",
    ],
)
def test_fhir_B10_searches_over_types_and_in_compartments_are_entries(fhir, record, kind, url):
    asked = url.format(record)
    request = {"resourceType": "Bundle", "type": kind, "entry": [{"request": {"method": "GET", "url": asked}}]}
    answer = fhir.post("/", json=request)
    assert answer.status_code == 200, answer.text
    entry = answer.json()["entry"][0]
    assert entry["response"]["status"] == "200"
    direct = fhir.get(f"/{asked}").json()
    assert [each["fullUrl"] for each in entry["resource"]["entry"]] == [each["fullUrl"] for each in direct["entry"]]


def test_fhir_B9_an_entry_without_path_and_query_is_refused(fhir):
    request = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": ""}}]}
    answer = fhir.post("/", json=request)
    assert answer.json()["entry"][0]["response"]["status"] == "400"
