"""What is said of two records: certain, possible or not, with the reasons (decision 29).

These hold whatever else agrees: telephone, e-mail and address count together as much as a household shares, which is
less than what makes a pair possible; records with different birth dates, given names or sexes are never certain, so
neither are twins; and a parent and a child are told apart by their years.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from storage.persons.comparison import WEIGHTS, Agreements, Level, Trait, compare
from storage.persons.person import Person
from storage.tables.enums import MatchOutcome

POSSIBLE: Final = Decimal(10)
CERTAIN: Final = Decimal(29)
"""From these scores on."""
HOUSEHOLD: Final = (Trait.PHONE, Trait.EMAIL, Trait.ADDRESS)
MOST_OF_HOUSEHOLD: Final = Decimal(9)
"""What traits weigh together at most that families share."""

_NEEDED: Final[Mapping[Trait, frozenset[Level]]] = {
    Trait.FAMILY: frozenset({Level.SAME}),
    Trait.GIVEN: frozenset({Level.SAME}),
    Trait.BIRTH: frozenset({Level.SAME}),
}
"""Without an exact identifier a pair is certain only if these agree so well."""
_CONTRADICTIONS: Final[Mapping[Trait, frozenset[Level]]] = {
    Trait.GIVEN: frozenset({Level.DIFFERENT}),
    Trait.BIRTH: frozenset({Level.SWAPPED, Level.DIGIT, Level.DIFFERENT, Level.GENERATION}),
    Trait.SEX: frozenset({Level.DIFFERENT}),
}
"""What leaves even records with the same identifier to somebody's eyes."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a pair of records."""

    outcome: MatchOutcome
    score: Decimal
    agreements: Agreements
    because: str
    identifiers: tuple[str, ...] = ()
    """Kinds of the exact identifiers that they have in common."""

    @property
    def is_exact(self) -> bool:
        """Whether it is certain because of an exact identifier."""
        return self.outcome is MatchOutcome.CERTAIN and self.agreements[Trait.IDENTIFIER] is Level.SAME

    def evidence(self) -> dict[str, Any]:
        """Return the reasons as JSON; no values, for these are on record where they belong."""
        return {
            "because": self.because,
            "identifiers": list(self.identifiers),
            "comparisons": [
                {"trait": trait.value, "agreement": level.value, "weight": WEIGHTS[trait][level]}
                for trait, level in self.agreements.items()
            ],
        }


def judge(one: Person, other: Person) -> Verdict:
    """Return what is said of two records; the order of the two does not matter."""
    return verdict(compare(one, other), tuple(sorted({mark.kind for mark in one.marks & other.marks})))


def verdict(agreements: Agreements, identifiers: tuple[str, ...] = ()) -> Verdict:
    """Return what is said of records that agree so well."""
    score = score_of(agreements)
    contradicting = [trait.value for trait, levels in _CONTRADICTIONS.items() if agreements[trait] in levels]
    outcome, because = MatchOutcome.NOT, f"the score is below {POSSIBLE}"
    if agreements[Trait.IDENTIFIER] is Level.SAME:
        if contradicting:
            outcome, because = (
                MatchOutcome.POSSIBLE,
                f"the same identifier, but contradicting: {_listed(contradicting)}",
            )
        else:
            outcome, because = MatchOutcome.CERTAIN, "the same identifier, which is given to one person only"
    elif score >= POSSIBLE:
        lacking = [trait.value for trait, levels in _NEEDED.items() if agreements[trait] not in levels]
        lacking += [each for each in contradicting if each not in lacking]
        if lacking:
            outcome, because = MatchOutcome.POSSIBLE, f"not certain whatever the score: {_listed(lacking)}"
        elif score >= CERTAIN:
            outcome, because = MatchOutcome.CERTAIN, f"names and birth date agree, and the score is {CERTAIN} or more"
        else:
            outcome, because = MatchOutcome.POSSIBLE, f"the score is below {CERTAIN}"
    return Verdict(outcome, score, agreements, because, identifiers)


def score_of(agreements: Agreements) -> Decimal:
    """Return the sum of the weights, with what a household shares cut."""
    weights = {trait: WEIGHTS[trait][level] for trait, level in agreements.items()}
    shared = sum((weights[trait] for trait in HOUSEHOLD), Decimal(0))
    own = sum((weight for trait, weight in weights.items() if trait not in HOUSEHOLD), Decimal(0))
    return own + min(shared, MOST_OF_HOUSEHOLD)


def _listed(names: list[str]) -> str:
    return ", ".join(names)
