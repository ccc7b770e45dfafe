"""A record of a person as it is compared: folded names, a birth date, telephones as digits (decision 29)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from storage.projection.person_records import Mark, Record

SIGNIFICANT_DIGITS: Final = 10
"""Digits of a telephone number that count, from its end: what is before them is a way to dial a country."""
FEWEST_DIGITS: Final = 7
SEXES: Final = {"male": "male", "female": "female", "m": "male", "f": "female"}
"""Those that tell people apart: `other` and `unknown` agree with either."""

_NOT_IN_NAMES: Final = re.compile(r"[\W_]+")
_POSTCODE: Final = re.compile(r"\b(\d{5})(?:-\d{4})?\b(?=\D*$)")


@dataclass(frozen=True, slots=True)
class Person:
    """What a record says of a person. Texts are folded; empty ones and None are not known."""

    record: Record
    family: str = ""
    given: str = ""
    birth: date | None = None
    sex: str | None = None
    phones: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    address: str = ""
    postcode: str | None = None
    marks: frozenset[Mark] = frozenset()
    """Ids that are given to one person only: who has one in common is the same."""


def folded(text: str | None) -> str:
    """Return a text without case, accents and punctuation: `Müller-Lüdenscheidt` is `muller ludenscheidt`."""
    if not text:
        return ""
    apart = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(each for each in apart if not unicodedata.combining(each))
    return _NOT_IN_NAMES.sub(" ", plain).strip()


def names_in(words: str | None) -> tuple[str, str]:
    """Return family and given name, folded, of a name in words: `Doe, Jane` or `Jane Doe`.

    One word alone says nothing: it may be a given name, or `Mum`.
    """
    family, comma, given = (words or "").partition(",")
    if comma:
        return folded(family), folded(given)
    *before, last = folded(words).split() or [""]
    return (last, " ".join(before)) if before else ("", "")


def telephone(text: str | None) -> str | None:
    """Return the significant digits of a telephone number, None for what is none."""
    digits = "".join(each for each in text or "" if each.isdecimal() and each.isascii())
    return digits[-SIGNIFICANT_DIGITS:] if len(digits) >= FEWEST_DIGITS else None


def mailbox(text: str | None) -> str | None:
    """Return an e-mail address without case, None for what is none."""
    plain = (text or "").strip().casefold()
    return plain if "@" in plain else None


def postcode_in(address: str | None) -> str | None:
    """Return the five digits of the ZIP code that an address in words ends with."""
    found = _POSTCODE.search(address or "")
    return found[1] if found else None


def sex_of(text: str | None) -> str | None:
    """Return `male` or `female`, None for anything else."""
    return SEXES.get((text or "").strip().casefold())


def day_of(text: str | None) -> date | None:
    """Return the day that a text begins with, None where it is no day: other writers leave anything."""
    try:
        return date.fromisoformat((text or "")[:10])
    except ValueError:
        return None


def known(found: Iterable[str | None]) -> frozenset[str]:
    """Return what is there of some texts."""
    return frozenset(each for each in found if each)
