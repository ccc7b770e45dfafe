"""FHIRPath Patch without a server (FHIR R4 fhirpatch.html; fhir_rest P2): paths, operations, values."""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal

import pytest

from fhir_server.errors import BodyTooComplex, MalformedBody, PatchFailed
from fhir_server.fhir.patch.fhirpath_patch import FhirPathPatch
from fhir_server.fhir.patch.paths import PathError, parse_path
from fhir_server.fhir.patch.places import Node

PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "birthDate": "1970-01-01",
    "_birthDate": {"extension": [{"url": "http://example.org/time", "valueDateTime": "1970-01-01T10:00:00Z"}]},
    "name": [
        {"use": "official", "family": "Chalmers", "given": ["Peter", "James"]},
        {"use": "usual", "given": [None, "Jim"], "_given": [{"id": "g"}, None]},
    ],
    "identifier": [
        {"system": "http://a.example", "value": "1"},
        {"system": "http://b.example", "value": "it's"},
    ],
    "maritalStatus": {"text": "single"},
    "multipleBirthInteger": 2,
    "contact": [{"gender": "male", "name": {"family": "Roe"}}],
}
OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "x"},
    "valueQuantity": {"value": Decimal("6.10"), "unit": "kg"},
    "component": [{"code": {"coding": [{"code": "a"}]}}, {"code": {"coding": [{"code": "b"}]}, "valueBoolean": False}],
}


def operation(kind, path, *parts, **named):
    made = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    names = {"name": "valueString", "index": "valueInteger", "source": "valueInteger", "destination": "valueInteger"}
    made += [{"name": name, names[name]: value} for name, value in named.items()]
    return {"name": "operation", "part": [*made, *parts]}


def value(**given):
    return {"name": "value", **given}


def patched(resource, *operations):
    parameters = {"resourceType": "Parameters", "parameter": list(operations)}
    return FhirPathPatch(parameters).apply(deepcopy(resource))


def found(resource, path):
    resource = deepcopy(resource)
    nodes = parse_path(path).nodes(Node(resource, None, resource["resourceType"]))
    return [node.value for node in nodes]


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("Patient.birthDate", ["1970-01-01"]),
        ("birthDate", ["1970-01-01"]),
        ("Resource.id", ["p"]),
        ("Observation.id", []),
        ("Patient.name.given", ["Peter", "James", None, "Jim"]),
        ("Patient.name[0].given[1]", ["James"]),
        ("Patient.name[7]", []),
        ("Patient.name.where(use = 'official').family", ["Chalmers"]),
        ("Patient.name.where(use != 'official').given.last()", ["Jim"]),
        ("Patient.identifier.where(system='http://b.example' and value='it\\'s').value", ["it's"]),
        ("Patient.identifier.where(value = '1' or value = '2').system", ["http://a.example"]),
        ("Patient.identifier.where((value = '1').not()).system", ["http://b.example"]),
        ("Patient.name.given.where($this = 'Peter')", ["Peter"]),
        ("Patient.name.given.where(startsWith('J'))", ["James", "Jim"]),
        ("Patient.name.where(family.exists()).use", ["official"]),
        ("Patient.name.where(family.empty()).use", ["usual"]),
        ("Patient.contact.where(name.exists(family = 'Roe')).gender", ["male"]),
        ("Patient.name.first().use", ["official"]),
        ("Patient.name.tail().use", ["usual"]),
        ("Patient.name.skip(1).use", ["usual"]),
        ("Patient.name.take(1).use", ["official"]),
        ("Patient.`active`", [True]),
        ("Patient.multipleBirth", [2]),
        ("Patient.multipleBirth.ofType(integer)", [2]),
        ("(Patient.multipleBirth as boolean)", []),
        ("Patient.birthDate.extension('http://example.org/time').value", ["1970-01-01T10:00:00Z"]),
        ("Patient.nothing", []),
        ("Patient.birthDate.nothing", []),
    ],
)
def test_fhir_P2_a_path_leads_to(path, values):
    assert found(PATIENT, path) == values


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("Observation.value.value", [Decimal("6.10")]),
        ("Observation.value.where(value = 6.1).unit", ["kg"]),
        ("Observation.value.where(value > 6 and value <= 6.1).unit", ["kg"]),
        ("Observation.component.where(code.coding.code = 'b').value", [False]),
        ("Observation.component.where(value = false).code.coding.code", ["b"]),
        ("Observation.component.where(value = 0).code.coding.code", []),
    ],
)
def test_fhir_P2_numbers_are_compared_by_value_and_are_no_booleans(path, values):
    assert found(OBSERVATION, path) == values


@pytest.mark.parametrize(
    "path",
    [
        "",
        "Patient.",
        "Patient..name",
        "Patient.name[",
        "Patient.name[-1]",
        "Patient.name[x]",
        "Patient.name.where()",
        "Patient.name.where(use = )",
        "Patient.name.repeat(given)",
        "Patient.name.matches('(a+)+$')",
        "Patient.name + 1",
        "Patient name",
        "'open",
        "(" * 30 + "Patient" + ")" * 30,
        "Patient" + ".name" * 300,
    ],
)
def test_fhir_P2_other_paths_are_refused(path):
    with pytest.raises(PathError):
        parse_path(path)


def test_fhir_P2_add_appends_to_lists_and_sets_what_is_not_there():
    after = patched(
        PATIENT,
        operation("add", "Patient", value(valueHumanName={"text": "New"}), name="name"),
        operation("add", "Patient", value(valueCode="female"), name="gender"),
        operation("add", "Patient.name[0]", value(valueString="Third"), name="given"),
        operation("add", "Patient", value(valueBoolean=True), name="deceased"),
        operation("add", "Patient.maritalStatus", value(valueCoding={"code": "S"}), name="coding"),
    )
    assert [each.get("text") for each in after["name"]] == [None, None, "New"]
    assert after["gender"] == "female"
    assert after["name"][0]["given"] == ["Peter", "James", "Third"]
    assert after["deceasedBoolean"] is True
    assert after["maritalStatus"] == {"text": "single", "coding": [{"code": "S"}]}


def test_fhir_P2_an_extension_is_added_to_a_primitive_value():
    extension = {"url": "http://example.org/x", "valueBoolean": True}
    after = patched(PATIENT, operation("add", "Patient.active", value(valueExtension=extension), name="extension"))
    assert after["_active"] == {"extension": [extension]}
    after = patched(
        PATIENT, operation("add", "Patient.name[0].given[1]", value(valueExtension=extension), name="extension")
    )
    assert after["name"][0]["_given"] == [None, {"extension": [extension]}]


def test_fhir_P2_an_anonymous_object_is_made_of_parts():
    after = patched(
        PATIENT,
        operation(
            "add",
            "Patient",
            {
                "name": "value",
                "part": [
                    {"name": "name", "valueHumanName": {"text": "Mum"}},
                    {"name": "relationship", "valueCodeableConcept": {"text": "mother"}},
                    {"name": "telecom", "part": [{"name": "value", "valueString": "555"}]},
                ],
            },
            name="contact",
        ),
    )
    assert after["contact"][1] == {
        "name": {"text": "Mum"},
        "relationship": [{"text": "mother"}],
        "telecom": [{"value": "555"}],
    }


def test_fhir_P2_insert_puts_between_and_keeps_what_lies_beside_in_step():
    after = patched(PATIENT, operation("insert", "Patient.name[1].given", value(valueString="First"), index=0))
    assert after["name"][1]["given"] == ["First", None, "Jim"]
    assert after["name"][1]["_given"] == [None, {"id": "g"}, None]
    after = patched(PATIENT, operation("insert", "Patient.identifier", value(valueIdentifier={"value": "z"}), index=2))
    assert [each["value"] for each in after["identifier"]] == ["1", "it's", "z"]


def test_fhir_P2_delete_takes_one_out_with_what_lies_beside_and_nothing_when_there_is_none():
    after = patched(PATIENT, operation("delete", "Patient.birthDate"), operation("delete", "Patient.photo"))
    assert not {"birthDate", "_birthDate"} & set(after)
    after = patched(PATIENT, operation("delete", "Patient.name[1].given[0]"))
    assert after["name"][1] == {"use": "usual", "given": ["Jim"]}
    after = patched(PATIENT, operation("delete", "Patient.identifier[0]"), operation("delete", "Patient.identifier[0]"))
    assert "identifier" not in after


def test_fhir_P2_an_object_that_loses_all_it_held_goes_as_well():
    after = patched(PATIENT, operation("delete", "Patient.maritalStatus.text"))
    assert "maritalStatus" not in after
    after = patched(
        PATIENT, operation("delete", "Patient.contact.gender"), operation("delete", "Patient.contact.name.family")
    )
    assert "contact" not in after


def test_fhir_P2_replace_changes_the_value_and_the_type_of_a_choice():
    after = patched(
        OBSERVATION,
        operation("replace", "Observation.value", value(valueString="heavy")),
        operation("replace", "Observation.component[0].code.coding[0].code", value(valueCode="c")),
    )
    assert "valueQuantity" not in after
    assert after["valueString"] == "heavy"
    assert after["component"][0]["code"]["coding"] == [{"code": "c"}]


def test_fhir_P2_digits_of_decimals_are_kept():
    after = patched(OBSERVATION, operation("replace", "Observation.value.value", value(valueDecimal=Decimal("6.100"))))
    assert str(after["valueQuantity"]["value"]) == "6.100"


def test_fhir_P2_move_within_a_list():
    after = patched(PATIENT, operation("move", "Patient.identifier", source=1, destination=0))
    assert [each["value"] for each in after["identifier"]] == ["it's", "1"]
    after = patched(PATIENT, operation("move", "Patient.name[1].given", source=0, destination=1))
    assert (after["name"][1]["given"], after["name"][1]["_given"]) == (["Jim", None], [None, {"id": "g"}])


@pytest.mark.parametrize(
    "bad",
    [
        operation("replace", "Patient.name", value(valueHumanName={"text": "x"})),
        operation("replace", "Patient.photo", value(valueAttachment={"url": "x"})),
        operation("replace", "Patient", value(valueString="x")),
        operation("replace", "Patient.birthDate"),
        operation("replace", "Patient.multipleBirth", value(valueString="x")),
        operation("add", "Patient.name", value(valueString="x"), name="family"),
        operation("add", "Patient", value(valueString="x"), name="nothing"),
        operation("add", "Patient", value(valueDate="2000"), name="birthDate"),
        operation("add", "Patient", value(valueInteger=1), name="multipleBirth"),
        operation("add", "Patient", value(valueString="x")),
        operation("delete", "Patient.name"),
        operation("delete", "Patient"),
        operation("insert", "Patient.name[0]", value(valueHumanName={"text": "x"}), index=0),
        operation("insert", "Patient.birthDate", value(valueDate="2000"), index=0),
        operation("insert", "Patient.name.given", value(valueString="x"), index=0),
        operation("insert", "Patient.name", value(valueHumanName={"text": "x"}), index=3),
        operation("insert", "Patient.name", value(valueHumanName={"text": "x"})),
        operation("move", "Patient.name", source=0, destination=2),
        operation("move", "Patient.name", source=-1, destination=0),
        operation("move", "Patient.photo", source=0, destination=0),
        operation("change", "Patient.name"),
        operation("replace", "Patient.name[", value(valueString="x")),
        operation("replace", "'x'", value(valueString="x")),
        {"name": "operation", "part": [{"name": "type", "valueCode": "delete"}]},
        {"name": "operation"},
        operation("delete", "Patient.photo", {"name": "path", "valueString": "Patient.name[0]"}),
    ],
)
def test_fhir_P2_what_cannot_be_done_is_refused_with_its_operation(bad):
    with pytest.raises(PatchFailed) as refusal:
        patched(PATIENT, operation("delete", "Patient.active"), bad)
    assert refusal.value.operation == 1


def test_fhir_P2_parameters_that_are_no_operations_are_no_patch():
    with pytest.raises(MalformedBody):
        FhirPathPatch({"resourceType": "Parameters", "parameter": [{"name": "other", "valueString": "x"}]})


def test_a_patch_can_be_applied_again_and_shares_nothing_with_what_it_made():
    name = operation("add", "Patient", value(valueHumanName={"given": ["A"]}), name="name")
    given = operation("add", "Patient.name[2]", value(valueString="B"), name="given")
    patch = FhirPathPatch({"resourceType": "Parameters", "parameter": [name, given]})
    assert [patch.apply(deepcopy(PATIENT))["name"][2]["given"] for _ in range(2)] == [["A", "B"]] * 2


NOTES = [{"authorString": "abc", "text": str(number)} for number in range(3_000)]
NOTED = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "note": NOTES}


@pytest.mark.parametrize(
    "path",
    [
        "Observation.note.where(author = 'abc' and author != 'q').skip({}).first().text",
        "Observation.note[{}].text",
        "Observation.note.where(" + " and ".join(["1 = 1"] * 20) + ").skip({}).first().text",
        "Observation.note.where($this.where($this.where(author.exists()).exists()).exists()).skip({}).first().text",
    ],
)
def test_security_RL3_what_all_paths_of_a_patch_look_at_is_bounded(path: str):
    many = [operation("replace", path.format(number), value(valueString="y")) for number in range(1_000)]
    with pytest.raises(BodyTooComplex):
        patched(NOTED, *many)
    assert patched(NOTED, *many[:2])["note"][1]["text"] == "y"


def test_fhir_P2_as_many_operations_as_there_may_be_fill_a_list():
    more = value(valueAnnotation={"text": "more"})
    several = [operation("add", "Observation", more, name="note") for _ in range(1_000)]
    assert len(patched({**NOTED, "note": []}, *several)["note"]) == 1_000
