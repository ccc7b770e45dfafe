"""What the CarePlan, CareTeam and Goals of an enrollment have in common (mapping.md CarePlan)."""

from __future__ import annotations

from typing import Final

from mappers import isos
from mappers.care_rows import CareProgram, Enrollment
from mappers.json_values import ABSENT
from mappers.lookups import Lookups

PATIENT_TABLE: Final = "patients"
ENROLLMENT_TABLE: Final = "enrollments"
PROGRAM_TABLE: Final = "care_programs"


def program_of(enrollment: Enrollment, lookups: Lookups) -> CareProgram | None:
    """Return the care program of an enrollment, None where the row is not at hand."""
    program: CareProgram | None = lookups.row(PROGRAM_TABLE, enrollment.care_program_id)
    return program


def shown_text(value: str | None) -> str | None:
    """Return a column's text if FHIR can show it."""
    words = ABSENT if value is None else isos.fhir_text(value)
    return words if isinstance(words, str) else None
