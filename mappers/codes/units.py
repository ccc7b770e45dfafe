"""Units as people write them, and UCUM codes for those that a table knows."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from mappers.codes.unit_table import UNITS

_CODES: Final = frozenset(UNITS.values())
_LITRE: Final = re.compile(r"(?<=[/dmunpf\u00b5])l(?=$|/)")
_TERM: Final = re.compile(r"(?:da|[YZEPTGMkhdcmunpf])?(g|mol|\[IU\]|U|L|m|s|eq)")


@lru_cache(maxsize=4096)
def ucum(unit: str | None) -> str | None:
    """Return the UCUM code of a unit as written, or None.

    A known UCUM code stands for itself; `ng/dl` is taken for `ng/dL`, and µ of either alphabet.
    """
    if unit is None:
        return None
    written = unit.strip().replace("\u03bc", "\u00b5")
    if written in _CODES:
        return written
    return UNITS.get(written) or UNITS.get(_LITRE.sub("L", written))


def kind(code: str) -> tuple[str, ...]:
    """Return what a UCUM code measures, prefixes and counts aside: `ng/mL` and `ug/L` are both mass per volume."""
    return tuple(_term(term) for term in code.split("/"))


def _term(term: str) -> str:
    match = _TERM.fullmatch(term)
    return match.group(1) if match else term


def same_kind(left: str | None, right: str | None) -> bool:
    """Whether two UCUM codes measure the same kind of quantity; an unknown one matches nothing."""
    return left is not None and right is not None and kind(left) == kind(right)
