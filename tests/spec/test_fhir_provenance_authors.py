"""Whom the Provenance of a version names (settled §1.15; US Core Provenance, rule provenance-1; decision 18)."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import NullPool, create_engine, make_url

from capability.profiles import find_profile
from fhir_server.validation.profiles import profile_issues
from tests.conftest import ORGANIZATION
from tests.foreign_rows import insert, parents
from tests.site import patient

PROFILE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-provenance"
NOW = "2026-01-01 00:00:00+00:00"


@pytest.fixture(scope="module")
def sql(site):
    """Run statements as an operator would."""
    url = make_url(site.settings.database_url)
    driver = "postgresql+psycopg" if url.get_backend_name() == "postgresql" else "sqlite"
    engine = create_engine(url.set(drivername=driver), poolclass=NullPool)

    def run(*statements):
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    yield run
    engine.dispose()


@pytest.fixture(scope="module")
def tenant(fhir):
    return "Organization/" + waited_for(fhir, f"/Organization/{ORGANIZATION}", "1")["id"]


@pytest.fixture(scope="module")
def member(sql):
    """The user behind the tokens of this site; returns how to say who stands for him, and in which role."""
    sql(
        f"INSERT INTO users (id, email, created_at, updated_at) VALUES ('tester', 't@example.org', '{NOW}', '{NOW}')",
        "INSERT INTO user_organizations (id, user_id, organization_id, role, created_at, updated_at)"
        f" VALUES ('m1', 'tester', '{ORGANIZATION}', 'CLINICIAN', '{NOW}', '{NOW}')",
    )

    def stands(reference, role="CLINICIAN"):
        shown = "NULL" if reference is None else f"'{reference}'"
        sql(f"UPDATE user_organizations SET fhir_user = {shown}, role = '{role}' WHERE id = 'm1'")

    return stands


@pytest.fixture(scope="module")
def doctor(fhir):
    return "Practitioner/" + fhir.post("/Practitioner", json={"resourceType": "Practitioner"}).json()["id"]


@pytest.fixture(scope="module")
def record(fhir):
    """A Patient that is a row of the patient graph."""
    login = {"system": "https://fhir-server.example/identifier/customer/clerk_user_id", "value": "user_written"}
    email = {"system": "email", "value": "written@example.org"}
    return fhir.post("/Patient", json=patient("Written", identifier=[login], telecom=[email])).json()["id"]


def trail(client, record):
    answer = client.get(f"/Patient?_id={record}&_revinclude=Provenance:target").json()
    (found,) = [each["resource"] for each in answer["entry"] if each["search"]["mode"] == "include"]
    for version in ("7.0.0", "6.1.0"):
        told = profile_issues(found, find_profile(f"{PROFILE}|{version}"))
        assert [each.diagnostics for each in told if "dom-6" not in each.diagnostics] == []  # no narrative: advice only
    return found


def agent(provenance, code):
    return next(each for each in provenance["agent"] if each["type"]["coding"][0]["code"] == code)


def author(client, record):
    return agent(trail(client, record), "author")


def test_uscore_provenance_names_the_person_who_stands_for_the_user(fhir, member, doctor, record, tenant):
    member(doctor)
    found = author(fhir, record)
    assert found["who"] == {"reference": doctor}
    assert found["onBehalfOf"]["reference"] == tenant


@pytest.mark.parametrize("reference", [None, "Practitioner/never", "Observation/1", "nobody", "https://else.where/x"])
def test_uscore_provenance_names_the_organization_where_nobody_is_known(fhir, member, record, tenant, reference):
    member(reference)
    found = author(fhir, record)
    assert found["who"]["reference"] == tenant
    assert "onBehalfOf" not in found


def test_uscore_G17_a_person_whom_the_caller_cannot_read_is_not_named(site, member, doctor, record, tenant):
    member(doctor)
    narrow = site.client("system/Patient.rs system/Provenance.rs system/Organization.rs")
    assert author(narrow, record)["who"]["reference"] == tenant


def test_security_AZ2_another_patient_who_wrote_it_is_not_named(site, fhir, member, record, tenant):
    other = fhir.post("/Patient", json=patient("Writer")).json()["id"]
    member(f"Patient/{other}", "PATIENT")
    assert author(fhir, record)["who"] == {"reference": f"Patient/{other}"}
    own = site.client("patient/*.rs", role="PATIENT", patient=record)
    assert author(own, record)["who"]["reference"] == tenant


def test_uscore_provenance_names_the_only_patient_of_a_user_in_that_role(fhir, sql, member, record, tenant):
    member(None, "PATIENT")
    names = "user_id, organization_id, patient_id, created_at"
    sql(f"INSERT INTO user_patients ({names}) VALUES ('tester', '{ORGANIZATION}', '{record}', '{NOW}')")
    assert author(fhir, record)["who"] == {"reference": f"Patient/{record}"}
    member(None, "CLINICIAN")
    assert author(fhir, record)["who"]["reference"] == tenant
    member(None, "PATIENT")
    sql(f"INSERT INTO user_patients ({names}) VALUES ('tester', '{ORGANIZATION}', 'another', '{NOW}')")
    assert author(fhir, record)["who"]["reference"] == tenant  # a proxy of several is none of them


def test_provenance_names_a_registered_client(fhir, sql, record, tenant):
    sql(
        "INSERT INTO clients (id, name, type, created_at, updated_at)"
        f" VALUES ('tests', 'The tests', 'public', '{NOW}', '{NOW}')"
    )
    client = agent(trail(fhir, record), "composer")
    assert (client["who"]["display"], client["who"]["identifier"]["value"]) == ("The tests", "tests")


def test_provenance_of_a_row_that_another_program_changed(fhir, sql, record, tenant):
    (key,) = {
        part["valueString"]
        for each in fhir.get(f"/Patient/{record}/$lineage").json()["parameter"]
        for part in each.get("part", ())
        if part["name"] == "row"
    }
    sql(f"UPDATE customer_profiles SET first_name = 'Other' WHERE id = '{key}'")
    waited_for(fhir, f"/Patient/{record}", "2")
    found = trail(fhir, record)
    assert found["activity"]["coding"][0]["code"] == "UPDATE"
    assert author(fhir, record)["who"]["reference"] == tenant
    client = agent(found, "composer")
    assert client["role"][0]["coding"][0]["code"] == "projector"


def test_settled_3_2_telemetry_has_the_provenance_of_its_current_version(fhir, sql):
    """No superseded version of a reading is kept, so neither its Provenance nor since when an element is as it is."""
    readings = "patient_wearable_readings"
    sql(*parents(readings), insert(readings, "reading"))
    reading = waited_for(fhir, "/Observation/reading", "1")
    (first,) = matches(fhir.get("/Provenance?target=Observation/reading"))
    sql(f"UPDATE {readings} SET value = 2 WHERE id = 'reading'")
    assert waited_for(fhir, "/Observation/reading", "2")["valueQuantity"] != reading["valueQuantity"]
    (second,) = matches(fhir.get("/Provenance?target=Observation/reading"))
    assert second["target"] == [{"reference": "Observation/reading/_history/2"}]
    assert fhir.get(f"/Provenance/{second['id']}").json() == second
    assert fhir.get(f"/Provenance/{first['id']}").status_code == 404
    told = fhir.get("/Observation/reading/$lineage").json()["parameter"][1:]
    assert not any(part["name"] == "version" for each in told for part in each["part"])


def waited_for(client, path, version):
    """Return a resource when the projector has made a version of it."""
    for _ in range(400):
        answer = client.get(path).json()
        if answer.get("meta", {}).get("versionId") == version:
            return answer
        time.sleep(0.02)
    raise AssertionError("the projector did not come")


def matches(answer):
    return [each["resource"] for each in answer.json().get("entry", ()) if each["search"]["mode"] == "match"]
