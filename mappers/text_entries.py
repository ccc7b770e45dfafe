"""Entries of the text arrays of `customer_profiles`: conditions, medications, allergies (settled §1.10).

One array gives one resource for each entry that is not blank. An entry's part key is its folded text and how many
times that text came before, so that it keeps its id when neighbours come, go or change places.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mappers import isos
from mappers.json_values import ABSENT
from mappers.lens import Split
from mappers.lookups import Lookups
from mappers.rows import CustomerProfile


@dataclass(frozen=True, slots=True)
class TextEntry:
    """One entry of a text array: the customer's id and the text."""

    id: str
    organization_id: str
    text: str


def folded(text: str) -> str:
    """Return the text without differences of case, width, composition and white space."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def keyed(texts: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    """Yield part key and text of every entry that FHIR can show: its folded text, and how often that came before."""
    count: dict[str, int] = {}
    for text in texts or ():
        if isos.fhir_text(text) is not ABSENT:
            name = folded(text)
            count[name] = count.get(name, 0) + 1
            yield f"{name}#{count[name]}", text


def entries(column: str) -> Split:
    """Return how a customer's row falls into the entries of one text array; they are read-only."""

    def parts(row: CustomerProfile, _: Lookups) -> tuple[str, ...]:
        return tuple(key for key, _ in keyed(getattr(row, column)))

    def view(row: CustomerProfile, part: str) -> TextEntry:
        return TextEntry(row.id, row.organization_id, dict(keyed(getattr(row, column)))[part])

    return Split(parts, view, columns={"text": column})
