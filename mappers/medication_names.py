"""Medications named in text: the concept that a resource shows, and the RxNorm code where the table knows one."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from mappers import isos, systems
from mappers.codes.code import Code
from mappers.codes.medications import MEDICATIONS
from mappers.errors import Refusal
from mappers.fields import Context, Field, lens
from mappers.json_values import ABSENT, Json
from mappers.nodes import Node, Whole
from mappers.text_entries import folded

_STRENGTH: Final = re.compile(r" (?=\d)")
_WORD: Final = re.compile(r"[^\W\d_]+")
_DOSE: Final = re.compile(
    r"(mg|mcg|ug|g|kg|ml|l|iu|u|units?|meq|mmol|h|hrs?|hours?|x|per|day|daily|week|weekly|wk|month|monthly|every|other|"
    r"once|twice|morning|evening|night|bedtime|qd|qod|qid|bid|tid|qhs|qam|qpm|hs|prn|po|sl|im|iv|sc|subq|oral|by|mouth|"
    r"tabs?|tablets?|caps?|capsules?|pills?|doses?)"
)
"""Words that say how much, how often or in which form, and name no second substance."""


UNKNOWN: Final = {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "unknown"}]}
"""What stands for a name that is blank, since the element is mandatory (us_core.md M4)."""


@lru_cache(maxsize=4096)
def known_code(name: str) -> Code | None:
    """Return the RxNorm code of a medication written as text, or None.

    The table has the whole name, or an ingredient followed by a strength and nothing but words of dose, form and
    frequency ("metformin 500 mg BID"). Any other word may be a salt, an ester or a second substance: no code then.
    """
    written = folded(name)
    if written in MEDICATIONS:
        return MEDICATIONS[written]
    ingredient, *rest = _STRENGTH.split(written, maxsplit=1)
    if rest and all(map(_DOSE.fullmatch, _WORD.findall(rest[0]))):
        return MEDICATIONS.get(ingredient)
    return None


def concept(name: str, *, bare: bool = False) -> Node:
    """Return the CodeableConcept of a medication: its name, and unless `bare` its code; ABSENT for a blank name."""
    words = isos.fhir_text(name)
    if words is ABSENT:
        return ABSENT
    known = None if bare else known_code(name)
    if known is None:
        return {"text": words}
    return {"coding": [{"system": systems.RXNORM, "code": known.code, "display": known.display}], "text": words}


def concept_name(value: Json) -> str | None:
    """Return the name in a CodeableConcept: its text, else the first display of a coding, else None."""
    if not isinstance(value, dict):
        return None
    codings = value.get("coding", [])
    names = [value.get("text"), *(coding.get("display") for coding in codings if isinstance(coding, dict))]
    return next((name for name in names if isinstance(name, str) and isos.fhir_text(name) is not ABSENT), None)


def medication(column: str) -> Field:
    """Return the field of a NOT NULL medication name; a reference to a Medication is not claimed.

    The mapper declares `together=(("medication",),)`, since the element is a choice.
    """

    def show(values: tuple[Any, ...], context: Context) -> tuple[Node]:
        node = concept(values[0], bare=context.bare)
        return (Whole(UNKNOWN if node is ABSENT else node, values[0]),)

    def take(found: tuple[Json, ...], _: Context) -> tuple[str]:
        name = concept_name(found[0])
        if name is None:
            raise Refusal("names no medication", final=True)
        return (name,)

    note = "text; RxNorm where the table knows the name"
    return lens((column,), ("medicationCodeableConcept",), show, take, needed=True, note=note)
