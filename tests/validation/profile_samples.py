"""A small resource that follows each profile of US Core and of R4's vital signs, by the profile's id."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

from capability.profiles import PROFILES, Profile

Resource = dict[str, Any]

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
UCUM = "http://unitsofmeasure.org"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
US_CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category"
PATIENT = {"reference": "Patient/p"}


def concept(system: str, *codes: str) -> Resource:
    return {"coding": [{"system": system, "code": code} for code in codes]}


def category(code: str) -> list[Resource]:
    return [concept(f"{TERMINOLOGY}observation-category", code)]


def quantity(unit: str) -> Resource:
    return {"value": Decimal("12.50"), "unit": unit, "system": UCUM, "code": unit}


def observation(codes: tuple[str, ...], kind: list[Resource], **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": kind,
        "code": concept(LOINC, *codes),
        "subject": PATIENT,
        "effectiveDateTime": "2024-02-03T04:05:06Z",
        **more,
    }


def vital(code: str, unit: str) -> Resource:
    return observation((code,), category("vital-signs"), valueQuantity=quantity(unit))


def pressure(code: str, systolic: str, diastolic: str) -> Resource:
    parts = [{"code": concept(LOINC, each), "valueQuantity": quantity("mm[Hg]")} for each in (systolic, diastolic)]
    return observation((code,), category("vital-signs"), component=parts)


def coded(code: str, kind: list[Resource], value: str = "x") -> Resource:
    return observation((code,), kind, valueCodeableConcept=concept(SNOMED, value))


def condition(kind: Resource, **more: Any) -> Resource:
    return {
        "resourceType": "Condition",
        "clinicalStatus": concept(f"{TERMINOLOGY}condition-clinical", "active"),
        "category": [kind],
        "code": concept(SNOMED, "38341003"),
        "subject": PATIENT,
        **more,
    }


def report(kind: Resource) -> Resource:
    return {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "category": [kind],
        "code": concept(LOINC, "58410-2"),
        "subject": PATIENT,
        "effectiveDateTime": "2024-02-03",
        "issued": "2024-02-03T04:05:06Z",
    }


SAMPLES: dict[str, Resource] = {
    # R4
    "vitalsigns": vital("8867-4", "/min"),
    "vitalspanel": observation(("85353-1",), category("vital-signs"), hasMember=[{"reference": "Observation/a"}]),
    "bmi": vital("39156-5", "kg/m2"),
    "bodyheight": vital("8302-2", "cm"),
    "bodytemp": vital("8310-5", "Cel"),
    "bodyweight": vital("29463-7", "kg"),
    "bp": pressure("85354-9", "8480-6", "8462-4"),
    "headcircum": vital("9843-4", "cm"),
    "heartrate": vital("8867-4", "/min"),
    "oxygensat": vital("2708-6", "%"),
    "resprate": vital("9279-1", "/min"),
    # vital signs of US Core
    "head-occipital-frontal-circumference-percentile": vital("8289-1", "%"),
    "pediatric-bmi-for-age": vital("59576-9", "%"),
    "pediatric-weight-for-height": vital("77606-2", "%"),
    "us-core-average-blood-pressure": pressure("96607-7", "96608-5", "96609-3"),
    "us-core-blood-pressure": pressure("85354-9", "8480-6", "8462-4"),
    "us-core-bmi": vital("39156-5", "kg/m2"),
    "us-core-body-height": vital("8302-2", "cm"),
    "us-core-body-temperature": vital("8310-5", "Cel"),
    "us-core-body-weight": vital("29463-7", "kg"),
    "us-core-head-circumference": vital("9843-4", "cm"),
    "us-core-heart-rate": vital("8867-4", "/min"),
    "us-core-pulse-oximetry": observation(("59408-5", "2708-6"), category("vital-signs"), valueQuantity=quantity("%")),
    "us-core-respiratory-rate": vital("9279-1", "/min"),
    "us-core-vital-signs": vital("8867-4", "/min"),
    # other Observations
    "us-core-care-experience-preference": observation(
        ("95541-9",), [concept(US_CATEGORY, "care-experience-preference")], valueString="x"
    ),
    "us-core-treatment-intervention-preference": observation(
        ("75773-2",), [concept(US_CATEGORY, "treatment-intervention-preference")], valueString="x"
    ),
    "us-core-observation-clinical-result": observation(("2345-7",), category("imaging"), valueString="x"),
    "us-core-observation-lab": observation(("2345-7",), category("laboratory"), valueQuantity=quantity("mg/dL")),
    "us-core-observation-occupation": coded("11341-5", category("social-history")),
    "us-core-observation-pregnancyintent": coded("86645-9", category("social-history")),
    "us-core-observation-pregnancystatus": coded("82810-3", category("social-history")),
    "us-core-observation-screening-assessment": observation(
        ("71802-3",), [*category("survey"), concept(US_CATEGORY, "sdoh")], valueString="x"
    ),
    "us-core-observation-sexual-orientation": coded("76690-7", category("social-history"), "20430005"),
    "us-core-simple-observation": observation(("63504-5",), [concept(US_CATEGORY, "sdoh")], valueString="x"),
    "us-core-smokingstatus": coded("72166-2", category("social-history"), "266919005"),
    # other types
    "us-core-allergyintolerance": {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": concept(f"{TERMINOLOGY}allergyintolerance-clinical", "active"),
        "code": concept(SNOMED, "716186003"),
        "patient": PATIENT,
    },
    "us-core-careplan": {
        "resourceType": "CarePlan",
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">plan</div>'},
        "status": "active",
        "intent": "plan",
        "category": [concept("http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "assess-plan")],
        "subject": PATIENT,
    },
    "us-core-careteam": {
        "resourceType": "CareTeam",
        "status": "active",
        "subject": PATIENT,
        "participant": [{"role": [concept(SNOMED, "17561000")], "member": {"reference": "Practitioner/d"}}],
    },
    "us-core-condition-encounter-diagnosis": condition(
        concept(f"{TERMINOLOGY}condition-category", "encounter-diagnosis")
    ),
    "us-core-condition-problems-health-concerns": condition(
        concept(f"{TERMINOLOGY}condition-category", "problem-list-item")
    ),
    "us-core-coverage": {
        "resourceType": "Coverage",
        "status": "active",
        "identifier": [{"type": concept(f"{TERMINOLOGY}v2-0203", "MB"), "system": "urn:x", "value": "1"}],
        "beneficiary": PATIENT,
        "relationship": concept(f"{TERMINOLOGY}subscriber-relationship", "self"),
        "payor": [{"reference": "Organization/o"}],
    },
    "us-core-diagnosticreport-lab": report(concept(f"{TERMINOLOGY}v2-0074", "LAB")),
    "us-core-diagnosticreport-note": report(concept(LOINC, "LP29684-5")),
    "us-core-documentreference": {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": concept(LOINC, "18842-5"),
        "category": [
            concept("http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "clinical-note")
        ],
        "subject": PATIENT,
        "content": [{"attachment": {"contentType": "text/plain", "data": "eA=="}}],
    },
    "us-core-encounter": {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": f"{TERMINOLOGY}v3-ActCode", "code": "AMB"},
        "type": [concept(SNOMED, "185349003")],
        "subject": PATIENT,
    },
    "us-core-goal": {
        "resourceType": "Goal",
        "lifecycleStatus": "active",
        "description": {"text": "walk"},
        "subject": PATIENT,
    },
    "us-core-immunization": {
        "resourceType": "Immunization",
        "status": "completed",
        "vaccineCode": concept("http://hl7.org/fhir/sid/cvx", "207"),
        "patient": PATIENT,
        "occurrenceDateTime": "2024-02-03",
        "primarySource": True,
    },
    "us-core-implantable-device": {
        "resourceType": "Device",
        "udiCarrier": [{"deviceIdentifier": "1"}],
        "type": concept(SNOMED, "468063009"),
        "patient": PATIENT,
    },
    "us-core-location": {"resourceType": "Location", "name": "x"},
    "us-core-medication": {"resourceType": "Medication", "code": {"text": "x"}},
    "us-core-medicationdispense": {
        "resourceType": "MedicationDispense",
        "status": "completed",
        "medicationCodeableConcept": {"text": "x"},
        "subject": PATIENT,
        "whenHandedOver": "2024-02-03",
    },
    "us-core-medicationrequest": {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "x"},
        "subject": PATIENT,
        "authoredOn": "2024-02-03",
        "requester": {"reference": "Practitioner/d"},
    },
    "us-core-organization": {
        "resourceType": "Organization",
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}],
        "active": True,
        "name": "x",
    },
    "us-core-patient": {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:x", "value": "1"}],
        "name": [{"family": "x"}],
        "gender": "unknown",
    },
    "us-core-practitioner": {
        "resourceType": "Practitioner",
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}],
        "name": [{"family": "x"}],
    },
    "us-core-practitionerrole": {
        "resourceType": "PractitionerRole",
        "practitioner": {"reference": "Practitioner/d"},
        "telecom": [{"system": "phone", "value": "1"}],
    },
    "us-core-procedure": {
        "resourceType": "Procedure",
        "status": "completed",
        "code": concept(SNOMED, "430193006"),
        "subject": PATIENT,
        "performedDateTime": "2024-02-03",
    },
    "us-core-provenance": {
        "resourceType": "Provenance",
        "target": [PATIENT],
        "recorded": "2024-02-03T04:05:06Z",
        "agent": [
            {
                "type": concept(f"{TERMINOLOGY}provenance-participant-type", "author"),
                "who": {"reference": "Practitioner/d"},
                "onBehalfOf": {"reference": "Organization/o"},
            }
        ],
    },
    "us-core-questionnaireresponse": {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "http://example.org/q",
        "status": "completed",
        "subject": PATIENT,
        "authored": "2024-02-03",
        "item": [{"linkId": "1", "item": [{"linkId": "2", "answer": [{"valueString": "x"}]}]}],
    },
    "us-core-relatedperson": {
        "resourceType": "RelatedPerson",
        "active": True,
        "patient": PATIENT,
        "name": [{"family": "x"}],
    },
    "us-core-servicerequest": {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "category": [concept(SNOMED, "386053000")],
        "code": concept(LOINC, "24357-6"),
        "subject": PATIENT,
    },
    "us-core-specimen": {"resourceType": "Specimen", "type": concept(SNOMED, "119297000"), "subject": PATIENT},
}


def sample(profile: Profile) -> Resource:
    """Return a resource of one's own that follows a profile."""
    return copy.deepcopy(SAMPLES[profile.url.rpartition("/")[2]])


def of_us_core(name: str, version: str = "7.0.0") -> Profile:
    return PROFILES[f"{US_CORE}{name}|{version}"]


def versioned() -> list[Profile]:
    """Return every profile and extension in every version."""
    return [PROFILES[name] for name in PROFILES if "|" in name]
