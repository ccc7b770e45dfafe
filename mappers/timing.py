"""How often a medication is taken: text ⇄ Timing (FHIR R4 datatypes.html#Timing)."""

from __future__ import annotations

import re
from typing import Final

from mappers import isos
from mappers.json_values import ABSENT, Json
from mappers.nodes import Node
from mappers.text_entries import folded

Repeat = tuple[int, int, str]
"""Frequency, period and unit of period: twice in one week is (2, 1, "wk")."""

_KNOWN: Final[dict[str, Repeat]] = {
    "daily": (1, 1, "d"),
    "once daily": (1, 1, "d"),
    "every day": (1, 1, "d"),
    "qd": (1, 1, "d"),
    "bid": (2, 1, "d"),
    "twice daily": (2, 1, "d"),
    "tid": (3, 1, "d"),
    "three times daily": (3, 1, "d"),
    "qid": (4, 1, "d"),
    "four times daily": (4, 1, "d"),
    "every other day": (1, 2, "d"),
    "qod": (1, 2, "d"),
    "weekly": (1, 1, "wk"),
    "once weekly": (1, 1, "wk"),
    "every week": (1, 1, "wk"),
    "twice weekly": (2, 1, "wk"),
    "monthly": (1, 1, "mo"),
    "once monthly": (1, 1, "mo"),
}
_UNITS: Final = {"hour": "h", "h": "h", "day": "d", "d": "d", "week": "wk", "wk": "wk", "month": "mo", "mo": "mo"}
_PER: Final = re.compile(r"([1-9]\d?) ?(?:x|times) ?(?:/|per|a) ?(day|week|wk|month|mo)", re.ASCII)
_EVERY: Final = re.compile(r"(?:every|q) ?([1-9]\d?) ?(hour|h|day|d|week|wk|month|mo)s?", re.ASCII)


def _repeat(text: str) -> Repeat | None:
    written = folded(text)
    if written in _KNOWN:
        return _KNOWN[written]
    if match := _PER.fullmatch(written):
        return int(match.group(1)), 1, _UNITS[match.group(2)]
    if match := _EVERY.fullmatch(written):
        return 1, int(match.group(1)), _UNITS[match.group(2)]
    return None


def timing(text: str) -> Node:
    """Return the Timing of a frequency as written ("2x/week", "every 8 hours", "BID"), or ABSENT when it is none."""
    found = _repeat(text)
    if found is None:
        return ABSENT
    frequency, period, unit = found
    repeat = {"frequency": frequency, "period": period, "periodUnit": unit}
    return {"repeat": repeat, "code": {"text": isos.fhir_text(text)}}


def timing_text(value: Json) -> str | None:
    """Return a written Timing in words: its code, else the name of its repetition, or None."""
    if not isinstance(value, dict):
        return None
    code = value.get("code", {})
    names = [code.get("text"), *(coding.get("display", coding.get("code")) for coding in code.get("coding", []))]
    repeat = value.get("repeat", {})
    if set(repeat) <= {"frequency", "period", "periodUnit"}:
        key = (repeat.get("frequency", 1), repeat.get("period"), repeat.get("periodUnit"))
        names += [name for name, known in _KNOWN.items() if known == key]
    return next((name for name in names if isinstance(name, str)), None)
