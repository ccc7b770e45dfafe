"""From tests to SQL conditions on one resource. Every condition names the organization (the second wall is RLS)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, not_, or_, select, union_all

from storage.search.own import ORGANIZATION, TABLES, Condition, Node, own_condition, probe, resource_node, row_condition
from storage.search.predicates.body import body_condition
from storage.search.predicates.parameters import is_one_of, parameter_like
from storage.search.predicates.ranges import RANGE_TESTS, range_of
from storage.search.query import Prefix
from storage.search.shape import (
    AllOf,
    AnyOf,
    BodyIs,
    BodyStarts,
    InCompartment,
    IndexTable,
    IndexTest,
    Inner,
    Name,
    Not,
    PatientIs,
    PatientLinked,
    PatientTest,
    ReferenceLinked,
    ReferredByPatient,
    ReferredByRows,
    RowCondition,
    SubjectTest,
    Test,
    UpdatedTest,
)
from storage.sql import InQuery
from storage.tables import fhir
from storage.visibility import visible


def condition_of(test: Test, node: Node) -> Condition:  # noqa: PLR0911 one case per kind of test
    """Return the condition that the resource at `node` meets the test."""
    match test:
        case IndexTest():
            return probe(test, node, rows_condition)
        case PatientLinked():
            return patient_condition(test, node.patient)
        case SubjectTest(column, rows):
            return or_(patient_condition(column, node.patient), condition_of(rows, node))
        case InCompartment():
            return node.rid.in_(rids_of(test))
        case UpdatedTest(prefix, low, high):
            return node.of_row(lambda row: _updated_condition(row, prefix, low, high))
        case BodyStarts() | BodyIs():
            return node.of_row(lambda row: body_condition(test, row.c.body))
        case ReferredByPatient(inner):
            return node.of_row(lambda row: InQuery(row.c.self_key, _inner_rows(inner, "patient"), few=inner.few))
        case ReferredByRows():
            return node.of_row(lambda row: InQuery(row.c.self_key, _referred_keys(test)))
        case AnyOf(tests):
            return or_(*(condition_of(each, node) for each in tests))
        case AllOf(tests):
            return and_(*(condition_of(each, node) for each in tests))
        case Not(negated):
            return not_(condition_of(negated, node))
        case _:
            return own_condition(test, node)


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
    if not isinstance(condition, ReferenceLinked):
        return row_condition(condition, rows)
    queries = [_inner_rows(inner, "self_key") for inner in condition.inners]
    few = all(inner.few for inner in condition.inners)
    targets = queries[0] if len(queries) == 1 else union_all(*queries)
    return and_(rows.c.key == parameter_like(rows.c.key, condition.key), InQuery(rows.c.target, targets, few=few))


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


def _updated_condition(row: FromClause, prefix: Prefix, low: Name, high: Name) -> Condition:
    moment = row.c.last_updated * 1000
    start, end = parameter_like(row.c.last_updated, low), parameter_like(row.c.last_updated, high)
    return RANGE_TESTS[prefix](range_of(moment, moment + 1000), start, end)
