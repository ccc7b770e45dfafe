"""What the structure check leaves: bindings, ids, days, references, emptiness (fhir_rest C2, C3; settled §3.5, §5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capability.elements import elements_of
from fhir_server.errors import InvalidResource, Issue, RuleBroken, TypeMismatch
from fhir_server.fhir.json_body import encode_json
from fhir_server.validation.validate import resource_issues, validate_resource

OBSERVATION = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
PATIENT = {"resourceType": "Patient"}


def faults(resource, **options):
    """Return code and expression of everything wrong with a resource."""
    return [(issue.code, issue.expression) for issue in resource_issues(resource, **options)]


def test_fhir_C2_a_body_of_another_type_than_the_address_is_refused():
    with pytest.raises(TypeMismatch, match="Observation") as refused:
        validate_resource(PATIENT, expected_type="Observation")
    assert refused.value.expression == "Patient"


@pytest.mark.parametrize("body", [[], 1, "x", None, {}, {"resourceType": 1}, {"resourceType": None}, {"id": "a"}])
def test_fhir_C2_what_is_no_resource_is_refused(body):
    with pytest.raises(InvalidResource) as refused:
        validate_resource(body, expected_type="Patient")
    assert [issue.code for issue in refused.value.issues] == ["structure"]
    assert not isinstance(refused.value, RuleBroken)


def test_fhir_C3_faults_of_structure_and_of_bindings_come_in_one_answer():
    resource = {**OBSERVATION, "status": "bogus", "foo": 1, "effectiveDateTime": "1974-02-30", "subject": {}}
    with pytest.raises(InvalidResource) as refused:
        validate_resource(resource, expected_type="Observation")
    assert {(issue.code, issue.expression) for issue in refused.value.issues} == {
        ("structure", "Observation.foo"),
        ("code-invalid", "Observation.status"),
        ("value", "Observation.effective"),
        ("structure", "Observation.subject"),
    }


def test_settled_5_bindings_and_invariants_alone_are_broken_rules():
    resource = {**OBSERVATION, "status": "bogus", "valueString": "x", "dataAbsentReason": {"text": "y"}}
    with pytest.raises(RuleBroken) as refused:
        validate_resource(resource)
    assert [issue.code for issue in refused.value.issues] == ["code-invalid", "invariant"]


def test_settled_5_a_fault_of_structure_outweighs_broken_rules():
    with pytest.raises(InvalidResource) as refused:
        validate_resource({**OBSERVATION, "status": "bogus", "foo": 1})
    assert not isinstance(refused.value, RuleBroken)


def test_bytes_and_value_give_the_same_faults():
    resource = {**OBSERVATION, "valueInteger": "x"}
    assert resource_issues(resource, encode_json(resource)) == resource_issues(resource)


@pytest.mark.parametrize(
    ("members", "expression"),
    [
        ({"valueQuantity": {"value": "7"}}, "Observation.value.value"),
        ({"valueString": 1, "valueInteger": 1}, "Observation.value"),
        ({"component": [{"code": {"text": "x"}, "valueQuantity": {"code": 1}}]}, "Observation.component[0].value.code"),
        ({"contained": [{"resourceType": "Patient", "deceasedBoolean": 1}]}, "Observation.contained[0].deceased"),
        ({"_issued": 5}, "Observation.issued"),
    ],
)
def test_fhir_C3_expressions_are_fhirpath_not_json_names(members, expression):
    assert expression in [found for _, found in faults({**OBSERVATION, **members})]


# --- ids, days, emptiness ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("found", ["a b", "a" * 65, "a_b", "a/b", "é", "a\n"])
def test_fhir_H2_an_id_is_refused_that_is_none(found):
    assert ("value", "Patient.id") in faults({**PATIENT, "id": found})


@pytest.mark.parametrize("found", ["a", "A-1.b", "a" * 64])
def test_fhir_H2_an_id_is_accepted(found):
    assert faults({**PATIENT, "id": found}) == []


@pytest.mark.parametrize("day", ["1974-02-30", "2019-02-29", "2020-04-31", "0000", "0000-01-01", "1900-02-29"])
def test_a_day_that_is_in_no_calendar_is_refused(day):
    assert faults({**PATIENT, "birthDate": day}) == [("value", "Patient.birthDate")]


@pytest.mark.parametrize("day", ["2020-02-29", "2000-02-29", "1974", "1974-12", "0001-01-01", "9999-12-31"])
def test_a_day_of_the_calendar_is_accepted(day):
    assert faults({**PATIENT, "birthDate": day}) == []


def test_days_are_checked_in_moments_and_lists():
    resource = {**OBSERVATION, "issued": "2021-02-29T10:00:00Z", "effectiveTiming": {"event": ["2020", "2021-06-31"]}}
    assert faults(resource) == [("value", "Observation.issued"), ("value", "Observation.effective.event[1]")]


@pytest.mark.parametrize(
    ("members", "expression"),
    [
        ({"managingOrganization": {}}, "Patient.managingOrganization"),
        ({"name": [{"family": "x"}, {}]}, "Patient.name[1]"),
        ({"gender": "male", "_gender": {}}, "Patient.gender"),
        ({"extension": [{"url": "http://x", "valueCoding": {}}]}, "Patient.extension[0].value"),
        ({"fhir_comments": ["x"]}, "Patient.fhir_comments"),
        ({"name": [{"fhir_comments": ["x"], "family": "x"}]}, "Patient.name[0].fhir_comments"),
    ],
)
def test_empty_objects_and_comments_of_earlier_versions_are_refused(members, expression):
    assert faults({**PATIENT, **members}) == [("structure", expression)]


def test_an_element_with_an_id_only_breaks_ele_1():
    assert faults({**PATIENT, "name": [{"id": "a"}]}) == [("invariant", "Patient.name[0]")]
    assert faults({**PATIENT, "gender": "male", "_gender": {"id": "a"}}) == []


# --- bindings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "expression"),
    [
        ({**PATIENT, "gender": "m"}, "Patient.gender"),
        ({**PATIENT, "name": [{"use": "x", "family": "x"}]}, "Patient.name[0].use"),
        ({**PATIENT, "link": [{"other": {"reference": "Patient/1"}, "type": "x"}]}, "Patient.link[0].type"),
        ({**OBSERVATION, "status": "Final"}, "Observation.status"),
        (
            {**OBSERVATION, "component": [{"code": {"text": "x"}, "valueQuantity": {"value": 1, "comparator": "="}}]},
            "Observation.component[0].value.comparator",
        ),
        (
            {
                "resourceType": "MedicationStatement",
                "status": "bogus",
                "medicationCodeableConcept": {"text": "x"},
                "subject": {"reference": "Patient/1"},
            },
            "MedicationStatement.status",
        ),
        (
            {**OBSERVATION, "contained": [{**PATIENT, "id": "a", "gender": "m"}], "subject": {"reference": "#a"}},
            "Observation.contained[0].gender",
        ),
        (
            {**PATIENT, "text": {"status": "x", "div": '<div xmlns="http://www.w3.org/1999/xhtml">a</div>'}},
            "Patient.text.status",
        ),
    ],
)
def test_fhir_C3_a_code_outside_its_required_value_set_is_refused(resource, expression):
    assert faults(resource) == [("code-invalid", expression)]


def test_the_remedy_lists_the_codes_of_a_short_value_set():
    (issue,) = resource_issues({**PATIENT, "gender": "Wilhelmina"})
    assert "female, male, other, unknown" in issue.diagnostics
    assert "Wilhelmina" not in issue.diagnostics


@pytest.mark.parametrize(
    ("coding", "is_right"),
    [
        ([{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}], True),
        (
            [
                {"system": "http://x", "code": "y"},
                {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"},
            ],
            True,
        ),
        ([{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "bogus"}], False),
        ([{"system": "http://x", "code": "active"}], False),
        ([{"code": "active"}], False),
        (None, False),
    ],
)
def test_one_coding_of_a_bound_concept_has_to_be_in_the_value_set(coding, is_right):
    status = {"coding": coding} if coding else {"text": "active"}
    resource = {"resourceType": "Condition", "subject": {"reference": "Patient/1"}, "clinicalStatus": status}
    assert faults(resource) == ([] if is_right else [("code-invalid", "Condition.clinicalStatus")])


def test_a_code_may_be_absent_with_a_reason():
    reason = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    resource = {"resourceType": "Observation", "_status": {"extension": [reason]}, "code": {"text": "x"}}
    assert faults(resource) == []


# --- references -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "literal",
    [
        "Patient/1",
        "Patient/1/_history/2",
        "Group/a.b-c",
        "http://example.org/fhir/Patient/1",
        "https://example.org/fhir/Patient/1/_history/1",
        "urn:uuid:0d1d30da-56ac-46ab-887e-5f0699593059",
        "urn:oid:1.2.3.4",
        "https://example.org/persons?id=1",
    ],
)
def test_settled_3_5_a_literal_reference_is_stored_whether_its_target_is_there_or_not(literal):
    assert faults({**OBSERVATION, "subject": {"reference": literal}}) == []


@pytest.mark.parametrize(
    "literal",
    [
        "1",
        "Patient",
        "Patient/",
        "/Patient/1",
        "patient/1",
        "Foo/1",
        "Patient/a b",
        "Patient/" + "a" * 65,
        "Patient/1/_history",
        "Patient/1/name",
        "Patient/1#a",
        "urn:uuid:1",
        "urn:oid:x",
        "http://example.org/a b",
        "Patient?identifier=x",
        "../Patient/1",
    ],
)
def test_settled_3_5_a_reference_of_no_form_is_refused(literal):
    assert faults({**OBSERVATION, "subject": {"reference": literal}}) == [("value", "Observation.subject.reference")]


@pytest.mark.parametrize(
    "literal", ["Medication/1", "http://example.org/fhir/Medication/1", "Observation/1/_history/1"]
)
def test_a_reference_to_a_type_that_is_not_permitted_is_refused(literal):
    (issue,) = resource_issues({**OBSERVATION, "subject": {"reference": literal}})
    assert (issue.code, issue.expression) == ("value", "Observation.subject.reference")
    assert "Device, Group, Location, Patient" in issue.diagnostics


def test_fhir_B6_a_conditional_reference_is_one_in_a_transaction_only():
    resource = {**OBSERVATION, "performer": [{"reference": "Practitioner?identifier=http://x|1"}]}
    assert faults(resource, in_transaction=True) == []
    assert faults(resource) == [("value", "Observation.performer[0].reference")]
    other = {**OBSERVATION, "performer": [{"reference": "Medication?identifier=http://x|1"}]}
    assert faults(other, in_transaction=True) == [("value", "Observation.performer[0].reference")]


def test_references_need_no_literal():
    assert faults({**OBSERVATION, "subject": {"identifier": {"system": "http://x", "value": "1"}}}) == []
    assert faults({**OBSERVATION, "subject": {"display": "somebody"}}) == []


# --- contained resources ----------------------------------------------------------------------------------------------


def test_ref_1_a_local_reference_leads_to_a_contained_resource():
    resource = {**OBSERVATION, "subject": {"reference": "#a"}}
    assert faults(resource) == [("invariant", "Observation.subject")]
    assert faults({**resource, "contained": [{**PATIENT, "id": "a"}]}) == []


def test_a_local_reference_leads_to_a_permitted_type():
    resource = {**OBSERVATION, "subject": {"reference": "#a"}, "contained": [{"resourceType": "Medication", "id": "a"}]}
    assert faults(resource) == [("value", "Observation.subject.reference")]


def test_dom_2_contained_resources_contain_none():
    inner = {**PATIENT, "id": "a", "contained": [{**PATIENT, "id": "b"}]}
    resource = {**OBSERVATION, "subject": {"reference": "#a"}, "contained": [inner]}
    assert faults(resource) == [("invariant", "Observation.contained[0]")]


def test_dom_3_contained_resources_are_referred_to():
    unused = {**OBSERVATION, "contained": [{**PATIENT, "id": "a"}]}
    assert faults(unused) == [("invariant", "Observation.contained[0]")]
    back = {"resourceType": "Observation", "id": "b", "status": "final", "code": {"text": "x"}}
    back["derivedFrom"] = [{"reference": "#"}]
    assert faults({**OBSERVATION, "contained": [back]}) == []


def test_dom_3_contained_resources_may_be_named_by_canonicals():
    questionnaire = {"resourceType": "Questionnaire", "id": "q", "status": "active"}
    answers = {"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": "#q"}
    assert faults({**answers, "contained": [questionnaire]}) == []


@pytest.mark.parametrize(
    "meta",
    [{"versionId": "1"}, {"lastUpdated": "2020-01-01T00:00:00Z"}, {"security": [{"system": "http://x", "code": "R"}]}],
)
def test_dom_4_dom_5_contained_resources_have_no_version_and_no_labels(meta):
    contained = [{**PATIENT, "id": "a", "meta": meta}]
    resource = {**OBSERVATION, "subject": {"reference": "#a"}, "contained": contained}
    assert faults(resource) == [("invariant", "Observation.contained[0]")]


# --- Bundles ----------------------------------------------------------------------------------------------------------


def test_faults_in_the_entries_of_a_bundle_have_their_place_in_it():
    resource = {**OBSERVATION, "status": "bogus", "subject": {"reference": "x"}}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": PATIENT}, {"resource": resource}]}
    assert faults(bundle) == [
        ("code-invalid", "Bundle.entry[1].resource.status"),
        ("value", "Bundle.entry[1].resource.subject.reference"),
    ]
    bundle["entry"][1]["resource"] = {**OBSERVATION, "valueQuantity": {"value": "x"}}
    assert faults(bundle) == [("structure", "Bundle.entry[1].resource.value.value")]


def test_local_references_stay_within_their_entry():
    one = {**OBSERVATION, "subject": {"reference": "#a"}, "contained": [{**PATIENT, "id": "a"}]}
    other = {**OBSERVATION, "subject": {"reference": "#a"}}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one}, {"resource": other}]}
    assert faults(bundle) == [("invariant", "Bundle.entry[1].resource.subject")]


def test_no_more_faults_are_kept_than_are_listed():
    resource = {**PATIENT, "name": [{"use": "x"} for _ in range(2000)]}
    assert len(resource_issues(resource)) == 501
    resource = {**PATIENT, "name": [{"foo": "x"} for _ in range(2000)]}
    assert len(resource_issues(resource)) == 501


def test_an_issue_knows_whether_it_is_about_a_rule():
    assert Issue("invariant", "", "").breaks_rule
    assert not Issue("structure", "", "").breaks_rule


# --- laws -------------------------------------------------------------------------------------------------------------

ODD_KEYS = [
    "id",
    "extension",
    "url",
    "valueString",
    "reference",
    "coding",
    "code",
    "system",
    "value",
    "start",
    "end",
    "resourceType",
    "contained",
    "meta",
    "text",
    "status",
    "div",
    "fhir_comments",
    "low",
    "high",
    "x:y",
]
odd_values = st.recursive(
    st.sampled_from(
        [None, True, 0, -1, 10**20, "", " ", "x", "#", "#a", "Patient/1", "Patient?a=b", "2020-02-30", "urn:x"]
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(ODD_KEYS),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)
keys = [
    name.replace("[x]", "Period")
    for each in ("Observation", "Patient", "Condition", "Bundle")
    for name in elements_of(each)
]


@given(
    st.sampled_from(["Observation", "Patient", "Condition", "Bundle"]),
    st.dictionaries(st.sampled_from(keys), odd_values),
)
def test_whatever_a_resource_holds_faults_are_found_and_nothing_fails(resource_type, members):
    resource = {**members, "resourceType": resource_type, "contained": [{"resourceType": {}}, members]}
    assert resource_issues(resource)


def test_fhir_18_a_simple_quantity_has_no_comparator():
    low = {"value": 1, "comparator": "<"}
    resource = {**OBSERVATION, "referenceRange": [{"low": low}], "valueRange": {"high": low}}
    assert sorted(faults(resource)) == [
        ("invariant", "Observation.referenceRange[0].low"),
        ("invariant", "Observation.value.high"),
    ]
    assert faults({**OBSERVATION, "valueQuantity": low, "referenceRange": [{"low": {"value": 1}}]}) == []
    dose = {"doseAndRate": [{"doseQuantity": low}]}
    request = {
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "x"},
        "dosageInstruction": [dose],
    }
    found = faults({"resourceType": "MedicationRequest", "subject": {"reference": "Patient/a"}, **request})
    assert found == [("invariant", "MedicationRequest.dosageInstruction[0].doseAndRate[0].dose")]
