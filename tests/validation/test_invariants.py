"""Invariants of R4 types, one line per rule: an object that keeps it and one that breaks it (fhir_rest §18)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from capability.validation_tables import INVARIANTS
from fhir_server.validation.invariants import checked, invariants_of
from fhir_server.validation.validate import resource_issues

UCUM = "http://unitsofmeasure.org"
TEXT = {"text": "x"}
PATIENT = {"reference": "Patient/1"}
ERROR_ALLERGY = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification",
            "code": "entered-in-error",
        }
    ]
}
ACTIVE_ALLERGY = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}]
}
ERROR_CONDITION = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "entered-in-error"}]
}
CODE = {"coding": [{"system": "http://loinc.org", "code": "1-8"}]}
SAME_CODE = {"code": CODE, "component": [{"code": CODE}]}
DOCUMENT = {"type": "document", "entry": [{"resource": {"resourceType": "Composition"}}]}


def condition(status: str) -> dict[str, Any]:
    """Return a clinical status."""
    return {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": status}]}


CASES: list[tuple[str, str, list[dict[str, Any]], list[dict[str, Any]]]] = [
    ("Age", "age-1", [{"value": 1, "code": "a", "system": UCUM}, {}], [{"value": 1}, {"value": 0, "code": "a"}]),
    ("AllergyIntolerance", "ait-1", [{"clinicalStatus": ACTIVE_ALLERGY}, {"verificationStatus": ERROR_ALLERGY}], [{}]),
    (
        "AllergyIntolerance",
        "ait-2",
        [{"verificationStatus": ERROR_ALLERGY}],
        [{"verificationStatus": ERROR_ALLERGY, "clinicalStatus": ACTIVE_ALLERGY}],
    ),
    ("Attachment", "att-1", [{"data": "AA==", "contentType": "text/plain"}, {"url": "x"}], [{"data": "AA=="}]),
    ("AuditEvent.entity", "sev-1", [{"name": "x"}, {"query": "x"}, {}], [{"name": "x", "query": "x"}]),
    ("Bundle", "bdl-1", [{"type": "searchset", "total": 0}, {"type": "batch"}], [{"type": "batch", "total": 0}]),
    (
        "Bundle",
        "bdl-2",
        [{"type": "searchset", "entry": [{"search": {}}]}],
        [{"type": "batch", "entry": [{"search": {}}]}],
    ),
    (
        "Bundle",
        "bdl-3",
        [{"type": "transaction", "entry": [{"request": {}}]}, {"type": "collection", "entry": [{}]}],
        [{"type": "transaction", "entry": [{}]}, {"type": "collection", "entry": [{"request": {}}]}],
    ),
    (
        "Bundle",
        "bdl-4",
        [{"type": "batch-response", "entry": [{"response": {}}]}],
        [{"type": "batch-response", "entry": [{}]}, {"type": "collection", "entry": [{"response": {}}]}],
    ),
    (
        "Bundle",
        "bdl-7",
        [
            {"entry": [{"fullUrl": "a"}, {"fullUrl": "b"}, {}, {}]},
            {"entry": [{"fullUrl": "a", "resource": {"meta": {"versionId": v}}} for v in "12"]},
            {"type": "history", "entry": [{"fullUrl": "a"}, {"fullUrl": "a"}]},
        ],
        [{"type": "collection", "entry": [{"fullUrl": "a"}, {"fullUrl": "a"}]}],
    ),
    ("Bundle", "bdl-9", [DOCUMENT | {"identifier": {"system": "a", "value": "b"}}, {}], [DOCUMENT]),
    ("Bundle", "bdl-10", [DOCUMENT | {"timestamp": "2020-01-01T00:00:00Z"}, {"type": "batch"}], [DOCUMENT]),
    ("Bundle", "bdl-11", [DOCUMENT], [{"type": "document"}, {"type": "document", "entry": [{}]}]),
    (
        "Bundle",
        "bdl-12",
        [{"type": "message", "entry": [{"resource": {"resourceType": "MessageHeader"}}]}],
        [{"type": "message"}],
    ),
    ("Bundle.entry", "bdl-5", [{"resource": {}}, {"request": {}}, {"response": {}}], [{"fullUrl": "a"}]),
    ("Bundle.entry", "bdl-8", [{"fullUrl": "http://x/Patient/1"}, {}], [{"fullUrl": "http://x/Patient/1/_history/1"}]),
    ("CarePlan.activity", "cpl-3", [{"detail": {}}, {"reference": {}}], [{"detail": {}, "reference": {}}]),
    (
        "CareTeam.participant",
        "ctm-1",
        [{"onBehalfOf": {}, "member": {"reference": "Practitioner/1"}}, {"member": PATIENT}, {"onBehalfOf": {}}],
        [{"onBehalfOf": {}, "member": PATIENT}],
    ),
    ("Composition.section", "cmp-1", [{"text": {}}, {"entry": []}, {"section": []}], [{"title": "x"}]),
    ("Composition.section", "cmp-2", [{"emptyReason": {}}, {"entry": []}], [{"emptyReason": {}, "entry": []}]),
    (
        "Condition",
        "con-4",
        [{"abatementString": "x", "clinicalStatus": condition("resolved")}, {"clinicalStatus": condition("active")}],
        [{"abatementString": "x"}, {"abatementDateTime": "2020", "clinicalStatus": condition("active")}],
    ),
    (
        "Condition",
        "con-5",
        [{"verificationStatus": ERROR_CONDITION}, {"clinicalStatus": condition("active")}],
        [{"verificationStatus": ERROR_CONDITION, "clinicalStatus": condition("active")}],
    ),
    ("Condition.evidence", "con-2", [{"code": [TEXT]}, {"detail": [PATIENT]}], [{"extension": []}]),
    ("Condition.stage", "con-1", [{"summary": TEXT}, {"assessment": [PATIENT]}], [{"type": TEXT}]),
    ("Consent", "ppc-1", [{"policy": []}, {"policyRule": TEXT}], [{}]),
    (
        "Consent",
        "ppc-2",
        [{"patient": PATIENT}, {"scope": TEXT}],
        [{"scope": {"coding": [{"system": "something", "code": "patient-privacy"}]}}],
    ),
    (
        "Consent",
        "ppc-3",
        [{"patient": PATIENT}],
        [{"scope": {"coding": [{"system": "something", "code": "research"}]}}],
    ),
    ("Consent", "ppc-4", [{"patient": PATIENT}], [{"scope": {"coding": [{"system": "something", "code": "adr"}]}}]),
    (
        "Consent",
        "ppc-5",
        [{"patient": PATIENT}],
        [{"scope": {"coding": [{"system": "something", "code": "treatment"}]}}],
    ),
    ("ContactPoint", "cpt-2", [{"value": "x", "system": "phone"}, {"use": "home"}], [{"value": "x"}]),
    (
        "Count",
        "cnt-3",
        [{"value": 3, "code": "1"}, {}],
        [{"value": Decimal("1.0"), "code": "1"}, {"value": 1, "code": "2"}, {"value": 1}],
    ),
    (
        "DataRequirement.codeFilter",
        "drq-1",
        [{"path": "x"}, {"searchParam": "x"}],
        [{}, {"path": "x", "searchParam": "x"}],
    ),
    (
        "DataRequirement.dateFilter",
        "drq-2",
        [{"path": "x"}, {"searchParam": "x"}],
        [{}, {"path": "x", "searchParam": "x"}],
    ),
    (
        "Distance",
        "dis-1",
        [{"value": 1, "code": "m", "system": UCUM}, {}],
        [{"value": 1}, {"value": 1, "code": "m", "system": "x"}],
    ),
    (
        "Duration",
        "drt-1",
        [{"value": 1, "code": "d", "system": UCUM}, {"value": 1}],
        [{"value": 1, "code": "d"}, {"code": "d", "system": UCUM}],
    ),
    ("Expression", "exp-1", [{"expression": "x"}, {"reference": "x"}], [{"language": "text/cql"}]),
    (
        "Extension",
        "ext-1",
        [{"url": "x", "valueString": "x"}, {"url": "x", "extension": []}, {"url": "x", "_valueString": {}}],
        [{"url": "x"}, {"url": "x", "valueString": "x", "extension": []}],
    ),
    ("Goal.target", "gol-1", [{"detailString": "x", "measure": TEXT}, {"measure": TEXT}], [{"detailString": "x"}]),
    ("Group", "grp-1", [{"actual": True, "member": []}, {"actual": False}], [{"actual": False, "member": []}]),
    ("Immunization.education", "imm-1", [{"documentType": "x"}, {"reference": "x"}], [{"publicationDate": "2020"}]),
    ("List", "lst-1", [{"emptyReason": TEXT}, {"entry": []}], [{"emptyReason": TEXT, "entry": []}]),
    (
        "List",
        "lst-2",
        [{"mode": "changes", "entry": [{"deleted": True}]}],
        [{"mode": "working", "entry": [{"deleted": True}]}],
    ),
    (
        "List",
        "lst-3",
        [{"mode": "working", "entry": [{"date": "2020"}]}],
        [{"mode": "changes", "entry": [{"date": "2020"}]}],
    ),
    ("MedicationAdministration.dosage", "mad-1", [{"dose": {}}, {"rateQuantity": {}}], [{"text": "x"}]),
    (
        "MedicationDispense",
        "mdd-1",
        [{"whenPrepared": "2020-01-01", "whenHandedOver": "2020-01-01"}, {"whenHandedOver": "2020"}, {}],
        [{"whenPrepared": "2020-01-02", "whenHandedOver": "2020-01-01"}],
    ),
    (
        "Observation",
        "obs-6",
        [{"valueString": "x"}, {"dataAbsentReason": TEXT}],
        [{"valueString": "x", "dataAbsentReason": TEXT}, {"_valueString": {}, "dataAbsentReason": TEXT}],
    ),
    (
        "Observation",
        "obs-7",
        [SAME_CODE, {"code": TEXT, "component": [{"code": CODE}], "valueString": "x"}],
        [SAME_CODE | {"valueString": "x"}],
    ),
    ("Observation.referenceRange", "obs-3", [{"low": {}}, {"high": {}}, {"text": "x"}], [{"type": TEXT}]),
    ("Organization", "org-1", [{"name": "x"}, {"identifier": []}], [{"active": True}]),
    (
        "Organization",
        "org-2",
        [{"address": [{"use": "work"}, {}]}, {}],
        [{"address": [{"use": "work"}, {"use": "home"}]}],
    ),
    ("Organization", "org-3", [{"telecom": [{"use": "work"}]}], [{"telecom": [{"use": "home"}]}]),
    (
        "Parameters.parameter",
        "inv-1",
        [{"valueString": "x"}, {"resource": {}}, {"part": []}],
        [{"name": "x"}, {"valueString": "x", "part": []}],
    ),
    (
        "Patient.contact",
        "pat-1",
        [{"name": {}}, {"telecom": []}, {"address": {}}, {"organization": {}}],
        [{"gender": "male"}],
    ),
    (
        "Period",
        "per-1",
        [
            {"start": "2020-01-01", "end": "2020-01-01"},
            {"start": "2020-05", "end": "2020"},
            {"start": "2020", "end": "2020-01-01"},
            {"start": "2020-01-01T10:00:00+05:00", "end": "2020-01-01T06:00:00Z"},
            {"start": "2020-01-02", "end": "2020-01-01T20:00:00Z"},
            {"start": "2020"},
            {"end": "2020"},
            {"start": "2020-02-30", "end": "2020-01-01"},
        ],
        [
            {"start": "2020-01-02", "end": "2020-01-01"},
            {"start": "2021", "end": "2020-12"},
            {"start": "2020-01-01T10:00:00Z", "end": "2020-01-01T10:30:00+05:00"},
            {"start": "2020-01-05", "end": "2020-01-01T20:00:00Z"},
        ],
    ),
    ("Quantity", "qty-3", [{"code": "mg", "system": UCUM}, {"value": 1}], [{"code": "mg"}]),
    ("QuestionnaireResponse.item", "qrs-1", [{"answer": []}, {"item": []}], [{"answer": [], "item": []}]),
    (
        "Range",
        "rng-2",
        [
            {"low": {"value": 1}, "high": {"value": Decimal("1.0")}},
            {"low": {"value": 2, "code": "g"}, "high": {"value": 1, "code": "kg"}},
            {},
        ],
        [{"low": {"value": 2}, "high": {"value": 1}}],
    ),
    (
        "Ratio",
        "rat-1",
        [{"numerator": {}, "denominator": {}}, {"extension": []}],
        [{"numerator": {}}, {"denominator": {}}, {}],
    ),
    ("SearchParameter", "spd-1", [{"xpath": "x", "xpathUsage": "normal"}, {}], [{"xpath": "x"}]),
    (
        "SearchParameter",
        "spd-2",
        [{"type": "reference", "chain": []}, {"type": "token"}],
        [{"type": "token", "chain": []}],
    ),
    ("ServiceRequest", "prr-1", [{"orderDetail": [], "code": TEXT}, {}], [{"orderDetail": []}]),
    (
        "Task",
        "inv-1",
        [{"authoredOn": "2020", "lastModified": "2021"}, {"authoredOn": "2020"}],
        [{"authoredOn": "2021", "lastModified": "2020"}],
    ),
    ("Timing.repeat", "tim-1", [{"duration": 1, "durationUnit": "h"}, {}], [{"duration": 1}]),
    ("Timing.repeat", "tim-2", [{"period": 1, "periodUnit": "h"}, {}], [{"period": 1}]),
    ("Timing.repeat", "tim-4", [{"duration": 0}], [{"duration": Decimal("-0.1")}]),
    ("Timing.repeat", "tim-5", [{"period": 0}], [{"period": -1}]),
    ("Timing.repeat", "tim-6", [{"periodMax": 1, "period": 1}], [{"periodMax": 1}]),
    ("Timing.repeat", "tim-7", [{"durationMax": 1, "duration": 1}], [{"durationMax": 1}]),
    ("Timing.repeat", "tim-8", [{"countMax": 1, "count": 1}], [{"countMax": 1}]),
    (
        "Timing.repeat",
        "tim-9",
        [{"offset": 1, "when": ["HS"]}, {"when": ["C"]}],
        [{"offset": 1}, {"offset": 1, "when": ["HS", "CM"]}],
    ),
    ("Timing.repeat", "tim-10", [{"timeOfDay": []}, {"when": []}], [{"timeOfDay": [], "when": []}]),
    ("TriggerDefinition", "trd-1", [{"data": []}, {"timingDate": "2020"}], [{"data": [], "timingDate": "2020"}]),
    ("TriggerDefinition", "trd-2", [{"condition": {}, "data": []}, {}], [{"condition": {}}]),
    (
        "TriggerDefinition",
        "trd-3",
        [
            {"type": "named-event", "name": "x"},
            {"type": "periodic", "timingDate": "2020"},
            {"type": "data-added", "data": []},
        ],
        [{"type": "named-event"}, {"type": "periodic"}, {"type": "data-added"}],
    ),
]

IN_THE_WALK = {
    ("DomainResource", "dom-2"),
    ("DomainResource", "dom-3"),
    ("DomainResource", "dom-4"),
    ("DomainResource", "dom-5"),
    ("Element", "ele-1"),
    ("Narrative.div", "txt-1"),
    ("Narrative.div", "txt-2"),
    ("Reference", "ref-1"),
}
"""Rules that need more than one object: tests of `validate` and `narrative` have them."""


@pytest.mark.parametrize(
    ("type_name", "key", "keeping", "breaking"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES]
)
def test_invariant(type_name, key, keeping, breaking):
    (rule,) = [each for each in invariants_of(type_name) if each.key == key]
    assert [value for value in keeping if not rule.holds(value)] == []
    assert [value for value in breaking if rule.holds(value)] == []


def test_every_invariant_that_is_checked_has_its_line():
    assert {(case[0], case[1]) for case in CASES} == {
        (path.removesuffix(".address").removesuffix(".telecom"), key) for path, key in checked()
    }


def test_every_invariant_of_the_definitions_is_checked():
    published = {(path, key) for path, rules in INVARIANTS.items() for key in rules}
    assert published == checked() | IN_THE_WALK


def test_a_broken_rule_is_told_in_the_words_of_the_specification_where_it_is_broken():
    patient = {"resourceType": "Patient", "contact": [{"name": TEXT}, {"gender": "male"}]}
    (issue,) = resource_issues(patient)
    assert (issue.code, issue.expression) == ("invariant", "Patient.contact[1]")
    assert issue.diagnostics.startswith("pat-1: SHALL at least contain a contact's details")


def test_rules_are_looked_at_only_where_the_structure_is_right():
    faults = resource_issues({"resourceType": "Patient", "contact": [{"gender": 1}]})
    assert [issue.code for issue in faults] == ["structure"]
