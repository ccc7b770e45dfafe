"""Discriminators of all kinds (FHIR R4 profiling.html#discriminator), on profiles made for it."""

from __future__ import annotations

import pytest

from capability.profiles import Discriminator, ElementRule, Profile, TypeRule
from fhir_server.validation.profiles import profile_issues
from tests.validation.profile_samples import LOINC, PATIENT, SNOMED, US_CORE, concept


def profile(resource_type: str, name: str, kind: str, path: str, *slices: ElementRule, closed: bool = True) -> Profile:
    """Return a profile that slices one element."""
    element = ElementRule(name, discriminators=(Discriminator(kind, path),), slices=slices, closed=closed)
    return Profile("urn:test", "1", "test", resource_type, ElementRule(resource_type, children=(element,)))


def a_slice(name: str, slice_name: str, *children: ElementRule, **more: object) -> ElementRule:
    return ElementRule(name, slice_name, children=children, **more)


def observation(**more: object) -> dict[str, object]:
    return {"resourceType": "Observation", "status": "final", "code": concept(LOINC, "1"), "subject": PATIENT, **more}


def faults(resource: dict[str, object], of: Profile) -> set[tuple[str, str]]:
    return {(each.code, each.expression) for each in profile_issues(resource, of, thorough=False)}


def test_slices_by_type_of_what_a_reference_leads_to():
    practitioner = a_slice("performer", "practitioner", types=(TypeRule("Practitioner"),), minimum=1, maximum=1)
    of = profile("Observation", "performer", "type", "resolve()", practitioner)
    doctor, nobody = {"reference": "Practitioner/a"}, {"identifier": {"value": "x"}}
    assert faults(observation(performer=[doctor]), of) == set()
    assert ("structure", "Observation.performer[1]") in faults(observation(performer=[doctor, PATIENT]), of)
    assert ("structure", "Observation.performer[1]") in faults(observation(performer=[doctor, nobody]), of)
    assert ("structure", "Observation.performer") in faults(observation(performer=[doctor, doctor]), of)
    contained = {"resourceType": "Practitioner", "id": "a"}
    assert faults(observation(contained=[contained], performer=[{"reference": "#a"}]), of) == set()


def test_slices_by_values_of_what_a_reference_leads_to():
    male = ElementRule("gender", fixed="male")
    of = profile("Observation", "performer", "value", "resolve().gender", a_slice("performer", "male", male, minimum=1))
    doctor = {"resourceType": "Practitioner", "id": "a", "gender": "male"}
    assert faults(observation(contained=[doctor], performer=[{"reference": "#a"}]), of) == set()
    other = doctor | {"gender": "female"}
    assert ("required", "Observation.performer") in faults(
        observation(contained=[other], performer=[{"reference": "#a"}]), of
    )


@pytest.mark.parametrize(("minimum", "maximum"), [(1, None), (0, 0)])
def test_slices_by_whether_an_element_is_there(minimum, maximum):
    text = ElementRule("text", minimum=minimum, maximum=maximum)
    of = profile("Observation", "category", "exists", "text", a_slice("category", "one", text, minimum=1))
    with_text, without = {"text": "x"}, concept(SNOMED, "1")
    right, wrong = (with_text, without) if minimum else (without, with_text)
    assert faults(observation(category=[right]), of) == set()
    assert ("structure", "Observation.category[0]") in faults(observation(category=[wrong]), of)


def test_slices_by_values_in_an_extension():
    url = f"{US_CORE}us-core-birthsex"
    sex = a_slice(
        "extension", "sex", ElementRule("value[x]", fixed="F"), types=(TypeRule("Extension", profiles=(url,)),)
    )
    extension = ElementRule("extension", discriminators=(Discriminator("value", "url"),), slices=(sex,))
    contact = a_slice("contact", "female", extension, minimum=1)
    of = profile("Patient", "contact", "exists", f"extension('{url}')", contact)
    entry = {"name": {"family": "x"}}
    found = entry | {"extension": [{"url": url, "valueCode": "F"}]}
    assert faults({"resourceType": "Patient", "contact": [found]}, of) == set()
    assert ("required", "Patient.contact") in faults({"resourceType": "Patient", "contact": [entry]}, of)


def test_slices_by_a_profile_that_a_value_follows():
    url = f"{US_CORE}us-core-patient"
    resource = ElementRule("resource", types=(TypeRule("Patient", profiles=(url,)),))
    of = profile("Bundle", "entry", "profile", "resource", a_slice("entry", "patient", resource, minimum=1))
    good = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:x", "value": "1"}],
        "name": [{"family": "x"}],
        "gender": "male",
    }
    bundle = {"resourceType": "Bundle", "type": "collection"}
    assert faults(bundle | {"entry": [{"resource": good}]}, of) == set()
    assert ("required", "Bundle.entry") in faults(bundle | {"entry": [{"resource": {"resourceType": "Patient"}}]}, of)


def test_slices_of_one_of_several_types():
    duration = ElementRule("code", fixed="min")
    of = profile(
        "Procedure",
        "performed[x]",
        "value",
        "$this.ofType(Age).code",
        a_slice("performed[x]", "age", duration, minimum=1),
    )
    procedure = {"resourceType": "Procedure", "status": "completed", "subject": PATIENT}
    assert faults(procedure | {"performedAge": {"value": 1, "code": "min"}}, of) == set()
    assert ("required", "Procedure.performed") in faults(procedure | {"performedString": "min"}, of)


def test_slices_that_nothing_tells_apart_have_no_members():
    of = profile("Observation", "category", "value", "coding", a_slice("category", "one"), closed=False)
    assert faults(observation(category=[concept(SNOMED, "1")]), of) == set()
    mandatory = profile("Observation", "category", "value", "coding", a_slice("category", "one", minimum=1))
    assert ("required", "Observation.category") in faults(observation(category=[concept(SNOMED, "1")]), mandatory)
