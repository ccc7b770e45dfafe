"""CareTeam ⇄ `enrollments` (mapping.md "Outside the four"): the patient and the clinician in charge of the program."""

from __future__ import annotations

from typing import Any, Final

from mappers import systems
from mappers.care_practitioner import clinician_reference, clinician_shown
from mappers.care_rows import Enrollment
from mappers.enrollment_periods import show_period
from mappers.enrollments import ENROLLMENT_TABLE, PATIENT_TABLE, PROGRAM_TABLE, program_of, shown_text
from mappers.fields import Context, constant, derived, profile, reference
from mappers.json_values import ABSENT
from mappers.lens import ResourceMapper, Shows
from mappers.nodes import Node, Slot
from mappers.person import TENANT_NAME, managing_organization

STATUSES: Final = {
    "PENDING": "proposed",
    "ACTIVE": "active",
    "INACTIVE": "suspended",
    "COMPLETED": "inactive",
    "WITHDRAWN": "inactive",
}
"""Enrollment status → FHIR R4 valueset-care-team-status."""


def _name(_values: tuple[Any, ...], context: Context) -> Node:
    program = program_of(context.view, context.lookups)
    return (None if program is None else shown_text(program.name)) or ABSENT


def _clinician(values: tuple[Any, ...], context: Context) -> Node:
    return clinician_reference(values[0], context.lookups)


CARE_TEAM: Final = ResourceMapper(
    "CareTeam",
    table=ENROLLMENT_TABLE,
    name="enrollment_care_team",
    row_type=Enrollment,
    read_only=True,
    internal_endpoint="/care/enrollments/{id}",
    about="One CareTeam for each enrollment: the patient and the assigned clinician.",
    shows=(clinician_shown(), Shows("care_program_id", PROGRAM_TABLE, uses=("name",)), TENANT_NAME),
    slots={"participant": (Slot("patient"), Slot("clinician")), "managingOrganization": (Slot("tenant"),)},
    fields=(
        profile(f"{systems.US_CORE}us-core-careteam"),
        derived(
            ("status",),
            "status",
            lambda values, _: STATUSES[values[0]],
            note=", ".join(f"{row} → {code}" for row, code in STATUSES.items()),
        ),
        derived(("care_program_id",), "name", _name, note="care_programs.name"),
        reference("patient_id", "subject", "Patient", PATIENT_TABLE),
        derived(("start_date", "end_date"), "period", show_period),
        constant("participant[patient].role", [{"text": "Patient"}]),
        reference("patient_id", "participant[patient].member", "Patient", PATIENT_TABLE),
        constant("participant[clinician].role", [{"text": "Assigned clinician"}]),
        derived(("clinician_id",), "participant[clinician].member", _clinician),
        derived(("organization_id",), "managingOrganization[tenant]", managing_organization, note="the tenant"),
    ),
)
