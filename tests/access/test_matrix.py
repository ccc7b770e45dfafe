"""Every cell of role × resource type × right × scope level, allowed and denied (security TN-6, AZ-5; settled §4.1-4.4).

The table below is written by hand and read against the decision for all resource types. A capital letter reaches the
whole organization, a small one the caller's own compartment; what is not there is denied.
"""

from __future__ import annotations

import pytest

from capability.elements import RESOURCE_TYPES
from capability.roles import roles
from fhir_server.access import Caller, authorise
from storage.access import Access, Reach, Right

DIRECTORY = {"Practitioner", "PractitionerRole", "Organization", "Location", "Medication"}
BILLING = {
    "Account", "ChargeItem", "ChargeItemDefinition", "Claim", "ClaimResponse", "Coverage",
    "CoverageEligibilityRequest", "CoverageEligibilityResponse", "EnrollmentRequest", "EnrollmentResponse",
    "ExplanationOfBenefit", "InsurancePlan", "Invoice", "PaymentNotice", "PaymentReconciliation",
}  # fmt: skip
SERVER = {
    "Bundle", "CapabilityStatement", "CompartmentDefinition", "GraphDefinition", "ImplementationGuide",
    "MessageDefinition", "MessageHeader", "OperationDefinition", "OperationOutcome", "Parameters", "SearchParameter",
    "StructureDefinition", "StructureMap", "Subscription", "TerminologyCapabilities", "TestReport", "TestScript",
}  # fmt: skip
TREATMENT = {"MedicationRequest", "MedicationDispense", "MedicationAdministration", "Communication"}
SINGLE = {"Patient", "CarePlan", "AuditEvent", "Provenance"}


def kind_of(resource_type: str) -> str:
    groups = {"directory": DIRECTORY, "billing": BILLING, "server": SERVER, "treatment": TREATMENT}
    named = next((name for name, types in groups.items() if resource_type in types), "other")
    return resource_type if resource_type in SINGLE else named


OWN_ALL = {"Patient": "ruds", "CarePlan": "cruds", "treatment": "cruds", "other": "cruds", "billing": "cruds"}
ALL = {"Patient": "CRUDS", "CarePlan": "CRUDS", "treatment": "CRUDS", "other": "CRUDS", "billing": "CRUDS"}
READ = {"Patient": "RS", "CarePlan": "RS", "treatment": "RS", "other": "RS", "billing": "RS"}
OWN_READ = {"Patient": "rs", "CarePlan": "rs", "treatment": "rs", "other": "rs", "billing": "rs"}
PATIENT_OWN = OWN_READ | {"Patient": "rus", "CarePlan": "crus", "directory": "RS", "Provenance": "rs"}
NURSE = {"Patient": "CRUS", "CarePlan": "CRUS", "treatment": "CRUS", "other": "CRUS", "billing": "RS"}
OWN_NURSE = {"Patient": "rus", "CarePlan": "crus", "treatment": "crus", "other": "crus", "billing": "rs"}
NO_TREATMENT = {"treatment": "", "billing": ""}

MATRIX: dict[tuple[str, str], dict[str, str]] = {
    ("ORG_ADMIN", "user"): ALL | {"directory": "CRUDS", "server": "CRUDS", "Provenance": "CRUDS", "AuditEvent": "RS"},
    ("ORG_ADMIN", "patient"): OWN_ALL
    | {"directory": "RS", "server": "cruds", "Provenance": "cruds", "AuditEvent": "rs"},
    ("CLINICIAN", "user"): ALL | {"billing": "RS", "directory": "RS", "server": "RS", "Provenance": "CRS"},
    ("CLINICIAN", "patient"): OWN_ALL | {"billing": "rs", "directory": "RS", "server": "rs", "Provenance": "crs"},
    ("NURSE", "user"): NURSE | {"directory": "RS", "server": "RS", "Provenance": "CRS"},
    ("NURSE", "patient"): OWN_NURSE | {"directory": "RS", "server": "rs", "Provenance": "crs"},
    ("BILLING", "user"): READ | {"billing": "CRUDS", "directory": "RS", "server": "RS", "Provenance": "RS"},
    ("BILLING", "patient"): OWN_READ | {"billing": "cruds", "directory": "RS", "server": "rs", "Provenance": "rs"},
    ("STAFF", "user"): ALL | {"directory": "CRUDS", "server": "CRUDS", "Provenance": "CRUDS"},
    ("STAFF", "patient"): OWN_ALL | {"directory": "RS", "server": "cruds", "Provenance": "cruds"},
    ("SUPPORT", "user"): READ | NO_TREATMENT | {"directory": "RS", "server": "RS", "Provenance": "RS"},
    ("SUPPORT", "patient"): OWN_READ | NO_TREATMENT | {"directory": "RS", "server": "rs", "Provenance": "rs"},
    ("AUDITOR", "user"): {"AuditEvent": "RS"},
    ("AUDITOR", "patient"): {"AuditEvent": "rs"},
    ("PATIENT", "user"): PATIENT_OWN,
    ("PATIENT", "patient"): PATIENT_OWN,
    ("SERVICE", "system"): ALL | {"directory": "CRUDS", "server": "CRUDS", "Provenance": "CRUDS", "AuditEvent": "RS"},
    ("SERVICE", "patient"): OWN_ALL | {"directory": "RS", "server": "cruds", "Provenance": "cruds", "AuditEvent": "rs"},
    ("APP", "patient"): OWN_ALL | {"directory": "RS", "Provenance": "crs"},
    ("EMERGENCY", "patient"): OWN_READ | {"directory": "RS", "Provenance": "rs"},
}
CELLS = [(role, level) for role in roles() for level in ("patient", "user", "system")]


def access_of(role: str, scope: str, patient: str | None = "p1") -> Access:
    emergency = "emergency-1" if role == "EMERGENCY" else None
    caller = Caller("someone", "an-app", "loop-health", role, scope, "jti-1", 0, 900, patient, break_glass_id=emergency)
    return authorise(caller)


def reach_in_table(role: str, level: str, resource_type: str, right: Right) -> Reach:
    letters = MATRIX.get((role, level), {}).get(kind_of(resource_type), "")
    if right.value.upper() in letters:
        return Reach.ORGANIZATION
    return Reach.COMPARTMENT if right.value in letters else Reach.NONE


def test_every_row_of_the_table_names_a_role():
    assert {role for role, _ in MATRIX} == set(roles())


@pytest.mark.parametrize("right", Right)
@pytest.mark.parametrize(("role", "level"), CELLS)
def test_security_TN6_a_wildcard_scope_reaches_what_the_matrix_says(role: str, level: str, right: Right):
    access = access_of(role, f"{level}/*.cruds")
    wrong = {
        resource_type: access.reach(resource_type, right)
        for resource_type in RESOURCE_TYPES
        if access.reach(resource_type, right) is not reach_in_table(role, level, resource_type, right)
    }
    assert not wrong


@pytest.mark.parametrize("right", Right)
@pytest.mark.parametrize(("role", "level"), CELLS)
def test_security_TN6_a_scope_of_one_type_and_right_reaches_that_cell_and_no_other(role: str, level: str, right: Right):
    for resource_type in ("Patient", "Observation", "Practitioner", "Device", "Claim", "AuditEvent", "CarePlan"):
        access = access_of(role, f"{level}/{resource_type}.{right}")
        for other_type in RESOURCE_TYPES:
            for other in Right:
                asked = other_type == resource_type and other is right
                expected = reach_in_table(role, level, resource_type, right) if asked else Reach.NONE
                assert access.reach(other_type, other) is expected, (other_type, other)
