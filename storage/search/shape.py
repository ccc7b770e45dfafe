"""Criteria with names of parameters in place of values: what a statement looks like, whatever is asked for.

Two searches of one shape share one compiled statement. `Name` is the name of a bound parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from storage.access import Reach
from storage.search.query import Prefix

Name = str


@dataclass(slots=True)
class Binder:
    """Gathers the values of a statement under names; equal walks give equal names. `letter` begins each of them."""

    values: dict[str, Any] = field(default_factory=dict)
    letter: str = "p"

    def bind(self, value: Any) -> Name:
        """Return the name of a new parameter with this value."""
        name = f"{self.letter}{len(self.values)}"
        self.values[name] = value
        return name

    def bind_list(self, values: Iterable[Any]) -> tuple[Name, bool]:
        """Return the name of a parameter for distinct values, and whether it holds a list: of one value it does not."""
        distinct = list(dict.fromkeys(values))
        if len(distinct) == 1:
            return self.bind(distinct[0]), False
        return self.bind(distinct), True


# --- conditions on one row of an index table --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenIs:
    """Row of fhir_index_tokens with (one of) the keys, and the system unless None."""

    keys: Name
    many: bool
    system: Name | None


@dataclass(frozen=True, slots=True)
class TextIn:
    """Row of fhir_index_strings whose value lies in [low, high); without `high` all from `low` on."""

    key: Name
    low: Name
    high: Name | None


@dataclass(frozen=True, slots=True)
class TextIs:
    """Row of fhir_index_strings with this value, with `many` one of these, and with `exact` unless None."""

    key: Name
    value: Name
    exact: Name | None
    many: bool = False


@dataclass(frozen=True, slots=True)
class TextHas:
    """Row of fhir_index_strings whose value is LIKE the pattern (escaped with a backslash)."""

    key: Name
    pattern: Name


@dataclass(frozen=True, slots=True)
class DateBound:
    """A comparison with the range [low, high) of time.

    `floor` is a time before which nothing that matches can begin, None where there is no such time.
    """

    prefix: Prefix
    low: Name
    high: Name
    floor: Name | None


@dataclass(frozen=True, slots=True)
class DateIs:
    """Row of fhir_index_dates that keeps within all the bounds."""

    key: Name
    bounds: tuple[DateBound, ...]


@dataclass(frozen=True, slots=True)
class QuantityIs:
    """Row of fhir_index_quantities that compares with [low, high) as the prefix says, and has the qualifier."""

    key: Name
    prefix: Prefix
    low: Name
    high: Name
    qualifier: Name | None


@dataclass(frozen=True, slots=True)
class ReferenceIs:
    """Row of fhir_index_references with this key and (one of) the targets."""

    key: Name
    targets: Name
    many: bool


@dataclass(frozen=True, slots=True)
class ReferenceLinked:
    """Row of fhir_index_references with this key whose target is among the resources of the inner searches."""

    key: Name
    inners: tuple[Inner, ...]


RowCondition = TokenIs | TextIn | TextIs | TextHas | DateIs | QuantityIs | ReferenceIs | ReferenceLinked


class IndexTable(Enum):
    """The tables that hold index rows."""

    TOKENS = auto()
    STRINGS = auto()
    DATES = auto()
    QUANTITIES = auto()
    REFERENCES = auto()


TABLE_OF: Final[Mapping[type[RowCondition], IndexTable]] = {
    TokenIs: IndexTable.TOKENS,
    TextIn: IndexTable.STRINGS,
    TextIs: IndexTable.STRINGS,
    TextHas: IndexTable.STRINGS,
    DateIs: IndexTable.DATES,
    QuantityIs: IndexTable.QUANTITIES,
    ReferenceIs: IndexTable.REFERENCES,
    ReferenceLinked: IndexTable.REFERENCES,
}

# --- tests of a resource ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IndexTest:
    """The resource has a row that meets one of the conditions; all of them are about one table."""

    alternatives: tuple[RowCondition, ...]

    @property
    def table(self) -> IndexTable:
        """The table of the rows."""
        return TABLE_OF[type(self.alternatives[0])]


@dataclass(frozen=True, slots=True)
class PatientIs:
    """The column `patient` is (one of) these."""

    patients: Name
    many: bool


@dataclass(frozen=True, slots=True)
class PatientLinked:
    """The column `patient` names a Patient that an inner search finds."""

    inner: Inner


PatientTest = PatientIs | PatientLinked


@dataclass(frozen=True, slots=True)
class SubjectTest:
    """The resource refers to something by the element that names its patient: by the column, or else by rows."""

    column: PatientTest
    rows: IndexTest | InCompartment


@dataclass(frozen=True, slots=True)
class InCompartment:
    """The resource lies in the compartment of this Patient by a row of fhir_compartments."""

    patient: Name


@dataclass(frozen=True, slots=True)
class ClinicalDateTest:
    """The clinical date of the resource's own row keeps within the bound.

    `bit` holds the mask of the date parameter's bit: rows without a date never match.
    """

    bound: DateBound
    bit: Name


@dataclass(frozen=True, slots=True)
class UpdatedTest:
    """The time of the current version, a millisecond wide, compares with [low, high) microseconds."""

    prefix: Prefix
    low: Name
    high: Name


@dataclass(frozen=True, slots=True)
class IdTest:
    """The resource has (one of) these keys."""

    keys: Name
    many: bool


@dataclass(frozen=True, slots=True)
class PresentTest:
    """One of the bits of the mask is set, or with `missing` none."""

    mask: Name
    missing: bool


@dataclass(frozen=True, slots=True)
class BodySource:
    """A part of a parameter's values in the body, a BodyPart: the statement itself says how it is reached."""

    resource_type: str
    code: str
    part: str


@dataclass(frozen=True, slots=True)
class BodyStarts:
    """One of the values in the body begins, folded, with one of a list."""

    source: BodySource
    beginnings: Name


@dataclass(frozen=True, slots=True)
class BodyIs:
    """One of the values in the body is one of a list."""

    source: BodySource
    wanted: Name


@dataclass(frozen=True, slots=True)
class ReferredByPatient:
    """A resource that the inner search finds has this one in its `patient` column."""

    inner: Inner


@dataclass(frozen=True, slots=True)
class ReferredByRows:
    """A resource that the inner search finds refers to this one by a row with `key`.

    With `apart` only resources without a `patient` column count: of the others the column says what they refer to.
    """

    key: Name
    apart: bool
    inner: Inner


@dataclass(frozen=True, slots=True)
class Constant:
    """Every resource, or none."""

    value: bool


@dataclass(frozen=True, slots=True)
class Agreed:
    """The resource lies in compartments of patients who all agreed that partners may see it (`agreement.py`)."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the tests holds."""

    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """All of the tests hold."""

    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The test does not hold."""

    test: Test


Test = (
    IndexTest
    | PatientIs
    | PatientLinked
    | SubjectTest
    | InCompartment
    | ClinicalDateTest
    | UpdatedTest
    | IdTest
    | PresentTest
    | BodyStarts
    | BodyIs
    | ReferredByPatient
    | ReferredByRows
    | Constant
    | Agreed
    | AnyOf
    | AllOf
    | Not
)


@dataclass(frozen=True, slots=True)
class Inner:
    """A search inside a search: current resources of a type, within the caller's reach, that meet the test.

    `few` says that a handful at most are expected, whatever is asked for.
    """

    resource_type: Name
    reach: Reach
    test: Test
    few: bool = False


def any_of(tests: Iterable[Test]) -> Test:
    """Return the test that holds when one of these does; index tests of one table become one test."""
    rows: dict[IndexTable, list[RowCondition]] = {}
    others: dict[Test, None] = {}
    for test in tests:
        if isinstance(test, IndexTest):
            rows.setdefault(test.table, []).extend(test.alternatives)
        else:
            others[test] = None
    found = (*(IndexTest(tuple(dict.fromkeys(each))) for each in rows.values()), *others)
    return found[0] if len(found) == 1 else AnyOf(found)
