"""Partners see of patients those who agreed (DATA_SHARING), wherever a resource may stand (security AZ-2, AZ-4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fhir_server.oauth.operator import client_token
from storage.repositories.entities import Client
from tests.conftest import OTHER_ORGANIZATION
from tests.pages.people import run_sql
from tests.site import Site, observation

AGREED = "shares"
PEOPLE = (AGREED, "again", "silent", "revoked", "proposed", "treated", "native")
AGREEING = {AGREED, "again"}
CONSENTS = {
    AGREED: [("DATA_SHARING", "2024-01-01", None)],
    "again": [("DATA_SHARING", "2023-01-01", "2023-06-01"), ("DATA_SHARING", "2024-01-01", None)],
    "revoked": [("DATA_SHARING", "2024-01-01", "2024-06-01"), ("DATA_SHARING", "2023-01-01", None)],
    "proposed": [("DATA_SHARING", None, None)],
    "treated": [("TREATMENT", "2024-01-01", None)],
}


TASK = {
    "resourceType": "Task",
    "id": "task",
    "status": "requested",
    "intent": "order",
    "for": {"reference": "Patient/silent"},
}


def person(name: str) -> dict[str, Any]:
    birth_date = "1948" if name == "native" else "1948-05-12"  # no column takes part of a date
    return {
        "resourceType": "Patient",
        "id": name,
        "name": [{"family": "Jenkins", "given": [name]}],
        "identifier": [{"system": "urn:mrn", "value": name}],
        "birthDate": birth_date,
    }


def weighed(name: str, **more: Any) -> dict[str, Any]:
    return observation(f"Patient/{name}", id=f"{name}-o", valueInteger=len(name), **more)


def consent(site: Site, name: str, at: int, kind: str, granted: str | None, revoked: str | None) -> None:
    moments = [None if each is None else f"{each} 00:00:00+00:00" for each in (granted, revoked)]
    told = ", ".join("NULL" if each is None else f"'{each}'" for each in moments)
    run_sql(
        site,
        "INSERT INTO patient_consents (organization_id, id, patient_id, consent_type, granted_at, revoked_at)"
        f" VALUES ('loop-health', '{name}-{at}', '{name}', '{kind}', {told})",
    )


@pytest.fixture(scope="module")
def world(site: Site) -> httpx.Client:
    """Patients of the care platform, who said different things about sharing."""
    run_sql(site, "UPDATE organizations SET home_system = 'care' WHERE id = 'loop-health'")
    fhir = site.client()
    told = [*map(person, PEOPLE), *map(weighed, PEOPLE)]
    told += [
        {"resourceType": "Practitioner", "id": "doctor", "name": [{"family": "Hippocrates"}]},
        weighed(AGREED) | {"id": "refers", "hasMember": [{"reference": "Observation/silent-o"}]},
        weighed("silent") | {"id": "referring", "hasMember": [{"reference": f"Observation/{AGREED}-o"}]},
        group("both", AGREED, "silent"),
        group("agreeing", AGREED, "again"),
        {
            "resourceType": "Task",
            "id": "task",
            "status": "requested",
            "intent": "order",
            "for": {"reference": "Patient/silent"},
        },
        weighed("silent") | {"id": "moved"},
        weighed(AGREED) | {"id": "moved"},
        weighed(AGREED) | {"id": "gone"},
        weighed("silent") | {"id": "gone-too"},
    ]
    for each in told:
        fhir.put(f"/{each['resourceType']}/{each['id']}", json=each).raise_for_status()
    for name in ("gone", "gone-too"):
        fhir.delete(f"/Observation/{name}").raise_for_status()
    for name, rows in CONSENTS.items():
        for at, row in enumerate(rows):
            consent(site, name, at, *row)
    homes = run_sql(site, "SELECT id, home_table FROM fhir_resources WHERE resource_type = 'Patient'")
    assert dict(homes) == dict.fromkeys(PEOPLE, "patients") | {"native": None}
    return fhir


def group(name: str, *members: str) -> dict[str, Any]:
    entities = [{"entity": {"reference": f"Patient/{each}"}} for each in members]
    return {"resourceType": "Group", "id": name, "type": "person", "actual": True, "member": entities}


@pytest.fixture
def partner(site: Site, world: httpx.Client) -> Iterator[httpx.Client]:
    with site.client("system/*.cruds", is_partner=True) as made:
        yield made


def ids(answer: httpx.Response, mode: str = "match") -> set[str]:
    assert answer.status_code == 200, answer.text
    entries = answer.json().get("entry", [])
    return {each["resource"]["id"] for each in entries if each.get("search", {}).get("mode", "match") == mode}


@pytest.mark.parametrize("name", PEOPLE)
def test_security_AZ6_reads_are_of_those_who_agreed(partner, name):
    nobody = partner.get("/Patient/nobody")
    for address in (
        f"/Patient/{name}",
        f"/Observation/{name}-o",
        f"/Observation/{name}-o/_history/1",
        f"/Patient/{name}/_history",
    ):
        answer = partner.get(address)
        assert answer.status_code == (200 if name in AGREEING else 404), address
    if name not in AGREEING:
        hidden, absent = partner.get(f"/Patient/{name}").json(), nobody.json()
        assert str(hidden).replace(name, "nobody") == str(absent)


def test_security_AZ9_searches_and_counts_are_of_those_who_agreed(partner, world):
    assert ids(partner.get("/Patient?family=jenkins")) == AGREEING
    found = partner.get("/Patient?family=jenkins&_summary=count").json()
    assert found["total"] == len(AGREEING)
    assert partner.get("/Observation?_total=accurate&_count=1").json()["total"] == len(AGREEING) + 2
    assert ids(partner.get("/Observation?subject=Patient/silent,Patient/again")) == {"again-o"}
    assert ids(partner.get("/?_type=Patient,Observation&_id=silent,again,silent-o,shares-o")) == {"again", "shares-o"}
    assert ids(partner.get("/Patient/again/Observation")) == {"again-o"}
    assert partner.get("/Patient/silent/Observation").status_code == 404
    assert ids(world.get("/Patient?family=jenkins")) == set(PEOPLE)


def test_security_AZ2_chains_and_reverse_chains_end_at_others(partner):
    assert ids(partner.get("/Observation?subject:Patient.identifier=urn:mrn|silent")) == set()
    assert ids(partner.get("/Observation?subject:Patient.identifier=urn:mrn|again")) == {"again-o"}
    assert ids(partner.get("/Observation?has-member.value-quantity:missing=true")) == set()
    assert ids(partner.get("/Patient?_has:Observation:patient:code=29463-7")) == AGREEING
    assert ids(partner.get("/Observation?_has:Observation:has-member:code=29463-7")) == set()


def test_security_AZ2_includes_bring_nobody_else(partner):
    assert ids(partner.get("/Observation?_id=refers&_include=Observation:has-member"), "include") == set()
    assert ids(partner.get(f"/Observation?_id={AGREED}-o&_revinclude=Observation:has-member"), "include") == set()
    found = ids(partner.get(f"/Observation?_id={AGREED}-o&_include=Observation:subject"), "include")
    assert found == {AGREED}


def test_security_AZ9_histories_and_earlier_versions_are_of_those_who_agreed(partner):
    assert partner.get("/Observation/moved").status_code == 200
    assert partner.get("/Observation/moved/_history/1").status_code == 404
    assert partner.get("/Observation/moved/_history").json()["total"] == 1
    told = {
        each["fullUrl"].rpartition("/")[2] for each in partner.get("/Observation/_history?_count=100").json()["entry"]
    }
    assert told == {f"{name}-o" for name in AGREEING} | {"refers", "moved", "gone"}
    assert partner.get("/Observation/gone").status_code == 410
    assert partner.get("/Observation/gone-too").status_code == 404


def test_operations_are_of_those_who_agreed(partner):
    assert partner.get("/Patient/silent/$everything").status_code == 404
    assert "silent-o" not in ids(partner.get("/Patient/again/$everything"))
    assert ids(partner.get("/Observation/$lastn?patient=silent&code=29463-7")) == set()
    assert ids(partner.get("/Observation/$lastn?patient=again&code=29463-7")) == {"again-o"}
    assert partner.get("/Observation/silent-o/$meta").status_code == 404
    assert partner.get("/Observation/silent-o/$lineage").status_code == 404


def test_what_lies_in_several_records_takes_everybodys_agreement(partner):
    assert partner.get("/Group/agreeing").status_code == 200
    assert partner.get("/Group/both").status_code == 404
    assert ids(partner.get("/Group")) == {"agreeing"}


@pytest.mark.parametrize(
    "subject",
    [
        None,
        {"display": "Jenkins, silent"},
        {"identifier": {"system": "urn:mrn", "value": "silent"}},
        {"reference": "https://elsewhere.example/fhir/Patient/silent"},
    ],
)
def test_security_AZ3_who_it_is_about_has_to_be_known_to_have_agreed(partner, world, subject):
    told = {name: value for name, value in weighed("silent").items() if name not in {"id", "subject"}}
    told |= {} if subject is None else {"subject": subject}
    key = world.post("/Observation", json=told).raise_for_status().json()["id"]
    assert partner.get(f"/Observation/{key}").status_code == 404
    assert ids(partner.get(f"/Observation?_id={key}")) == set()
    assert partner.post("/Observation", json=told).status_code == 403
    world.delete(f"/Observation/{key}").raise_for_status()


def test_security_AZ6_that_something_of_several_was_deleted_is_told_to_who_saw_it(partner, world):
    for name, status in (("agreeing-once", 410), ("both-once", 404)):
        told = group(name, AGREED, "again" if status == 410 else "silent")
        world.put(f"/Group/{name}", json=told).raise_for_status()
        world.delete(f"/Group/{name}").raise_for_status()
        assert partner.get(f"/Group/{name}").status_code == status


def test_what_is_common_is_seen_and_what_may_tell_of_patients_elsewhere_is_not(partner, world):
    assert partner.get("/Practitioner/doctor").status_code == 200
    assert world.get("/Task/task").status_code == 200
    assert partner.get("/Task/task").status_code == 403
    assert partner.get("/Task").status_code == 403


def test_security_AZ8_changes_are_to_those_who_agreed_before_and_after(partner, world):
    own, other = weighed(AGREED), weighed("silent")
    assert partner.put(f"/Observation/{AGREED}-o", json=own | {"valueInteger": 99}).status_code == 200
    assert partner.put("/Observation/silent-o", json=other).status_code == 404
    assert partner.put("/Observation/silent-o", json=own | {"id": "silent-o"}).status_code == 404
    assert partner.put(f"/Observation/{AGREED}-o", json=other | {"id": f"{AGREED}-o"}).status_code == 403
    assert partner.post("/Observation", json=own).status_code == 201
    assert partner.post("/Observation", json=other).status_code == 403
    assert partner.post("/Observation", json=observation("Patient/nobody")).status_code == 403
    assert partner.post("/Patient", json=person("new")).status_code == 403
    assert partner.delete("/Observation/silent-o").status_code == 204
    assert world.get("/Observation/silent-o").status_code == 200
    query = {"If-None-Exist": "subject=Patient/silent"}
    assert partner.post("/Observation", json=own, headers=query).status_code == 201
    patch = [{"op": "add", "path": "/method", "value": {"text": "x"}}]
    headers = {"Content-Type": "application/json-patch+json"}
    assert partner.patch("/Observation/silent-o", json=patch, headers=headers).status_code == 404


@pytest.mark.parametrize(
    "claims", [{"role": "CLINICIAN", "scope": "user/*.rs"}, {"role": "APP", "scope": "patient/*.rs"}]
)
def test_the_apps_of_a_partner_are_bound_alike(site, world, claims):
    for name in (AGREED, "silent"):
        patient = name if claims["role"] == "APP" else None
        with site.client(**claims, patient=patient, is_partner=True) as app:
            assert app.get(f"/Patient/{name}").status_code == (200 if name in AGREEING else 404)
            assert app.get(f"/Observation/{name}-o").status_code == (200 if name in AGREEING else 404)


def test_an_agreement_and_its_end_count_at_once(site, partner, world):
    world.put("/Patient/later", json=person("later")).raise_for_status()
    world.put("/Observation/later-o", json=weighed("later")).raise_for_status()
    assert partner.get("/Observation/later-o").status_code == 404
    consent(site, "later", 0, "DATA_SHARING", "2024-01-01", None)
    assert partner.get("/Observation/later-o").status_code == 200
    assert partner.post("/Observation", json=weighed("later")).status_code == 201
    run_sql(site, "UPDATE patient_consents SET revoked_at = '2025-01-01 00:00:00+00:00' WHERE id = 'later-0'")
    assert partner.get("/Observation/later-o").status_code == 404
    assert ids(partner.get("/Patient?_id=later")) == set()
    assert partner.post("/Observation", json=weighed("later")).status_code == 403


def test_an_organization_that_keeps_no_consents_shares_nothing(site, world):
    with site.client(organization=OTHER_ORGANIZATION) as writer:
        writer.put(f"/Patient/{AGREED}", json=person(AGREED)).raise_for_status()
        assert ids(writer.get("/Patient")) == {AGREED}
    with site.client("system/*.rs", organization=OTHER_ORGANIZATION, is_partner=True) as partner:
        assert ids(partner.get("/Patient")) == set()
        assert partner.get(f"/Patient/{AGREED}").status_code == 404


def test_tokens_of_a_partner_say_so():
    facts: dict[str, Any] = {"id": "p", "type": "backend", "organization_id": "o", "scope": "system/*.rs"}
    for is_partner in (True, False):
        client = Client(**facts, is_partner=is_partner)
        token = client_token(
            client, organization_id=None, default_organization="o", scope="system/*.rs", patient=None, ttl=60
        )
        assert token.is_partner is is_partner
