"""Granular scopes over HTTP: what a filter leaves out is nowhere to be seen (smart.md §12; US Core granular scopes).

One patient's record has an Observation of each category and a Condition of each, twice: of the caller's patient and of
another one. Every test asks as an app that was granted some categories.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import pytest

from storage.provenance import provenance_id
from storage.resources import ResourceKey
from tests.site import Site, observation, patient

OWN, OTHER = "granular-own", "granular-other"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
CONDITION_CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"
US_CORE = "http://hl7.org/fhir/us/core/CodeSystem"
OBSERVATIONS = {
    "laboratory": CATEGORY, "social-history": CATEGORY, "survey": CATEGORY, "vital-signs": CATEGORY,
    "sdoh": f"{US_CORE}/us-core-category", "clinical-test": f"{US_CORE}/us-core-clinical-result",
}  # fmt: skip
CONDITIONS = {
    "encounter-diagnosis": CONDITION_CATEGORY, "problem-list-item": CONDITION_CATEGORY,
    "health-concern": f"{US_CORE}/condition-category",
}  # fmt: skip
_numbers = count(1)
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


def about(subject: str, name: str, category: str, **more: Any) -> dict[str, Any]:
    return observation(
        f"Patient/{subject}",
        id=f"{subject}-{name}",
        category=[{"coding": [{"system": OBSERVATIONS.get(category, CATEGORY), "code": category}]}],
        effectiveDateTime=f"202{len(name) % 5}-05-01",
        **more,
    )


def condition(subject: str, category: str) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": f"{subject}-{category}",
        "subject": {"reference": f"Patient/{subject}"},
        "category": [{"coding": [{"system": CONDITIONS[category], "code": category}]}],
        "code": {"text": category},
    }


@pytest.fixture(scope="module")
def world(fhir: httpx.Client) -> httpx.Client:
    """Two patients with Observations and Conditions of every category, and a report on two of the Observations."""
    told: list[dict[str, Any]] = []
    for subject in (OWN, OTHER):
        told.append(patient(id=subject, family=subject))
        told += [about(subject, category, category) for category in OBSERVATIONS]
        told += [condition(subject, category) for category in CONDITIONS]
        told.append(
            {
                "resourceType": "DiagnosticReport", "id": f"{subject}-report", "status": "final",
                "code": {"text": "all"}, "subject": {"reference": f"Patient/{subject}"},
                "result": [{"reference": f"Observation/{subject}-{each}"} for each in ("laboratory", "survey")],
            }
        )  # fmt: skip
    for resource in told:
        fhir.put(f"/{resource['resourceType']}/{resource['id']}", json=resource).raise_for_status()
    return fhir


def granular(resource_type: str, categories: dict[str, str], *named: str, letters: str = "rs") -> str:
    return " ".join(f"patient/{resource_type}.{letters}?category={categories[each]}|{each}" for each in named)


def app(site: Site, *scopes: str) -> httpx.Client:
    return site.client(" ".join(scopes), role="APP", patient=OWN)


@pytest.fixture(scope="module")
def reader(world: httpx.Client, site: Site) -> httpx.Client:
    """An app that sees laboratory results and vital signs, problems, and whatever else of the patient there is."""
    return app(
        site,
        "patient/Patient.rs patient/DiagnosticReport.rs patient/Provenance.rs",
        granular("Observation", OBSERVATIONS, "laboratory", "vital-signs"),
        granular("Condition", CONDITIONS, "problem-list-item"),
    )


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    entries = answer.json().get("entry", [])
    return sorted(each["resource"]["id"] for each in entries if each["resource"]["resourceType"] != "OperationOutcome")


def own(*names: str) -> list[str]:
    return sorted(f"{OWN}-{each}" for each in names)


# --- search -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("category", OBSERVATIONS)
def test_smart_C6_E4_us_core_an_observation_category_shows_itself_alone(world, site: Site, category: str):
    caller = app(site, granular("Observation", OBSERVATIONS, category))
    found = caller.get("/Observation")
    assert ids(found) == own(category)
    assert found.json()["total"] == 1
    assert caller.get(f"/Observation?patient={OWN}&_summary=count").json()["total"] == 1
    for other in OBSERVATIONS:
        asked = caller.get(f"/Observation?patient={OWN}&category={OBSERVATIONS[other]}|{other}")
        assert ids(asked) == (own(category) if other == category else [])


@pytest.mark.parametrize("category", CONDITIONS)
def test_smart_C6_E4_us_core_a_condition_category_shows_itself_alone(world, site: Site, category: str):
    caller = app(site, granular("Condition", CONDITIONS, category))
    assert ids(caller.get("/Condition")) == own(category)
    assert caller.get("/Condition?_summary=count").json()["total"] == 1
    assert ids(caller.get(f"/Condition?patient={OWN}&_sort=-recorded-date")) == own(category)


def test_smart_C6_several_granular_scopes_are_alternatives(reader):
    assert ids(reader.get("/Observation")) == own("laboratory", "vital-signs")
    assert reader.get("/Observation?_total=accurate&_count=1").json()["total"] == 2


def test_smart_C6_a_resource_level_scope_takes_granular_ones_in(world, site: Site):
    caller = app(site, "patient/Observation.rs", granular("Observation", OBSERVATIONS, "laboratory"))
    assert ids(caller.get("/Observation")) == own(*OBSERVATIONS)


def test_smart_C6_all_parameters_of_a_scope_hold_at_once(world, site: Site):
    day = about(OWN, "laboratory", "laboratory")["effectiveDateTime"]
    fitting = app(site, f"patient/Observation.rs?category={CATEGORY}|laboratory&date={day}")
    assert ids(fitting.get("/Observation")) == own("laboratory")
    never = app(site, f"patient/Observation.rs?category={CATEGORY}|laboratory&date=gt2090")
    assert ids(never.get("/Observation")) == []
    both = app(site, f"patient/Observation.rs?category=laboratory&category=survey&subject=Patient/{OWN}")
    assert ids(both.get("/Observation")) == []


def test_smart_C6_a_granular_scope_on_the_patient_and_one_of_the_user_are_a_union(world, site: Site):
    scope = f"patient/Observation.rs user/Observation.rs?category={CATEGORY}|survey"
    caller = site.client(scope, role="CLINICIAN", patient=OWN)
    found = caller.get("/Observation?_count=100")
    assert ids(found) == sorted([*own(*OBSERVATIONS), f"{OTHER}-survey"])
    assert found.json()["total"] == len(OBSERVATIONS) + 1
    assert caller.get(f"/Observation/{OTHER}-survey").status_code == 200
    assert caller.get(f"/Observation/{OTHER}-laboratory").status_code == 404


def test_smart_C6_as_many_filters_as_a_token_may_have_are_answered(world, site: Site):
    filters = [f"patient/Observation.rs?code={number}&date=2024&status=final&_tag=a" for number in range(70)]
    caller = app(site, "patient/Patient.r", *filters, granular("Observation", OBSERVATIONS, "survey"))
    assert ids(caller.get("/Observation?_count=100&_sort=-date")) == own("survey")
    assert ids(caller.get(f"/Patient/{OWN}/Observation?category=survey")) == own("survey")
    assert caller.get(f"/Observation/{OWN}-laboratory").status_code == 404


def test_smart_E4_pages_go_on_without_what_is_hidden(reader):
    first = reader.get("/Observation?_count=1&_sort=date")
    link = next(each["url"] for each in first.json()["link"] if each["relation"] == "next")
    second = reader.get(link)
    assert sorted([*ids(first), *ids(second)]) == own("laboratory", "vital-signs")
    assert not [each for each in second.json()["link"] if each["relation"] == "next"]


def test_security_AZ10_a_narrower_token_goes_on_with_less(world, site: Site):
    wide = app(site, "patient/Observation.rs")
    first = wide.get("/Observation?_count=2&_sort=_id")
    link = next(each["url"] for each in first.json()["link"] if each["relation"] == "next")
    assert ids(wide.get(link)) == sorted(own(*OBSERVATIONS))[2:4]
    narrow = app(site, granular("Observation", OBSERVATIONS, "vital-signs"))
    assert ids(narrow.get(link)) == own("vital-signs")


def test_security_AZ10_a_narrower_token_is_not_told_the_total_of_a_wider_one(world, site: Site):
    wide = app(site, "patient/Observation.rs")
    first = wide.get("/Observation/_history?_count=2").json()
    link = next(each["url"] for each in first["link"] if each["relation"] == "next")
    assert wide.get(link).json()["total"] == first["total"] >= len(OBSERVATIONS)
    narrow = app(site, granular("Observation", OBSERVATIONS, "vital-signs")).get(link)
    assert (narrow.status_code, narrow.json().get("total")) == (200, None)


def test_smart_E4_a_type_without_s_is_refused_alike_whether_or_not_it_has_rows(world, site: Site):
    caller = app(site, granular("Observation", OBSERVATIONS, "laboratory"))
    for letters in ("Encounter", "Condition", "VisionPrescription"):
        answer = caller.get(f"/{letters}?patient={OWN}", headers={"X-Request-Id": "same"})
        assert answer.status_code == 403
        assert answer.json()["issue"][0]["code"] == "forbidden"


@pytest.mark.parametrize("name", ["survey", "sdoh", "never"])
def test_smart_E4_what_is_hidden_is_not_found_by_any_question(reader, name: str):
    for query in (
        f"_id={OWN}-{name}",
        f"subject:Patient._has:Observation:patient:_id={OWN}-{name}",
        f"category={name}",
    ):
        assert ids(reader.get(f"/Observation?{query}")) == []


# --- read, vread, history ---------------------------------------------------------------------------------------------


def test_smart_E3_a_read_tests_what_is_stored(reader):
    assert reader.get(f"/Observation/{OWN}-laboratory").status_code == 200
    hidden, absent = (
        reader.get(f"/Observation/{OWN}-{each}", headers={"X-Request-Id": "same"}) for each in ("survey", "absent")
    )
    assert hidden.status_code == absent.status_code == 404
    assert hidden.text.replace("survey", "absent") == absent.text


@pytest.mark.parametrize(
    "headers", [{"If-None-Match": 'W/"1"'}, {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}]
)
def test_security_AZ6_no_304_for_what_the_filter_hides(reader, headers: dict[str, str]):
    assert reader.get(f"/Observation/{OWN}-survey", headers=headers).status_code == 404
    assert reader.get(f"/Observation/{OWN}-laboratory", headers=headers).status_code == 304


@pytest.fixture
def reclassified(world: httpx.Client) -> Iterator[str]:
    """An Observation that was a survey first, then a laboratory result, then something else, and a result again."""
    name = f"{OWN}-changing-{next(_numbers)}"
    for category in ("survey", "laboratory", "sdoh", "laboratory"):
        body = about(OWN, name.removeprefix(f"{OWN}-"), category, valueString=category)
        world.put(f"/Observation/{name}", json=body).raise_for_status()
    yield name
    world.delete(f"/Observation/{name}").raise_for_status()


def test_smart_E3_the_version_asked_for_is_tested_too(reader, reclassified: str):
    statuses = [reader.get(f"/Observation/{reclassified}/_history/{number}").status_code for number in range(1, 6)]
    assert statuses == [404, 200, 404, 200, 404]


def test_smart_E3_a_history_shows_the_versions_that_meet_the_filter(reader, reclassified: str):
    history = reader.get(f"/Observation/{reclassified}/_history").json()
    assert [each["resource"]["meta"]["versionId"] for each in history["entry"]] == ["4", "2"]
    assert history["total"] == 2


def test_smart_E3_histories_of_types_show_the_versions_that_meet_the_filter(reader, reclassified: str):
    for address in ("/Observation/_history", "/_history", "/Observation/_history?_since=2020-01-01T00:00:00Z"):
        answer = reader.get(f"{address}{'&' if '?' in address else '?'}_count=100")
        shown = [each["resource"] for each in answer.json()["entry"] if "resource" in each]
        texts = [each.get("valueString", "laboratory") for each in shown]
        versions = [each["id"] for each in shown].count(reclassified)
        assert set(texts) == {"laboratory"}
        assert versions == 2
        assert f"{OWN}-survey" not in [each["id"] for each in shown]


def test_smart_E3_what_is_hidden_today_has_no_history(world, reader):
    name = f"{OWN}-gone-private"
    for category in ("laboratory", "survey"):
        world.put(f"/Observation/{name}", json=about(OWN, "gone-private", category)).raise_for_status()
    for address in (f"/Observation/{name}", f"/Observation/{name}/_history", f"/Observation/{name}/_history/1"):
        assert reader.get(address).status_code == 404
    assert name not in reader.get("/Observation/_history?_count=100").text
    world.delete(f"/Observation/{name}").raise_for_status()


@pytest.mark.parametrize(("category", "seen"), [("laboratory", True), ("survey", False)])
def test_smart_E3_a_deletion_is_seen_by_whoever_saw_what_was_deleted(world, reader, category: str, seen: bool):
    name = f"{OWN}-deleted-{category}"
    world.put(f"/Observation/{name}", json=about(OWN, f"deleted-{category}", category)).raise_for_status()
    world.delete(f"/Observation/{name}").raise_for_status()
    assert reader.get(f"/Observation/{name}").status_code == (410 if seen else 404)
    history = reader.get(f"/Observation/{name}/_history")
    assert history.status_code == (200 if seen else 404)
    assert reader.get(f"/Observation/{name}/_history/1").status_code == (200 if seen else 404)
    assert reader.get(f"/Observation/{name}/_history/2").status_code == (410 if seen else 404)
    assert (name in reader.get("/Observation/_history?_count=100").text) is seen


# --- along references -------------------------------------------------------------------------------------------------


def test_smart_E5_includes_pass_the_filter_of_their_type(reader):
    found = reader.get(f"/DiagnosticReport?_id={OWN}-report&_include=DiagnosticReport:result")
    assert ids(found) == own("laboratory", "report")
    around = reader.get(f"/Patient?_id={OWN}&_revinclude=Observation:subject&_revinclude=Condition:subject")
    assert ids(around) == sorted([OWN, *own("laboratory", "vital-signs", "problem-list-item")])
    iterated = reader.get(
        f"/Patient?_id={OWN}&_revinclude=DiagnosticReport:subject&_include:iterate=DiagnosticReport:result"
    )
    assert ids(iterated) == sorted([OWN, *own("laboratory", "report")])


def test_smart_E5_a_chain_through_what_is_hidden_finds_nothing(reader):
    asked = "/DiagnosticReport?result:Observation.category={}"
    assert ids(reader.get(asked.format("laboratory"))) == own("report")
    assert ids(reader.get(asked.format("survey"))) == []
    assert ids(reader.get(f"/DiagnosticReport?result:Observation._id={OWN}-survey")) == []


def test_smart_E5_has_goes_through_what_is_visible_alone(reader):
    asked = "/Patient?_has:Observation:patient:category={}"
    assert ids(reader.get(asked.format("laboratory"))) == [OWN]
    assert ids(reader.get(asked.format("survey"))) == []
    assert ids(reader.get("/Patient?_has:Condition:patient:category=encounter-diagnosis")) == []
    assert reader.get(asked.format("survey") + "&_summary=count").json()["total"] == 0


def test_smart_E5_a_type_without_any_scope_refuses_the_chain(world, site: Site):
    caller = app(site, "patient/DiagnosticReport.rs")
    assert caller.get("/DiagnosticReport?result:Observation.category=survey").status_code == 403


def test_us_core_provenance_comes_with_the_visible_observations_alone(reader):
    found = reader.get("/Observation?_revinclude=Provenance:target&_count=100")
    targets = {
        target["reference"].partition("/_history")[0]
        for each in found.json()["entry"]
        if each["resource"]["resourceType"] == "Provenance"
        for target in each["resource"]["target"]
    }
    assert targets <= {f"Observation/{each}" for each in own("laboratory", "vital-signs")}
    hidden = provenance_id(ResourceKey("Observation", f"{OWN}-survey"), 1)
    shown = provenance_id(ResourceKey("Observation", f"{OWN}-laboratory"), 1)
    assert reader.get(f"/Provenance/{hidden}").status_code == 404
    assert reader.get(f"/Provenance/{shown}").status_code == 200


def test_smart_C9_a_granular_scope_for_provenance_shows_what_is_stored_alone(world, site: Site):
    stored = {
        "resourceType": "Provenance", "id": f"{OWN}-stored", "recorded": "2024-01-01T00:00:00Z",
        "target": [{"reference": f"Observation/{OWN}-laboratory"}], "agent": [{"who": {"display": "somebody"}}],
    }  # fmt: skip
    world.put(f"/Provenance/{OWN}-stored", json=stored).raise_for_status()
    made = provenance_id(ResourceKey("Observation", f"{OWN}-laboratory"), 1)
    everything = "patient/Observation.rs patient/Patient.rs "
    for target, seen in ((f"{OWN}-laboratory", [f"{OWN}-stored"]), (f"{OWN}-survey", [])):
        caller = site.client(
            f"{everything}user/Provenance.rs?target=Observation/{target}", role="CLINICIAN", patient=OWN
        )
        assert caller.get(f"/Provenance/{made}").status_code == 404
        assert ids(caller.get(f"/Provenance?target=Observation/{OWN}-laboratory")) == seen
        around = caller.get(f"/Observation?_id={OWN}-laboratory&_revinclude=Provenance:target")
        assert ids(around) == sorted([f"{OWN}-laboratory", *seen])
    world.delete(f"/Provenance/{OWN}-stored").raise_for_status()


# --- operations -------------------------------------------------------------------------------------------------------


def test_smart_E9_everything_keeps_to_the_filters(reader):
    found = ids(reader.get(f"/Patient/{OWN}/$everything?_count=100"))
    assert found == sorted([OWN, *own("laboratory", "vital-signs", "problem-list-item", "report")])
    assert reader.get(f"/Patient/{OTHER}/$everything").status_code == 404


def test_smart_E9_a_record_of_the_past_keeps_to_the_filters(reader):
    found = reader.get(f"/Patient/{OWN}/$everything?_count=100&_at=2100-01-01T00:00:00Z")
    assert ids(found) == sorted([OWN, *own("laboratory", "vital-signs", "problem-list-item", "report")])


def test_smart_E9_lastn_counts_what_is_visible(reader):
    found = reader.get(f"/Observation/$lastn?patient={OWN}&code=29463-7&max=100")
    assert ids(found) == own("laboratory", "vital-signs")


def test_smart_E9_meta_lineage_and_validate_of_what_is_hidden_are_not_there(world, reader):
    tag = {"system": "http://example.org/labels", "code": "of-the-survey"}
    world.put(f"/Observation/{OWN}-survey", json=about(OWN, "survey", "survey", meta={"tag": [tag]})).raise_for_status()
    for operation in ("$meta", "$lineage", "$validate"):
        assert reader.get(f"/Observation/{OWN}-survey/{operation}").status_code == 404
    for address in ("/Observation/$meta", "/$meta"):
        answer = reader.get(address)
        assert answer.status_code == 200
        assert "of-the-survey" not in answer.text


def test_smart_E10_a_search_of_all_types_keeps_to_the_filter_of_each(reader):
    found = reader.get("/?_type=Observation,Condition,Patient&_count=100")
    assert ids(found) == sorted([OWN, *own("laboratory", "vital-signs", "problem-list-item")])
    compartment = reader.get(f"/Patient/{OWN}/*?_count=100&_type=Observation,Condition")
    assert ids(compartment) == own("laboratory", "vital-signs", "problem-list-item")


# --- writes -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def writer(world: httpx.Client, site: Site) -> httpx.Client:
    return app(site, "patient/Patient.r", granular("Observation", OBSERVATIONS, "laboratory", letters="cruds"))


def unnamed(category: str, subject: str = OWN) -> dict[str, Any]:
    return {name: value for name, value in about(subject, "x", category).items() if name != "id"}


def test_smart_E7_what_is_created_meets_the_filter(writer):
    made = writer.post("/Observation", json=unnamed("laboratory"))
    assert made.status_code == 201
    assert writer.post("/Observation", json=unnamed("survey")).status_code == 403
    assert writer.post("/Observation", json=unnamed("laboratory", OTHER)).status_code == 403
    assert writer.delete(f"/Observation/{made.json()['id']}").status_code == 204


def test_smart_E7_an_update_is_tested_before_and_after(world, writer):
    name = f"{OWN}-written"
    world.put(f"/Observation/{name}", json=about(OWN, "written", "laboratory")).raise_for_status()
    assert writer.put(f"/Observation/{name}", json=about(OWN, "written", "laboratory", valueInteger=1)).is_success
    assert writer.put(f"/Observation/{name}", json=about(OWN, "written", "survey")).status_code == 403
    patch = [{"op": "replace", "path": "/category/0/coding/0/code", "value": "survey"}]
    assert writer.patch(f"/Observation/{name}", json=patch, headers=JSON_PATCH).status_code == 403
    hidden = writer.put(f"/Observation/{OWN}-survey", json=about(OWN, "survey", "laboratory"))
    absent = writer.put(f"/Observation/{OWN}-absent", json=about(OWN, "absent", "laboratory"))
    assert hidden.status_code == absent.status_code == 404
    assert world.get(f"/Observation/{OWN}-survey").json()["category"][0]["coding"][0]["code"] == "survey"
    assert writer.delete(f"/Observation/{name}").status_code == 204


def test_smart_E7_a_delete_checks_the_stored_row(world, writer):
    assert writer.delete(f"/Observation/{OWN}-survey").status_code == 204
    assert world.get(f"/Observation/{OWN}-survey").status_code == 200


def test_security_AZ7_conditions_find_what_the_filter_shows_alone(world, writer):
    body = unnamed("laboratory")
    created = writer.post("/Observation", json=body, headers={"If-None-Exist": f"_id={OWN}-survey"})
    assert created.status_code == 201
    assert writer.delete(f"/Observation?_id={OWN}-survey").status_code == 204
    assert writer.patch(f"/Observation?_id={OWN}-survey", json=[], headers=JSON_PATCH).status_code == 404
    assert world.get(f"/Observation/{OWN}-survey").status_code == 200
    assert writer.delete(f"/Observation/{created.json()['id']}").status_code == 204


def test_smart_E7_labels_do_not_lead_out_of_the_filter(world, site: Site):
    tag = {"system": "http://example.org/labels", "code": "shared"}
    name = f"{OWN}-labelled"
    world.put(f"/Observation/{name}", json=about(OWN, "labelled", "survey", meta={"tag": [tag]})).raise_for_status()
    caller = app(site, "patient/Patient.r patient/Observation.rus?_tag=http://example.org/labels|shared")
    labels = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [tag]}}]}
    assert caller.post(f"/Observation/{name}/$meta-delete", json=labels).status_code == 403
    assert ids(caller.get("/Observation")) == [name]
    world.delete(f"/Observation/{name}").raise_for_status()


def bundle(kind: str, *entries: tuple[str, str, dict[str, Any] | None]) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": kind,
        "entry": [
            {"request": {"method": method, "url": url}, **({"resource": body} if body else {})}
            for method, url, body in entries
        ],
    }


def test_smart_E8_each_entry_of_a_batch_is_judged_alone(writer):
    asked = bundle(
        "batch",
        ("GET", f"Observation/{OWN}-survey", None),
        ("GET", f"Observation/{OWN}-laboratory", None),
        ("GET", "Observation", None),
        ("POST", "Observation", unnamed("survey")),
    )
    answers = writer.post("/", json=asked).json()["entry"]
    assert [each["response"]["status"][:3] for each in answers] == ["404", "200", "200", "403"]
    assert ids(httpx.Response(200, json=answers[2]["resource"])) == own("laboratory")


def test_smart_E8_a_transaction_is_refused_as_a_whole(world, writer):
    asked = bundle(
        "transaction", ("POST", "Observation", unnamed("laboratory")), ("POST", "Observation", unnamed("sdoh"))
    )
    assert writer.post("/", json=asked).status_code == 403
    assert ids(writer.get("/Observation?category=laboratory")) == own("laboratory")


def test_smart_E8_references_by_condition_find_what_the_filter_shows_alone(world, writer):
    statuses = {}
    for name in ("laboratory", "survey", "absent"):
        body = unnamed("laboratory") | {"derivedFrom": [{"reference": f"Observation?_id={OWN}-{name}"}]}
        answer = writer.post("/", json=bundle("transaction", ("POST", "Observation", body)))
        statuses[name] = answer.status_code
        if answer.is_success:
            made = answer.json()["entry"][0]["response"]["location"].partition("/_history")[0]
            writer.delete(made).raise_for_status()
    assert statuses["laboratory"] == 200
    assert statuses["survey"] == statuses["absent"] >= 400


def test_security_AZ6_a_reference_to_what_the_filter_hides_does_not_resolve(world, site: Site):
    def creating(patients: str) -> int:
        caller = app(site, f"patient/Patient.r{patients} patient/Observation.cd")
        answer = caller.post("/Observation", json=unnamed("laboratory"))
        if answer.is_success:
            caller.delete(f"/Observation/{answer.json()['id']}").raise_for_status()
        return answer.status_code

    assert creating("") == 201
    assert creating("?gender=female") == 422


# --- what changes tell ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        ([{"op": "add", "path": "/valueString", "value": "x"}], 200),
        ([{"op": "replace", "path": "/status", "value": "amended"}], 200),
        ([{"op": "test", "path": "/status", "value": "final"}], 403),
        ([{"op": "test", "path": "/status", "value": "nothing"}], 403),
        ([{"op": "copy", "from": "/status", "path": "/valueString"}], 403),
        ([{"op": "move", "from": "/valueString", "path": "/status"}], 403),
    ],
)
def test_smart_E2_who_may_not_read_asks_nothing_by_a_patch(world, site: Site, patch: list[dict[str, Any]], status: int):
    name = f"{OWN}-blind"
    world.put(f"/Observation/{name}", json=about(OWN, "blind", "survey")).raise_for_status()
    blind = app(site, "patient/Patient.r patient/Observation.u")
    answer = blind.patch(f"/Observation/{name}", json=patch, headers=JSON_PATCH)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.content == b""
    seeing = app(site, "patient/Patient.r patient/Observation.ru")
    assert seeing.patch(f"/Observation/{name}", json=patch, headers=JSON_PATCH).status_code != 403
    world.delete(f"/Observation/{name}").raise_for_status()


def test_security_AZ4_a_patch_that_asks_is_refused_alike_whether_or_not_there_is_anything(world, site: Site):
    blind = app(site, "patient/Patient.r patient/Observation.u")
    asked = [{"op": "test", "path": "/status", "value": "final"}]
    names = (f"{OWN}-laboratory", f"{OTHER}-laboratory", "absent")
    headers = {**JSON_PATCH, "X-Request-Id": "same"}
    answers = [blind.patch(f"/Observation/{name}", json=asked, headers=headers) for name in names]
    assert {each.status_code for each in answers} == {403}
    assert len({each.content for each in answers}) == 1


def test_smart_E3_the_history_of_a_list_keeps_to_the_filters(world, site: Site):
    listed = {
        "resourceType": "List", "id": f"{OWN}-list", "status": "current", "mode": "working",
        "subject": {"reference": f"Patient/{OWN}"},
        "entry": [{"item": {"reference": f"Observation/{OWN}-{each}"}} for each in ("laboratory", "survey")],
    }  # fmt: skip
    world.put(f"/List/{OWN}-list", json=listed).raise_for_status()
    laboratory = f"category={CATEGORY}|laboratory"
    for caller in (
        app(site, "patient/List.rs", f"patient/Observation.rs?{laboratory}"),
        site.client(f"user/List.rs user/Observation.rs?{laboratory}", role="CLINICIAN"),
    ):
        for address in ("/Observation/_history", "/_history"):
            assert ids(caller.get(f"{address}?_list={OWN}-list")) == own("laboratory")
    world.delete(f"/List/{OWN}-list").raise_for_status()


def test_smart_E3_the_history_of_a_type_shows_a_clinician_what_meets_the_filter(world, site: Site):
    caller = site.client(f"user/Observation.rs?category={CATEGORY}|laboratory", role="CLINICIAN")
    entries = caller.get("/Observation/_history?_count=100").json()["entry"]
    shown = [each["resource"] for each in entries if "resource" in each]
    assert {f"{each}-laboratory" for each in (OWN, OTHER)} <= {each["id"] for each in shown}
    assert {each["category"][0]["coding"][0]["code"] for each in shown} == {"laboratory"}


@pytest.mark.parametrize(
    ("path", "status"),
    [("Observation.valueString", 200), ("Observation.note[0]", 200), ("Observation.note.where(text='x')", 403)],
)
def test_smart_E2_who_may_not_read_asks_nothing_by_a_path(world, site: Site, path: str, status: int):
    name = f"{OWN}-blind-path"
    world.put(f"/Observation/{name}", json=about(OWN, "blind-path", "survey")).raise_for_status()
    parts = [{"name": "type", "valueCode": "delete"}, {"name": "path", "valueString": path}]
    patch = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    answer = app(site, "patient/Patient.r patient/Observation.u").patch(f"/Observation/{name}", json=patch)
    assert answer.status_code == status, answer.text
    world.delete(f"/Observation/{name}").raise_for_status()


@pytest.mark.parametrize(("categories", "shown"), [(("laboratory",), True), (("survey",), False)])
def test_smart_E3_an_answer_to_a_change_shows_what_the_caller_may_read(world, site: Site, categories, shown: bool):
    name = f"{OWN}-answered"
    world.put(f"/Observation/{name}", json=about(OWN, "answered", "laboratory")).raise_for_status()
    caller = app(
        site,
        "patient/Patient.r",
        granular("Observation", OBSERVATIONS, "laboratory", letters="u"),
        granular("Observation", OBSERVATIONS, *categories, letters="r"),
    )
    headers = {"Prefer": "return=representation"}
    answer = caller.put(f"/Observation/{name}", json=about(OWN, "answered", "laboratory"), headers=headers)
    assert (answer.status_code, bool(answer.content)) == (200, shown)
    world.delete(f"/Observation/{name}").raise_for_status()


def test_security_AZ6_a_deletion_does_not_tell_of_what_is_hidden(world, site: Site):
    name = f"{OWN}-referred"
    for subject, referrer in ((OWN, "mentions"), (OTHER, "foreign")):
        world.put(f"/Observation/{name}", json=about(OWN, "referred", "laboratory")).raise_for_status()
        body = about(subject, referrer, "survey", derivedFrom=[{"reference": f"Observation/{name}"}])
        world.put(f"/Observation/{body['id']}", json=body).raise_for_status()
        seeing = app(site, "patient/Observation.rd")
        if subject == OWN:
            refused = seeing.delete(f"/Observation/{name}")
            assert refused.status_code == 409
            assert body["id"] in refused.text
        else:
            world.delete(f"/Observation/{OWN}-mentions").raise_for_status()
        blind = app(site, granular("Observation", OBSERVATIONS, "laboratory", letters="rd"))
        assert blind.delete(f"/Observation/{name}").status_code == 204
        assert world.get(f"/Observation/{body['id']}").status_code == 200
    assert world.delete(f"/Observation/{OTHER}-foreign").status_code == 204


def test_settled_3_5_within_the_organization_what_is_referred_to_stays(world, site: Site):
    assert site.client("system/Observation.d").delete(f"/Observation/{OWN}-laboratory").status_code == 409
    assert site.client("system/*.cruds").delete(f"/Observation/{OWN}-laboratory").status_code == 409
