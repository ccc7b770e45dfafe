"""The FHIRPath of search parameters (FHIR R4 searchparameter.html#expression)."""

import pytest

from capability.elements import RESOURCE_TYPES
from capability.search_parameters import CLINICAL_DATE, find, search_parameters
from storage.projection.coverage import element_paths
from storage.projection.index_values import index_values
from storage.projection.paths import UnsupportedExpression, compile_expression, compile_paths

PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "extension": [
        {
            "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race",
            "extension": [
                {"url": "ombCategory", "valueCoding": {"code": "2106-3"}},
                {"url": "text", "valueString": "White"},
            ],
        },
        {"url": "http://example.org/other", "valueCoding": {"code": "x"}},
    ],
    "name": [{"given": ["Ann", None], "_given": [None, {"id": "g"}]}, {"family": "Lee"}],
    "telecom": [{"system": "email", "value": "a@b.c"}, {"system": "phone", "value": "1"}],
    "generalPractitioner": [{"reference": "Organization/o"}, {"reference": "Practitioner/d"}, {"display": "?"}],
}


def observation(**elements):
    return {"resourceType": "Observation", "id": "o", **elements}


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("Patient.name.given", [("Ann", "string")]),
        ("Patient.name.family", [("Lee", "string")]),
        ("Patient.birthDate", []),
        ("Patient.telecom.where(system='email').value", [("a@b.c", "string")]),
        (
            "Patient.generalPractitioner.where(resolve() is Practitioner)",
            [({"reference": "Practitioner/d"}, "Reference")],
        ),
        ("Patient.extension('http://example.org/other').value.ofType(Coding).code", [("x", "code")]),
        (find("Patient", "race").expression, [({"code": "2106-3"}, "Coding")]),
        ("Patient.id | Patient.name.family", [("p", "id"), ("Lee", "string")]),
        ("Resource.id", [("p", "id")]),
        ("Patient.name.exists()", [(True, "boolean")]),
        ("Patient.deceased.exists() and Patient.deceased != false", [(False, "boolean")]),
    ],
)
def test_expressions_yield_values_with_their_data_types(expression, values):
    assert compile_expression("Patient", expression)(PATIENT) == values


@pytest.mark.parametrize(
    ("deceased", "holds"),
    [
        ({}, False),
        ({"deceasedBoolean": False}, False),
        ({"deceasedBoolean": True}, True),
        ({"deceasedDateTime": "2020"}, True),
    ],
)
def test_a_patient_is_deceased_with_a_date_or_true(deceased, holds):
    extract = compile_expression("Patient", find("Patient", "deceased").expression)
    assert extract({"resourceType": "Patient", **deceased}) == [(holds, "boolean")]


@pytest.mark.parametrize(
    ("elements", "values"),
    [
        ({"valueQuantity": {"value": 1}}, [({"value": 1}, "Quantity")]),
        ({"valueString": "x"}, []),
        ({"valueSampledData": {"data": "1"}}, [({"data": "1"}, "SampledData")]),
    ],
)
def test_choice_elements_are_told_by_their_type(elements, values):
    extract = compile_expression("Observation", "(Observation.value as Quantity) | Observation.value.as(SampledData)")
    assert extract(observation(**elements)) == values


def test_an_uncast_choice_yields_every_type():
    extract = compile_expression("Observation", "Observation.effective")
    assert extract(observation(effectivePeriod={"start": "2020"})) == [({"start": "2020"}, "Period")]
    assert extract(observation(effectiveInstant="2020")) == [("2020", "instant")]


def test_component_expressions_start_at_their_element():
    extract = compile_expression("Observation.component", "value.as(DateTime) | value.as(Period)")
    assert extract({"valueDateTime": "2020"}) == [("2020", "dateTime")]


def test_items_with_an_extension_are_told_apart():
    subject = find("QuestionnaireResponse", "item-subject")
    marked = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/questionnaireresponse-isSubject"}],
        "answer": [{"valueReference": {"reference": "Patient/1"}}],
    }
    other = {"answer": [{"valueReference": {"reference": "Patient/2"}}]}
    extract = compile_expression("QuestionnaireResponse", subject.expression)
    assert extract({"item": [other, marked]}) == [({"reference": "Patient/1"}, "Reference")]


@pytest.mark.parametrize(
    "expression",
    [
        *("Patient.colour", "Patient.name.trim()", "Patient.birthDate as Quantity", "Patient.name[0]", "Patient.name."),
        *("Patient.name and Patient.id", "Patient.where(", "Patient.name.where(first() = 'x')", "Patient.name)", ""),
        *("Patient.active != maybe", "Patient.where(id = 'x')", "Patient.name.where(colour = 'x')", "'x'"),
    ],
)
def test_what_cannot_be_compiled_is_refused_at_once(expression):
    with pytest.raises(UnsupportedExpression):
        compile_paths("Patient", expression)


@pytest.mark.parametrize("resource_type", RESOURCE_TYPES)
def test_every_search_parameter_can_be_indexed(resource_type):
    values = index_values({"resourceType": resource_type, "id": "x"}, "")
    assert values.patients == (() if resource_type != "Patient" else values.patients)
    for parameter in search_parameters(resource_type).values():
        assert compile_paths(resource_type, parameter.expression)


def test_clinical_dates_occur_once_so_that_columns_hold_them():
    for resource_type, code in CLINICAL_DATE.items():
        paths = element_paths(resource_type, find(resource_type, code).expression)
        assert not any(path.repeats for path in paths), resource_type
