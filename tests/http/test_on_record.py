"""Every access is on record before its answer leaves (security AD-1, AD-2; settled §4.7)."""

from __future__ import annotations

import json

import httpx
import pytest

from storage.audit_seals import export, open_trails
from storage.rls import ROLE
from tests.conftest import ORGANIZATION
from tests.site import observation, patient


def records(site, request_id):
    """Return what the trails say of one request, in order of their ids."""
    found = []
    for trail in open_trails(site.settings.database_url, role=ROLE):
        found += [each for each in export(trail, ORGANIZATION) if each.get("request_id") == request_id]
    return found


def listed(value):
    return json.loads(value) if isinstance(value, str) else list(value or ())


@pytest.fixture(scope="module")
def person(fhir):
    return fhir.post("/Patient", json=patient()).json()["id"]


@pytest.fixture(scope="module")
def observed(fhir, person):
    return fhir.post("/Observation", json=observation(f"Patient/{person}")).json()["id"]


@pytest.mark.parametrize(
    ("method", "path", "interaction", "action", "status"),
    [
        ("GET", "/Observation/{observed}", "read", "read", 200),
        ("GET", "/Observation/{observed}/_history/1", "vread", "read", 200),
        ("GET", "/Observation/{observed}/_history", "history-instance", "read", 200),
        ("GET", "/Observation?patient={person}", "search-type", "read", 200),
        ("GET", "/?_type=Observation&patient={person}", "search-system", "read", 200),
        ("GET", "/Patient/{person}/Observation", "search-compartment", "read", 200),
        ("GET", "/Observation/$lastn?patient={person}&code=29463-7", "operation", "read", 200),
    ],
)
def test_a_read_says_who_what_and_whose(site, fhir, person, observed, method, path, interaction, action, status):
    name = f"record-{interaction}"
    answer = fhir.request(method, path.format(person=person, observed=observed), headers={"X-Request-Id": name})
    assert answer.status_code == status
    (record,) = records(site, name)
    assert (record["actor_id"], record["actor_role"], record["client_id"]) == ("tester", "SERVICE", "tests")
    assert (record["resource"], record["interaction"], record["action"]) == ("Observation", interaction, action)
    assert (record["outcome"], record["status"], record["method"]) == ("allowed", status, method)
    assert record["customer_id"] == person
    assert set(listed(record["resource_ids"])) == {observed}
    assert person not in record["path"]


@pytest.mark.parametrize("path", ["/Observation/_history", "/_history"])
def test_a_history_across_resources_says_whose_they_are(site, fhir, observed, path):
    name = f"across{path.replace('/', '-')}"
    for _ in range(100):  # it may wait for a transaction of the server's own
        answer = fhir.get(path, params={"_count": "1000"}, headers={"X-Request-Id": name})
        if observed in answer.text:
            break
    record = records(site, name)[-1]
    assert (record["interaction"], record["action"]) == (f"history-{'type' if 'Obs' in path else 'system'}", "read")
    assert observed in {each.rpartition("/")[2] for each in listed(record["resource_ids"])}
    assert record["count"] == len(answer.json()["entry"])


def test_changed_labels_are_on_record_as_a_write(site, fhir, person, observed):
    labels = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}]}
    for operation in ("$meta-add", "$meta-delete"):
        name = f"labels-{operation[1:]}"
        path = f"/Observation/{observed}/{operation}"
        assert fhir.post(path, json=labels, headers={"X-Request-Id": name}).status_code == 200
        (record,) = records(site, name)
        assert (record["resource"], record["interaction"], record["action"]) == ("Observation", "operation", "write")
        assert (record["customer_id"], listed(record["resource_ids"])) == (person, [observed])
    assert fhir.get(f"/Observation/{observed}/$meta", headers={"X-Request-Id": "labels"}).status_code == 200
    (record,) = records(site, "labels")
    assert (record["action"], record["customer_id"]) == ("read", person)


@pytest.mark.parametrize("asked", ["/Observation/{}?_elements=status", "/Observation?_id={}&_elements=status"])
def test_a_part_that_does_not_name_the_patient_is_on_record_as_the_patients(site, fhir, person, observed, asked):
    name = f"part-{len(asked)}"
    answer = fhir.get(asked.format(observed), headers={"X-Request-Id": name})
    assert person not in answer.text
    (record,) = records(site, name)
    assert record["customer_id"] == person


@pytest.mark.parametrize("asked", ["/Provenance/{}", "/Provenance?_id={}", "/Provenance?target=Observation/{}"])
def test_the_provenance_of_a_version_is_on_record_as_the_patients(site, fhir, person, observed, asked):
    target = fhir.get(f"/Provenance?target=Observation/{observed}").json()["entry"][0]["resource"]["id"]
    name = f"trail-{len(asked)}"
    path = asked.format(observed if "target" in asked else target)
    assert person not in fhir.get(path, headers={"X-Request-Id": name}).text
    (record,) = records(site, name)
    assert (record["resource"], record["customer_id"]) == ("Provenance", person)
    assert set(listed(record["resource_ids"])) == {target}


def test_lineage_is_on_record_as_a_read(site, fhir, person, observed):
    assert fhir.get(f"/Observation/{observed}/$lineage", headers={"X-Request-Id": "lineage"}).status_code == 200
    (record,) = records(site, "lineage")
    assert (record["resource"], record["action"], record["customer_id"]) == ("Observation", "read", person)
    assert set(listed(record["resource_ids"])) == {observed}


def test_a_search_over_types_is_on_record_with_every_id(site, fhir, person, observed):
    asked = f"/Patient/{person}/*?_type=Patient,Observation"
    assert fhir.get(asked, headers={"X-Request-Id": "several"}).status_code == 200
    (record,) = records(site, "several")
    assert (record["resource"], record["count"], record["customer_id"]) == ("Patient", 2, person)
    assert set(listed(record["resource_ids"])) == {f"Patient/{person}", f"Observation/{observed}"}


def test_what_a_search_includes_is_on_record_too(site, fhir, person, observed):
    path = f"/Observation?_id={observed}&_include=Observation:subject"
    assert len(fhir.get(path, headers={"X-Request-Id": "include"}).json()["entry"]) == 2
    (record,) = records(site, "include")
    assert set(listed(record["resource_ids"])) == {observed, f"Patient/{person}"}
    assert (record["customer_id"], record["count"]) == (person, 1)


def test_writes_are_on_record_with_what_they_wrote(site, fhir, person):
    created = fhir.post("/Observation", json=observation(f"Patient/{person}"), headers={"X-Request-Id": "w1"})
    key = created.json()["id"]
    fhir.put(
        f"/Observation/{key}",
        json=observation(f"Patient/{person}", id=key, valueString="x"),
        headers={"X-Request-Id": "w2"},
    )
    fhir.delete(f"/Observation/{key}", headers={"X-Request-Id": "w3"})
    for name, interaction, action, status in (
        ("w1", "create", "write", 201),
        ("w2", "update", "write", 200),
        ("w3", "delete", "delete", 204),
    ):
        (record,) = records(site, name)
        assert (record["interaction"], record["action"], record["status"]) == (interaction, action, status)
        assert listed(record["resource_ids"]) == [key]


def test_a_transaction_names_every_id_it_wrote(site, fhir, person):
    entries = [
        {"request": {"method": "POST", "url": "Observation"}, "resource": observation(f"Patient/{person}")}
        for _ in range(120)
    ]
    body = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = fhir.post("/", json=body, headers={"X-Request-Id": "tx"}).json()
    written = {each["response"]["location"].split("/")[1] for each in answer["entry"]}
    found = records(site, "tx")
    assert {key for record in found for key in listed(record["resource_ids"])} == written
    assert {record["customer_id"] for record in found} == {person}


def test_security_AD1_writes_name_the_patients_before_and_after_and_deletions_the_last_one(site, fhir, person):
    other = fhir.post("/Patient", json=patient()).json()["id"]
    key = fhir.post("/Observation", json=observation(f"Patient/{person}")).json()["id"]
    moved = observation(f"{site.base}/Patient/{other}", id=key, note=[{"text": "see /Patient/nobody"}])
    fhir.put(f"/Observation/{key}", json=moved, headers={"X-Request-Id": "moved"})
    (record,) = records(site, "moved")
    assert set(listed(record["patients"])) == {person, other}
    fhir.delete(f"/Observation/{key}", headers={"X-Request-Id": "deleted"})
    (record,) = records(site, "deleted")
    assert record["customer_id"] == other


def test_a_refused_write_leaves_a_record_and_nothing_else(site, fhir):
    fhir.post("/Patient", json=patient(gender="purple"), headers={"X-Request-Id": "refused"})
    (record,) = records(site, "refused")
    assert (record["status"], record["outcome"], record["resource"]) == (422, "allowed", "Patient")


def test_denied_attempts_are_on_record(site, person):
    reader = site.client("system/Observation.r")
    reader.get(f"/Patient/{person}", headers={"X-Request-Id": "denied"})
    (record,) = records(site, "denied")
    assert (record["status"], record["outcome"], record["actor_id"]) == (403, "denied", "tester")
    assert listed(record["resource_ids"]) == [person]
    httpx.get(f"{site.base}/Patient/{person}", headers={"X-Request-Id": "nobody"})
    (record,) = records(site, "nobody")
    assert (record["status"], record["outcome"], record["actor_id"]) == (401, "denied", "anonymous")


def test_entries_of_a_batch_are_on_record_one_by_one(site, fhir, person):
    body = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [
            {"request": {"method": "GET", "url": f"Patient/{person}"}},
            {"request": {"method": "GET", "url": "Patient/never"}},
        ],
    }
    fhir.post("/", json=body, headers={"X-Request-Id": "batch"})
    found = records(site, "batch")
    assert sorted((record["interaction"], record["status"]) for record in found) == [("read", 200), ("read", 404)]


def test_no_record_holds_a_value(site, fhir):
    fhir.get("/Patient?name=CanaryName&birthdate=1974-12-25", headers={"X-Request-Id": "canary"})
    (record,) = records(site, "canary")
    assert "CanaryName" not in json.dumps(record)
    assert "1974" not in json.dumps({name: value for name, value in record.items() if name not in {"id", "at", "mac"}})
