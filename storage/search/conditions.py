"""From tests to SQL conditions on one resource. Every condition names the organization (the second wall is RLS)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    Join,
    Select,
    Table,
    and_,
    bindparam,
    exists,
    literal_column,
    not_,
    or_,
    select,
    true,
    union_all,
)

from storage.search.predicates.body import body_condition
from storage.search.predicates.date import bound_condition, date_condition
from storage.search.predicates.parameters import is_one_of, parameter_like
from storage.search.predicates.quantity import quantity_condition
from storage.search.predicates.ranges import RANGE_TESTS, Range, range_of
from storage.search.predicates.reference import reference_condition
from storage.search.predicates.string import string_condition
from storage.search.predicates.token import token_condition
from storage.search.query import Prefix
from storage.search.shape import (
    AllOf,
    AnyOf,
    BodyIs,
    BodyStarts,
    ClinicalDateTest,
    Constant,
    DateIs,
    IdTest,
    InCompartment,
    IndexTable,
    IndexTest,
    Inner,
    Name,
    Not,
    PatientIs,
    PatientLinked,
    PatientTest,
    PresentTest,
    QuantityIs,
    ReferenceIs,
    ReferenceLinked,
    ReferredByPatient,
    ReferredByRows,
    RowCondition,
    SubjectTest,
    Test,
    TextHas,
    TextIn,
    TextIs,
    TokenIs,
    UpdatedTest,
)
from storage.search.values import OPEN_LOW
from storage.sql import InQuery
from storage.tables import fhir
from storage.visibility import visible

Condition = ColumnElement[bool]
ORGANIZATION: Final[BindParameter[str]] = bindparam("organization_id", type_=fhir.resources.c.organization_id.type)
TABLES: Final[Mapping[IndexTable, Table]] = {
    IndexTable.TOKENS: fhir.index_tokens,
    IndexTable.STRINGS: fhir.index_strings,
    IndexTable.DATES: fhir.index_dates,
    IndexTable.QUANTITIES: fhir.index_quantities,
    IndexTable.REFERENCES: fhir.index_references,
}
_ONE: Final[ColumnElement[int]] = literal_column("1")
_NEVER: Final[Condition] = literal_column("1 = 0")
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
        found = select(_ONE).where(row.c.organization_id == ORGANIZATION, row.c.rid == self.rid, condition(row))
        return exists(found.offset(literal_column("0")).correlate(*self.outer))


def resource_node(row: FromClause, *, led: bool = False) -> Node:
    """Return the node of a place that has the resource's own row."""
    return Node(row, row.c.rid, row.c.patient, row.c.date_low, row, led)


def condition_of(test: Test, node: Node) -> Condition:  # noqa: C901, PLR0911, PLR0912 one case per kind of test
    """Return the condition that the resource at `node` meets the test."""
    match test:
        case IndexTest():
            return _probe(test, node)
        case PatientIs() | PatientLinked():
            return patient_condition(test, node.patient)
        case SubjectTest(column, rows):
            return or_(patient_condition(column, node.patient), condition_of(rows, node))
        case InCompartment():
            return node.rid.in_(rids_of(test))
        case ClinicalDateTest():
            return _clinical_condition(test, node)
        case UpdatedTest(prefix, low, high):
            return node.of_row(lambda row: _updated_condition(row, prefix, low, high))
        case IdTest(keys, many):
            return node.of_row(lambda row: is_one_of(row.c.self_key, keys, many))
        case PresentTest(mask, missing):
            return node.of_row(lambda row: _present(row, mask) if not missing else not_(_present(row, mask)))
        case BodyStarts() | BodyIs():
            return node.of_row(lambda row: body_condition(test, row.c.body))
        case ReferredByPatient(inner):
            return node.of_row(lambda row: InQuery(row.c.self_key, _inner_rows(inner, "patient"), few=inner.few))
        case ReferredByRows():
            return node.of_row(lambda row: InQuery(row.c.self_key, _referred_keys(test)))
        case Constant(value):
            return true() if value else _NEVER
        case AnyOf(tests):
            return or_(*(condition_of(each, node) for each in tests))
        case AllOf(tests):
            return and_(*(condition_of(each, node) for each in tests))
        case Not(negated):
            return not_(condition_of(negated, node))


def patient_condition(test: PatientTest, column: ColumnElement[int]) -> Condition:
    """Return the condition on a `patient` column."""
    match test:
        case PatientIs(patients, many):
            return is_one_of(column, patients, many)
        case PatientLinked(inner):
            return InQuery(column, _inner_rows(inner, "self_key"))


def rids_of(lead: IndexTest | InCompartment) -> Select[Any]:
    """Return the query of the rids that meet a test, for a statement that begins with them."""
    if isinstance(lead, InCompartment):
        shared = fhir.compartments.alias()
        own = parameter_like(shared.c.patient, lead.patient)
        return select(shared.c.rid).where(shared.c.organization_id == ORGANIZATION, shared.c.patient == own)
    rows = TABLES[lead.table].alias()
    return select(rows.c.rid).where(rows_condition(lead, rows))


def rows_condition(test: IndexTest, rows: FromClause) -> Condition:
    """Return the condition on the columns of an index table that one of the alternatives holds."""
    return and_(
        rows.c.organization_id == ORGANIZATION, or_(*(_row_condition(each, rows) for each in test.alternatives))
    )


def _row_condition(condition: RowCondition, rows: FromClause) -> Condition:
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
        case ReferenceLinked(key, inners):
            queries = [_inner_rows(inner, "self_key") for inner in inners]
            few = all(inner.few for inner in inners)
            targets = queries[0] if len(queries) == 1 else union_all(*queries)
            return and_(rows.c.key == parameter_like(rows.c.key, key), InQuery(rows.c.target, targets, few=few))


def _probe(test: IndexTest, node: Node) -> Condition:
    """Return the condition that the resource has such a row; token rows are found by their whole primary key.

    Where an index leads, OFFSET 0 keeps PostgreSQL from beginning here after all, by chance estimates.
    """
    rows = TABLES[test.table].alias()
    found = select(_ONE).where(rows_condition(test, rows), rows.c.rid == node.rid)
    if test.table is IndexTable.TOKENS:
        found = found.where(rows.c.patient == node.patient, rows.c.date == node.date)
    found = found.correlate(*node.outer)
    return exists(found.offset(literal_column("0")) if node.led else found)


def _inner_rows(inner: Inner, column: str) -> Select[Any]:
    """Return the query of an inner search, with the access predicate of its own type (AZ-2).

    Token rows know `rid` and `patient`, and their key says the type: the resource's row need not be read for those.
    """
    test = inner.test
    if isinstance(test, IndexTest) and test.table is IndexTable.TOKENS and column != "self_key":
        tokens = fhir.index_tokens.alias()
        return select(tokens.c[column]).where(rows_condition(test, tokens), visible(tokens, inner.reach))
    row = fhir.resources.alias()
    leads = row.c.rid.in_(rids_of(test)) if isinstance(test, IndexTest) else None
    condition = condition_of(test, resource_node(row)) if leads is None else leads
    return select(row.c[column]).where(
        row.c.organization_id == ORGANIZATION,
        row.c.resource_type == parameter_like(row.c.resource_type, inner.resource_type),
        row.c.deleted.is_(False),
        visible(row, inner.reach),
        condition,
    )


def _referred_keys(test: ReferredByRows) -> Select[Any]:
    """Return the query of the keys that the resources of an inner search refer to."""
    rows = fhir.index_references.alias()
    referring = _inner_rows(test.inner, "rid")
    if test.apart:
        referring = referring.where(referring.columns_clause_froms[0].c.patient == 0)
    return select(rows.c.target).where(
        rows.c.organization_id == ORGANIZATION,
        rows.c.key == parameter_like(rows.c.key, test.key),
        InQuery(rows.c.rid, referring, few=test.inner.few),
    )


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


def _updated_condition(row: FromClause, prefix: Prefix, low: Name, high: Name) -> Condition:
    moment = row.c.last_updated * 1000
    start, end = parameter_like(row.c.last_updated, low), parameter_like(row.c.last_updated, high)
    return RANGE_TESTS[prefix](range_of(moment, moment + 1000), start, end)
