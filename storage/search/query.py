"""A search as a typed tree: what was asked, free of text, HTTP and SQL (FHIR R4 search.html).

The criteria of a Search hold all (AND); the values of one criterion are alternatives (OR).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from capability.search_parameters import SearchParameter

MAX_INCLUDED: Final = 1_000
"""Resources that the includes of one page may bring (settled §5)."""
MAX_ROUNDS: Final = 8
"""Rounds of `:iterate` (settled §5)."""


class Prefix(StrEnum):
    """How a value is compared with an ordered element (search.html#prefix)."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    LT = "lt"
    GE = "ge"
    LE = "le"
    SA = "sa"
    EB = "eb"
    AP = "ap"


class Modifier(StrEnum):
    """Modifiers that keep a parameter's own values (search.html#modifiers); `:missing` and `:Type` are no such."""

    NONE = ""
    EXACT = "exact"
    CONTAINS = "contains"
    NOT = "not"
    OF_TYPE = "of-type"
    IDENTIFIER = "identifier"
    BELOW = "below"
    ABOVE = "above"
    TEXT = "text"
    IN = "in"
    NOT_IN = "not-in"


# --- values -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Token:
    """`code`, `system|code`, `system|` or `|code` (search.html#token).

    `system` is None for any system and "" for none; `code` is None for any code.
    """

    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class TypedIdentifier:
    """`system|code|value` of `:of-type`: an identifier whose type has this coding."""

    system: str
    code: str
    value: str


@dataclass(frozen=True, slots=True)
class Text:
    """A value of a string parameter, as written (search.html#string)."""

    text: str


@dataclass(frozen=True, slots=True)
class Date:
    """A range [low, high) of microseconds since 1970 UTC, and how to compare with it (search.html#date)."""

    prefix: Prefix
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written: its digits say how exact it is (search.html#number)."""

    prefix: Prefix
    value: Decimal


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit (search.html#quantity).

    `code` is None for any unit. `system` is None where only `code` was given (`number||code`): then it is compared with
    code and unit alike.
    """

    number: Number
    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class Reference:
    """A literal reference (search.html#reference).

    A bare id leaves `resource_type` None: any type the parameter permits. `version` is that of `Type/id/_history/v`.
    """

    resource_type: str | None
    id: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class ReferenceUrl:
    """A reference that is no local one: a foreign absolute URL, a urn, or a canonical with or without version."""

    url: str


@dataclass(frozen=True, slots=True)
class Uri:
    """A uri, compared letter by letter (search.html#uri); with IN and NOT_IN the canonical of a value set."""

    uri: str


PlainValue = Token | TypedIdentifier | Text | Date | Number | Quantity | Reference | ReferenceUrl | Uri


@dataclass(frozen=True, slots=True)
class Composite:
    """One value per component, all to be met by the same element (search.html#composite)."""

    parts: tuple[PlainValue, ...]


Value = PlainValue | Composite

# --- criteria ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Match:
    """The parameter has one of the values; with NOT it has none of them, or nothing at all.

    With IN and NOT_IN the values are the canonicals of value sets. These, and ABOVE and BELOW of a token, are resolved
    to tokens before a search is planned (`storage/search/terminology.py`).
    """

    parameter: SearchParameter
    modifier: Modifier
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """The parameter has no value (`missing`), or has one."""

    parameter: SearchParameter
    missing: bool


@dataclass(frozen=True, slots=True)
class Ids:
    """The resource has one of the ids (`_id`)."""

    resource_type: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LastUpdated:
    """The current version was written at a time that one of the values admits (`_lastUpdated`)."""

    values: tuple[Date, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """One way a chain may go: the reference points at this type, and the target meets the criterion."""

    resource_type: str
    criterion: Criterion


@dataclass(frozen=True, slots=True)
class Chain:
    """The reference points at a resource that meets a criterion of its own (search.html#chaining)."""

    parameter: SearchParameter
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Has:
    """A resource that refers here by `parameter` meets the criterion (search.html#has)."""

    parameter: SearchParameter
    criterion: Criterion


@dataclass(frozen=True, slots=True)
class InPatient:
    """The resource lies in the compartment of the Patient with this id, by the rule that access goes by."""

    patient: str


@dataclass(frozen=True, slots=True)
class Either:
    """One of the criteria holds: how a resource may lie in a compartment other than a Patient's."""

    criteria: tuple[Criterion, ...]


Criterion = Match | Missing | Ids | LastUpdated | Chain | Has | InPatient | Either

# --- the search -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of the order; resources without a value come last, whatever the direction (search.html#sort)."""

    parameter: SearchParameter
    descending: bool


@dataclass(frozen=True, slots=True)
class Include:
    """Resources to send along (search.html#include).

    `parameter` is a reference parameter of `source`; None stands for all of them (`*`). `target` restricts the targets
    to one type. `reverse` is `_revinclude`; `iterate` applies it to what was included, too.
    """

    source: str
    parameter: SearchParameter | None
    target: str | None
    reverse: bool
    iterate: bool


class Total(StrEnum):
    """What `Bundle.total` shall be (search.html#total). DEFAULT gives it when it costs nothing."""

    DEFAULT = ""
    NONE = "none"
    ESTIMATE = "estimate"
    ACCURATE = "accurate"


@dataclass(frozen=True, slots=True)
class Part:
    """What a search asks of one type. Of several types the keys of the order are alike."""

    resource_type: str
    criteria: tuple[Criterion, ...]
    sort: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """What one page of a search shall hold.

    `count` is the page size; 0 asks for the total alone. `cursor` is the opaque place of the page, None for the first.
    `parameters` are the pairs that were used, as the self link shows them, without the cursor. A search of several
    types has its criteria and order in `several`, in one order over all. `address` is the path of one that is not
    addressed to a type; a page's place holds at this address only.
    """

    resource_type: str
    criteria: tuple[Criterion, ...] = ()
    sort: tuple[SortKey, ...] = ()
    count: int = 50
    includes: tuple[Include, ...] = ()
    total: Total = Total.DEFAULT
    cursor: str | None = None
    parameters: tuple[tuple[str, str], ...] = field(default=())
    several: tuple[Part, ...] = ()
    address: str = ""

    @property
    def parts(self) -> tuple[Part, ...]:
        """What is asked of each type."""
        return self.several or (Part(self.resource_type, self.criteria, self.sort),)
