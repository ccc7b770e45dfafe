"""From plans to statements, compiled once per shape and engine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    UnaryExpression,
    and_,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    union,
)
from sqlalchemy.sql.operators import custom_op

from storage.search.conditions import condition_of, patient_condition, rids_of, rows_condition
from storage.search.order import SortKind, SortShape
from storage.search.own import ORGANIZATION, TABLES, Condition, Node, resource_node
from storage.search.plan import Branch, Plan, Wanted
from storage.search.predicates.body import body_extreme
from storage.search.predicates.parameters import is_one_of
from storage.search.shape import IdTest, IndexTable, IndexTest, TokenIs
from storage.search.snapshots import mark, was_there
from storage.search.values import HIGHEST, LOWEST, OPEN_HIGH, OPEN_LOW
from storage.sql import InQuery, Prepared, prepare
from storage.tables import fhir
from storage.transaction_ids import OLDEST_RUNNING
from storage.visibility import visible

VERSION_COLUMNS: Final = ("id", "version", "last_updated", "body", "rid", "self_key", "patient")
"""Columns of a page's rows; the sort keys follow."""
TYPED_COLUMNS: Final = ("resource_type", *VERSION_COLUMNS)
"""Columns of the rows of a page of several types."""

MOST_SHAPES: Final = 512
"""So many statements are kept, of some 10 KB each with what other modules keep of them."""

Order = list[tuple[ColumnElement[Any], bool]]
"""Expressions of the order with their directions, True for descending."""


@lru_cache(maxsize=MOST_SHAPES)
def compile_plan(plans: tuple[Plan, ...], dialect: str) -> Prepared:
    """Return the statement of a plan for an engine ("postgresql" or "sqlite").

    Plans of several types give one page in one order; its rows have TYPED_COLUMNS.
    """
    match plans[0].wanted:
        case Wanted.COUNT:
            statement = _count(plans, dialect)
        case Wanted.IDS:
            statement = _page(plans, dialect, ("id",))
        case Wanted.PAGE:
            statement = _page(plans, dialect, VERSION_COLUMNS if is_of_one_type(plans) else TYPED_COLUMNS)
    return prepare(statement, dialect)


def is_of_one_type(plans: tuple[Plan, ...]) -> bool:
    """Say whether a search is one of a single type."""
    return len(plans) == 1 and plans[0].resource_type is not None and not plans[0].many


def after_name(position: int) -> str:
    """Return the name of the parameter that holds the n-th value of the place a page begins after."""
    return f"after{position}"


def _count(plans: tuple[Plan, ...], dialect: str) -> Select[Any]:
    found = [_matches(branch, plan, dialect, ordered=False) for plan in plans for branch in plan.branches]
    rows = (found[0] if len(found) == 1 else union(*found)).subquery()
    return select(func.count()).select_from(rows)


def _page(plans: tuple[Plan, ...], dialect: str, columns: tuple[str, ...]) -> Select[Any]:
    """Find the matches of the page first, by index as far as it goes; then fetch their rows.

    The rows have the last word on who may see them: index rows that were left behind show nothing (AZ-2).
    """
    found = [_matches(branch, plan, dialect, ordered=True) for plan in plans for branch in plan.branches]
    matches: FromClause = found[0].subquery()
    directions = _directions(plans[0])
    if len(found) > 1:
        merged = union(*(select(each.subquery()) for each in found)).subquery()
        ordered = [_directed(merged.c[_key(at)], down) for at, down in enumerate(directions)]
        matches = select(merged).order_by(*ordered).limit(_literal_limit(plans[0])).subquery()
    row = fhir.resources.alias()
    keys = [matches.c[_key(at)] for at in range(len(directions))]
    own = (row.c.organization_id == ORGANIZATION, row.c.rid == matches.c[_key(len(directions) - 1)])
    marks = [was_there(row, dialect) if plans[0].after else mark(dialect)] if plans[0].marked else []
    return (
        select(*(row.c[name] for name in columns), *keys, *marks)
        .select_from(matches)
        .join(row, and_(*own))
        .where(row.c.deleted.is_(False), _seen(plans, row))
        .order_by(*(_directed(key, down) for key, down in zip(keys, directions, strict=True)))
    )


def _seen(plans: tuple[Plan, ...], row: FromClause) -> Condition:
    """Return the condition that a row is one the caller may see, each type as far as it reaches."""
    reaches = {plan.reach for plan in plans}
    if len(reaches) == 1:
        return visible(row, plans[0].reach)
    return or_(*(and_(_of_type(plan, row), visible(row, plan.reach)) for plan in plans))


def _of_type(plan: Plan, row: FromClause) -> Condition:
    return true() if plan.resource_type is None else is_one_of(row.c.resource_type, plan.resource_type, plan.many)


def _key(position: int) -> str:
    return f"k{position}"


def _directed(column: ColumnElement[Any], descending: bool) -> ColumnElement[Any]:
    return column.desc() if descending else column.asc()


def _literal_limit(plan: Plan) -> ColumnElement[int] | None:
    return None if plan.limit is None else literal_column(str(int(plan.limit)))


# --- the matches of one branch ----------------------------------------------------------------------------------------


def _matches(branch: Branch, plan: Plan, dialect: str, *, ordered: bool) -> Select[Any]:
    """Return the query of the sort keys of the matches, the rid last; in order and limited, or as a set."""
    if _begins_with_tokens(branch):
        node, conditions, distinct = _token_lead(branch, plan)
    else:
        node, conditions, distinct = _row_lead(branch, plan)
    conditions += [condition_of(test, node) for test in branch.tests]
    place = node.rid if dialect != "sqlite" or not _is_narrow(branch) else _not_by_index(node.rid)
    order = _order(plan, node, place) if ordered else [(node.rid, True)]
    if plan.after:
        conditions.append(_after(order))
    if plan.settled and dialect == "postgresql":
        conditions.append(node.of_row(_is_settled))
    columns = [column.label(_key(at)) for at, (column, _) in enumerate(order)]
    query = select(*columns).select_from(node.source).where(*conditions)
    if distinct:
        query = query.distinct()
    if not ordered:
        return query
    return query.order_by(*(_directed(column, down) for column, (_, down) in zip(columns, order, strict=True))).limit(
        _literal_limit(plan)
    )


_OF_THE_ROW: Final = frozenset({SortKind.ID, SortKind.UPDATED, SortKind.BODY})
"""Sort keys that are read from the resource's own row."""


def _begins_with_tokens(branch: Branch) -> bool:
    return isinstance(branch.lead, IndexTest) and branch.lead.table is IndexTable.TOKENS


def _token_lead(branch: Branch, plan: Plan) -> tuple[Node, list[Condition], bool]:
    """Begin with rows of fhir_index_tokens: their key says the type, and that the resource is not deleted."""
    lead = branch.lead
    if not isinstance(lead, IndexTest):
        raise TypeError("a token lead is an index test")
    tokens = TABLES[IndexTable.TOKENS].alias()
    row: FromClause | None = None
    source: FromClause = tokens
    conditions = [rows_condition(lead, tokens), visible(tokens, plan.reach)]
    if any(key.kind in _OF_THE_ROW for key in plan.sort):
        row = fhir.resources.alias()
        source = tokens.join(row, and_(row.c.organization_id == ORGANIZATION, row.c.rid == tokens.c.rid))
    if branch.patient is not None:
        conditions.append(patient_condition(branch.patient, tokens.c.patient))
    return Node(source, tokens.c.rid, tokens.c.patient, tokens.c.date, row), conditions, _may_repeat(lead)


def _may_repeat(lead: IndexTest) -> bool:
    """Say whether one resource may have several rows: of one key in one system it has one."""
    return not any(
        isinstance(each, TokenIs) and not each.many and each.system is not None and len(lead.alternatives) == 1
        for each in lead.alternatives
    )


def _row_lead(branch: Branch, plan: Plan) -> tuple[Node, list[Condition], bool]:
    """Begin with rows of fhir_resources, by type, by patient, or by the rids that the lead gives."""
    row = fhir.resources.alias()
    conditions = [
        row.c.organization_id == ORGANIZATION,
        _of_type(plan, row),
        row.c.deleted.is_(False),
        visible(row, plan.reach),
    ]
    if branch.lead is not None:
        conditions.append(InQuery(row.c.rid, rids_of(branch.lead), few=branch.few))
    if branch.patient is not None:
        conditions.append(patient_condition(branch.patient, row.c.patient))
    return resource_node(row, led=branch.lead is not None), conditions, False


def _is_settled(row: FromClause) -> Condition:
    """Return the condition that nothing can still be written before a row, or in the same millisecond beside it."""
    oldest: ColumnElement[int] = literal_column(OLDEST_RUNNING)
    now: ColumnElement[int] = literal_column("(extract(epoch FROM statement_timestamp()) * 1000)::int8")
    return and_(row.c.xid < oldest, row.c.last_updated < now)


# --- order ------------------------------------------------------------------------------------------------------------


def _directions(plan: Plan) -> list[bool]:
    """Return the directions of the keys, the rid last: it falls with the last key, and without any (newest first).

    Backwards every one is turned round; what stands in for a missing value stays where it is in the order.
    """
    given = [key.descending is not plan.back for key in plan.sort]
    return [*given, given[-1] if given else not plan.back]


def _order(plan: Plan, node: Node, place: ColumnElement[int]) -> Order:
    """Return the sort keys, and `place`, the rid, to tell equal ones apart."""
    keys = [_sort_expression(key, node) for key in plan.sort]
    return list(zip([*keys, place], _directions(plan), strict=True))


def _is_narrow(branch: Branch) -> bool:
    """Say whether a branch begins with few rows: these are to be found first and put in order then."""
    return branch.lead is not None or branch.patient is not None or any(isinstance(t, IdTest) for t in branch.tests)


def _not_by_index(column: ColumnElement[int]) -> ColumnElement[int]:
    """Return the column as SQLite sorts it: by an index it would walk all rows in order instead of the few."""
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)


@dataclass(frozen=True, slots=True)
class _Extremes:
    """A column of index rows to sort by, with what stands in for a missing value to come last, rising and falling.

    What begins nowhere (`open_low`) counts as missing.
    """

    table: IndexTable
    column: str
    last_rising: object
    last_falling: object
    open_low: object = None


_EXTREMES: Final = {
    SortKind.STRINGS: _Extremes(IndexTable.STRINGS, "value", chr(sys.maxunicode), ""),
    SortKind.DATES: _Extremes(IndexTable.DATES, "low", OPEN_HIGH, OPEN_LOW, OPEN_LOW),
    SortKind.QUANTITIES: _Extremes(IndexTable.QUANTITIES, "low", HIGHEST, LOWEST, LOWEST),
}


def _sort_expression(key: SortShape, node: Node) -> ColumnElement[Any]:
    if key.kind is SortKind.CLINICAL_DATE:
        return node.date if key.descending else case((node.date == OPEN_LOW, OPEN_HIGH), else_=node.date)
    if key.kind in _EXTREMES:
        return _extreme(key, node, _EXTREMES[key.kind])
    if node.row is None:
        raise TypeError("this sort key needs the resource's row")
    if key.kind is SortKind.BODY:
        return _body_extreme(key, node.row.c.body)
    return node.row.c.id if key.kind is SortKind.ID else node.row.c.last_updated


def _extreme(key: SortShape, node: Node, extremes: _Extremes) -> ColumnElement[Any]:
    """Return the lowest value, or for a falling order the highest (Q2)."""
    rows = TABLES[extremes.table].alias()
    column = rows.c[extremes.column]
    if key.key is None:
        raise TypeError("this sort key has rows, so it has a key")
    found = (
        select(column)
        .where(
            rows.c.organization_id == ORGANIZATION,
            rows.c.rid == node.rid,
            is_one_of(rows.c.key, key.key, key.many),
            *([] if extremes.open_low is None else [column > literal(extremes.open_low, type_=column.type)]),
        )
        .order_by(_directed(column, key.descending))
        .limit(literal_column("1"))
        .correlate(*node.outer)
        .scalar_subquery()
    )
    stand_in = extremes.last_falling if key.descending else extremes.last_rising
    return func.coalesce(found, literal(stand_in, type_=column.type))


def _body_extreme(key: SortShape, body: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the same of the values that only the body has in order."""
    if key.source is None:
        raise TypeError("this sort key is read from bodies, so it has a source")
    found = body_extreme(key.source, body, descending=key.descending, exact=key.exact)
    stand_in = "" if key.descending else chr(sys.maxunicode)
    return func.coalesce(found, literal(stand_in, type_=found.type))


def _after(order: Order) -> Condition:
    """Return the condition that a match comes after the place given by the parameters `after_name`."""
    columns = [column for column, _ in order]
    bounds = [bindparam(after_name(at), type_=column.type) for at, column in enumerate(columns)]
    directions = {down for _, down in order}
    if len(directions) == 1:
        if len(columns) == 1:
            return columns[0] < bounds[0] if order[0][1] else columns[0] > bounds[0]
        left, right = tuple_(*columns), tuple_(*bounds)
        return left < right if order[0][1] else left > right
    steps: list[Condition] = []
    for at, (column, down) in enumerate(order):
        beyond = column < bounds[at] if down else column > bounds[at]
        steps.append(and_(*(columns[i] == bounds[i] for i in range(at)), beyond))
    return or_(*steps)
