"""GET /AuditEvent: what is on record, for auditors, as any other type is searched (security AD-6)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import fhirkit
import httpx
import pytest

from fhir_server.validation.validate import resource_issues
from mappers.audit_event import CLIENT, INTERACTION, RESTFUL_INTERACTION, ROW, USER
from tests.conftest import OTHER_ORGANIZATION
from tests.site import Site, observation, patient

ONE, TWO = "audited-one", "audited-two"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def auditor(site: Site) -> httpx.Client:
    return site.client("user/AuditEvent.rs", role="AUDITOR")


@pytest.fixture(scope="module")
def trail(fhir: httpx.Client, site: Site, auditor: httpx.Client) -> list[Json]:
    """AuditEvents of some accesses, newest first; those of looking at them come later."""
    for each in (ONE, TWO):
        fhir.put(f"/Patient/{each}", json=patient(id=each)).raise_for_status()
        fhir.put(f"/Observation/{each}-weight", json=observation(f"Patient/{each}", id=f"{each}-weight"))
    nurse = site.client("user/*.cruds", role="NURSE")
    nurse.get(f"/Patient/{ONE}", headers={"X-Request-Id": "nurse-1"})
    nurse.get(f"/Patient/{ONE}/_history/1")
    nurse.get("/Observation?code=29463-7")
    nurse.get("/Observation/never-was")
    nurse.delete(f"/Patient/{ONE}")
    nurse.get("/AuditEvent")
    nurse.get(f"/?_type=Patient,Observation&_id={ONE},{TWO}-weight")
    site.client("user/*.cruds", role="NURSE", organization=OTHER_ORGANIZATION).get(f"/Patient/{ONE}")
    fhir.delete(f"/Observation/{TWO}-weight").raise_for_status()
    return events(auditor, "_count=1000")


def events(client: httpx.Client, query: str) -> list[Json]:
    """Return the AuditEvents of all pages of a search."""
    found: list[Json] = []
    url = f"/AuditEvent?{query}"
    while True:
        answer = client.get(url)
        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        found += [each["resource"] for each in bundle.get("entry", []) if each["search"]["mode"] == "match"]
        following = [each["url"] for each in bundle["link"] if each["relation"] == "next"]
        if not following:
            return found
        url = following[0]


def before(trail: list[Json], found: list[Json]) -> list[Json]:
    """Return those of what was found that were there when the trail was read."""
    known = {each["id"] for each in trail}
    return [each for each in found if each["id"] in known]


def references(event: Json) -> set[str]:
    return {each["what"]["reference"] for each in event.get("entity", []) if "reference" in each.get("what", {})}


def subtypes(event: Json) -> set[tuple[str, str]]:
    return {(each["system"], each["code"]) for each in event.get("subtype", [])}


def agents(event: Json) -> set[tuple[str, str]]:
    found = [each["who"].get("identifier", {}) for each in event["agent"] if "who" in each]
    return {(each["system"], each["value"]) for each in found if each}


QUERIES = {
    f"patient={ONE}": lambda e: f"Patient/{ONE}" in references(e),
    f"patient=Patient/{ONE},Patient/{TWO}": lambda e: bool({f"Patient/{ONE}", f"Patient/{TWO}"} & references(e)),
    f"patient={ONE}&patient={TWO}": lambda e: {f"Patient/{ONE}", f"Patient/{TWO}"} <= references(e),
    "patient=nobody": lambda _: False,
    "patient:missing=true": lambda e: not any(each.startswith("Patient/") for each in references(e)),
    "entity:missing=false": lambda e: bool(e.get("entity")),
    "subtype:missing=true": lambda e: "subtype" not in e,
    "altid:missing=true": lambda e: not any("altId" in each for each in e["agent"]),
    "address:missing=false": lambda e: any("network" in each for each in e["agent"]),
    "date:missing=true": lambda _: False,
    "_tag=x": lambda _: False,
    "_tag:not=x": lambda _: True,
    "_profile:missing=true": lambda _: True,
    f"entity=Patient/{ONE}": lambda e: f"Patient/{ONE}" in references(e),
    f"entity=Observation/{TWO}-weight": lambda e: f"Observation/{TWO}-weight" in references(e),
    f"entity={TWO}-weight": lambda e: any(each.endswith(f"/{TWO}-weight") for each in references(e)),
    "entity=Condition/c1": lambda _: False,
    "entity:identifier=nurse-1": lambda e: any(
        each.get("what", {}).get("identifier", {}).get("value") == "nurse-1" for each in e.get("entity", [])
    ),
    f"agent:identifier={USER}|tester": lambda e: (USER, "tester") in agents(e),
    f"agent:identifier={CLIENT}|tests": lambda e: (CLIENT, "tests") in agents(e),
    "agent:identifier=tests": lambda e: (CLIENT, "tests") in agents(e),
    "agent:identifier=nobody": lambda _: False,
    "altid=tester": lambda e: any(each.get("altId") == "tester" for each in e["agent"]),
    "agent-role=NURSE": lambda e: any(
        each["coding"][0]["code"] == "NURSE" for agent in e["agent"] for each in agent.get("role", [])
    ),
    "address=127.0": lambda e: any("127.0" in each.get("network", {}).get("address", "") for each in e["agent"]),
    "address=9": lambda _: False,
    "action=R": lambda e: e["action"] == "R",
    "action=R,D": lambda e: e["action"] in "RD",
    "action:not=R": lambda e: e["action"] != "R",
    "outcome=4": lambda e: e["outcome"] == "4",
    "outcome=http://hl7.org/fhir/audit-event-outcome|0": lambda e: e["outcome"] == "0",
    "type=rest": lambda e: e["type"]["code"] == "rest",
    "type=http://dicom.nema.org/resources/ontology/DCM|rest": lambda _: False,
    "subtype=vread": lambda e: (RESTFUL_INTERACTION, "vread") in subtypes(e),
    f"subtype={RESTFUL_INTERACTION}|search-type": lambda e: (RESTFUL_INTERACTION, "search-type") in subtypes(e),
    f"subtype={INTERACTION}|search-type": lambda _: False,
    f"entity:identifier={ROW}lab_results|row-1": lambda _: False,
}


@pytest.mark.parametrize("query", QUERIES)
def test_fhir_AuditEvent_a_search_finds_what_the_resources_say(auditor, trail, query: str):
    expected = [each for each in trail if QUERIES[query](each)]
    assert before(trail, events(auditor, f"{query}&_count=1000")) == expected
    total = auditor.get(f"/AuditEvent?{query}&_summary=count").json()["total"]
    assert total >= len(expected)


def instant(event: Json) -> datetime:
    return datetime.fromisoformat(event["recorded"])


@pytest.mark.parametrize("name", ["date", "_lastUpdated"])
@pytest.mark.parametrize(
    ("prefix", "test"),
    [
        ("", lambda at, asked: at == asked),
        ("eq", lambda at, asked: at == asked),
        ("ne", lambda at, asked: at != asked),
        ("gt", lambda at, asked: at > asked),
        ("lt", lambda at, asked: at < asked),
        ("ge", lambda at, asked: at >= asked),
        ("le", lambda at, asked: at <= asked),
        ("sa", lambda at, asked: at > asked),
        ("eb", lambda at, asked: at < asked),
    ],
)
def test_fhir_AuditEvent_dates_are_compared_to_the_microsecond(auditor, trail, name, prefix, test):
    middle = trail[len(trail) // 2]
    expected = [each for each in trail if test(instant(each), instant(middle))]
    assert before(trail, events(auditor, f"{name}={prefix}{middle['recorded']}&_count=1000")) == expected


def test_fhir_AuditEvent_a_day_and_two_dates_are_periods(auditor, trail):
    day = trail[0]["recorded"][:10]
    assert len(before(trail, events(auditor, f"date={day}&_count=1000"))) >= 1
    first, last = trail[-2]["recorded"], trail[2]["recorded"]
    found = before(trail, events(auditor, f"date=ge{first}&date=lt{last}&_count=1000"))
    assert found == [each for each in trail if first <= each["recorded"] < last]
    assert before(trail, events(auditor, f"date={first},{last}&_count=1000")) == [
        each for each in trail if each["recorded"] in {first, last}
    ]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_fhir_AuditEvent_pages_hold_each_once_newest_first(auditor, trail, count: int):
    last = trail[0]["recorded"]
    assert events(auditor, f"date=le{last}&_count={count}") == trail
    assert events(auditor, f"date=le{last}&_count={count}&_sort=date") == trail[::-1]
    assert [instant(each) for each in trail] == sorted(map(instant, trail), reverse=True)


def test_fhir_AuditEvent_a_page_belongs_to_its_caller_and_search(auditor, trail, site: Site):
    bundle = auditor.get("/AuditEvent?_count=1").json()
    (url,) = [each["url"] for each in bundle["link"] if each["relation"] == "next"]
    other = site.client("user/AuditEvent.rs", role="ORG_ADMIN", organization=OTHER_ORGANIZATION)
    assert other.get(url).status_code == 400
    query = urlsplit(url).query.replace("_count=1", "_count=1&action=R")
    assert auditor.get(f"/AuditEvent?{query}").status_code == 400


def test_fhir_AuditEvent_total_is_told_when_it_is_asked_for(auditor, trail):
    last = trail[0]["recorded"]
    assert auditor.get(f"/AuditEvent?date=le{last}&_count=2&_total=accurate").json()["total"] == len(trail)
    assert "total" not in auditor.get(f"/AuditEvent?date=le{last}&_count=2").json()
    assert auditor.get(f"/AuditEvent?date=le{last}&_count=1000").json()["total"] == len(trail)
    assert auditor.get(f"/AuditEvent?date=le{last}&_summary=count").json()["total"] == len(trail)


def test_fhir_AuditEvent_each_is_read_by_its_id_and_valid(auditor, trail):
    for each in trail[:12]:
        answer = auditor.get(f"/AuditEvent/{each['id']}")
        assert answer.json() == each
        assert answer.headers["ETag"] == 'W/"1"'
        assert fhirkit.validate(answer.text) == []
        assert resource_issues(each) == []
        assert events(auditor, f"_id={each['id']}") == [each]


def test_fhir_AuditEvent_has_one_version_and_no_history(auditor, trail):
    key = f"/AuditEvent/{trail[0]['id']}"
    assert auditor.get(f"{key}/_history/1").status_code == 200
    assert auditor.get(f"{key}/_history/2").status_code == 404
    assert auditor.get(f"{key}/_history").status_code == 405
    assert auditor.get("/AuditEvent/1").status_code == 404


def test_AD_6_nobody_writes_any(fhir, auditor, trail):
    event = trail[0]
    assert fhir.post("/AuditEvent", json=event).status_code == 403
    assert fhir.put(f"/AuditEvent/{event['id']}", json=event).status_code == 403
    assert fhir.delete(f"/AuditEvent/{event['id']}").status_code == 403


def test_AD_6_what_cannot_be_asked_of_records_is_told(auditor, trail):
    told = auditor.get("/AuditEvent?type:text=rest").json()
    assert "stored AuditEvents only" in str(told["entry"])
    strict = {"Prefer": "handling=strict"}
    assert auditor.get("/AuditEvent?agent-name=x", headers=strict).status_code == 400
    assert auditor.get("/AuditEvent?entity-type=1", headers=strict).status_code == 400


def test_AD_6_reading_the_audit_is_on_record_with_whose_records_were_read(auditor, trail):
    headers = {"X-Request-Id": "audit-of-audit"}
    shown = auditor.get(f"/AuditEvent?patient={TWO}&_count=1", headers=headers).json()
    (event,) = events(auditor, "entity:identifier=audit-of-audit")
    assert f"AuditEvent/{shown['entry'][0]['resource']['id']}" in references(event)
    assert f"Patient/{TWO}" in references(event)
    assert event["subtype"][0]["code"] == "search-type"


@pytest.mark.parametrize("role", ["CLINICIAN", "NURSE", "STAFF", "SUPPORT", "PATIENT", "BILLING"])
def test_AD_6_others_see_nothing_of_it(site: Site, trail, role: str):
    caller = site.client("user/*.cruds", role=role, patient=ONE)
    assert caller.get("/AuditEvent").status_code == 403
    assert caller.get(f"/AuditEvent/{trail[0]['id']}").status_code == 403


def test_AD_6_auditors_see_the_audit_and_nothing_else(site: Site, trail):
    caller = site.client("user/*.cruds", role="AUDITOR")
    assert caller.get("/AuditEvent").status_code == 200
    assert caller.get(f"/Patient/{ONE}").status_code == 403


def test_AZ_1_another_organization_has_its_own_trail(site: Site, trail):
    other = site.client("user/AuditEvent.rs", role="AUDITOR", organization=OTHER_ORGANIZATION)
    assert before(trail, events(other, "_count=1000")) == []
    assert other.get(f"/AuditEvent/{trail[0]['id']}").status_code == 404


def test_AZ_3_with_a_patient_in_context_only_that_patients(site: Site, trail):
    caller = site.client("patient/AuditEvent.rs", role="AUDITOR", patient=ONE)
    shown = events(caller, "_count=1000")
    own = [each for each in trail if f"Patient/{ONE}" in references(each)]
    assert [each["id"] for each in before(trail, shown)] == [each["id"] for each in own]
    other = next(each for each in trail if f"Patient/{ONE}" not in references(each))
    assert caller.get(f"/AuditEvent/{other['id']}").status_code == 404
    own = next(each for each in trail if f"Patient/{ONE}" in references(each))
    assert caller.get(f"/AuditEvent/{own['id']}").status_code == 200


def test_AZ_3_with_a_patient_in_context_nobody_else_of_a_record_of_several_is_told(site: Site, trail):
    caller = site.client("patient/AuditEvent.rs", role="AUDITOR", patient=ONE)
    several = [each for each in trail if {f"Patient/{ONE}", f"Patient/{TWO}"} <= set(references(each))]
    assert several
    found = {each["id"]: each for each in events(caller, "_count=1000")}
    for each in several:
        for shown in (found[each["id"]], caller.get(f"/AuditEvent/{each['id']}").json()):
            assert f"Patient/{ONE}" in references(shown)
            assert TWO not in str(shown)


def test_AD_6_a_backend_client_reads_it_with_a_system_scope(fhir, trail):
    assert before(trail, events(fhir, "_count=1000")) == trail


def test_AD_6_the_accesses_to_a_patient_are_the_compartments(site: Site, trail):
    admin = site.client("user/*.rs", role="ORG_ADMIN")
    answer = admin.get(f"/Patient/{ONE}/AuditEvent?_count=1000")
    found = [each["resource"] for each in answer.json()["entry"]]
    assert before(trail, found) == [each for each in trail if f"Patient/{ONE}" in references(each)]


def test_fhir_AuditEvent_what_it_names_is_included_for_who_may_see_it(site: Site, auditor, trail):
    url = f"/AuditEvent?patient={TWO}&_count=1000&_include=AuditEvent:patient"
    assert not [each for each in auditor.get(url).json()["entry"] if each["search"]["mode"] == "include"]
    admin = site.client("user/*.rs", role="ORG_ADMIN")
    shown = [each for each in admin.get(url).json()["entry"] if each["search"]["mode"] == "include"]
    assert sorted(each["resource"]["id"] for each in shown) == [ONE, TWO]
    everything = admin.get(url.replace(":patient", ":*")).json()["entry"]
    kinds = {each["resource"]["resourceType"] for each in everything if each["search"]["mode"] == "include"}
    assert kinds == {"Patient", "Observation"}
    only = admin.get(url.replace(":patient", ":entity:Observation")).json()["entry"]
    assert {each["resource"]["resourceType"] for each in only if each["search"]["mode"] == "include"} == {"Observation"}


def test_PH_1_nothing_of_a_body_or_a_parameter_is_shown(auditor, trail):
    shown = str(trail)
    assert "Chalmers" not in shown
    assert "29463-7" not in shown


def test_AD_6_metadata_tells_what_is_searched_and_that_nothing_is_written(site: Site):
    statement = httpx.get(f"{site.base}/metadata").json()
    (told,) = [each for each in statement["rest"][0]["resource"] if each["type"] == "AuditEvent"]
    assert {each["name"] for each in told["searchParam"]} >= {"date", "agent", "entity", "patient", "action", "outcome"}
    assert not {"create", "update", "patch", "delete"} & {each["code"] for each in told["interaction"]}
