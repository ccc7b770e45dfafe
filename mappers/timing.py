"""How often a medication is taken: text ⇄ Timing (FHIR R4 datatypes.html#Timing)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from mappers import isos
from mappers.json_values import ABSENT, Json, is_number
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
_WORDS: Final = {"s": "second", "min": "minute", "h": "hour", "d": "day", "wk": "week", "mo": "month", "a": "year"}
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
    """Return a written Timing in words: its code, else what its repetition is called, or None."""
    if not isinstance(value, dict):
        return None
    code = value.get("code", {})
    names = [code.get("text"), *(coding.get("display", coding.get("code")) for coding in code.get("coding", []))]
    repeat = value.get("repeat", {})
    if set(repeat) <= {"frequency", "period", "periodUnit"}:
        key = (repeat.get("frequency", 1), repeat.get("period"), repeat.get("periodUnit"))
        names += [name for name, known in _KNOWN.items() if known == key]
        names.append(_described(*key))
    return next((name for name in names if isinstance(name, str)), None)


def _described(frequency: Json, period: Json, unit: Json) -> str | None:
    """Return the words of a repetition that has no name: `3x/day`, `every 6 hours`, `2x every 8 hours`."""
    if not all(map(is_number, (frequency, period))) or unit not in _WORDS:
        return None
    often, length = (f"{value.normalize():f}" for value in map(Decimal, (frequency, period)))
    every = f"every {length} {_WORDS[unit]}s"
    if often == "1":
        return every
    return f"{often}x/{_WORDS[unit]}" if length == "1" else f"{often}x {every}"
