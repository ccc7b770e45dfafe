"""Observation ⇄ one biomarker of `lab_results` (mapping.md Observation, settled §1.9)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from mappers import isos, systems
from mappers.codes.units import ucum
from mappers.errors import Refusal
from mappers.fields import Context, constant, derived, field, lens, profile, reference_needs
from mappers.json_values import ABSENT, Json, encode
from mappers.labs import BIOMARKERS_OF, LAB_RESULTS, LabValue, biomarker_code, is_loinc
from mappers.lens import ResourceMapper
from mappers.nodes import Node, Slot, Whole
from mappers.quantities import Measured, quantity, quantity_unit, read_number
from mappers.rows import LabResult

REPORT_STATUS: Final = isos.status_table(
    {"pending": "preliminary", "reviewed": "final", "archived": "final"}, {"final": "reviewed"}
)
FLAGS: Final[Mapping[str, str]] = {
    "low": "L",
    "normal": "N",
    "high": "H",
    "critical_low": "LL",
    "critical_high": "HH",
}
"""`status` of a biomarker → code of v3-ObservationInterpretation."""

_FLAG_OF: Final = {code: flag for flag, code in FLAGS.items()}
LABORATORY: Final = Whole({"coding": [{"system": systems.OBSERVATION_CATEGORY, "code": "laboratory"}]}, "laboratory")
LIMITS: Final = {"low": "min", "high": "max"}
VALUES: Final = ("valueQuantity", "valueString", "valueBoolean", "valueCodeableConcept", "dataAbsentReason")


def show_lab_date(values: tuple[str | None, date | None], _: Context | None = None) -> Node:
    """Return the date of a report: the text where it is a dateTime, else its day."""
    lab_date, lab_day = values
    if isos.is_date_time(lab_date):
        return Whole(lab_date, [lab_date])
    return Whole(lab_day.isoformat(), [lab_day.isoformat()]) if lab_day is not None else ABSENT


def _unit(unit: Json) -> str | None:
    return unit if isinstance(unit, str) else None


def _show_value(value: Json, unit: str | None) -> tuple[Node, ...]:
    """Show a value by what it is: a number, words, yes or no, or nothing known."""
    measured = read_number(value)
    shown: dict[str, Node] = {}
    if measured is not None:
        shown["valueQuantity"] = quantity(measured, unit)
    elif isinstance(value, bool):
        shown["valueBoolean"] = value
    else:
        words = ABSENT if value is None else isos.fhir_text(value if isinstance(value, str) else encode(value).decode())
        if words is ABSENT:
            unknown = {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "unknown"}]}
            shown["dataAbsentReason"] = Whole(unknown, None)
        else:
            shown["valueString"] = words
    return tuple(shown.get(element, ABSENT) for element in VALUES)


def _take_value(found: list[Json], view: LabValue) -> tuple[Json, Json]:
    """Take a value back in the shape that the biomarker had: a number stays a number, a text a text."""
    amount, words, truth, concept, _ = found
    if isinstance(amount, dict) and "value" in amount:
        number = isos.number(isos.column_number(amount["value"]))
        comparator = amount.get("comparator", "")
        unit = quantity_unit(amount, _unit(view.unit))
        if read_number(view.value) == Measured(number, comparator or None):
            return view.value, unit
        return (f"{comparator}{number}" if isinstance(view.value, str) or comparator else number), unit
    if isinstance(words, str) or isinstance(truth, bool):
        return (words if isinstance(words, str) else truth), view.unit
    return (_in_words(concept) if isinstance(concept, dict) else None), view.unit


def _in_words(concept: dict[str, Json]) -> Json:
    codings = concept.get("coding") or [{}]
    return concept.get("text") or codings[0].get("display")


def _show_code(_values: tuple[Any, ...], context: Context) -> tuple[Node]:
    return (biomarker_code(context.view, context.bare),)


def _take_code(found: tuple[Json, ...], context: Context) -> tuple[Json]:
    """Take the LOINC code that was written; the current spelling of the same code stays, and so does any other code."""
    codings = found[0].get("coding", []) if isinstance(found[0], dict) else []
    written = [is_loinc(str(coding.get("code"))) for coding in codings if coding.get("system") == systems.LOINC]
    current = context.view.code
    if not written or written[0] is None or (isinstance(current, str) and is_loinc(current) == written[0]):
        return (current,)
    return (f"LOINC:{written[0]}",)


def _show_flag(values: tuple[Json], _: Context) -> tuple[Node]:
    code = FLAGS.get(values[0].casefold()) if isinstance(values[0], str) else None
    if code is None:
        return (ABSENT,)
    return (Whole({"coding": [{"system": systems.INTERPRETATION, "code": code}]}, code),)


def _take_flag(found: tuple[Json, ...], context: Context) -> tuple[Json]:
    codings = found[0].get("coding", []) if isinstance(found[0], dict) else []
    codes = [coding.get("code") for coding in codings if coding.get("system") == systems.INTERPRETATION]
    if not codes or codes[0] not in _FLAG_OF:
        raise Refusal("is no interpretation of the table")
    current = context.view.flag
    same_flag = isinstance(current, str) and FLAGS.get(current.casefold()) == codes[0]
    return (current if same_flag else _FLAG_OF[codes[0]],)


def _show_range(limits: Json, unit: str | None) -> Node:
    """Show the limits that are numbers, in the unit of the value, and the range in words."""
    if not isinstance(limits, dict):
        return ABSENT
    shown: dict[str, Json] = {}
    for element, member in LIMITS.items():
        measured = _limit(limits.get(member))
        if measured is not None:
            shown[element] = quantity(measured, unit).value
    words = _range_words(limits)
    if words is not ABSENT:
        shown["text"] = words
    return Whole(shown, shown) if shown else ABSENT


def _range_words(limits: dict[str, Json]) -> Node:
    return isos.fhir_text(limits["text"]) if isinstance(limits.get("text"), str) else ABSENT


def _limit(value: Json) -> Measured | None:
    measured = read_number(value)
    return measured if measured is not None and measured.comparator is None else None


def _take_range(written: Json, current: Json, unit: str | None) -> Json:
    """Take limits in the unit of the value; members that FHIR does not show stay.

    Returns None for a range in another unit, or with limits that are no numbers: the residual keeps it.
    """
    before = current if isinstance(current, dict) else {}
    shown = {member for member in LIMITS.values() if _limit(before.get(member)) is not None}
    if _range_words(before) is not ABSENT:
        shown.add("text")
    out = {member: value for member, value in before.items() if member not in shown}
    for element, member in LIMITS.items():
        if element not in written:
            continue
        measured = _limit(written[element].get("value"))
        own = quantity_unit(written[element], unit)
        if measured is None or (own is not None and (ucum(own) or own) != (ucum(unit) or unit)):
            return None
        out[member] = before[member] if _limit(before.get(member)) == measured else measured.number
    if isinstance(written.get("text"), str):
        out["text"] = written["text"]
    return out or None


def _show_measured(values: tuple[Json, Json, Json], _: Context) -> tuple[Node, ...]:
    value, unit, limits = values
    return (*_show_value(value, _unit(unit)), _show_range(limits, _unit(unit)))


def _take_measured(found: tuple[Json, ...], context: Context) -> tuple[Json, Json, Json]:
    """Take value, unit and limits together: limits are in the unit of the value."""
    *values, limits = found
    value, unit = _take_value(values, context.view)
    current = context.view.reference_range
    return value, unit, _take_range(limits, current, _unit(unit)) if isinstance(limits, dict) else None


def _same_patient(found: tuple[Json, ...], context: Context) -> tuple[str]:
    """Take the customer of a new report; refuse another one for an old report (settled §1.9)."""
    home = context.lookups.homes.get(found[0].get("reference", "")) if isinstance(found[0], dict) else None
    if context.view is not None and (home is None or home.key != context.view.customer_id):
        raise Refusal("may not change: mark this one entered-in-error and write a new one", final=True)
    if home is None or home.table != "customer_profiles":
        raise Refusal("refers to nothing in customer_profiles")
    return (home.key,)


def show_patient(values: tuple[Any, ...], context: Context) -> tuple[Node]:
    """Return the reference to the customer's Patient."""
    literal = context.lookups.reference("Patient", "customer_profiles", values[0])
    return (Whole({"reference": literal}, literal),)


SUBJECT: Final = lens(
    ("customer_id",),
    ("subject",),
    show_patient,
    _same_patient,
    needed=True,
    needs=reference_needs,
    note="Patient of customer_profiles; may not change",
)


def _performer(values: tuple[Any, ...], _: Context) -> Node:
    words = isos.fhir_text(values[0]) if values[0] is not None else ABSENT
    return [{"display": words}] if words is not ABSENT else ABSENT


LAB_OBSERVATION: Final = ResourceMapper(
    "Observation",
    table=LAB_RESULTS,
    name="lab_biomarker",
    row_type=LabResult,
    internal_endpoint="/graph/labs",
    about="One for each biomarker. A new one is claimed with its DiagnosticReport only.",
    creatable=False,
    split=BIOMARKERS_OF,
    together=(("value", "dataAbsentReason", "interpretation", "referenceRange"), ("effective",)),
    slots={
        "category": (Slot("laboratory"),),
        "interpretation": (Slot("flag"),),
        "referenceRange": (Slot("usual"),),
        "note": (Slot("note"),),
    },
    fields=(
        profile(f"{systems.US_CORE}us-core-observation-lab"),
        derived(
            ("report_status",), "status", lambda values, _: REPORT_STATUS.codes[values[0]], note="of the whole report"
        ),
        constant("category[laboratory]", LABORATORY),
        lens(("code",), ("code",), _show_code, _take_code, note="the code given, else the table's, else a local one"),
        SUBJECT,
        derived(("lab_date", "lab_day"), "effectiveDateTime", show_lab_date, note="of the whole report"),
        derived(("provider",), "performer", _performer, note="of the whole report"),
        lens(
            ("value", "unit", "reference_range"),
            (*VALUES, "referenceRange[usual]"),
            _show_measured,
            _take_measured,
            always=True,
            sources=(*[("value", "unit")] * len(VALUES), ("reference_range", "unit")),
            note="a number or a text that reads as one → Quantity, a comparator kept, other text as it is; "
            "limits in the unit of the value",
        ),
        lens(
            ("flag",),
            ("interpretation[flag]",),
            _show_flag,
            _take_flag,
            note=", ".join(f"{flag} ⇄ {code}" for flag, code in FLAGS.items()),
        ),
        field("note", "note[note].text"),
    ),
)
