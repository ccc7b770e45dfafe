"""Bodies of operations (FHIR R4 parameters.html, operations.html#request; fhir_rest §13)."""

from decimal import Decimal

import pytest

from fhir_server.errors import InvalidParameter, InvalidResource, TypeMismatch
from fhir_server.fhir.operations.parameters import FROM_QUERY, Parameter, Parameters, parse_parameters, search_pairs


def given(*parameters: object) -> Parameters:
    return parse_parameters({"resourceType": "Parameters", "parameter": list(parameters)})


def test_values_of_every_kind_are_read() -> None:
    patient = {"resourceType": "Patient"}
    found = given(
        {"name": "max", "valuePositiveInt": 3},
        {"name": "exact", "valueBoolean": True},
        {"name": "low", "valueDecimal": Decimal("1.10")},
        {"name": "code", "valueCode": "a"},
        {"name": "patient", "valueReference": {"reference": "Patient/1"}},
        {"name": "meta", "valueMeta": {"tag": []}},
        {"name": "resource", "resource": patient},
        {"name": "operation", "part": [{"name": "type", "valueCode": "add"}, {"name": "path", "valueString": "x"}]},
    )
    assert found.whole_number("max") == 3
    assert found.text("exact") == "true"
    assert found.text("low") == "1.10"
    assert found.text("code") == "a"
    assert found.text("patient") == "Patient/1"
    assert found.value("meta", "Meta") == {"tag": []}
    assert found.resource("resource") == patient
    operation = found.one("operation")
    assert operation is not None
    path = operation.part("path")
    assert path is not None
    assert (path.text, path.expression) == ("x", "Parameters.parameter[7].part[1].valueString")
    assert found.one("absent") is None
    assert found.resource("absent") is None
    assert found.whole_number("absent") is None


@pytest.mark.parametrize(
    ("parameter", "place"),
    [
        ([], "Parameters.parameter[0]"),
        ({}, "Parameters.parameter[0].name"),
        ({"name": 3}, "Parameters.parameter[0].name"),
        ({"name": "a", "valueInteger": "3"}, "Parameters.parameter[0].valueInteger"),
        ({"name": "a", "valueInteger": True}, "Parameters.parameter[0].valueInteger"),
        ({"name": "a", "valueBoolean": 1}, "Parameters.parameter[0].valueBoolean"),
        ({"name": "a", "valueString": ""}, "Parameters.parameter[0].valueString"),
        ({"name": "a", "valueCoding": "x"}, "Parameters.parameter[0].valueCoding"),
        ({"name": "a", "valueNothing": "x"}, "Parameters.parameter[0]"),
        ({"name": "a", "valueCode": "x", "valueString": "x"}, "Parameters.parameter[0]"),
        ({"name": "a", "valueCode": "x", "part": []}, "Parameters.parameter[0]"),
        ({"name": "a", "resource": {"resourceType": "Nothing"}}, "Parameters.parameter[0].resource"),
        ({"name": "a", "resource": {"resourceType": []}}, "Parameters.parameter[0].resource"),
        ({"name": "a", "part": {}}, "Parameters.parameter[0].part"),
        ({"name": "a", "part": [{"name": "b"}, {"value": 3}]}, "Parameters.parameter[0].part[1].name"),
    ],
)
def test_fhir_operations_faults_of_parameters_are_told_with_their_place(parameter: object, place: str) -> None:
    with pytest.raises(InvalidResource) as caught:
        given(parameter)
    assert [issue.expression for issue in caught.value.issues] == [place]


@pytest.mark.parametrize("body", [None, [], "x", {}, {"resourceType": "Patient"}])
def test_fhir_operations_a_body_of_another_type_is_refused(body: object) -> None:
    with pytest.raises(TypeMismatch):
        parse_parameters(body)


@pytest.mark.parametrize("body", [{"parameter": {}}, {"parameter": None}, {"other": []}])
def test_fhir_operations_parameters_has_one_element(body: dict[str, object]) -> None:
    with pytest.raises(InvalidResource):
        parse_parameters({"resourceType": "Parameters", **body})


def test_a_value_of_the_wrong_type_is_refused_where_it_is_used() -> None:
    found = given(
        {"name": "max", "valueString": "3"},
        {"name": "twice", "valueCode": "a"},
        {"name": "twice", "valueCode": "b"},
        {"name": "meta", "valueMeta": {}},
        {"name": "negative", "valueInteger": -1},
    )
    with pytest.raises(InvalidResource):
        found.whole_number("max")
    with pytest.raises(InvalidResource):
        found.whole_number("negative")
    with pytest.raises(InvalidResource):
        found.one("twice")
    with pytest.raises(InvalidResource):
        found.text("meta")
    with pytest.raises(InvalidResource):
        found.resource("meta")
    with pytest.raises(InvalidResource):
        found.value("meta", "Coding")


def test_texts_of_the_query_are_read_as_what_is_asked_for() -> None:
    found = Parameters([Parameter(name, name, FROM_QUERY, value) for name, value in (("max", "3"), ("exact", "true"))])
    assert found.whole_number("max") == 3
    assert search_pairs(found, ["max"]) == (("exact", "true"),)
    with pytest.raises(InvalidParameter):
        found.whole_number("exact")
