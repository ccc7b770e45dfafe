"""URLs that mapped resources carry: this server's own ones under `BASE`, and those of HL7 and terminologies.

A code, identifier or extension that no public system defines lives under `BASE`; it is a name, not an address.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

BASE: Final = "https://fhir-server.example"
"""Root of every URL that this server defines itself."""

# Code systems and extensions of this server.
BIOMARKER: Final = f"{BASE}/CodeSystem/biomarker"
WEARABLE_METRIC: Final = f"{BASE}/CodeSystem/wearable-metric"
LAB_REPORT: Final = f"{BASE}/CodeSystem/report"
CARE_PLAN_CATEGORY: Final = f"{BASE}/CodeSystem/care-plan-category"
CARE_PROGRAM_TYPE: Final = f"{BASE}/CodeSystem/care-program-type"
PRODUCT: Final = f"{BASE}/CodeSystem/product"
COMPOUND: Final = f"{BASE}/CodeSystem/compound"
TAG: Final = f"{BASE}/CodeSystem/tag"
SUBSCRIPTION_TIER: Final = f"{BASE}/CodeSystem/subscription-tier"
RELATIONSHIP: Final = f"{BASE}/CodeSystem/profile-relationship"
METRIC: Final = f"{BASE}/CodeSystem/metric"
METRIC_CATEGORY: Final = f"{BASE}/CodeSystem/metric-category"
METRIC_MEMBER: Final = f"{BASE}/CodeSystem/metric-member"
METRIC_OPTION: Final = f"{BASE}/CodeSystem/metric-option/"
"""Prefix of one code system per metric, of the values that it offers."""
EXACT_STATUS: Final = f"{BASE}/StructureDefinition/exact-status"
NEXT_REFILL: Final = f"{BASE}/StructureDefinition/next-refill-date"
SOURCE: Final = f"{BASE}/source/"
CONSENT_TYPE: Final = f"{BASE}/CodeSystem/consent-type"

CARE_PROGRAM: Final = f"{BASE}/care-program/"
"""Prefix of the URI of a care program, which CarePlan.instantiatesUri names."""

# Identifier systems of this server.
LAB_UPLOAD: Final = f"{BASE}/identifier/lab-upload"
RIMO_ORDER: Final = f"{BASE}/identifier/rimo-order"
RIMO_TREATMENT: Final = f"{BASE}/identifier/rimo-treatment"
SHIPMENT: Final = f"{BASE}/identifier/shipment-tracking"
CLINICIAN: Final = f"{BASE}/identifier/clinician"
ORGANIZATION: Final = f"{BASE}/identifier/organization"
WEARABLE_DEVICE: Final = f"{BASE}/identifier/wearable-device"
MEASURING_DEVICE: Final = f"{BASE}/identifier/measuring-device"
PHARMACY: Final = f"{BASE}/identifier/pharmacy"
PATIENT: Final = f"{BASE}/identifier/patient"
"""System of the key of `patients`, shown where a patient has no record number."""
MEDICAL_RECORD: Final = f"{BASE}/identifier/medical-record/"
"""Prefix of one system per organization; see `medical_record`."""
NPI_AS_WRITTEN: Final = f"{BASE}/identifier/npi-as-written"
"""System of what somebody wrote as an NPI, and what is none."""
CLINICIAN_LICENSE: Final = f"{BASE}/identifier/clinician-license"
ORGANIZATION_DOMAIN: Final = f"{BASE}/identifier/organization-domain"
PROFILE: Final = f"{BASE}/identifier/profile"
"""System of the key of `profiles`, shown where no provider is connected."""
EMR: Final = f"{BASE}/identifier/emr/"
"""Prefix of one system per provider of health records and resource type; see `emr_record`."""
RAW_RECORD: Final = f"{BASE}/identifier/raw-record"
"""System of the keys of `profile_fhir_resources_raw`."""
CUSTOMER: Final = f"{BASE}/identifier/customer/"
"""Prefix of one system per identifier_type of `identity_mappings`."""
LOGIN: Final = f"{CUSTOMER}clerk_user_id"
"""System of the login provider's user id (`customer_profiles.external_id`)."""

# Public systems.
LOINC: Final = "http://loinc.org"
SNOMED: Final = "http://snomed.info/sct"
RXNORM: Final = "http://www.nlm.nih.gov/research/umls/rxnorm"
UCUM: Final = "http://unitsofmeasure.org"
OBSERVATION_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
OBSERVATION_STATISTICS: Final = "http://terminology.hl7.org/CodeSystem/observation-statistics"
INTERPRETATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
DIAGNOSTIC_SERVICE: Final = "http://terminology.hl7.org/CodeSystem/v2-0074"
DATA_ABSENT_CODE: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
CONDITION_CLINICAL: Final = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CONDITION_VERIFICATION: Final = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
CONDITION_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/condition-category"
ALLERGY_CLINICAL: Final = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
ALLERGY_VERIFICATION: Final = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
ICD_10_CM: Final = "http://hl7.org/fhir/sid/icd-10-cm"
NPI: Final = "http://hl7.org/fhir/sid/us-npi"
IDENTIFIER_TYPE: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
CONTACT_ROLE: Final = "http://terminology.hl7.org/CodeSystem/v2-0131"
DEGREE: Final = "http://terminology.hl7.org/CodeSystem/v2-0360"
ORGANIZATION_TYPE: Final = "http://terminology.hl7.org/CodeSystem/organization-type"
CONSENT_SCOPE: Final = "http://terminology.hl7.org/CodeSystem/consentscope"
ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
SELF_PAY: Final = "http://terminology.hl7.org/CodeSystem/coverage-selfpay"
PROVENANCE_PARTICIPANT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
US_CORE_PROVENANCE_PARTICIPANT: Final = "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type"
US_CORE_CARE_PLAN_CATEGORY: Final = "http://hl7.org/fhir/us/core/CodeSystem/careplan-category"

# Public extensions and profiles.
DATA_ABSENT_REASON: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
TIMEZONE: Final = "http://hl7.org/fhir/StructureDefinition/timezone"
FHIR_PROFILE: Final = "http://hl7.org/fhir/StructureDefinition/"
US_CORE: Final = "http://hl7.org/fhir/us/core/StructureDefinition/"


def source_uri(source: str) -> str:
    """Return `meta.source` for a data source: a source that is a URI already stays as it is."""
    if ":" in source and not source.startswith(SOURCE) and quote(source, safe=":/?#[]@!$&'()*+,;=%-._~") == source:
        return source
    return SOURCE + quote(source, safe="")


def source_name(uri: str) -> str:
    """Return the data source of a `meta.source`; the inverse of `source_uri`."""
    return unquote(uri[len(SOURCE) :]) if uri.startswith(SOURCE) else uri


def medical_record(organization_id: str) -> str:
    """Return the system of an organization's medical record numbers."""
    return MEDICAL_RECORD + quote(organization_id, safe="")


def emr_record(provider: str, resource_type: str) -> str:
    """Return the system of the ids that a provider of health records gives to resources of a type."""
    return f"{EMR}{quote(provider, safe='')}/{resource_type}"


def data_absent(code: str = "unknown") -> dict[str, str]:
    """Return the extension that says why an element has no value (US Core missing data)."""
    return {"url": DATA_ABSENT_REASON, "valueCode": code}
