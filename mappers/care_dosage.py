"""`dosage`, `route`, `frequency` and `as_needed` of `patient_medications` ⇄ Dosage (FHIR R4 dosage.html).

A row is one instruction, shown as one Dosage: the whole in words, and each column in its own element where it has one
(a dose only where it is a number and a unit). What a written instruction says in words that its parts do not say goes
to `dosage`, and so do several instructions, so that nobody who reads the columns sees half of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from mappers import doses, isos
from mappers.care_rows import PatientMedication
from mappers.errors import Refusal
from mappers.fields import Context, Field, lens
from mappers.json_values import ABSENT, Json
from mappers.medication_names import concept_name
from mappers.nodes import Node, Whole
from mappers.timing import timing, timing_text

COLUMNS: Final = ("dosage", "route", "frequency", "as_needed")
AS_NEEDED: Final = "as needed"


# ---- columns → Dosage ----------------------------------------------------------------------------------------------


def _words(*pieces: str | None, as_needed: bool | None) -> str | None:
    """Return an instruction in words: `20 mg oral once daily`."""
    said = [piece for piece in pieces if piece is not None and isos.fhir_text(piece) is not ABSENT]
    return " ".join([*said, *([AS_NEEDED] if as_needed else [])]) or None


def instruction(
    dosage: str | None, route: str | None, frequency: str | None, as_needed: bool | None, *, bare: bool = False
) -> dict[str, Json]:
    """Return the Dosage of the four columns, {} where they say nothing; `bare` leaves a dose read from text out."""
    words = _words(dosage, route, frequency, as_needed=as_needed)
    amount = ABSENT if dosage is None or bare else doses.dose(dosage)
    shown = {
        "text": ABSENT if words is None else isos.fhir_text(words),
        "timing": _timing(frequency),
        "asNeededBoolean": ABSENT if as_needed is None else as_needed,
        "route": ABSENT if route is None or isos.fhir_text(route) is ABSENT else {"text": isos.fhir_text(route)},
        "doseAndRate": ABSENT if amount is ABSENT else [{"doseQuantity": amount}],
    }
    return {element: value for element, value in shown.items() if value is not ABSENT}


def _timing(frequency: str | None) -> Node:
    """Return the Timing of a frequency, one that only says it in words where it is none."""
    words = ABSENT if frequency is None else isos.fhir_text(frequency)
    if frequency is None or words is ABSENT:
        return ABSENT
    often = timing(frequency)
    return {"code": {"text": words}} if often is ABSENT else often


def _show(values: tuple[Any, ...], context: Context) -> tuple[Node]:
    shown = instruction(*values, bare=context.bare)
    return (Whole([shown], list(values)) if shown else ABSENT,)


# ---- Dosage → columns ----------------------------------------------------------------------------------------------


def _dose(dosage: Json) -> str | None:
    """Return the one dose of an instruction as text; None for several, for a range and for a rate."""
    rates = dosage.get("doseAndRate", [])
    if len(rates) != 1 or not isinstance(rates[0], dict) or set(rates[0]) - {"type", "doseQuantity"}:
        return None
    return doses.amount_text(rates[0].get("doseQuantity"))


def _route(dosage: Json) -> str | None:
    route = dosage.get("route")
    codings = route.get("coding", []) if isinstance(route, dict) else []
    codes = (coding.get("code") for coding in codings if isinstance(coding, dict))
    return concept_name(route) or next((code for code in codes if isinstance(code, str)), None)


def _frequency(dosage: Json) -> str | None:
    return timing_text(dosage.get("timing"))


def _as_needed(dosage: Json) -> bool | None:
    if "asNeededCodeableConcept" in dosage:
        return True
    said = dosage.get("asNeededBoolean")
    return said if isinstance(said, bool) else None


def _extra(dosage: Json) -> list[str]:
    """Return what an instruction says in words beside its text."""
    said = dosage.get("patientInstruction"), *map(concept_name, dosage.get("additionalInstruction", []))
    return [words for words in said if isinstance(words, str) and words != dosage.get("text")]


_PIECES: Final[dict[str, Callable[[Json], Any]]] = {"route": _route, "frequency": _frequency, "as_needed": _as_needed}


def _columns(dosage: Json, view: PatientMedication | None) -> dict[str, Any]:
    """Return the columns of one instruction; those whose elements are as the row shows them stay as they are."""
    taken = {column: read(dosage) for column, read in _PIECES.items()}
    if view is None:
        return {**taken, "dosage": _dosage(dosage, taken, None)}
    shown = instruction(view.dosage, view.route, view.frequency, view.as_needed)
    kept = {column: getattr(view, column) for column, read in _PIECES.items() if taken[column] == read(shown)}
    taken |= kept
    return {**taken, "dosage": _dosage(dosage, taken, view.dosage)}


def _dosage(dosage: Json, taken: dict[str, Any], own: str | None) -> str | None:
    """Return the column `dosage`: what an instruction says beside the columns `taken`, as it is spelled now.

    Who changes a part and leaves the text that repeated it as it was means the part. So the text counts only where the
    parts do not say dose and frequency; where it contradicts the dose, both are kept.
    """
    extra = _extra(dosage)
    said = _said(dosage, taken, None if extra else own)
    return "; ".join(words for words in (said, *extra) if words is not None) or None


def _said(dosage: Json, taken: dict[str, Any], own: str | None) -> str | None:
    dose, text = _dose(dosage), dosage.get("text")
    known = own if dose is None else dose
    if own is not None and dose is not None and doses.amount_text(doses.dose(own)) == dose:
        known = own  # as it was spelled
    if not isinstance(text, str):
        return None if dose is None else known
    if text == _words(known, taken["route"], taken["frequency"], as_needed=taken["as_needed"]):
        return known
    if known is None or dose is None:
        return text
    if taken["frequency"] is not None:
        return known
    return text if _mentions(text, dose) else f"{dose}; {text}"


def _mentions(text: str, dose: str) -> bool:
    """Whether a text says the number of a dose."""
    number = re.escape(dose.split(maxsplit=1)[0])
    return re.search(rf"(?<![\d.,]){number}(?![\d]|[.,]\d)", text) is not None


def _take(found: tuple[Json, ...], context: Context) -> tuple[Any, ...]:
    written = found[0]
    if not isinstance(written, list) or not all(isinstance(one, dict) for one in written):
        raise Refusal("is not a list of instructions")
    if len(written) == 1:
        taken = _columns(written[0], context.view)
    else:
        taken = dict.fromkeys(COLUMNS)
        said = [_in_words(one) for one in written]
        taken["dosage"] = "; ".join(words for words in said if words is not None) or None
    return tuple(taken[column] for column in COLUMNS)


def _in_words(dosage: Json) -> str | None:
    """Return one of several instructions in words: its own, else those of its parts."""
    own = dosage.get("text")
    if isinstance(own, str):
        return "; ".join([own, *_extra(dosage)])
    taken = _columns(dosage, None)
    return _words(taken["dosage"], taken["route"], taken["frequency"], as_needed=taken["as_needed"])


def dosage_instruction() -> Field:
    """Return the field of the four columns."""
    note = "one instruction: in words, and in parts where they are a dose, a route, a Timing; several as words"
    return lens(COLUMNS, ("dosageInstruction",), _show, _take, note=note)
