"""Modifiers and orders that are not answered by the index alone, over HTTP (fhir_rest.md §8.4, §9 Q2)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.site import Site, issues, observation, patient

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SYSTEM = "http://example.org/colours"


def ids(answer: httpx.Response) -> list[str]:
    """Return the ids of the matches of a page."""
    assert answer.status_code == 200, answer.text
    return [entry["resource"]["id"] for entry in answer.json().get("entry", []) if entry["search"]["mode"] == "match"]


def coded(code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": SYSTEM, "code": code, "display": display}]}


@pytest.fixture(scope="module")
def mark(fhir: httpx.Client) -> str:
    """Two patients with an Observation each, a value set and a hierarchy; returns what their ids end in."""
    mark = uuid4().hex[:8]
    value_set = {
        "resourceType": "ValueSet",
        "id": f"s-{mark}",
        "url": f"http://example.org/ValueSet/{mark}",
        "status": "active",
        "compose": {"include": [{"system": SYSTEM, "concept": [{"code": "red"}]}]},
    }
    hierarchy = {
        "resourceType": "CodeSystem",
        "id": f"h-{mark}",
        "url": f"{SYSTEM}/{mark}",
        "status": "active",
        "content": "complete",
        "concept": [{"code": "colour", "concept": [{"code": "red"}]}],
    }
    tag = {"tag": [{"system": f"{SYSTEM}/{mark}", "code": "red"}]}
    resources = [
        value_set,
        hierarchy,
        patient("A", id=f"a-{mark}"),
        patient("B", id=f"b-{mark}"),
        observation(f"Patient/a-{mark}", id=f"oa-{mark}", code=coded("red", f"Crimson {mark}"), meta=tag),
        observation(f"Patient/b-{mark}", id=f"ob-{mark}", code=coded("blue", f"Navy {mark}")),
    ]
    for each in resources:
        answer = fhir.put(f"/{each['resourceType']}/{each['id']}", json=each)
        assert answer.status_code in {200, 201}, answer.text
    return mark


def test_fhir_8_4_text_in_not_in_and_a_system_alone_over_http(fhir: httpx.Client, mark: str) -> None:
    of_both = f"patient=a-{mark},b-{mark}"
    assert ids(fhir.get(f"/Observation?{of_both}&code:text=crimson")) == [f"oa-{mark}"]
    assert ids(fhir.get(f"/Observation?{of_both}&code:in=http://example.org/ValueSet/{mark}")) == [f"oa-{mark}"]
    assert ids(fhir.get(f"/Observation?{of_both}&code:not-in=http://example.org/ValueSet/{mark}")) == [f"ob-{mark}"]
    assert ids(fhir.get(f"/Observation?_tag:below={SYSTEM}/{mark}|colour")) == [f"oa-{mark}"]
    assert ids(fhir.get(f"/Observation?{of_both}&code={SYSTEM}|&_sort=code")) == [f"ob-{mark}", f"oa-{mark}"]
    form = {"patient": f"a-{mark}", "code:text": "CRIMSON"}
    assert ids(fhir.post("/Observation/_search", data=form, headers=FORM)) == [f"oa-{mark}"]


def test_fhir_Q2_types_are_put_in_one_order_by_a_token(fhir: httpx.Client, mark: str) -> None:
    asked = f"/?_type=Observation,Patient&_id=oa-{mark},ob-{mark},a-{mark}"
    assert ids(fhir.get(f"{asked}&_sort=_tag,_id")) == [f"oa-{mark}", f"a-{mark}", f"ob-{mark}"]
    first = fhir.get(f"{asked}&_sort=_tag,_id&_count=1")
    following = next(each["url"] for each in first.json()["link"] if each["relation"] == "next")
    assert ids(fhir.get(following)) == [f"a-{mark}"]


def test_security_AZ2_what_is_read_from_bodies_keeps_to_the_compartment(site: Site, mark: str) -> None:
    own = site.client("patient/*.rs", role="PATIENT", patient=f"a-{mark}")
    for query in (f"code:text=navy {mark}", f"patient=b-{mark}&code={SYSTEM}|", f"_id=ob-{mark}&_sort=code"):
        found = own.get(f"/Observation?{query}&_total=accurate")
        assert ids(found) == []
        assert found.json()["total"] == 0
    assert ids(own.get(f"/Observation?code={SYSTEM}|")) == [f"oa-{mark}"]


def test_smart_E5_a_value_set_without_a_scope_is_unknown(site: Site, mark: str) -> None:
    narrow = site.client("system/Observation.rs")
    refused = narrow.get(f"/Observation?code:in=http://example.org/ValueSet/{mark}")
    assert (refused.status_code, issues(refused)[0]["code"]) == (400, "not-found")
    assert ids(site.client("system/Observation.rs system/ValueSet.r").get(
        f"/Observation?patient=a-{mark}&code:in=http://example.org/ValueSet/{mark}"
    )) == [f"oa-{mark}"]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("code:in=http://example.org/ValueSet/unknown", "not-found"),
        ("code:not-in=http://example.org/ValueSet/unknown", "not-found"),
        ("code:below=http://example.org/unknown|x", "not-supported"),
        ("code:above=x", "invalid"),
        ("subject:below=Patient/x", "not-supported"),
        ("component-code-value-quantity=http://x|$5", "not-supported"),
        ("has-member." * 7 + "status=final", "too-costly"),
        ("_sort=code,status,category,subject,_id,date", "too-costly"),
    ],
)
def test_fhir_S4_what_cannot_be_answered_is_told(fhir: httpx.Client, query: str, code: str) -> None:
    for handling in ("lenient", "strict"):
        refused = fhir.get(f"/Observation?{query}", headers={"Prefer": f"handling={handling}"})
        assert (refused.status_code, issues(refused)[0]["code"]) == (400, code)
        (place,) = issues(refused)[0]["location"]
        assert place == f"http.{query.partition('=')[0][:80]}"


def test_fhir_8_4_conditions_and_entries_of_bundles_take_them_too(fhir: httpx.Client, mark: str) -> None:
    entry = {"request": {"method": "GET", "url": f"Observation?patient=a-{mark}&code:text=crimson"}}
    answer = fhir.post("/", json={"resourceType": "Bundle", "type": "batch", "entry": [entry]})
    (response,) = answer.json()["entry"]
    assert [each["resource"]["id"] for each in response["resource"]["entry"]] == [f"oa-{mark}"]
    condition = f"patient=a-{mark}&code:in=http://example.org/ValueSet/{mark}"
    again = observation(f"Patient/a-{mark}", code=coded("red", "again"))
    created = fhir.post("/Observation", json=again, headers={"If-None-Exist": condition})
    assert created.status_code == 200, created.text
    assert created.headers["Location"].split("/Observation/")[1].startswith(f"oa-{mark}")
