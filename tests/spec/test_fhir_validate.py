"""$validate (FHIR R4 resource-operation-validate.html; fhir_rest §13, §18) and profiles claimed on writes (C6)."""

from __future__ import annotations

import pytest

from tests.http.test_on_record import listed, records
from tests.site import issues, observation, patient, running_site

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
PATIENT_PROFILE = f"{US_CORE}us-core-patient"
GOOD = patient(identifier=[{"system": "urn:example:mrn", "value": "1"}], gender="female")
"""A Patient that follows us-core-patient."""
BAD = patient(identifier=[{"value": "1"}])
"""A Patient that is R4 and lacks identifier.system and gender."""


def claiming(resource, profile=PATIENT_PROFILE):
    return resource | {"meta": {"profile": [profile]}}


def parameters(**named):
    """Return a Parameters body; resources go in as such, the others as values."""
    listed = []
    for name, value in named.items():
        key = "resource" if isinstance(value, dict) else {"mode": "valueCode", "profile": "valueUri"}[name]
        listed.append({"name": name, key: value})
    return {"resourceType": "Parameters", "parameter": listed}


def verdict(answer, severity="error"):
    """Return code and place of the issues of a severity; the status is 200 whatever was found."""
    assert answer.status_code == 200, answer.text
    for each in issues(answer):
        assert each["details"]["text"]
        assert each["diagnostics"]
    return {(each["code"], *each.get("expression", [""])) for each in issues(answer) if each["severity"] == severity}


def stored(fhir, resource_type):
    return fhir.get(f"/{resource_type}?_total=accurate&_count=1").json()["total"]


def test_fhir_validate_a_good_resource_gives_one_issue_that_says_so(fhir):
    answer = fhir.post("/Patient/$validate", json=GOOD)
    assert [(each["severity"], each["code"]) for each in issues(answer)] == [("information", "informational")]


def test_fhir_validate_tells_all_faults_with_their_places_and_stores_nothing(fhir):
    before = stored(fhir, "Observation")
    answer = fhir.post(
        "/Observation/$validate", json=observation(status="bogus", foo=1, effectiveDateTime="2020-02-31")
    )
    assert verdict(answer) == {
        ("structure", "Observation.foo"),
        ("code-invalid", "Observation.status"),
        ("value", "Observation.effective"),
    }
    assert stored(fhir, "Observation") == before


def test_fhir_validate_takes_the_resource_in_parameters(fhir):
    assert verdict(fhir.post("/Patient/$validate", json=parameters(resource=GOOD))) == set()
    assert ("required", "Patient.gender") in verdict(
        fhir.post("/Patient/$validate", json=parameters(resource=BAD, profile=PATIENT_PROFILE))
    )


@pytest.mark.parametrize("profile", [PATIENT_PROFILE, f"{PATIENT_PROFILE}|7.0.0", f"{PATIENT_PROFILE}|6.1.0"])
def test_fhir_validate_checks_the_profile_asked_for(fhir, profile):
    faults = {("required", "Patient.gender"), ("required", "Patient.identifier[0].system")}
    assert verdict(fhir.post("/Patient/$validate", params={"profile": profile}, json=BAD)) == faults
    assert verdict(fhir.post("/Patient/$validate", params={"profile": profile}, json=GOOD)) == set()


def test_fhir_validate_checks_the_profile_claimed(fhir):
    assert ("required", "Patient.gender") in verdict(fhir.post("/Patient/$validate", json=claiming(BAD)))


def test_fhir_validate_a_profile_asked_for_that_nobody_knows_is_an_error_a_claimed_one_a_warning(fhir):
    unknown = "http://example.org/StructureDefinition/nobody"
    assert verdict(fhir.post("/Patient/$validate", params={"profile": unknown}, json=GOOD)) == {("not-found", "")}
    answer = fhir.post("/Patient/$validate", json=claiming(GOOD, unknown))
    assert verdict(answer) == set()
    assert verdict(answer, "warning") == {("not-supported", "Patient.meta.profile[0]")}


def test_fhir_validate_a_resource_of_another_type_is_told(fhir):
    assert verdict(fhir.post("/Observation/$validate", json=GOOD)) == {("invalid", "")}


def test_fhir_validate_looks_at_the_stored_resource_by_get_and_post(fhir):
    name = fhir.post("/Patient", json=BAD).json()["id"]
    for answer in (
        fhir.get(f"/Patient/{name}/$validate", params={"profile": PATIENT_PROFILE}),
        fhir.post(f"/Patient/{name}/$validate", json=parameters(profile=PATIENT_PROFILE, mode="profile")),
    ):
        assert ("required", "Patient.gender") in verdict(answer)
    assert verdict(fhir.get(f"/Patient/{name}/$validate")) == set()
    assert fhir.get(f"/Patient/{name}").json()["meta"]["versionId"] == "1"


def test_fhir_validate_looks_at_what_is_made_when_it_is_read(fhir):
    name = fhir.post("/Patient", json=GOOD).json()["id"]
    (entry,) = fhir.get(f"/Provenance?target=Patient/{name}").json()["entry"]
    profile = f"{US_CORE}us-core-provenance"
    address = f"/Provenance/{entry['resource']['id']}/$validate"
    assert verdict(fhir.get(address, params={"profile": profile})) == set()


def test_fhir_validate_of_an_absent_or_deleted_resource_is_like_a_read(fhir):
    assert fhir.get("/Patient/nobody/$validate").status_code == 404
    name = fhir.post("/Patient", json=GOOD).json()["id"]
    fhir.delete(f"/Patient/{name}")
    assert fhir.get(f"/Patient/{name}/$validate").status_code == 410


# --- modes ------------------------------------------------------------------------------------------------------------


def test_fhir_validate_mode_create_tells_what_the_server_would_refuse(fhir):
    before = stored(fhir, "Patient")
    assert verdict(fhir.post("/Patient/$validate?mode=create", json=GOOD)) == set()
    assert stored(fhir, "Patient") == before


def test_fhir_validate_mode_update_checks_the_id(fhir):
    name = fhir.post("/Patient", json=GOOD).json()["id"]
    address = f"/Patient/{name}/$validate?mode=update"
    assert verdict(fhir.post(address, json=GOOD)) == {("required", "Patient.id")}
    assert verdict(fhir.post(address, json=GOOD | {"id": "other"})) == {("invalid", "Patient.id")}
    assert verdict(fhir.post(address, json=GOOD | {"id": name, "active": True})) == set()
    assert "active" not in fhir.get(f"/Patient/{name}").json()


def test_fhir_validate_mode_delete_tells_who_refers_to_the_resource(fhir):
    name = fhir.post("/Patient", json=GOOD).json()["id"]
    assert verdict(fhir.get(f"/Patient/{name}/$validate?mode=delete")) == set()
    fhir.post("/Observation", json=observation(f"Patient/{name}"))
    assert {code for code, _ in verdict(fhir.get(f"/Patient/{name}/$validate?mode=delete"))} == {"conflict"}
    assert fhir.get(f"/Patient/{name}").status_code == 200


def test_fhir_validate_a_mode_that_the_caller_has_no_right_for_is_told(site, fhir):
    name = fhir.post("/Patient", json=GOOD).json()["id"]
    reader = site.client("system/Patient.rs")
    for address, body in (
        ("/Patient/$validate?mode=create", GOOD),
        (f"/Patient/{name}/$validate?mode=update", GOOD | {"id": name}),
    ):
        assert verdict(reader.post(address, json=body)) == {("forbidden", "")}
    assert verdict(reader.get(f"/Patient/{name}/$validate?mode=delete")) == {("forbidden", "")}


@pytest.mark.parametrize(
    ("method", "address", "body"),
    [
        ("GET", "/Patient/$validate", None),
        ("POST", "/Patient/$validate", None),
        ("POST", "/Patient/$validate?mode=bogus", GOOD),
        ("POST", "/Patient/$validate?mode=profile", GOOD),
        ("POST", "/Patient/$validate?mode=delete", GOOD),
        ("POST", "/Patient/$validate", {"resourceType": "Parameters", "parameter": [{"name": "resource"}]}),
        ("POST", "/Patient/$validate", {"resourceType": "Parameters", "parameter": "x"}),
    ],
)
def test_fhir_validate_refuses_a_call_that_makes_no_sense(fhir, method, address, body):
    answer = fhir.request(method, address, json=body)
    assert answer.status_code == 400
    assert issues(answer)


def test_fhir_validate_refuses_what_is_no_json(fhir):
    assert fhir.post("/Patient/$validate", content=b'{"resourceType"').status_code == 400


def test_fhir_validate_a_parameters_resource_can_be_checked_itself(fhir):
    assert verdict(fhir.post("/Parameters/$validate", json={"resourceType": "Parameters", "foo": 1})) == {
        ("structure", "Parameters.foo")
    }


# --- access -----------------------------------------------------------------------------------------------------------


def test_fhir_validate_needs_a_token_and_a_right_for_the_type(site, fhir):
    other = site.client("system/Observation.cruds")
    assert other.post("/Patient/$validate", json=GOOD).status_code == 403
    name = fhir.post("/Patient", json=GOOD).json()["id"]
    assert other.get(f"/Patient/{name}/$validate").status_code == 403
    assert fhir.post("/Patient/$validate", json=GOOD, headers={"Authorization": ""}).status_code == 401


def test_fhir_validate_shows_nothing_of_another_patient(site, fhir):
    mine, other = (fhir.post("/Patient", json=GOOD).json()["id"] for _ in range(2))
    client = site.client("patient/*.cruds", role="PATIENT", patient=mine)
    assert client.get(f"/Patient/{mine}/$validate").status_code == 200
    absent = client.get("/Patient/nobody/$validate")
    assert client.get(f"/Patient/{other}/$validate").status_code == absent.status_code == 404
    hidden = client.post(f"/Patient/{other}/$validate?mode=update", json=GOOD | {"id": other})
    missing = client.post("/Patient/nobody/$validate?mode=update", json=GOOD | {"id": "nobody"})
    assert [each["code"] for each in issues(hidden)] == [each["code"] for each in issues(missing)]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_fhir_validate_may_be_an_entry_of_a_bundle(fhir, kind):
    entry = {"resource": BAD, "request": {"method": "POST", "url": f"Patient/$validate?profile={PATIENT_PROFILE}"}}
    tried = {"resource": GOOD, "request": {"method": "POST", "url": "Patient/$validate?mode=create"}}
    answer = fhir.post("/", json={"resourceType": "Bundle", "type": kind, "entry": [entry, tried]})
    assert answer.status_code == 200
    first, second = answer.json()["entry"]
    assert first["response"]["status"].startswith("200")
    assert {each["code"] for each in first["resource"]["issue"] if each["severity"] == "error"} == {"required"}
    assert {each["severity"] for each in second["resource"]["issue"]} == {"information"}


def test_fhir_validate_is_on_record(site, fhir):
    name = fhir.post("/Patient", json=GOOD).json()["id"]
    for method, address, body, ids in (
        ("GET", f"/Patient/{name}/$validate", None, {name}),
        ("POST", "/Patient/$validate", GOOD, set()),
    ):
        request = f"validate-{method}"
        fhir.request(method, address, json=body, headers={"X-Request-Id": request})
        (record,) = records(site, request)
        assert (record["resource"], record["interaction"], record["action"]) == ("Patient", "operation", "read")
        assert set(listed(record["resource_ids"])) == ids


# --- C6 ---------------------------------------------------------------------------------------------------------------


def test_fhir_C6_a_claimed_profile_is_checked_on_create_and_update(fhir):
    refused = fhir.post("/Patient", json=claiming(BAD))
    assert refused.status_code == 422
    assert {(each["code"], *each["expression"]) for each in issues(refused)} == {
        ("required", "Patient.gender"),
        ("required", "Patient.identifier[0].system"),
    }
    created = fhir.post("/Patient", json=claiming(GOOD))
    assert created.status_code == 201
    name = created.json()["id"]
    assert fhir.put(f"/Patient/{name}", json=claiming(BAD) | {"id": name}).status_code == 422
    assert fhir.get(f"/Patient/{name}").json()["meta"]["versionId"] == "1"


def test_fhir_C6_a_fault_of_a_profile_is_422_in_a_transaction_too(fhir):
    entry = {"resource": claiming(BAD), "request": {"method": "POST", "url": "Patient"}}
    answer = fhir.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    assert answer.status_code == 422
    assert ["Bundle.entry[0].resource.gender"] in [each["expression"] for each in issues(answer)]


def test_fhir_C6_a_patch_has_to_leave_what_the_claimed_profile_asks_for(fhir):
    name = fhir.post("/Patient", json=claiming(GOOD)).json()["id"]
    answer = fhir.patch(
        f"/Patient/{name}",
        json=[{"op": "remove", "path": "/gender"}],
        headers={"Content-Type": "application/json-patch+json"},
    )
    assert answer.status_code == 422
    assert fhir.get(f"/Patient/{name}").json()["gender"] == "female"


def test_fhir_C6_entries_of_a_stored_bundle_are_checked_for_what_they_claim(fhir):
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": claiming(BAD)}]}
    answer = fhir.post("/Bundle", json=bundle)
    assert answer.status_code == 422
    assert ["Bundle.entry[0].resource.gender"] in [each["expression"] for each in issues(answer)]


def test_fhir_C6_what_is_not_claimed_or_not_known_is_not_looked_at(fhir):
    assert fhir.post("/Patient", json=BAD).status_code == 201
    assert fhir.post("/Patient", json=claiming(BAD, "http://example.org/x")).status_code == 201
    assert fhir.post("/Patient", json=claiming(BAD, f"{PATIENT_PROFILE}|3.1.1")).status_code == 201


def test_fhir_C6_the_check_can_be_switched_off(database_url):
    with running_site(database_url, validate_profiles="off") as site:
        fhir = site.client()
        created = fhir.post("/Patient", json=claiming(BAD))
        assert created.status_code == 201
        entry = {"resource": claiming(BAD), "request": {"method": "POST", "url": "Patient"}}
        assert (
            fhir.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": [entry]}).status_code == 200
        )
        assert ("required", "Patient.gender") in verdict(fhir.get(f"/Patient/{created.json()['id']}/$validate"))


def test_fhir_C6_many_claims_in_one_transaction_are_checked_off_the_event_loop(fhir):
    entries = [{"resource": claiming(GOOD), "request": {"method": "POST", "url": "Patient"}} for _ in range(199)]
    entries.append({"resource": claiming(BAD), "request": {"method": "POST", "url": "Patient"}})
    answer = fhir.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 422
    assert {each["expression"][0].partition(".resource")[0] for each in issues(answer)} == {"Bundle.entry[199]"}
    entries.pop()
    assert fhir.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": entries}).status_code == 200
