"""Consent ⇄ `patient_consents` of the care platform (mapping.md "Outside the four").

A row says that a patient agreed to something, from when and until when: the policy is the patient's opt-in.
"""

from __future__ import annotations

import re
from typing import Any, Final

from mappers import isos, person, systems
from mappers.care_rows import PatientConsent
from mappers.fields import Context, constant, derived, field, reference
from mappers.json_values import ABSENT, Json
from mappers.lens import ResourceMapper
from mappers.nodes import Node

SCOPES: Final = {
    "TREATMENT": ("treatment", "Treatment"),
    "RESEARCH": ("research", "Research"),
    "DATA_SHARING": ("patient-privacy", "Privacy Consent"),
}
"""Types whose scope HL7 has a code for; others (BILLING …) keep their words."""
DATA_SHARING: Final = "DATA_SHARING"
"""The type by which a patient agrees that partners may see the record."""
DISCLOSURE: Final = {"system": systems.ACT_CODE, "code": "IDSCL", "display": "information disclosure"}
CATEGORIES: Final[dict[str, Json]] = {"DATA_SHARING": DISCLOSURE}
DOCUMENT: Final = {"coding": [{"system": systems.LOINC, "code": "59284-0", "display": "Consent Document"}]}
OPT_IN: Final = {"coding": [{"system": systems.ACT_CODE, "code": "OPTIN", "display": "opt-in"}]}
UNKNOWN: Final = {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "unknown"}]}


def _folded(consent_type: str) -> str:
    return "_".join(re.split(r"[\s_-]+", consent_type.strip())).upper()


def _status(values: tuple[Any, ...], _: Context) -> Node:
    granted, revoked = values
    if revoked is not None:
        return "inactive"
    return "proposed" if granted is None else "active"


def _scope(values: tuple[Any, ...], _: Context) -> Node:
    words, known = isos.fhir_text(values[0]), SCOPES.get(_folded(values[0]))
    if known is not None:
        return {"coding": [{"system": systems.CONSENT_SCOPE, "code": known[0], "display": known[1]}]}
    return {"text": words} if words is not ABSENT else UNKNOWN


def _category(values: tuple[Any, ...], _: Context) -> Node:
    words, name = isos.fhir_text(values[0]), _folded(values[0])
    if words is ABSENT:
        return [DOCUMENT]
    public = [CATEGORIES[name]] if name in CATEGORIES else []
    own = [{"system": systems.CONSENT_TYPE, "code": name}] if isos.is_code(name) else []
    return [DOCUMENT, {"coding": [*own, *public], "text": words} if own else {"text": words}]


def _period(values: tuple[Any, ...], _: Context) -> Node:
    """Show from when to when the patient agrees; an end before the start is no period (FHIR R4 per-1)."""
    granted, revoked = values
    ordered = granted is None or revoked is None or granted <= revoked
    start = {"start": isos.instant_text(granted)} if granted is not None else {}
    end = {"end": isos.instant_text(revoked)} if revoked is not None and ordered else {}
    return {**start, **end} or ABSENT


def _organization(values: tuple[Any, ...], context: Context) -> Node:
    return [person.managing_organization(values, context).value]


CONSENT: Final = ResourceMapper(
    "Consent",
    table="patient_consents",
    name="patient_consent",
    row_type=PatientConsent,
    read_only=True,
    internal_endpoint="/care/patients/{id}/consents",
    about="One Consent for each thing that a patient agreed to.",
    shows=(person.TENANT_NAME,),
    fields=(
        derived(
            ("granted_at", "revoked_at"), "status", _status, note="active; revoked → inactive; not yet given → proposed"
        ),
        derived(("consent_type",), "scope", _scope, note="HL7's code where it has one, else in words"),
        derived(("consent_type",), "category", _category, note="LOINC's consent document, and the type"),
        reference("patient_id", "patient", "Patient", "patients", needed=True),
        field("granted_at", "dateTime", isos.instant),
        derived(("organization_id",), "organization", _organization, note="the tenant"),
        constant("policyRule", OPT_IN),
        derived(("granted_at", "revoked_at"), "provision.period", _period),
    ),
)
