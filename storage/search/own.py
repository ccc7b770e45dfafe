"""Conditions on one resource by its own row and index rows: what a test asks without searching for another resource.

`conditions.py` adds those that do. The access predicate stands on these alone, as each search within a search has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    Join,
    Table,
    and_,
    bindparam,
    exists,
    literal_column,
    not_,
    or_,
    select,
    true,
)

from storage.search.agreement import agreed_condition
from storage.search.predicates.date import bound_condition, date_condition
from storage.search.predicates.parameters import is_one_of, parameter_like
from storage.search.predicates.quantity import quantity_condition
from storage.search.predicates.ranges import Range, range_of
from storage.search.predicates.reference import reference_condition
from storage.search.predicates.string import string_condition
from storage.search.predicates.token import token_condition
from storage.search.query import Prefix
from storage.search.shape import (
    Agreed,
    AllOf,
    AnyOf,
    ClinicalDateTest,
    Constant,
    DateIs,
    IdTest,
    IndexTable,
    IndexTest,
    Name,
    PatientIs,
    PresentTest,
    QuantityIs,
    ReferenceIs,
    RowCondition,
    SubjectTest,
    Test,
    TextHas,
    TextIn,
    TextIs,
    TokenIs,
)
from storage.search.values import OPEN_LOW
from storage.tables import fhir

Condition = ColumnElement[bool]
ORGANIZATION: Final[BindParameter[str]] = bindparam("organization_id", type_=fhir.resources.c.organization_id.type)
TABLES: Final[Mapping[IndexTable, Table]] = {
    IndexTable.TOKENS: fhir.index_tokens,
    IndexTable.STRINGS: fhir.index_strings,
    IndexTable.DATES: fhir.index_dates,
    IndexTable.QUANTITIES: fhir.index_quantities,
    IndexTable.REFERENCES: fhir.index_references,
}
ONE: Final[ColumnElement[int]] = literal_column("1")
NEVER: Final[Condition] = literal_column("1 = 0")
"""Written out: of `false()` nothing else would be left, not even the organization, and that no statement may lack."""


@dataclass(frozen=True, slots=True)
class Node:
    """A place in a statement where one resource stands: the rows it is read from, and its columns there.

    `row` is fhir_resources itself when the place has it; else `of_row` looks it up by `rid`. `led` says that rows come
    from an index that was chosen to begin with.
    """

    source: FromClause
    rid: ColumnElement[int]
    patient: ColumnElement[int]
    date: ColumnElement[int]
    row: FromClause | None
    led: bool = False

    @property
    def outer(self) -> tuple[FromClause, ...]:
        """What a query inside this place refers to: of a join each table: SQLAlchemy does not take the join."""
        return (self.source.left, self.source.right) if isinstance(self.source, Join) else (self.source,)

    def of_row(self, condition: Callable[[FromClause], Condition]) -> Condition:
        """Return a condition on the resource's row in fhir_resources.

        OFFSET 0 keeps PostgreSQL from reading all rows that meet the condition in advance: only this one is wanted.
        """
        if self.row is not None:
            return condition(self.row)
        row = fhir.resources.alias()
        found = select(ONE).where(row.c.organization_id == ORGANIZATION, row.c.rid == self.rid, condition(row))
        return exists(found.offset(literal_column("0")).correlate(*self.outer))


def resource_node(row: FromClause, *, led: bool = False) -> Node:
    """Return the node of a place that has the resource's own row."""
    return Node(row, row.c.rid, row.c.patient, row.c.date_low, row, led)


def own_condition(test: Test, node: Node) -> Condition:  # noqa: PLR0911 one case per kind of test
    """Return the condition that the resource at `node` meets the test.

    Raises TypeError for a test that only `conditions.condition_of` knows.
    """
    match test:
        case IndexTest():
            return probe(test, node, own_rows_condition)
        case PatientIs(patients, many):
            return is_one_of(node.patient, patients, many)
        case SubjectTest(column, rows):
            return or_(own_condition(column, node), own_condition(rows, node))
        case ClinicalDateTest():
            return _clinical_condition(test, node)
        case IdTest(keys, many):
            return node.of_row(lambda row: is_one_of(row.c.self_key, keys, many))
        case PresentTest(mask, missing):
            return node.of_row(lambda row: _present(row, mask) if not missing else not_(_present(row, mask)))
        case Constant(value):
            return true() if value else NEVER
        case Agreed():
            return agreed_condition(node.patient, node.rid)
        case AnyOf(tests):
            return or_(*(own_condition(each, node) for each in tests))
        case AllOf(tests):
            return and_(*(own_condition(each, node) for each in tests))
        case _:
            raise TypeError(f"{type(test).__name__} asks for more than the resource's own rows")


def own_rows_condition(test: IndexTest, rows: FromClause) -> Condition:
    """Return the condition on the columns of an index table that one of the alternatives holds."""
    return and_(rows.c.organization_id == ORGANIZATION, or_(*(row_condition(each, rows) for each in test.alternatives)))


def row_condition(condition: RowCondition, rows: FromClause) -> Condition:
    """Return the condition on one index row; raises TypeError for one about another resource."""
    match condition:
        case TokenIs():
            return token_condition(condition, rows.c)
        case TextIn() | TextIs() | TextHas():
            return string_condition(condition, rows.c)
        case DateIs():
            return date_condition(condition, rows.c)
        case QuantityIs():
            return quantity_condition(condition, rows.c)
        case ReferenceIs():
            return reference_condition(condition, rows.c)
        case _:
            raise TypeError(f"{type(condition).__name__} asks for more than the resource's own rows")


def probe(test: IndexTest, node: Node, condition: Callable[[IndexTest, FromClause], Condition]) -> Condition:
    """Return the condition that the resource has such a row; token rows are found by their whole primary key.

    Where an index leads, OFFSET 0 keeps PostgreSQL from beginning here after all, by chance estimates.
    """
    rows = TABLES[test.table].alias()
    found = select(ONE).where(condition(test, rows), rows.c.rid == node.rid)
    if test.table is IndexTable.TOKENS:
        found = found.where(rows.c.patient == node.patient, rows.c.date == node.date)
    found = found.correlate(*node.outer)
    return exists(found.offset(literal_column("0")) if node.led else found)


def _present(row: FromClause, mask: Name) -> Condition:
    return row.c.present.bitwise_and(parameter_like(row.c.present, mask)) != 0


_OPEN_MATCHES: Final = frozenset({Prefix.NE, Prefix.GT, Prefix.LT, Prefix.GE, Prefix.LE, Prefix.AP})
"""Comparisons that a range open on both sides meets, and so does the row of a resource without a date."""


def _clinical_condition(test: ClinicalDateTest, node: Node) -> Condition:
    low: ColumnElement[Any] = node.date
    if node.row is not None:
        date = range_of(low, node.row.c.date_high)
    else:
        date = Range(
            low,
            lambda bound: node.of_row(lambda row: row.c.date_high <= bound),
            lambda bound: node.of_row(lambda row: row.c.date_high > bound),
        )
    found = bound_condition(test.bound, date)
    if test.bound.prefix not in _OPEN_MATCHES or test.bound.floor is not None:
        return found
    return and_(found, or_(low > OPEN_LOW, node.of_row(lambda row: _present(row, test.bit))))
