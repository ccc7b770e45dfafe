"""Links between the entries of a transaction (FHIR R4 http.html#trules; fhir_rest B5, B6)."""

from __future__ import annotations

import copy

import pytest

from fhir_server.fhir.references import find_links, is_conditional, place_of, put_links

PATIENT = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"
LAB = "http://example.org/fhir/Organization/lab"
TARGETS = {PATIENT: "Patient/p1", LAB: "Organization/o1"}


def relinked(resource, own_url=None, matches=None):
    links = find_links(resource, TARGETS, own_url)
    put_links(links, TARGETS, matches or {})
    return resource


@pytest.mark.parametrize(
    ("reference", "rewritten"),
    [
        (PATIENT, "Patient/p1"),
        (f"{PATIENT}#x", "Patient/p1#x"),
        (LAB, "Organization/o1"),
        (f"{LAB}/_history/2", "Organization/o1/_history/2"),
        ("#contained", "#contained"),
        ("Patient/other", "Patient/other"),
        ("http://elsewhere.org/fhir/Patient/1", "http://elsewhere.org/fhir/Patient/1"),
    ],
)
def test_fhir_B5_a_reference_to_an_entry_becomes_its_new_address(reference, rewritten):
    resource = {"resourceType": "Observation", "subject": {"reference": reference}}
    assert relinked(resource)["subject"]["reference"] == rewritten


def test_fhir_B5_a_relative_reference_is_read_against_the_base_of_its_own_entry():
    resource = {"resourceType": "Patient", "managingOrganization": {"reference": "Organization/lab"}}
    found = relinked(copy.deepcopy(resource), own_url="http://example.org/fhir/Patient/9")
    assert found["managingOrganization"]["reference"] == "Organization/o1"
    elsewhere = relinked(copy.deepcopy(resource), own_url="http://other.org/fhir/Patient/9")
    assert elsewhere == resource


def test_fhir_B5_uris_are_rewritten_and_identifier_values_are_not():
    resource = {
        "resourceType": "DocumentReference",
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": PATIENT}],
        "content": [{"attachment": {"url": PATIENT, "title": PATIENT}}],
        "extension": [{"url": "http://example.org/x", "valueUri": PATIENT}],
        "instantiatesUri": [PATIENT, "http://example.org/plan"],
    }
    found = relinked(resource)
    assert found["identifier"][0]["value"] == PATIENT
    assert found["content"][0]["attachment"] == {"url": "Patient/p1", "title": PATIENT}
    assert found["extension"][0] == {"url": "http://example.org/x", "valueUri": "Patient/p1"}
    assert found["instantiatesUri"] == ["Patient/p1", "http://example.org/plan"]


def test_fhir_B5_links_in_the_narrative_are_rewritten():
    div = f'<div><a href="{PATIENT}">p</a><img src=\'{LAB}\'/><a href="http://x.org">x</a> {PATIENT}</div>'
    found = relinked({"resourceType": "Patient", "text": {"status": "generated", "div": div}})
    assert found["text"]["div"] == (
        f'<div><a href="Patient/p1">p</a><img src="Organization/o1"/><a href="http://x.org">x</a> {PATIENT}</div>'
    )


def test_fhir_B5_contained_resources_and_extensions_are_looked_into():
    resource = {
        "resourceType": "Observation",
        "contained": [{"resourceType": "Specimen", "id": "s", "subject": {"reference": PATIENT}}],
        "_status": {"extension": [{"url": "http://x", "valueReference": {"reference": PATIENT}}]},
    }
    found = relinked(resource)
    assert found["contained"][0]["subject"]["reference"] == "Patient/p1"
    assert found["_status"]["extension"][0]["valueReference"]["reference"] == "Patient/p1"


def test_fhir_B5_an_urn_that_names_no_entry_is_found_with_its_place():
    resource = {"resourceType": "Observation", "performer": [{"display": "x"}, {"reference": "urn:uuid:unknown"}]}
    (container,) = find_links(resource, TARGETS, None).unresolved
    assert place_of(container, resource, "Observation") == "Observation.performer[1]"


def test_fhir_B6_a_conditional_reference_is_replaced_by_its_match():
    query = "Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|9999"
    resource = {"resourceType": "Encounter", "participant": [{"individual": {"reference": query}}]}
    found = relinked(resource, matches={query: "Practitioner/7"})
    assert found["participant"][0]["individual"]["reference"] == "Practitioner/7"


@pytest.mark.parametrize(
    ("reference", "conditional"),
    [("Patient?identifier=1", True), ("Patient/1", False), ("http://x.org/Patient?x=1", False), ("?x=1", False)],
)
def test_fhir_B6_a_conditional_reference_is_type_and_query(reference, conditional):
    assert is_conditional(reference) is conditional


def test_links_can_be_put_again_with_other_targets():
    resource = {"resourceType": "Observation", "subject": {"reference": PATIENT}}
    links = find_links(resource, TARGETS, None)
    put_links(links, TARGETS, {})
    put_links(links, {PATIENT: "Patient/second", LAB: "Organization/second"}, {})
    assert resource["subject"]["reference"] == "Patient/second"
