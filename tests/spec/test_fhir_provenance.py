"""Provenance of every version (settled §1.15; US Core G14, Provenance; fhir_rest §13; decision 18)."""

from __future__ import annotations

import time

import pytest

from tests.site import issues, observation, patient

AUTHOR = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
TRANSMITTER = "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type"


@pytest.fixture(scope="module")
def tenant(fhir):
    """The organization's own resource, which the projector makes."""
    for _ in range(400):
        found = fhir.get("/Organization").json()
        if found["total"]:
            return f"Organization/{found['entry'][0]['resource']['id']}"
        time.sleep(0.02)
    raise AssertionError("the organization is not shown")


@pytest.fixture(scope="module")
def person(fhir, tenant):
    return fhir.post("/Patient", json=patient("Traced")).json()["id"]


@pytest.fixture(scope="module")
def weight(fhir, person):
    """An Observation of three versions, the last of which is its deletion."""
    return fhir.post("/Observation", json=observation(f"Patient/{person}")).json()["id"]


def included(answer):
    assert answer.status_code == 200, answer.text
    return [each["resource"] for each in answer.json().get("entry", ()) if each["search"]["mode"] == "include"]


def matched(answer):
    assert answer.status_code == 200, answer.text
    return [each["resource"] for each in answer.json().get("entry", ()) if each["search"]["mode"] == "match"]


def told(answer):
    entries = [each["resource"] for each in answer.json().get("entry", ()) if each["search"]["mode"] == "outcome"]
    return [issue["diagnostics"] for entry in entries for issue in entry["issue"]]


def agent(provenance, code):
    (found,) = [
        each for each in provenance["agent"] if any(coding["code"] == code for coding in each["type"].get("coding", ()))
    ]
    return found


@pytest.mark.parametrize("query", ["Observation?_id={weight}", "Observation?patient={person}&code=29463-7"])
def test_uscore_G14_a_search_brings_the_provenance_of_what_it_shows(fhir, person, weight, tenant, query):
    address = query.format(person=person, weight=weight) + "&_revinclude=Provenance:target"
    answer = fhir.get(f"/{address}")
    (found,) = included(answer)
    (match,) = matched(answer)
    assert answer.json()["total"] == 1
    assert found["target"] == [{"reference": f"Observation/{weight}/_history/1"}]
    assert found["recorded"] == found["meta"]["lastUpdated"] == match["meta"]["lastUpdated"]
    assert found["meta"]["profile"] == ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-provenance"]
    assert found["activity"]["coding"][0]["code"] == "CREATE"
    assert agent(found, "author")["who"]["reference"] == tenant
    assert agent(found, "transmitter")["who"]["reference"] == tenant
    client = agent(found, "composer")
    assert client["who"]["identifier"]["value"] == "tests"
    assert client["onBehalfOf"]["reference"] == tenant
    assert client["role"][0]["coding"][0]["code"] == "fhir"


def test_uscore_G14_by_post_as_well(fhir, weight):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    asked = f"_id={weight}&_revinclude=Provenance:target"
    assert len(included(fhir.post("/Observation/_search", content=asked, headers=form))) == 1


def test_uscore_G16_the_included_provenance_and_what_it_refers_to_can_be_read(fhir, weight):
    (found,) = included(fhir.get(f"/Observation?_id={weight}&_revinclude=Provenance:target"))
    answer = fhir.get(f"/Provenance/{found['id']}")
    assert (answer.status_code, answer.json()) == (200, found)
    assert answer.headers["etag"] == 'W/"1"'
    assert fhir.get(f"/Provenance/{found['id']}/_history/1").json() == found
    assert fhir.get(f"/Provenance/{found['id']}/_history/2").status_code == 404
    references = [found["target"][0]["reference"]]
    references += [who["reference"] for each in found["agent"] for who in (each["who"],) if "reference" in who]
    assert {fhir.get(f"/{reference}").status_code for reference in references} == {200}


def test_fhir_provenance_of_every_version_is_there_and_found_by_its_target(fhir, person):
    made = fhir.post("/Observation", json=observation(f"Patient/{person}")).json()
    name = f"Observation/{made['id']}"
    assert fhir.put(f"/{name}", json={**made, "status": "amended"}).status_code == 200
    (shown,) = included(fhir.get(f"/Observation?_id={made['id']}&_revinclude=Provenance:target"))
    assert shown["target"] == [{"reference": f"{name}/_history/2"}]
    assert fhir.delete(f"/{name}").status_code == 204
    answer = fhir.get(f"/Provenance?target={name}")
    assert answer.json()["total"] == 3
    found = matched(answer)
    assert [each["target"][0]["reference"][-1] for each in found] == ["3", "2", "1"]
    assert [each["activity"]["coding"][0]["code"] for each in found] == ["DELETE", "UPDATE", "CREATE"]
    assert [fhir.get(f"/Provenance/{each['id']}").json() for each in found] == found
    (second,) = matched(fhir.get(f"/Provenance?target={name}/_history/2"))
    assert second == found[1]


def test_fhir_stored_provenance_comes_first_and_pages_go_on(fhir, person):
    made = fhir.post("/Observation", json=observation(f"Patient/{person}")).json()
    name = f"Observation/{made['id']}"
    for status in ("amended", "corrected"):
        assert fhir.put(f"/{name}", json={**made, "status": status}).status_code == 200
    native = {
        "resourceType": "Provenance",
        "target": [{"reference": name}],
        "recorded": "2024-01-01T00:00:00Z",
        "agent": [{"who": {"display": "Somebody"}}],
    }
    stored = [fhir.post("/Provenance", json=native).json()["id"] for _ in range(2)]
    both = included(fhir.get(f"/{name.partition('/')[0]}?_id={made['id']}&_revinclude=Provenance:target"))
    assert len(both) == 3
    address, pages = f"/Provenance?target={name}&_count=2&_total=accurate", []
    while address:
        page = fhir.get(address)
        assert page.json()["total"] == 5
        pages.append([each["id"] for each in matched(page)])
        address = next((each["url"] for each in page.json()["link"] if each["relation"] == "next"), None)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(pages[0]) == sorted(stored)
    assert len({each for page in pages for each in page}) == 5
    assert fhir.get(f"/Provenance?target={name}&_summary=count").json()["total"] == 5
    assert fhir.get(f"/Provenance?target={name}&_count=0").json()["total"] == 5


def test_fhir_provenance_is_found_by_id_patient_and_time(fhir, person, weight):
    (of_weight,) = matched(fhir.get(f"/Provenance?target=Observation/{weight}"))
    (of_person,) = matched(fhir.get(f"/Provenance?patient={person}"))
    assert of_person["target"] == [{"reference": f"Patient/{person}/_history/1"}]
    assert matched(fhir.get(f"/Provenance?_id={of_weight['id']}")) == [of_weight]
    both = matched(fhir.get(f"/Provenance?_id={of_weight['id']},{of_person['id']}"))
    assert sorted(each["id"] for each in both) == sorted([of_weight["id"], of_person["id"]])
    asked = f"/Provenance?target=Observation/{weight}"
    assert len(matched(fhir.get(f"{asked}&recorded=ge2024-01-01"))) == 1
    assert len(matched(fhir.get(f"{asked}&_lastUpdated={of_weight['recorded']}"))) == 1
    assert matched(fhir.get(f"{asked}&recorded=lt2024-01-01")) == []
    assert matched(fhir.get(f"{asked}&_id={of_person['id']}")) == []


def test_fhir_criteria_together_name_what_each_of_them_names(fhir, person):
    made = fhir.post("/Observation", json=observation(f"Patient/{person}")).json()
    name = f"Observation/{made['id']}"
    for status in ("amended", "corrected"):
        assert fhir.put(f"/{name}", json={**made, "status": status}).status_code == 200

    def versions(query):
        return [each["target"][0]["reference"].rpartition("/")[2] for each in matched(fhir.get(f"/Provenance?{query}"))]

    assert versions(f"target={name}&target={name}/_history/1,{name}/_history/3") == ["1", "3"]
    assert versions(f"target={name}/_history/1&target={name}/_history/3") == []
    assert versions(f"target={name}/_history/2,{name}") == ["3", "2", "1"]
    assert versions(f"target={name}&target=Patient/{person}") == []
    assert versions(f"target=urn:uuid:0f9b3dd2-6d5c-4f0c-8c4c-6d0d7c2f7f01,{name}/_history/x") == []


@pytest.mark.parametrize("query", ["", "?agent=Practitioner/1", "?recorded=ge2020", "?target:identifier=x|y"])
def test_fhir_what_the_index_alone_can_answer_is_said(fhir, query):
    assert any("stored Provenance only" in each for each in told(fhir.get(f"/Provenance{query}")))


@pytest.mark.parametrize("query", ["_sort=recorded", "_include=Provenance:agent"])
def test_fhir_what_is_not_done_for_the_provenance_of_versions_is_said(fhir, weight, query):
    answer = fhir.get(f"/Provenance?target=Observation/{weight}&{query}")
    assert len(matched(answer)) == 1
    assert any("stored Provenance" in each for each in told(answer))


def test_fhir_a_cursor_of_another_search_is_refused(fhir, weight):
    answer = fhir.get(f"/Provenance?target=Observation/{weight}&_cursor=abc")
    assert (answer.status_code, issues(answer)[0]["code"]) == (400, "invalid")


def test_fhir_provenance_of_stored_provenance_and_of_included_resources(fhir, person, weight):
    native = {
        "resourceType": "Provenance",
        "target": [{"reference": f"Observation/{weight}"}],
        "recorded": "2024-01-01T00:00:00Z",
        "agent": [{"who": {"display": "Somebody"}}],
    }
    stored = fhir.post("/Provenance", json=native).json()["id"]
    answer = fhir.get(f"/Provenance?_id={stored}&_revinclude=Provenance:target")
    assert [each["target"][0]["reference"] for each in included(answer)] == [f"Provenance/{stored}/_history/1"]
    query = f"/Observation?_id={weight}&_include=Observation:patient&_revinclude:iterate=Provenance:target"
    targets = {each["target"][0]["reference"] for each in included(fhir.get(query)) if "target" in each}
    assert f"Patient/{person}/_history/1" in targets
    assert f"Provenance/{stored}/_history/1" in targets
    query = f"/Observation?_id={weight}&_include=Observation:patient&_revinclude=Provenance:target"
    targets = {each["target"][0]["reference"] for each in included(fhir.get(query)) if "target" in each}
    assert f"Patient/{person}/_history/1" not in targets
    assert fhir.delete(f"/Provenance/{stored}").status_code == 204


@pytest.mark.parametrize(
    ("include", "count"),
    [
        ("Provenance:target", 1),
        ("Provenance:target:Patient", 1),
        ("Provenance:target:Observation", 0),
        ("Provenance:patient", 1),
        ("Provenance:*", 1),
        ("Provenance:agent", 0),
    ],
)
def test_fhir_Q7_includes_of_provenance(fhir, person, include, count):
    assert len(included(fhir.get(f"/Patient?_id={person}&_revinclude={include}"))) == count


def test_fhir_a_versions_provenance_is_not_written(fhir, weight):
    (found,) = included(fhir.get(f"/Observation?_id={weight}&_revinclude=Provenance:target"))
    for answer in (
        fhir.put(f"/Provenance/{found['id']}", json=found),
        fhir.delete(f"/Provenance/{found['id']}"),
        fhir.patch(
            f"/Provenance/{found['id']}",
            content=b'[{"op": "remove", "path": "/recorded"}]',
            headers={"Content-Type": "application/json-patch+json"},
        ),
        fhir.put("/Provenance/version-1-0123456789abcdef", json={**found, "id": "version-1-0123456789abcdef"}),
    ):
        assert (answer.status_code, issues(answer)[0]["code"]) == (422, "business-rule")
    answer = fhir.get(f"/Provenance/{found['id']}/_history")
    assert (answer.status_code, issues(answer)[0]["code"]) == (405, "not-supported")


@pytest.mark.parametrize(
    "name", ["version-1-0123456789abcdef", "version-0-0123456789abcdef", "version-1-0123456789ABCDEF", "version-1-1"]
)
def test_fhir_ids_of_no_version_are_not_found(fhir, name):
    assert fhir.get(f"/Provenance/{name}").status_code == 404
    assert fhir.get(f"/Provenance/{name}/_history").status_code == 404


def test_fhir_a_version_that_never_was_has_no_provenance(fhir, weight):
    (found,) = included(fhir.get(f"/Observation?_id={weight}&_revinclude=Provenance:target"))
    assert fhir.get(f"/Provenance/{found['id'].replace('version-1', 'version-7')}").status_code == 404


def test_fhir_provenance_in_bundles(fhir, person, weight):
    (found,) = included(fhir.get(f"/Observation?_id={weight}&_revinclude=Provenance:target"))
    entries = [
        {"request": {"method": "GET", "url": f"Provenance/{found['id']}"}},
        {"request": {"method": "GET", "url": f"Observation?_id={weight}&_revinclude=Provenance:target"}},
    ]
    for kind in ("batch", "transaction"):
        answer = fhir.post("/", json={"resourceType": "Bundle", "type": kind, "entry": entries})
        assert answer.status_code == 200, answer.text
        first, second = (each["resource"] for each in answer.json()["entry"])
        assert first == found
        assert found in [each["resource"] for each in second["entry"]]


def test_fhir_a_transaction_sees_the_provenance_of_what_it_wrote(fhir):
    entries = [
        {
            "request": {"method": "PUT", "url": "Patient/within"},
            "resource": patient("Within") | {"id": "within"},
        },
        {"request": {"method": "GET", "url": "Patient?_id=within&_revinclude=Provenance:target"}},
    ]
    answer = fhir.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    _, found = answer.json()["entry"][1]["resource"]["entry"]
    assert found["resource"]["target"] == [{"reference": "Patient/within/_history/1"}]
    assert fhir.get(f"/Provenance/{found['resource']['id']}").json() == found["resource"]


def test_fhir_S1_provenance_of_searches_over_types_and_in_compartments(fhir, person, weight):
    answer = fhir.get(f"/?_type=Observation,Patient&_id={weight},{person}&_revinclude=Provenance:target")
    targets = {each["target"][0]["reference"] for each in included(answer)}
    assert targets == {f"Observation/{weight}/_history/1", f"Patient/{person}/_history/1"}
    answer = fhir.get(f"/Patient/{person}/Observation?_id={weight}&_revinclude=Provenance:target")
    assert [each["target"][0]["reference"] for each in included(answer)] == [f"Observation/{weight}/_history/1"]
    (found,) = matched(fhir.get(f"/Patient/{person}/Provenance"))
    assert found["target"] == [{"reference": f"Patient/{person}/_history/1"}]


def test_fhir_everything_brings_provenance_when_asked(fhir, person):
    plain = fhir.get(f"/Patient/{person}/$everything")
    answer = fhir.get(f"/Patient/{person}/$everything?_revinclude=Provenance:target")
    assert matched(answer) == matched(plain)
    targets = {each["target"][0]["reference"] for each in included(answer)}
    shown = {f"{each['resourceType']}/{each['id']}/_history/{each['meta']['versionId']}" for each in matched(plain)}
    assert targets == shown
    instant = matched(plain)[0]["meta"]["lastUpdated"]
    answer = fhir.get(f"/Patient/{person}/$everything", params={"_at": instant, "_revinclude": "Provenance:target"})
    assert f"Patient/{person}/_history/1" in {each["target"][0]["reference"] for each in included(answer)}
    refused = fhir.get(f"/Patient/{person}/$everything?_revinclude=Observation:subject")
    assert (refused.status_code, issues(refused)[0]["code"]) == (400, "invalid")


# --- who sees what ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stranger(fhir):
    return fhir.post("/Patient", json=patient("Stranger")).json()["id"]


def test_security_AZ2_a_patients_app_gets_the_provenance_of_its_own_versions_only(site, fhir, person, stranger, weight):
    app = site.client("patient/*.rs", role="PATIENT", patient=person)
    (own,) = included(app.get(f"/Observation?_id={weight}&_revinclude=Provenance:target"))
    assert app.get(f"/Provenance/{own['id']}").json() == own
    assert len(matched(app.get(f"/Provenance?target=Observation/{weight},Patient/{stranger}"))) == 1
    (of_stranger,) = included(fhir.get(f"/Patient?_id={stranger}&_revinclude=Provenance:target"))
    hidden, absent = (app.get(f"/Provenance/{name}") for name in (of_stranger["id"], "version-1-0123456789abcdef"))
    assert hidden.status_code == absent.status_code == 404
    assert issues(hidden)[0]["code"] == issues(absent)[0]["code"]
    assert matched(app.get(f"/Provenance?target=Patient/{stranger}")) == []
    assert matched(app.get(f"/Provenance?_id={of_stranger['id']}")) == []
    assert app.get(f"/Provenance?target=Patient/{stranger}&_summary=count").json()["total"] == 0


def test_security_AZ2_versions_of_another_patient_stay_unseen(site, fhir, person, stranger):
    """A superseded version that was about somebody else is not told of (V6)."""
    made = fhir.post("/Observation", json=observation(f"Patient/{stranger}")).json()
    moved = {**made, "subject": {"reference": f"Patient/{person}"}}
    assert fhir.put(f"/Observation/{made['id']}", json=moved).status_code == 200
    app = site.client("patient/*.rs", role="PATIENT", patient=person)
    (seen,) = matched(app.get(f"/Provenance?target=Observation/{made['id']}"))
    assert seen["target"][0]["reference"].endswith("/_history/2")
    assert app.get(f"/Provenance/{seen['id'].replace('version-2', 'version-1')}").status_code == 404
    assert fhir.get(f"/Provenance/{seen['id'].replace('version-2', 'version-1')}").status_code == 200


def test_security_AZ4_without_the_scope_there_is_no_provenance(site, weight, fhir):
    (found,) = included(fhir.get(f"/Observation?_id={weight}&_revinclude=Provenance:target"))
    without = site.client("system/Observation.rs system/Patient.rs")
    assert included(without.get(f"/Observation?_id={weight}&_revinclude=Provenance:target")) == []
    assert without.get(f"/Provenance/{found['id']}").status_code == 403
    assert without.get(f"/Provenance?target=Observation/{weight}").status_code == 403
    other = site.client("system/Provenance.rs system/Patient.rs")
    assert other.get(f"/Provenance/{found['id']}").status_code == 404
    assert matched(other.get(f"/Provenance?target=Observation/{weight}")) == []


def test_security_AZ1_without_a_token_and_in_another_organization(site, fhir, weight):
    (found,) = included(fhir.get(f"/Observation?_id={weight}&_revinclude=Provenance:target"))
    anonymous = site.client()
    anonymous.headers.pop("Authorization")
    assert anonymous.get(f"/Provenance/{found['id']}").status_code == 401
    elsewhere = site.client(organization="health-hub")
    assert elsewhere.get(f"/Provenance/{found['id']}").status_code == 404
    assert elsewhere.get(f"/Provenance?target=Observation/{weight}").json()["total"] == 0


def test_uscore_G17_what_the_caller_cannot_read_is_named_and_not_referred_to(site, weight):
    narrow = site.client("system/Observation.rs system/Provenance.rs")
    (found,) = included(narrow.get(f"/Observation?_id={weight}&_revinclude=Provenance:target"))
    assert agent(found, "author")["who"] == agent(found, "transmitter")["who"] == {"display": "Loop Health"}
