"""patch over HTTP (FHIR R4 http.html#patch, fhirpatch.html; fhir_rest P1-P5, B13)."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from tests.conftest import ORGANIZATION
from tests.site import issues, observation, patient
from tests.storage.people import People

JSON_PATCH = {"Content-Type": "application/json-patch+json"}
MRN = "http://example.org/mrn"


def op(name, path, **more):
    return {"op": name, "path": path, **more}


def parameters(*operations):
    """Return a FHIRPath Patch of (type, path, further parts)."""
    made = []
    for kind, path, *parts in operations:
        own = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
        made.append({"name": "operation", "part": own + parts})
    return {"resourceType": "Parameters", "parameter": made}


def create(fhir, resource=None):
    answer = fhir.post(f"/{(resource or patient())['resourceType']}", json=resource or patient())
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def patch(fhir, address, *operations, **headers):
    return fhir.patch(address, content=json.dumps(operations), headers=JSON_PATCH | headers)


def test_fhir_P1_a_json_patch_makes_the_next_version(fhir):
    key = create(fhir)
    answer = patch(
        fhir, f"/Patient/{key}", op("add", "/gender", value="male"), op("replace", "/name/0/family", value="B")
    )
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"')
    assert answer.headers["last-modified"]
    assert "location" not in answer.headers
    stored = fhir.get(f"/Patient/{key}").json()
    assert (stored["gender"], stored["name"][0]["family"], stored["meta"]["versionId"]) == ("male", "B", "2")
    assert answer.json() == stored
    history = fhir.get(f"/Patient/{key}/_history").json()
    assert history["entry"][0]["request"]["method"] == "PUT"
    assert fhir.get(f"/Patient?gender=male&_id={key}").json()["total"] == 1


def test_fhir_P1_digits_of_decimals_survive_and_test_compares_by_value(fhir):
    body = json.dumps(observation(valueQuantity={"value": 0, "unit": "kg"})).replace('"value": 0', '"value": 6.10')
    key = fhir.post("/Observation", content=body).json()["id"]
    operations = [op("test", "/valueQuantity/value", value=6.1), op("add", "/note", value=[{"text": "x"}])]
    assert patch(fhir, f"/Observation/{key}", *operations).status_code == 200
    assert '"value":6.10' in fhir.get(f"/Observation/{key}").text
    sent = '[{"op":"replace","path":"/valueQuantity/value","value":6.1000}]'
    assert fhir.patch(f"/Observation/{key}", content=sent, headers=JSON_PATCH).status_code == 200
    stored = json.loads(fhir.get(f"/Observation/{key}").text, parse_float=Decimal)
    assert str(stored["valueQuantity"]["value"]) == "6.1000"


@pytest.mark.parametrize(
    ("operations", "status", "code"),
    [
        ([op("test", "/active", value=False)], 422, "processing"),
        ([op("remove", "/photo")], 422, "processing"),
        ([op("add", "name", value=1)], 422, "processing"),
        ([op("frob", "/name")], 422, "processing"),
        ([op("replace", "/id", value="x")], 422, "business-rule"),
        ([op("replace", "/meta/versionId", value="7")], 422, "business-rule"),
        ([op("add", "/gender", value="purple")], 422, "code-invalid"),
        ([op("add", "/nothing", value=1)], 400, "structure"),
        ({"op": "remove"}, 400, "structure"),
    ],
)
def test_fhir_P1_what_cannot_be_done_changes_nothing(fhir, operations, status, code):
    key = create(fhir, patient(active=True))
    content = json.dumps(operations)
    answer = fhir.patch(f"/Patient/{key}", content=content, headers=JSON_PATCH)
    assert (answer.status_code, issues(answer)[0]["code"]) == (status, code), answer.text
    assert fhir.get(f"/Patient/{key}").headers["etag"] == 'W/"1"'


def test_fhir_P1_malformed_json_is_400(fhir):
    key = create(fhir)
    for content in ("[", "", '[{"op":"add","op":"remove","path":"/x"}]'):
        assert fhir.patch(f"/Patient/{key}", content=content, headers=JSON_PATCH).status_code == 400


def test_fhir_U4_a_patch_that_changes_nothing_makes_no_version(fhir):
    key = create(fhir, patient(active=True))
    for operations in ([], [op("test", "/active", value=True)], [op("replace", "/active", value=True)]):
        answer = patch(fhir, f"/Patient/{key}", *operations)
        assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"1"')


def test_fhir_U5_labels_can_be_added_and_go_by_meta_delete_only(fhir):
    key = create(fhir, patient(meta={"tag": [{"code": "one"}]}))
    assert patch(fhir, f"/Patient/{key}", op("add", "/meta/tag/-", value={"code": "two"})).status_code == 200
    answer = patch(fhir, f"/Patient/{key}", op("remove", "/meta/tag/0"))
    assert (answer.status_code, issues(answer)[0]["expression"]) == (422, ["Patient.meta.tag"])


def test_fhir_P2_a_fhirpath_patch_makes_the_next_version(fhir):
    key = create(fhir, patient(identifier=[{"system": MRN, "value": "old"}, {"system": "urn:x", "value": "y"}]))
    body = parameters(
        ("replace", f"Patient.identifier.where(system = '{MRN}').value", {"name": "value", "valueString": "new"}),
        ("add", "Patient", {"name": "name", "valueString": "birthDate"}, {"name": "value", "valueDate": "1970-01"}),
        ("delete", "Patient.identifier.where(system = 'urn:x')"),
    )
    answer = fhir.patch(f"/Patient/{key}", json=body)
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"'), answer.text
    stored = fhir.get(f"/Patient/{key}").json()
    assert stored["identifier"] == [{"system": MRN, "value": "new"}]
    assert stored["birthDate"] == "1970-01"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (parameters(("replace", "Patient.name.given", {"name": "value", "valueString": "x"})), 200),
        (parameters(("replace", "Patient.photo", {"name": "value", "valueString": "x"})), 422),
        (parameters(("delete", "Patient.photo")), 200),
        (parameters(("frob", "Patient.photo")), 422),
        (parameters(("delete", "Patient.id")), 422),
        (
            parameters(
                ("add", "Patient", {"name": "name", "valueString": "gender"}, {"name": "value", "valueCode": "x"})
            ),
            422,
        ),
        ({"resourceType": "Parameters", "parameter": [{"name": "operation", "nothing": 1}]}, 400),
        ({"resourceType": "Parameters", "parameter": [{"name": "else", "valueString": "x"}]}, 400),
        (patient(), 400),
        ([op("remove", "/name")], 400),
    ],
)
def test_fhir_P2_what_cannot_be_done_is_refused(fhir, body, status):
    key = create(fhir)
    assert fhir.patch(f"/Patient/{key}", json=body).status_code == status


def test_fhir_P3_if_match_unknown_and_deleted(fhir):
    key = create(fhir)
    change = op("add", "/active", value=True)
    stale = patch(fhir, f"/Patient/{key}", op("test", "/active", value=True), **{"If-Match": 'W/"7"'})
    assert (stale.status_code, issues(stale)[0]["code"]) == (412, "conflict")
    assert patch(fhir, f"/Patient/{key}", change, **{"If-Match": 'W/"1"'}).status_code == 200
    assert patch(fhir, f"/Patient/{key}", change, **{"If-Match": "*"}).status_code == 200
    absent = patch(fhir, "/Patient/p3-never", change)
    assert (absent.status_code, issues(absent)[0]["code"]) == (404, "not-found")
    assert patch(fhir, "/Patient/p3-never", change, **{"If-Match": "*"}).status_code == 404
    fhir.delete(f"/Patient/{key}")
    gone = patch(fhir, f"/Patient/{key}", change)
    assert (gone.status_code, issues(gone)[0]["code"]) == (410, "deleted")
    assert fhir.get("/Patient/p3-never").status_code == 404


def test_fhir_P3_of_patches_at_once_none_is_lost(fhir):
    key = create(fhir, patient(address=[{"line": ["start"]}]))

    def add(number):
        return patch(fhir, f"/Patient/{key}", op("add", "/address/0/line/-", value=f"line {number}")).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(add, range(16))) == {200}
    stored = fhir.get(f"/Patient/{key}").json()
    assert sorted(stored["address"][0]["line"]) == sorted(["start", *(f"line {number}" for number in range(16))])
    assert stored["meta"]["versionId"] == "17"


@pytest.mark.parametrize(
    "kind", ["application/merge-patch+json", "application/xml-patch+xml", "text/plain", "application/fhir+xml"]
)
def test_fhir_P5_other_kinds_are_415_with_accept_patch(fhir, kind):
    answer = fhir.patch("/Patient/1", content="{}", headers={"Content-Type": kind})
    assert (answer.status_code, issues(answer)[0]["code"]) == (415, "not-supported")
    assert answer.headers["accept-patch"] == "application/json-patch+json, application/fhir+json"


def test_fhir_H8_the_body_is_what_the_client_prefers(fhir):
    key = create(fhir)
    minimal = patch(fhir, f"/Patient/{key}", op("add", "/active", value=True), Prefer="return=minimal")
    assert (minimal.status_code, minimal.content) == (200, b"")
    told = patch(fhir, f"/Patient/{key}", op("add", "/active", value=False), Prefer="return=OperationOutcome")
    assert issues(told)[0]["severity"] == "information"


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ("system/Patient.rcds", 403),
        ("system/Patient.u", 200),
        ("system/Patient.ru", 200),
        ("system/Observation.cruds", 403),
    ],
)
def test_smart_E2_a_patch_needs_the_right_to_update_and_shows_what_may_be_read(site, fhir, scope, status):
    key = create(fhir)
    answer = patch(site.client(scope), f"/Patient/{key}", op("add", "/active", value=True))
    assert answer.status_code == status
    if status == 200:
        assert bool(answer.content) is ("r" in scope.rpartition(".")[2])
        assert answer.headers["etag"] == 'W/"2"'


def test_a_patch_without_a_token_is_401(site, fhir):
    key = create(fhir)
    headers = JSON_PATCH | {"Authorization": ""}
    assert fhir.patch(f"/Patient/{key}", content="[]", headers=headers).status_code == 401


def test_a_patient_app_patches_its_own_compartment_only(site, fhir):
    own, other = create(fhir), create(fhir)
    mine, theirs = (create(fhir, observation(f"Patient/{key}")) for key in (own, other))
    app = site.client("patient/*.cruds", role="APP", patient=own)
    change = op("add", "/valueString", value="x")
    assert patch(app, f"/Observation/{mine}", change).status_code == 200
    hidden, absent = patch(app, f"/Observation/{theirs}", change), patch(app, "/Observation/never", change)
    assert hidden.status_code == absent.status_code == 404
    assert hidden.text.replace(theirs, "never") == absent.text
    away = patch(app, f"/Observation/{mine}", op("replace", "/subject/reference", value=f"Patient/{other}"))
    assert away.status_code in {403, 422}
    assert fhir.get(f"/Observation/{mine}").json()["subject"]["reference"] == f"Patient/{own}"


def test_a_mapped_resource_is_patched_into_its_row(fhir, database_url):
    people = People(database_url, ORGANIZATION)
    people.patient("patched", "mrn-patched")
    for _ in range(200):
        before = fhir.get("/Patient/patched")
        if before.status_code == 200:
            break
        time.sleep(0.05)
    assert before.json()["name"][0]["family"] == "Quimby"
    changed = patch(fhir, "/Patient/patched", op("replace", "/name/0/family", value="Column"))
    assert changed.status_code == 200, changed.text
    assert people.count("patients", id="patched", last_name="Column") == 1
    same = patch(fhir, "/Patient/patched", op("test", "/name/0/family", value="Column"))
    assert same.headers["etag"] == changed.headers["etag"]
    where = parameters(("replace", "Patient.name.family", {"name": "value", "valueString": "Path"}))
    assert fhir.patch("/Patient/patched", json=where).status_code == 200
    assert people.count("patients", id="patched", last_name="Path") == 1


# --- in bundles -------------------------------------------------------------------------------------------------------


def binary(*operations):
    data = b64encode(json.dumps(operations).encode()).decode()
    return {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(method, url, resource=None, full_url=None, **conditions):
    made = {"request": {"method": method, "url": url, **conditions}}
    return made | ({"resource": resource} if resource else {}) | ({"fullUrl": full_url} if full_url else {})


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_fhir_B13_entries_patch_by_binary_and_by_parameters(fhir, kind):
    one, two = create(fhir), create(fhir)
    answer = fhir.post(
        "/",
        json=bundle(
            kind,
            entry("PATCH", f"Patient/{one}", binary(op("add", "/active", value=True)), ifMatch='W/"1"'),
            entry("PATCH", f"Patient/{two}", parameters(("delete", "Patient.name[0].given"))),
            entry("GET", f"Patient/{one}"),
        ),
    )
    assert answer.status_code == 200, answer.text
    responses = [each["response"] for each in answer.json()["entry"]]
    assert [each["status"] for each in responses] == ["200", "200", "200"]
    assert [each["etag"] for each in responses] == ['W/"2"'] * 3
    assert fhir.get(f"/Patient/{one}").json()["active"] is True
    assert fhir.get(f"/Patient/{two}").json()["name"] == [{"family": "Chalmers"}]


def test_fhir_B13_a_failing_patch_names_its_entry_and_undoes_the_transaction(fhir):
    key = create(fhir)
    for bad, status in ((binary(op("test", "/active", value=True)), 422), (parameters(("delete", "Patient.id")), 422)):
        answer = fhir.post(
            "/",
            json=bundle("transaction", entry("POST", "Patient", patient("B13")), entry("PATCH", f"Patient/{key}", bad)),
        )
        assert (answer.status_code, issues(answer)[0]["expression"][0][:15]) == (status, "Bundle.entry[1]")
    assert fhir.get("/Patient?family=B13").json()["total"] == 0
    absent = fhir.post("/", json=bundle("transaction", entry("PATCH", "Patient/b13-no", binary(op("remove", "/x")))))
    assert absent.status_code == 404
    refused = {"resourceType": "Binary", "contentType": "text/plain", "data": "W10="}
    for wrong, status in ((refused, 415), (patient(), 400), (None, 400)):
        answer = fhir.post("/", json=bundle("transaction", entry("PATCH", f"Patient/{key}", wrong)))
        assert answer.status_code == status, answer.text
        batch = fhir.post("/", json=bundle("batch", entry("PATCH", f"Patient/{key}", wrong)))
        assert batch.json()["entry"][0]["response"]["status"] == str(status)


def test_fhir_B7_a_patch_writes_its_resource_and_no_other_entry_may(fhir):
    key = create(fhir)
    change = binary(op("add", "/active", value=True))
    for other in (entry("PUT", f"Patient/{key}", patient(id=key)), entry("DELETE", f"Patient/{key}")):
        answer = fhir.post("/", json=bundle("transaction", entry("PATCH", f"Patient/{key}", change), other))
        assert (answer.status_code, issues(answer)[0]["code"]) == (400, "duplicate")


def test_fhir_B5_a_patch_may_refer_to_other_entries(fhir):
    key = create(fhir)
    urn = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f77"
    answer = fhir.post(
        "/",
        json=bundle(
            "transaction",
            entry("PATCH", f"Patient/{key}", binary(op("add", "/managingOrganization", value={"reference": urn}))),
            entry("POST", "Organization", {"resourceType": "Organization", "name": "New"}, urn),
        ),
    )
    assert answer.status_code == 200, answer.text
    made = "/".join(answer.json()["entry"][1]["response"]["location"].split("/")[:2])
    assert fhir.get(f"/Patient/{key}").json()["managingOrganization"] == {"reference": made}


def test_scopes_hold_for_patches_in_bundles(site, fhir):
    key = create(fhir)
    body = bundle("transaction", entry("PATCH", f"Patient/{key}", binary(op("add", "/active", value=True))))
    assert site.client("system/Patient.crds").post("/", json=body).status_code == 403
    body["type"] = "batch"
    answer = site.client("system/Patient.rs").post("/", json=body).json()
    assert answer["entry"][0]["response"]["status"] == "403"


def test_fhir_P1_values_of_patches_are_not_repeated_in_outcomes(fhir):
    key = create(fhir)
    secret = "Wilhelmina-Tell"
    bad = [
        [op("test", "/name/0/family", value=secret)],
        [op("remove", f"/{secret}")],
        [op(secret, "/name")],
        [op("add", f"/name/{secret}", value=1)],
    ]
    for operations in bad:
        assert secret not in patch(fhir, f"/Patient/{key}", *operations).text
    for path in (f"Patient.{secret}", f"'{secret}'", f"Patient.name.where(family = '{secret}')"):
        body = parameters(("replace", path, {"name": "value", "valueString": secret}))
        assert secret not in fhir.patch(f"/Patient/{key}", json=body).text
