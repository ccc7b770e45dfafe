"""`dosage`, `route`, `frequency` and `as_needed` of `patient_medications` ⇄ Dosage (FHIR R4 dosage.html).

A row is one instruction, shown as one Dosage: the whole in words, and each column in its own element where it has one
(a dose that is a number and a unit, a frequency that is a Timing). An instruction that comes in words of its own, or
several of them, go to `dosage` as words, so that nobody who reads the columns sees half of it.
"""

from __future__ import annotations

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
        "timing": ABSENT if frequency is None else timing(frequency),
        "asNeededBoolean": ABSENT if as_needed is None else as_needed,
        "route": ABSENT if route is None or isos.fhir_text(route) is ABSENT else {"text": isos.fhir_text(route)},
        "doseAndRate": ABSENT if amount is ABSENT else [{"doseQuantity": amount}],
    }
    return {element: value for element, value in shown.items() if value is not ABSENT}


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


def _alone(dosage: Json) -> dict[str, Any]:
    """Return the columns of an instruction that no row is known of."""
    taken = {column: read(dosage) for column, read in _PIECES.items()}
    return {**taken, "dosage": _in_words(dosage, taken)}


def _in_words(dosage: Json, taken: dict[str, Any]) -> str | None:
    """Return the column `dosage`: the dose where the text says no more than the columns, else the text."""
    dose, text = _dose(dosage), dosage.get("text")
    more = isinstance(text, str) and text != _words(dose, *_others(taken), as_needed=taken["as_needed"])
    return "; ".join(words for words in (text if more else dose, *_extra(dosage)) if words is not None) or None


def _others(taken: dict[str, Any]) -> tuple[str | None, str | None]:
    return taken["route"], taken["frequency"]


_PIECES: Final[dict[str, Callable[[Json], Any]]] = {"route": _route, "frequency": _frequency, "as_needed": _as_needed}


def _revised(view: PatientMedication, written: Json) -> dict[str, Any]:
    """Return the columns with those changed in which the written instruction differs from the shown one."""
    own = {column: getattr(view, column) for column in COLUMNS}
    renderings = [instruction(**own, bare=bare) for bare in (False, True)]
    shown = renderings[0]
    taken = {column: own[column] if read(written) == read(shown) else read(written) for column, read in _PIECES.items()}
    if written.get("text") == shown.get("text") and not _extra(written):
        kept = any(_dose(written) == _dose(each) for each in renderings)
        return {**taken, "dosage": own["dosage"] if kept else _dose(written)}
    return {**taken, "dosage": _in_words(written, taken)}


def _take(found: tuple[Json, ...], context: Context) -> tuple[Any, ...]:
    written = found[0]
    if not isinstance(written, list) or not all(isinstance(one, dict) for one in written):
        raise Refusal("is not a list of instructions")
    if len(written) == 1:
        taken = _alone(written[0]) if context.view is None else _revised(context.view, written[0])
    else:
        taken = dict.fromkeys(COLUMNS)
        said = [_said(one) for one in written]
        taken["dosage"] = "; ".join(words for words in said if words is not None) or None
    return tuple(taken[column] for column in COLUMNS)


def _said(dosage: Json) -> str | None:
    """Return one of several instructions in words: its own, else those of its parts."""
    taken = _alone(dosage)
    if "text" in dosage:
        return taken["dosage"] or None
    return _words(taken["dosage"], *_others(taken), as_needed=taken["as_needed"])


def dosage_instruction() -> Field:
    """Return the field of the four columns."""
    note = "one instruction: in words, and in parts where they are a dose, a route, a Timing; several as words"
    return lens(COLUMNS, ("dosageInstruction",), _show, _take, note=note)
