"""Goal ⇄ what care programs and protocols aim at (mapping.md "Outside the four"), one resource for each goal.

Goals are words: `care_programs.settings.goals` for everybody enrolled in the program, `protocols.goals` for one
customer. A goal's part key is its folded text and how often that came before, so that it keeps its id when
neighbours come, go or change places.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from mappers import isos, systems
from mappers.care_rows import Enrollment
from mappers.enrollment_periods import day_of
from mappers.enrollments import ENROLLMENT_TABLE, PATIENT_TABLE, PROGRAM_TABLE, program_of
from mappers.fields import Context, derived, profile, reference
from mappers.identity import part_resource_id
from mappers.json_values import ABSENT, Json
from mappers.lens import ResourceMapper, Shows, Split
from mappers.lookups import Lookups
from mappers.nodes import Node, Slot, Whole
from mappers.rows import Protocol
from mappers.text_entries import keyed

PROTOCOL_TABLE: Final = "protocols"
_WORDS: Final = ("description", "text", "name", "title")
"""Members of a goal written as an object that may say it in words, the best one first."""
PROTOCOL_GOALS: Final = {"active": "active", "paused": "on-hold", "completed": "completed", "cancelled": "cancelled"}
ENROLLMENT_GOALS: Final = {
    "PENDING": "planned",
    "ACTIVE": "active",
    "INACTIVE": "on-hold",
    "COMPLETED": "completed",
    "WITHDRAWN": "cancelled",
}
"""Row status → FHIR R4 valueset-goal-status."""
GOALS: Final = Slot("goals", many=True, accepts=lambda _: False)
"""References of a CarePlan to the goals of its row; a reference that does not repeat one of them is another goal."""


def goal_texts(goals: Json) -> dict[str, str]:
    """Return the goals that a JSON column says in words, by part key: a text, or a list of texts or objects."""
    listed = goals if isinstance(goals, list) else [goals]
    return dict(keyed(text for text in map(_goal_text, listed) if text is not None))


def _goal_text(goal: Json) -> str | None:
    if isinstance(goal, dict):
        goal = next((goal[key] for key in _WORDS if key in goal), None)
    return goal if isinstance(goal, str) else None


def enrollment_goals(enrollment: Enrollment, lookups: Lookups) -> dict[str, str]:
    """Return the goals of an enrollment's care program by part key."""
    program = program_of(enrollment, lookups)
    settings = program.settings if program is not None else None
    return goal_texts(settings.get("goals")) if isinstance(settings, dict) else {}


def goal_references(table: str, key: str, goals: dict[str, str]) -> Node:
    """Return references to the Goal of each text, by part key; ABSENT for none."""
    return {part: _reference(table, key, part, text) for part, text in goals.items()} or ABSENT


def _reference(table: str, key: str, part: str, text: str) -> Whole:
    literal = f"Goal/{part_resource_id(table, key, part)}"
    return Whole({"reference": literal, "display": isos.fhir_text(text)}, part)


def _target(start: date | None, end: date | None) -> Node:
    """Show when a goal is to be reached, unless that lies before its start."""
    if end is None or (start is not None and end < start):
        return ABSENT
    return [{"dueDate": end.isoformat()}]


def _start(values: tuple[Any, ...], _: Context) -> Node:
    return ABSENT if values[0] is None else values[0].isoformat()


def _of_program(_values: tuple[Any, ...], context: Context) -> Node:
    return isos.fhir_text(enrollment_goals(context.view, context.lookups)[context.part])


ENROLLMENT_GOAL: Final = ResourceMapper(
    "Goal",
    table=ENROLLMENT_TABLE,
    name="enrollment_goal",
    row_type=Enrollment,
    split=Split(lambda row, lookups: tuple(enrollment_goals(row, lookups)), lambda row, _: row),
    read_only=True,
    internal_endpoint="/care/programs/{id}",
    about="One Goal for each text of `care_programs.settings.goals`, for each patient enrolled in the program.",
    shows=(Shows("care_program_id", PROGRAM_TABLE, uses=("settings",)),),
    fields=(
        profile(f"{systems.US_CORE}us-core-goal"),
        derived(
            ("status",),
            "lifecycleStatus",
            lambda values, _: ENROLLMENT_GOALS[values[0]],
            note=", ".join(f"{row} → {code}" for row, code in ENROLLMENT_GOALS.items()),
        ),
        derived(("care_program_id",), "description.text", _of_program, note="care_programs.settings.goals"),
        reference("patient_id", "subject", "Patient", PATIENT_TABLE),
        derived(("start_date",), "startDate", lambda values, context: _start((day_of(values[0]),), context)),
        derived(
            ("start_date", "end_date"),
            "target",
            lambda values, _: _target(*map(day_of, values)),
            note="the day of end_date, if not before the start",
        ),
    ),
)


PROTOCOL_GOAL: Final = ResourceMapper(
    "Goal",
    table=PROTOCOL_TABLE,
    name="protocol_goal",
    row_type=Protocol,
    split=Split(lambda row, _: tuple(goal_texts(row.goals)), lambda row, _: row),
    read_only=True,
    internal_endpoint="/graph/protocols/{id}",
    about="One Goal for each goal of the protocol that is said in words.",
    fields=(
        profile(f"{systems.US_CORE}us-core-goal"),
        derived(
            ("status",),
            "lifecycleStatus",
            lambda values, _: PROTOCOL_GOALS[values[0]],
            note=", ".join(f"{row} → {code}" for row, code in PROTOCOL_GOALS.items()),
        ),
        derived(
            ("goals",), "description.text", lambda values, context: isos.fhir_text(goal_texts(values[0])[context.part])
        ),
        reference("customer_id", "subject", "Patient", "customer_profiles"),
        derived(("start_date",), "startDate", _start),
        derived(
            ("start_date", "end_date"),
            "target",
            lambda values, _: _target(*values),
            note="end_date, if not before the start",
        ),
    ),
)
