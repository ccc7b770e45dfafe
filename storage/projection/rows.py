"""The rows of the search index while they are gathered, and the functions that add to them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from capability.search_parameters import SearchParameter
from storage.search.values import OPEN_HIGH, OPEN_LOW

Json = Any


class TokenValue(NamedTuple):
    """A token row: `key` holds type, parameter and code, `system` the code system (0 for none)."""

    key: int
    system: int


class StringValue(NamedTuple):
    """A string or uri row: `value` folded (of a uri: as it is), `exact` for `:exact` (of a uri: empty)."""

    key: int
    value: str
    exact: str


class DateValue(NamedTuple):
    """A row of time: [low, high) in microseconds since 1970 UTC."""

    key: int
    low: int
    high: int


class QuantityValue(NamedTuple):
    """A row of numbers: [low, high) of encoded decimals, the single number n being [n, after(n))."""

    key: int
    low: bytes
    high: bytes
    qualifier: int


class ReferenceValue(NamedTuple):
    """A reference row: `key` is the parameter's, 0 for a reference that no parameter covers."""

    key: int
    target: int


class Rows:
    """The rows of one resource while they are gathered."""

    __slots__ = ("base", "date_high", "date_low", "dates", "own", "quantities", "references", "strings", "tokens")

    def __init__(self, base: str, own: int) -> None:
        self.tokens: set[TokenValue] = set()
        self.strings: set[StringValue] = set()
        self.dates: set[DateValue] = set()
        self.quantities: set[QuantityValue] = set()
        self.references: set[ReferenceValue] = set()
        self.base = base
        """The server's own address: references below it are local."""
        self.own = own
        """Target that the `patient` column answers for the element that names the patient; 0 for none."""
        self.date_low = OPEN_LOW
        self.date_high = OPEN_HIGH

    def copy(self) -> "Rows":
        """Return the same rows, to which others may be added."""
        other = Rows(self.base, self.own)
        for name in ("tokens", "strings", "dates", "quantities", "references"):
            setattr(other, name, set(getattr(self, name)))
        other.date_low, other.date_high = self.date_low, self.date_high
        return other


Emit = Callable[[Json, Rows], bool]
"""Adds the rows of one value; returns whether there was something to compare with."""

Factory = Callable[[SearchParameter, str], Emit]
"""Makes the emitter of a parameter for values found at an element (`Observation.status`)."""
