"""The SMART Python client `fhirclient` does what its documentation shows, against the running server."""

from __future__ import annotations

import pytest
from fhirclient import client, server
from fhirclient.models.bundle import Bundle, BundleEntry, BundleEntryRequest
from fhirclient.models.encounter import Encounter
from fhirclient.models.humanname import HumanName
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirclient.models.procedure import Procedure

CLASS = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}


@pytest.fixture(scope="module")
def smart(site):
    made = server.FHIRServer(None, site.base)
    made.session.headers["Authorization"] = f"Bearer {site.token()}"
    yield made
    made.session.close()


def stored(resource, smart):
    answer = resource.create(smart)
    return type(resource)(answer)


@pytest.fixture(scope="module")
def steve(smart):
    patient = Patient({"name": [{"family": "Smith", "given": ["Steve"], "prefix": ["Mr."]}], "birthDate": "1992-07-03"})
    return stored(patient, smart)


@pytest.fixture(scope="module")
def visit(smart, steve):
    subject = {"reference": f"Patient/{steve.id}"}
    kind = [{"text": "Encounter for symptom"}]
    made = stored(Encounter({"status": "finished", "class": CLASS, "subject": subject, "type": kind}), smart)
    here = {"reference": f"Encounter/{made.id}"}
    stored(Procedure({"status": "completed", "subject": subject, "encounter": here}), smart)
    return made


def test_clients_fhirclient_prepares_from_the_capability_statement(site):
    smart = client.FHIRClient(settings={"app_id": "my_web_app", "api_base": site.base})
    assert not smart.ready
    assert smart.server.capabilityStatement.fhirVersion == "4.0.1"
    smart.server.session.close()


def test_clients_fhirclient_reads(smart, steve):
    patient = Patient.read(steve.id, smart)
    assert patient.birthDate.isostring == "1992-07-03"
    assert client.FHIRClient.human_name(None, patient.name[0]) == "Mr. Steve Smith"


def test_clients_fhirclient_is_told_what_is_not_there(smart):
    with pytest.raises(server.FHIRNotFoundException):
        Patient.read("never", smart)


def test_clients_fhirclient_searches_with_includes_both_ways(smart, steve, visit):
    search = Encounter.where(struct={"subject": steve.id, "status": "finished"})
    assert {each.type[0].text for each in search.perform_resources_iter(smart)} == {"Encounter for symptom"}
    search = search.include("subject")
    assert {each.resource_type for each in search.perform_resources_iter(smart)} == {"Encounter", "Patient"}
    search = search.include("encounter", Procedure, reverse=True)
    found = {entry.resource.resource_type for bundle in search.perform_iter(smart) for entry in bundle.entry}
    assert found == {"Encounter", "Patient", "Procedure"}


def test_clients_fhirclient_walks_pages(smart, steve):
    subject = {"reference": f"Patient/{steve.id}"}
    for number in range(5):
        stored(Observation({"status": "final", "code": {"text": f"n{number}"}, "subject": subject}), smart)
    search = Observation.where(struct={"subject": steve.id, "_count": "2"})
    pages = list(search.perform_iter(smart))
    assert [len(page.entry) for page in pages] == [2, 2, 1]
    assert len({each.id for each in search.perform_resources_iter(smart)}) == 5


def test_clients_fhirclient_creates_updates_and_deletes(smart):
    patient = Patient()
    name = HumanName()
    name.given, name.family = ["Peter"], "Parker"
    patient.name = [name]
    made = stored(patient, smart)
    made.name[0].family = "Pan"
    assert made.update(smart)["name"][0]["family"] == "Pan"
    assert Patient.read(made.id, smart).meta.versionId == "2"
    made.delete(smart)
    with pytest.raises(Exception, match="410"):
        Patient.read(made.id, smart)


def test_clients_fhirclient_sends_transactions(smart):
    entry = BundleEntry()
    entry.resource = Patient({"name": [{"family": "Transacted"}]})
    entry.request = BundleEntryRequest({"method": "POST", "url": "Patient"})
    bundle = Bundle({"type": "transaction"})
    bundle.entry = [entry]
    answer = Bundle(smart.post_json("", bundle.as_json()).json())
    assert answer.type == "transaction-response"
    assert answer.entry[0].response.status.startswith("201")
