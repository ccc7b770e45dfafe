"""CarePlan ⇄ `enrollments` of the care platform (mapping.md CarePlan, settled §1.14).

A plan says by `instantiatesUri` which care program it is about; one that names no program or no clinician of the
organization is native. Who pays for a program, and whether the patient is eligible, stays out of FHIR.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, unquote

from mappers import isos, systems
from mappers.annotations import notes
from mappers.care_condition import ENTERED_IN_ERROR, folded_status
from mappers.care_practitioner import CLINICIANS, clinician_reference, clinician_shown
from mappers.care_rows import Enrollment, Patient, PatientCondition
from mappers.enrollment_periods import enrollment_period
from mappers.enrollments import ENROLLMENT_TABLE, PATIENT_TABLE, PROGRAM_TABLE, program_of, shown_text
from mappers.errors import Refusal
from mappers.fields import (
    Context,
    Field,
    derived,
    enrich,
    fixed,
    lens,
    profile,
    reference,
    reference_needs,
    status,
)
from mappers.goal import GOALS, enrollment_goals, goal_references
from mappers.json_values import ABSENT, Absent, Json
from mappers.lens import ResourceMapper, Shows
from mappers.lookups import ROW, Lookups, Need
from mappers.narrative import narrative
from mappers.nodes import Node, Slot, Whole
from mappers.program_activities import ASSESSMENTS, PRESET, activity_names, preset_of, show_activities

STATUSES: Final = isos.status_table(
    {
        "PENDING": "draft",
        "ACTIVE": "active",
        "INACTIVE": "on-hold",
        "COMPLETED": "completed",
        "WITHDRAWN": "revoked",
    }
)
ASSESS: Final = {"coding": [{"system": systems.US_CORE_CARE_PLAN_CATEGORY, "code": "assess-plan"}]}
PROGRAM_TYPE: Final = {"coding": [{"system": systems.CARE_PROGRAM_TYPE}]}
_ICD_10: Final = re.compile(r"[A-TV-Z]\d[0-9A-Z](?:\.?[0-9A-Z]{1,4})?", re.ASCII)
_NAMED: Final = re.compile(r"\(([^()]*)\)")


# ---- the care program ----------------------------------------------------------------------------------------------


def program_uri(key: str) -> str:
    """Return the URI of a care program of the organization."""
    return systems.CARE_PROGRAM + quote(key, safe="")


def _program_key(uri: Json) -> str:
    return unquote(uri[len(systems.CARE_PROGRAM) :])


def _is_program(uri: Json) -> bool:
    return isinstance(uri, str) and uri.startswith(systems.CARE_PROGRAM)


def _program() -> Field:
    def show(values: tuple[Any, ...], _: Context) -> tuple[Node]:
        return (program_uri(values[0]),)

    def take(found: tuple[Json, ...], context: Context) -> tuple[str]:
        program = context.lookups.row(PROGRAM_TABLE, _program_key(found[0]))
        if program is None:
            raise Refusal(f"names nothing in {PROGRAM_TABLE}", final=True)
        return (program.id,)

    def needs(found: tuple[Json, ...]) -> Iterable[Need]:
        return [Need(ROW, f"{PROGRAM_TABLE}/{_program_key(uri)}") for uri in found if _is_program(uri)]

    note = "care program of the organization"
    path = "instantiatesUri[program]"
    return lens(("care_program_id",), (path,), show, take, needed=True, needs=needs, note=note)


def _of_program(path: str, column: str) -> Field:
    def show(_values: tuple[Any, ...], context: Context) -> Node:
        program = program_of(context.view, context.lookups)
        return (None if program is None else shown_text(getattr(program, column))) or ABSENT

    return derived(("care_program_id",), path, show, note=f"{PROGRAM_TABLE}.{column}")


def _program_type(_values: tuple[Any, ...], context: Context) -> Node:
    program = program_of(context.view, context.lookups)
    words = None if program is None else shown_text(program.type)
    if words is None:
        return ABSENT
    coding = {"system": systems.CARE_PROGRAM_TYPE, ("code" if isos.is_code(words) else "display"): words}
    return Whole({"coding": [coding]}, words)


# ---- people --------------------------------------------------------------------------------------------------------


def _subject() -> Field:
    """The patient; what belongs to an enrollment is the same patient's, so it does not move to another one."""
    shown = reference("patient_id", "subject", "Patient", PATIENT_TABLE, needed=True)

    def take(found: tuple[Json, ...], context: Context) -> tuple[str]:
        home = context.lookups.homes.get(found[0].get("reference", "")) if isinstance(found[0], dict) else None
        if home is None or home.table != PATIENT_TABLE:
            raise Refusal(f"refers to nothing in {PATIENT_TABLE}", final=True)
        if context.view is not None and home.key != context.view.patient_id:
            raise Refusal("is another patient than the enrolled one", final=True)
        return (home.key,)

    return replace(shown, take=take)


def _is_reference(element: Json) -> bool:
    return isinstance(element, dict) and isinstance(element.get("reference"), str)


def _clinician() -> Field:
    """The clinician: author and contributor; a written plan may name the clinician as either, the author counts."""

    def show(values: tuple[Any, ...], context: Context) -> tuple[Node, Node]:
        node = clinician_reference(values[0], context.lookups)
        return node, [node]

    def take(found: tuple[Json, ...], context: Context) -> tuple[str]:
        homes = (context.lookups.homes.get(literal) for literal in _literals(found))
        key = next((home.key for home in homes if home is not None and home.table == CLINICIANS), None)
        if key is None:
            raise Refusal(f"refers to nothing in {CLINICIANS}", final=True)
        return (key,)

    def needs(found: tuple[Json, ...]) -> Iterable[Need]:
        return reference_needs(tuple(_elements(found)))

    note = "clinician; the author before a contributor"
    paths = ("author", "contributor[clinician]")
    return lens(("clinician_id",), paths, show, take, needed=True, needs=needs, note=note)


def _elements(found: tuple[Json | Absent, ...]) -> Iterator[Json]:
    author, contributors = found
    yield author
    if isinstance(contributors, list):
        yield from contributors


def _literals(found: tuple[Json | Absent, ...]) -> Iterator[str]:
    return (element["reference"] for element in _elements(found) if _is_reference(element))


def _care_team(values: tuple[Any, ...], context: Context) -> Node:
    literal = context.lookups.reference("CareTeam", ENROLLMENT_TABLE, values[0])
    return [Whole({"reference": literal}, literal)]


# ---- what the plan is about ----------------------------------------------------------------------------------------


def _codes_of(text: Json) -> Iterator[str]:
    """Yield the ICD-10 codes that a chronic condition names: `Hypertension (I10)`, or nothing but the code."""
    if isinstance(text, str):
        written = (*_NAMED.findall(text), text)
        yield from (code for code in (word.strip().upper() for word in written) if _ICD_10.fullmatch(code))


def _named_codes(enrollment: Enrollment, lookups: Lookups) -> tuple[str, ...]:
    """Return the diagnoses that an enrollment or the preset of its program is about, without points."""
    eligibility = enrollment.billing_eligibility
    chronic = eligibility.get("chronicConditions") if isinstance(eligibility, dict) else None
    codes = [code for text in chronic for code in _codes_of(text)] if isinstance(chronic, list) else []
    preset = preset_of(enrollment, lookups)
    if preset is not None:
        codes += [code for diagnosis in preset.condition_preset_diagnoses for code in _codes_of(diagnosis.icd10)]
    return tuple(code.replace(".", "") for code in codes)


def _is_named(condition: PatientCondition, codes: tuple[str, ...]) -> bool:
    """Whether a condition is one of the diagnoses, or a more exact one (E11.9 where E11 is named)."""
    code = (condition.icd10 or "").strip().upper().replace(".", "")
    return bool(codes) and code.startswith(codes) and folded_status(condition.status) != ENTERED_IN_ERROR


def _addresses(_values: tuple[Any, ...], context: Context) -> Node:
    patient: Patient | None = context.lookups.row(PATIENT_TABLE, context.view.patient_id)
    if patient is None:
        return ABSENT
    codes = _named_codes(context.view, context.lookups)
    found = [condition for condition in patient.patient_conditions if _is_named(condition, codes)]
    return {condition.id: _condition(condition, context.lookups) for condition in found} or ABSENT


def _condition(condition: PatientCondition, lookups: Lookups) -> Whole:
    literal = lookups.reference("Condition", "patient_conditions", condition.id)
    words = shown_text(condition.label)
    return Whole({"reference": literal, "display": words} if words else {"reference": literal}, literal)


def _goals(_values: tuple[Any, ...], context: Context) -> Node:
    enrollment = context.view
    return goal_references(ENROLLMENT_TABLE, enrollment.id, enrollment_goals(enrollment, context.lookups))


def _narrative(values: tuple[Any, ...], context: Context) -> Node:
    enrollment, lookups = context.view, context.lookups
    program = program_of(enrollment, lookups)
    title = shown_text(program.name) if program is not None else None
    about = shown_text(program.description) if program is not None else None
    goals = enrollment_goals(enrollment, lookups).values()
    return narrative(title or "Care program", (about, values[0]), [*activity_names(enrollment, lookups), *goals])


def _repeats(_: Json) -> bool:
    """No element but the one that repeats what the rows say stands for them."""
    return False


ENROLLMENT: Final = ResourceMapper(
    "CarePlan",
    table=ENROLLMENT_TABLE,
    name="enrollment",
    row_type=Enrollment,
    internal_endpoint="/care/enrollments",
    about=(
        "A plan for a patient that names a care program (`instantiatesUri`) and a clinician of the organization. "
        "Billing program and eligibility never show; the latter only says which conditions the plan is about."
    ),
    shows=(
        Shows("patient_id", PATIENT_TABLE, uses=("patient_conditions",)),
        clinician_shown(),
        Shows(
            "care_program_id",
            PROGRAM_TABLE,
            uses=(
                "name",
                "type",
                "description",
                "settings",
                "condition_preset_id",
                "condition_preset_organization_id",
            ),
        ),
        PRESET,
        *ASSESSMENTS,
    ),
    slots={
        "instantiatesUri": (Slot("program", accepts=_is_program),),
        "category": (Slot("assess", ASSESS), Slot("type", PROGRAM_TYPE)),
        "contributor": (Slot("clinician", many=True, accepts=_is_reference),),
        "careTeam": (Slot("team", many=True, accepts=_repeats),),
        "addresses": (Slot("conditions", many=True, accepts=_repeats),),
        "goal": (GOALS,),
        "activity": (Slot("program", many=True, accepts=_repeats),),
    },
    fields=(
        profile(f"{systems.US_CORE}us-core-careplan"),
        enrich(("notes", "care_program_id"), "text", _narrative, note="generated narrative"),
        _program(),
        status("status", "status", STATUSES),
        fixed("intent", "plan"),
        enrich((), "category[assess]", lambda _values, _context: ASSESS, note="US Core category"),
        derived(("care_program_id",), "category[type]", _program_type, note="care_programs.type"),
        _of_program("title", "name"),
        _of_program("description", "description"),
        _subject(),
        enrollment_period(),
        _clinician(),
        derived(("id",), "careTeam[team]", _care_team, note="CareTeam of the enrollment"),
        derived(
            ("patient_id", "billing_eligibility", "care_program_id"),
            "addresses[conditions]",
            _addresses,
            note="patient_conditions whose ICD-10 code the chronicConditions or the program's preset name",
        ),
        derived(("care_program_id",), "goal[goals]", _goals, note="Goals of the enrollment"),
        derived(
            ("status",),
            "activity[program]",
            show_activities,
            note="assessments and metrics of the program's preset",
            also=("care_program_id",),
        ),
        notes(),
    ),
)
