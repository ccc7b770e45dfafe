"""Structure of resources (FHIR R4 json.html, datatypes.html; fhir_rest C3, H13): what any checker has to find."""

from __future__ import annotations

import pytest

from fhir_server.validation.structure import structure_issues

OBSERVATION = '{"resourceType":"Observation","status":"final","code":{"text":"x"}%s}'
SECRET = "Wilhelmina"


@pytest.mark.parametrize(
    ("members", "code", "expression"),
    [
        ("", None, None),
        (',"valueQuantity":{"value":7.20}', None, None),
        (',"_valueString":{"extension":[{"url":"http://x","valueCode":"a"}]}', None, None),
        (',"foo":1', "structure", "Observation.foo"),
        (',"Wilhelmina likes tea":1', "structure", "Observation.?"),
        (',"_foo":{}', "structure", "Observation._foo"),
        (',"valueFoo":1', "structure", "Observation.valueFoo"),
        (',"status":"amended"', "structure", "Observation.status"),
        (',"valueInteger":1.5', "value", "Observation.valueInteger"),
        (',"valueInteger":99999999999', "value", "Observation.valueInteger"),
        (',"valueInteger":1,"valueString":"x"', "structure", "Observation.value[x]"),
        (',"subject":[]', "structure", "Observation.subject"),
        (',"category":{}', "structure", "Observation.category"),
        (',"category":[]', "structure", "Observation.category"),
        (',"category":[null]', "structure", "Observation.category[0]"),
        (',"effectiveDateTime":"1974-13"', "value", "Observation.effectiveDateTime"),
        (',"effectiveDateTime":"2020-01-01T10:00:00"', "value", "Observation.effectiveDateTime"),
        (',"issued":"2020-01-01"', "value", "Observation.issued"),
        (',"valueString":""', "structure", "Observation.valueString"),
        (',"valueString":null', "structure", "Observation.valueString"),
        (',"valueBoolean":"true"', "structure", "Observation.valueBoolean"),
        (',"valueQuantity":{"value":"7.2"}', "structure", "Observation.valueQuantity.value"),
        (',"method":"x"', "structure", "Observation.method"),
        (',"language":" en"', "value", "Observation.language"),
        (',"implicitRules":"Wilhelmina Tell"', "value", "Observation.implicitRules"),
        (',"component":[{}]', "required", "Observation.component[0].code"),
        (',"text":{"status":"generated"}', "required", "Observation.text.div"),
        (',"extension":[{"valueString":"x"}]', "required", "Observation.extension[0].url"),
        (',"contained":[{}]', "structure", "Observation.contained[0]"),
        (',"contained":[{"resourceType":"Foo"}]', "structure", "Observation.contained[0]"),
        (',"contained":[{"resourceType":"Patient","foo":1}]', "structure", "Observation.contained[0].foo"),
        (',"performer":[{"reference":1}]', "structure", "Observation.performer[0].reference"),
    ],
)
def test_fhir_C3_structure_of_an_observation_with(members, code, expression):
    found = structure_issues((OBSERVATION % members).encode())
    assert [(issue.code, issue.expression) for issue in found] == ([(code, expression)] if code else [])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"resourceType":"Observation","status":"final"}', "required"),
        ('{"resourceType":"Foo"}', "structure"),
        ("{}", "structure"),
        ("[]", "structure"),
        ('{"resourceType":"Patient","photo":[{"data":"a"}]}', "value"),
        ('{"resourceType":"Patient","telecom":[{"rank":0}]}', "value"),
        ('{"resourceType":"Patient","name":[{"given":["a",null]}]}', "structure"),
        ('{"resourceType":"Patient","name":[{"given":["a"],"_given":[null,{"id":"x"}]}]}', "structure"),
    ],
)
def test_fhir_C3_a_fault_of_structure_is_found_in(body, code):
    assert code in {issue.code for issue in structure_issues(body.encode())}


def test_nulls_that_line_up_with_siblings_are_right():
    name = '{"given":["a",null],"_given":[null,{"extension":[{"url":"http://x","valueCode":"unknown"}]}]}'
    assert structure_issues(f'{{"resourceType":"Patient","name":[{name}]}}'.encode()) == []


def test_fhir_C3_all_faults_are_found_at_once():
    body = '{"resourceType":"Patient","foo":1,"birthDate":"x","communication":[{"preferred":1}]}'
    assert {issue.expression for issue in structure_issues(body.encode())} == {
        "Patient.foo",
        "Patient.birthDate",
        "Patient.communication[0].language",
        "Patient.communication[0].preferred",
    }


@pytest.mark.parametrize(
    "members",
    [
        '"birthDate":"%s"',
        '"birthDate":"%s is not a valid thing"',
        '"language":"  expected %s"',
        '"implicitRules":"null %s"',
        '"photo":[{"data":"%s!"}]',
        '"meta":{"lastUpdated":"%s","versionId":" %s"}',
        '"the name is %s":1',
        '"name":"%s"',
        '"contained":[{"resourceType":"%s"}]',
    ],
)
def test_no_diagnostic_tells_a_value(members):
    body = '{"resourceType":"Patient",%s}' % members.replace("%s", SECRET)  # noqa: UP031 - JSON is full of braces
    found = structure_issues(body.encode())
    assert found
    assert all(SECRET not in issue.diagnostics + issue.expression for issue in found)
