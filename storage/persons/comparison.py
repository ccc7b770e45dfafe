"""Two records compared, field by field: how well they agree, and what that weighs.

Weights are in the manner of Fellegi and Sunter: about log2(m / u), where m is how often a field agrees in two records
of one person and u how often in records of two. Data, not code: `WEIGHTS` is the table of docs/identity.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final

from rapidfuzz.distance import JaroWinkler

from storage.persons.person import Person

SIMILAR: Final = 0.9
"""From this Jaro-Winkler similarity on two names are spellings of one."""
GENERATION: Final = 12
"""Years apart that a parent and a child are at least."""


class Trait(StrEnum):
    """What is compared."""

    IDENTIFIER = "identifier"
    FAMILY = "family name"
    GIVEN = "given name"
    BIRTH = "birth date"
    SEX = "sex"
    PHONE = "telephone"
    EMAIL = "e-mail"
    ADDRESS = "address"


class Level(StrEnum):
    """How well two records agree, in words for who reviews them."""

    SAME = "the same"
    PART = "one has a part of the other"
    INITIAL = "the same initial"
    SPELLING = "a similar spelling"
    SWAPPED = "day and month exchanged"
    DIGIT = "one digit differs"
    AREA = "the same ZIP code"
    UNKNOWN = "not known of both"
    DIFFERENT = "different"
    GENERATION = "years of another generation"


def _weights(**levels: str) -> Mapping[Level, Decimal]:
    return {Level[name]: Decimal(weight) for name, weight in levels.items()}


WEIGHTS: Final[Mapping[Trait, Mapping[Level, Decimal]]] = {
    Trait.IDENTIFIER: _weights(SAME="40", UNKNOWN="0"),
    Trait.FAMILY: _weights(SAME="7.6", PART="4.5", SPELLING="4", UNKNOWN="0", DIFFERENT="-4"),
    Trait.GIVEN: _weights(SAME="6", PART="4.5", SPELLING="3.5", INITIAL="2", UNKNOWN="0", DIFFERENT="-8"),
    Trait.BIRTH: _weights(SAME="12", SWAPPED="5", DIGIT="4", UNKNOWN="0", DIFFERENT="-12", GENERATION="-30"),
    Trait.SEX: _weights(SAME="1", UNKNOWN="0", DIFFERENT="-6"),
    Trait.PHONE: _weights(SAME="4.5", UNKNOWN="0", DIFFERENT="-0.5"),
    Trait.EMAIL: _weights(SAME="4.5", UNKNOWN="0", DIFFERENT="-0.5"),
    Trait.ADDRESS: _weights(SAME="4", AREA="1.5", UNKNOWN="0", DIFFERENT="-0.5"),
}
"""Trait → levels that it may have, the best agreement first, and their weights."""

Agreements = Mapping[Trait, Level]
"""One level of every trait."""


def compare(one: Person, other: Person) -> Agreements:
    """Return how well two records agree; the order of the two does not matter."""
    return {trait: level(one, other) for trait, level in COMPARISONS.items()}


def _identifier(one: Person, other: Person) -> Level:
    return Level.UNKNOWN if one.marks.isdisjoint(other.marks) else Level.SAME


def _family(one: Person, other: Person) -> Level:
    return _name(one.family, other.family) or Level.DIFFERENT


def _given(one: Person, other: Person) -> Level:
    level = _name(one.given, other.given)
    if level is None and one.given[0] == other.given[0] and 1 in {len(one.given), len(other.given)}:
        return Level.INITIAL
    return level or Level.DIFFERENT


def _name(one: str, other: str) -> Level | None:
    """Return how well two folded names agree, None when not at all."""
    if not one or not other:
        return Level.UNKNOWN
    if one == other:
        return Level.SAME
    parts, others = set(one.split()), set(other.split())
    if any(len(part) > 1 for part in parts & others):
        return Level.PART
    lesser, greater = sorted((one, other))
    return Level.SPELLING if JaroWinkler.similarity(lesser, greater) >= SIMILAR else None


def _birth(one: Person, other: Person) -> Level:
    if one.birth is None or other.birth is None:
        return Level.UNKNOWN
    first, second = sorted((one.birth, other.birth))
    if first == second:
        return Level.SAME
    if (first.year, first.month, first.day) == (second.year, second.day, second.month):
        return Level.SWAPPED
    if second.year - first.year >= GENERATION:
        return Level.GENERATION
    return Level.DIGIT if _digits_apart(first, second) == 1 else Level.DIFFERENT


def _digits_apart(one: date, other: date) -> int:
    return sum(a != b for a, b in zip(one.isoformat(), other.isoformat(), strict=True))


def _sex(one: Person, other: Person) -> Level:
    if one.sex is None or other.sex is None:
        return Level.UNKNOWN
    return Level.SAME if one.sex == other.sex else Level.DIFFERENT


def _shared(one: frozenset[str], other: frozenset[str]) -> Level:
    if not one or not other:
        return Level.UNKNOWN
    return Level.DIFFERENT if one.isdisjoint(other) else Level.SAME


def _address(one: Person, other: Person) -> Level:
    if not one.address or not other.address:
        return Level.UNKNOWN
    if one.address == other.address:
        return Level.SAME
    return Level.AREA if one.postcode is not None and one.postcode == other.postcode else Level.DIFFERENT


COMPARISONS: Final[Mapping[Trait, Callable[[Person, Person], Level]]] = {
    Trait.IDENTIFIER: _identifier,
    Trait.FAMILY: _family,
    Trait.GIVEN: _given,
    Trait.BIRTH: _birth,
    Trait.SEX: _sex,
    Trait.PHONE: lambda one, other: _shared(one.phones, other.phones),
    Trait.EMAIL: lambda one, other: _shared(one.emails, other.emails),
    Trait.ADDRESS: _address,
}
