"""Compounds of a protocol ⇄ activities of its CarePlan, one detail each (mapping.md CarePlan).

A compound is `{name, dosage, frequency, schedule?, route?, code?, notes?}` and may have more keys, which FHIR does not
show and no write through FHIR touches. An activity is a compound when its kind is MedicationRequest and it is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from mappers import doses, isos, systems
from mappers.fields import Context, Field, lens
from mappers.json_values import ABSENT, Json, is_number, same
from mappers.medication_names import concept, concept_name
from mappers.nodes import Node, Slot, Whole
from mappers.timing import timing, timing_text

KIND: Final = "MedicationRequest"
ACTIVITY_STATUSES: Final = {
    "active": "in-progress",
    "paused": "on-hold",
    "completed": "completed",
    "cancelled": "stopped",
}
"""Protocol status → status of its activities (FHIR R4 valueset-care-plan-activity-status)."""
_RXNORM: Final = re.compile(r"rxnorm:(\d+)", re.IGNORECASE | re.ASCII)


def _detail(activity: Json) -> dict[str, Json]:
    detail = activity.get("detail") if isinstance(activity, dict) else None
    return detail if isinstance(detail, dict) else {}


def _name(detail: Json) -> str | None:
    return concept_name(detail.get("code")) or concept_name(detail.get("productCodeableConcept"))


def _is_compound(activity: Json) -> bool:
    detail = _detail(activity)
    return _name(detail) is not None and detail.get("doNotPerform") is not True


COMPOUNDS: Final = Slot("compounds", {"detail": {"kind": KIND}}, many=True, accepts=_is_compound)


# ---- compound → activity -------------------------------------------------------------------------------------------


def _words(value: Json) -> str | None:
    """Return a text or number of a compound in words, None when it is neither or blank."""
    if is_number(value):
        return f"{value}"
    return value if isinstance(value, str) and isos.fhir_text(value) is not ABSENT else None


def dosage_text(compound: Mapping[str, Json]) -> str | None:
    """Return a compound's dosage, with its unit where that is apart (`{"dosage": 0.25, "unit": "mg"}`)."""
    words, unit = _words(compound.get("dosage")), _words(compound.get("unit"))
    return f"{words} {unit}" if words and unit else words


def _coding(code: Json) -> dict[str, str] | None:
    """Return the coding of a compound's own code: RxNorm where it says so, else of the local code system."""
    if not isos.is_code(code):
        return None
    match = _RXNORM.fullmatch(code)
    return {"system": systems.RXNORM, "code": match.group(1)} if match else {"system": systems.COMPOUND, "code": code}


def _code(compound: Mapping[str, Json], bare: bool) -> Node:
    named = concept(compound["name"], bare=bare)
    own = _coding(compound.get("code"))
    if own is None:
        return named
    others = [coding for coding in named.get("coding", []) if coding["code"] != own["code"]]
    return {"coding": [own, *others], "text": named["text"]}


def is_shown(compound: Json) -> bool:
    """Whether FHIR shows a compound: it has a name."""
    return isinstance(compound, dict) and isinstance(compound.get("name"), str) and _words(compound["name"]) is not None


def activity(compound: Mapping[str, Json], status: str, *, bare: bool = False) -> dict[str, Json]:
    """Return the activity of a compound that `is_shown`; `bare` leaves codes of this server's tables out."""
    dosage, frequency = dosage_text(compound), _words(compound.get("frequency"))
    amount = doses.dose(dosage) if dosage else ABSENT
    often = timing(frequency) if frequency else ABSENT
    rest = [
        None if amount is not ABSENT else dosage,
        *(_words(compound.get(k)) for k in ("schedule", "route", "notes")),
    ]
    description = isos.fhir_text("; ".join(words for words in rest if words))
    detail = {
        "kind": KIND,
        "code": _code(compound, bare),
        "status": ACTIVITY_STATUSES[status],
        "scheduledTiming": often,
        "scheduledString": isos.fhir_text(frequency) if frequency and often is ABSENT else ABSENT,
        "quantity": amount,
        "description": description,
    }
    return {"detail": {key: value for key, value in detail.items() if value is not ABSENT}}


# ---- activity → compound -------------------------------------------------------------------------------------------


def _dosage_of(detail: Json) -> str | None:
    return doses.amount_text(detail.get("quantity"))


def _frequency_of(detail: Json) -> str | None:
    words = timing_text(detail.get("scheduledTiming")) or detail.get("scheduledString")
    return words if isinstance(words, str) else None


def _notes_of(detail: Json) -> str | None:
    words = detail.get("description")
    return words if isinstance(words, str) else None


_PIECES: Final[tuple[tuple[Callable[[Json], str | None], str, tuple[str, ...]], ...]] = (
    (_name, "name", ("code",)),
    (_dosage_of, "dosage", ("unit",)),
    (_frequency_of, "frequency", ()),
    (_notes_of, "notes", ("schedule", "route")),
)
"""How a piece is read from a detail, the compound's key for it, and keys that it stands for as well."""


def revised(compound: Mapping[str, Json], shown: Json, written: Json) -> dict[str, Json]:
    """Return a compound with the pieces replaced in which the written activity differs from the shown one."""
    out = dict(compound)
    before, after = _detail(shown), _detail(written)
    for read, key, others in _PIECES:
        piece = read(after)
        if piece == read(before):
            continue
        for name in (key, *others):
            out.pop(name, None)
        if piece is not None:
            out[key] = piece
    return out


def _shown(compounds: Json) -> list[dict[str, Json]]:
    return [compound for compound in compounds if is_shown(compound)] if isinstance(compounds, list) else []


def _show(values: tuple[Any, ...], context: Context) -> tuple[Node]:
    status = context.view.status
    nodes = [Whole(activity(compound, status, bare=context.bare), [compound, status]) for compound in _shown(values[0])]
    return (nodes or ABSENT,)


def _take(found: tuple[Json, ...], context: Context) -> tuple[Json]:
    """Take the written activities; what they repeat of the current compounds stays as it is, unknown keys and all."""
    view = context.view
    current = [] if view is None or not isinstance(view.compounds, list) else view.compounds
    left = [(one, *(activity(one, view.status, bare=bare) for bare in (False, True))) for one in _shown(current)]
    kept = [_taken(written, left) for written in found[0]]
    return ([*kept, *(compound for compound in current if not is_shown(compound))],)


def _taken(written: Json, left: list[tuple[Any, ...]]) -> dict[str, Json]:
    """Return the compound of one written activity, and take the current one that it stands for off the list."""
    name = _name(_detail(written))
    tests: tuple[Callable[[tuple[Any, ...]], bool], ...] = (
        lambda known: same(known[1], written) or same(known[2], written),
        lambda known: name == _name(_detail(known[1])),
    )
    for test in tests:
        for index, known in enumerate(left):
            if test(known):
                compound, shown, _ = left.pop(index)
                return revised(compound, shown, written)
    return revised({}, {}, written)


def compounds() -> Field:
    """Return the field of `protocols.compounds`; the mapper declares the slot COMPOUNDS for `activity`."""
    note = "name, code, dosage as Quantity, frequency as Timing; the rest in words as description"
    sources = (("compounds", "status"),)
    return lens(("compounds",), ("activity[compounds]",), _show, _take, empty=([],), note=note, sources=sources)
