"""$meta, $meta-add and $meta-delete (FHIR R4 resource-operation-meta.html; fhir_rest §13, U5)."""

from __future__ import annotations

from itertools import count
from typing import Any

import httpx
import pytest

from mappers import systems
from tests.conftest import OTHER_ORGANIZATION
from tests.site import issues, observation, patient

_numbers = count(1)
TAG = {"system": "http://example.org/tags", "code": "research"}
OTHER_TAG = {"system": "http://example.org/tags", "code": "billing"}
SECRET = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R", "display": "restricted"}
PROFILE = "http://example.org/StructureDefinition/mine"


def parameters(**meta: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}


def returned(answer: httpx.Response) -> dict[str, Any]:
    """Return the Meta that an operation answers with."""
    assert answer.status_code == 200, answer.text
    (parameter,) = answer.json()["parameter"]
    assert parameter["name"] == "return"
    return parameter["valueMeta"]


@pytest.fixture(params=["native", "row"])
def key(fhir, request):
    """A resource without labels, in the store alone or in a row."""
    if request.param == "row":
        number = next(_numbers)
        login = {"system": systems.LOGIN, "value": f"label-{number}"}
        email = {"system": "email", "value": f"label-{number}@example.com"}
        made = fhir.post("/Patient", json=patient("Label", identifier=[login], telecom=[email])).json()["id"]
        return f"Patient/{made}"
    basic = {"resourceType": "Basic", "code": {"text": "x"}}
    return f"Basic/{fhir.post('/Basic', json=basic).json()['id']}"


def own_labels(meta: dict[str, Any]) -> dict[str, Any]:
    return {name: meta[name] for name in ("tag", "security", "profile") if name in meta}


def test_fhir_meta_add_and_delete_make_no_version(fhir, key):
    before = fhir.get(f"/{key}")
    added = fhir.post(f"/{key}/$meta-add", json=parameters(tag=[TAG], security=[SECRET]))
    found = returned(added)
    assert (found["tag"], found["security"]) == ([TAG], [SECRET])
    after = fhir.get(f"/{key}")
    assert after.headers["etag"] == before.headers["etag"] == added.headers["etag"] == 'W/"1"'
    assert after.headers["last-modified"] == before.headers["last-modified"]
    assert after.json()["meta"] == found | {"lastUpdated": before.json()["meta"]["lastUpdated"], "versionId": "1"}
    assert {**after.json(), "meta": 0} == {**before.json(), "meta": 0}
    assert fhir.get(f"/{key}/_history").json()["total"] == 1
    assert fhir.get(f"/{key}/_history/1").json() == after.json()
    gone = returned(fhir.post(f"/{key}/$meta-delete", json=parameters(tag=[TAG], security=[SECRET])))
    assert gone == before.json()["meta"]
    assert fhir.get(f"/{key}").json() == before.json()


def test_fhir_meta_labels_are_the_same_by_system_and_code_or_url(fhir, key):
    fhir.post(f"/{key}/$meta-add", json=parameters(tag=[TAG], profile=[PROFILE]))
    again = parameters(tag=[TAG | {"display": "Research"}, OTHER_TAG, OTHER_TAG], profile=[PROFILE])
    found = returned(fhir.post(f"/{key}/$meta-add", json=again))
    assert found["tag"] == [TAG, OTHER_TAG]
    assert found["profile"].count(PROFILE) == 1
    left = returned(fhir.post(f"/{key}/$meta-delete", json=parameters(tag=[TAG | {"version": "2"}, {"code": "no"}])))
    assert left["tag"] == [OTHER_TAG]
    assert PROFILE not in returned(fhir.post(f"/{key}/$meta-delete", json=parameters(profile=[PROFILE]))).get(
        "profile", []
    )


def test_fhir_meta_labels_are_found_by_searches(fhir, key):
    kind, _, own = key.partition("/")
    tag = {"system": "http://example.org/search", "code": f"tag-{next(_numbers)}"}
    queries = [
        f"_tag={tag['system']}|{tag['code']}",
        f"_security={SECRET['system']}|R&_id={own}",
        f"_profile={PROFILE}&_id={own}",
    ]
    labels = parameters(tag=[tag], security=[SECRET], profile=[PROFILE])
    for operation, total in (("add", 1), ("delete", 0)):
        fhir.post(f"/{key}/$meta-{operation}", json=labels)
        for query in queries:
            assert fhir.get(f"/{kind}?{query}&_total=accurate").json()["total"] == total


def test_fhir_U5_updates_keep_labels_and_meta_delete_alone_takes_them(fhir, key):
    fhir.post(f"/{key}/$meta-add", json=parameters(tag=[TAG, OTHER_TAG]))
    resource = fhir.get(f"/{key}").json()
    changed = {name: value for name, value in resource.items() if name != "meta"} | {"language": "de"}
    written = fhir.put(f"/{key}", json=changed).json()
    assert written["meta"]["versionId"] == "2"
    assert written["meta"]["tag"] == [TAG, OTHER_TAG]
    fhir.post(f"/{key}/$meta-delete", json=parameters(tag=[TAG]))
    assert fhir.put(f"/{key}", json={**changed, "language": "fr"}).json()["meta"]["tag"] == [OTHER_TAG]
    assert fhir.get(f"/{key}/_history/1").json()["meta"]["tag"] == [TAG, OTHER_TAG]
    assert fhir.get(f"/{key}/_history/2").json()["meta"]["tag"] == [OTHER_TAG]


def test_fhir_U3_if_match_is_honoured(fhir, key):
    stale = fhir.post(f"/{key}/$meta-add", json=parameters(tag=[TAG]), headers={"If-Match": 'W/"7"'})
    assert (stale.status_code, issues(stale)[0]["code"]) == (412, "conflict")
    assert "tag" not in fhir.get(f"/{key}").json()["meta"]
    assert fhir.post(f"/{key}/$meta-add", json=parameters(tag=[TAG]), headers={"If-Match": 'W/"1"'}).status_code == 200


def test_fhir_meta_of_a_resource_by_get_and_post(fhir, key):
    whole = fhir.get(f"/{key}").json()["meta"]
    assert returned(fhir.get(f"/{key}/$meta")) == whole
    assert returned(fhir.post(f"/{key}/$meta")) == whole
    assert returned(fhir.post(f"/{key}/$meta", json={"resourceType": "Parameters"})) == whole


def test_fhir_meta_of_what_is_not_there(fhir):
    assert fhir.get("/Basic/never/$meta").status_code == 404
    made = fhir.post("/Basic", json={"resourceType": "Basic", "code": {"text": "x"}}).json()["id"]
    fhir.delete(f"/Basic/{made}")
    assert fhir.get(f"/Basic/{made}/$meta").status_code == 410
    for operation in ("$meta-add", "$meta-delete"):
        assert fhir.post(f"/Basic/never/{operation}", json=parameters(tag=[TAG])).status_code == 404
        assert fhir.post(f"/Basic/{made}/{operation}", json=parameters(tag=[TAG])).status_code == 410


@pytest.fixture(scope="module")
def hub(site):
    """A client of an organization in which nobody else of this module writes."""
    return site.client(organization=OTHER_ORGANIZATION)


def test_fhir_meta_of_a_type_and_of_all_types_lists_what_is_in_use(hub):
    for tag, profile in ((TAG, PROFILE), (OTHER_TAG, f"{PROFILE}-2"), (TAG, PROFILE)):
        basic = {"resourceType": "Basic", "code": {"text": "x"}, "meta": {"tag": [tag], "profile": [profile]}}
        hub.post("/Basic", json=basic)
    gone = hub.post("/Basic", json=basic | {"meta": {"tag": [{"code": "gone"}]}}).json()["id"]
    hub.delete(f"/Basic/{gone}")
    hub.post(
        "/Library",
        json={"resourceType": "Library", "status": "draft", "type": {"text": "x"}, "meta": {"security": [SECRET]}},
    )
    basics = {"profile": [PROFILE, f"{PROFILE}-2"], "tag": [OTHER_TAG, TAG]}
    assert returned(hub.get("/Basic/$meta")) == basics
    assert returned(hub.post("/Library/$meta")) == {"security": [SECRET]}
    everything = returned(hub.get("/$meta"))
    assert everything["security"] == [SECRET]
    assert everything["tag"] == [OTHER_TAG, TAG]
    assert returned(hub.get("/Encounter/$meta")) == {}


def test_fhir_meta_too_many_resources_are_refused(hub, monkeypatch):
    monkeypatch.setattr("storage.labels.MOST_READ", 1)
    from storage import labels

    labels._bodies.cache_clear()
    answer = hub.get("/Basic/$meta")
    labels._bodies.cache_clear()
    assert (answer.status_code, issues(answer)[0]["code"]) == (400, "too-costly")


def test_security_AZ8_labels_follow_the_compartment(fhir, site):
    own, other = (f"{name}-{next(_numbers)}" for name in ("mine", "theirs"))
    for name in (own, other):
        fhir.put(f"/Patient/{name}", json=patient(id=name))
    mine = fhir.post("/Observation", json=observation(f"Patient/{own}", meta={"tag": [TAG]})).json()["id"]
    theirs = fhir.post("/Observation", json=observation(f"Patient/{other}", meta={"tag": [OTHER_TAG]})).json()["id"]
    app = site.client("patient/*.cruds", role="PATIENT", patient=own)
    assert returned(app.get("/Observation/$meta"))["tag"] == [TAG]
    assert OTHER_TAG not in returned(app.get("/$meta")).get("tag", [])
    assert app.get(f"/Observation/{theirs}/$meta").status_code == 404
    for operation in ("$meta-add", "$meta-delete"):
        hidden = app.post(f"/Observation/{theirs}/{operation}", json=parameters(tag=[OTHER_TAG]))
        absent = app.post(f"/Observation/never/{operation}", json=parameters(tag=[OTHER_TAG]))
        assert hidden.status_code == absent.status_code
        assert hidden.status_code in {403, 404}
    assert fhir.get(f"/Observation/{theirs}").json()["meta"]["tag"] == [OTHER_TAG]
    assert mine


def test_security_AZ4_changing_labels_needs_the_right_to_update(fhir, site):
    made = fhir.post("/Basic", json={"resourceType": "Basic", "code": {"text": "x"}}).json()["id"]
    reader = site.client("system/Basic.rs")
    assert reader.get(f"/Basic/{made}/$meta").status_code == 200
    assert reader.get("/Basic/$meta").status_code == 200
    for operation in ("$meta-add", "$meta-delete"):
        assert reader.post(f"/Basic/{made}/{operation}", json=parameters(tag=[TAG])).status_code == 403
        assert httpx.post(f"{site.base}/Basic/{made}/{operation}", json=parameters(tag=[TAG])).status_code == 401
    assert site.client("system/Patient.rs").get("/Basic/$meta").status_code == 403
    assert site.client("system/Patient.rs").get(f"/Basic/{made}/$meta").status_code == 403
    assert site.client("system/Patient.r").get("/$meta").status_code == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"resourceType": "Patient"}, 400),
        ({"resourceType": "Parameters", "parameter": [{"name": "meta", "valueString": "x"}]}, 400),
        ({"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": "x"}}]}, 400),
        ({"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"nothing": 1}}]}, 400),
    ],
)
def test_a_call_that_cannot_be_read_is_refused(fhir, body, status):
    made = fhir.post("/Basic", json={"resourceType": "Basic", "code": {"text": "x"}}).json()["id"]
    answer = fhir.post(f"/Basic/{made}/$meta-add", json=body)
    assert answer.status_code == status, answer.text
    assert issues(answer)
    assert fhir.get(f"/Basic/{made}/$meta-add").status_code == 405


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_meta_in_bundles(fhir, kind):
    made = fhir.post("/Basic", json={"resourceType": "Basic", "code": {"text": "x"}, "meta": {"tag": [TAG]}}).json()[
        "id"
    ]
    bundle = {"resourceType": "Bundle", "type": kind}
    reading = {"entry": [{"request": {"method": "GET", "url": f"Basic/{made}/$meta"}}]}
    (entry,) = fhir.post("/", json=bundle | reading).json()["entry"]
    assert entry["resource"]["parameter"][0]["valueMeta"]["tag"] == [TAG]
    changing = {
        "request": {"method": "POST", "url": f"Basic/{made}/$meta-delete"},
        "resource": parameters(tag=[TAG]),
    }
    answer = fhir.post("/", json=bundle | {"entry": [changing]})
    assert answer.status_code == (200 if kind == "batch" else 400)
    assert ("tag" in fhir.get(f"/Basic/{made}").json()["meta"]) is (kind == "transaction")


def test_the_operations_are_declared(fhir):
    told = {each["name"]: each["definition"] for each in fhir.get("/metadata").json()["rest"][0]["operation"]}
    base = "http://hl7.org/fhir/OperationDefinition/Resource-meta"
    assert {name: told[name] for name in ("meta", "meta-add", "meta-delete")} == {
        "meta": base,
        "meta-add": f"{base}-add",
        "meta-delete": f"{base}-delete",
    }
