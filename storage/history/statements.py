"""Statements that read the versions of many resources, newest first (FHIR R4 http.html#history).

Two parts make up such a history. Of types that the caller sees whole, versions are read along an index by instant, each
type for itself. Of what lies in a compartment, or is named by a List, the resources are found first and then their
versions: those are few. Each part knows current versions and superseded ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    String,
    and_,
    bindparam,
    exists,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from storage.search.includes import TypesWithin
from storage.search.own import ORGANIZATION
from storage.search.predicates.parameters import is_one_of, parameter_like
from storage.search.shape import Name
from storage.sql import Prepared, member_of, prepare
from storage.tables import fhir
from storage.transaction_ids import CURRENT_IF_ASSIGNED, OLDEST_RUNNING
from storage.visibility import ACCESS_PATIENT, visible

PLACE: Final = ("last_updated", "version", "resource_type", "id")
"""The order, all of it falling: the newest first, then the higher version; the rest tells equal ones apart."""
COLUMNS: Final = (*PLACE, "deleted", "patient", "creation", "self_key")
"""What a part gives of a version; `self_key` is null for a superseded one."""
PAGE_COLUMNS: Final = (*COLUMNS, "body")
_OLD: Final = COLUMNS[:-1]


@dataclass(frozen=True, slots=True)
class StreamShape:
    """The shape of a statement.

    `whole` are types all of whose versions are seen; `bound` are those of which only what is found through a
    compartment is, or through the keys of a List (`listed`), each within its reach.
    """

    whole: Name | None
    many: bool
    bound: tuple[TypesWithin, ...]
    listed: bool
    since: bool
    at: bool
    after: bool
    limit: int


@lru_cache(maxsize=256)
def compile_stream(shape: StreamShape, dialect: str) -> Prepared:
    """Return the statement of a page: columns PAGE_COLUMNS, in order of PLACE."""
    parts = _parts(shape, dialect)
    found = union_all(*(select(part.subquery()) for part in parts)).subquery()
    order = [found.c[name].desc() for name in PLACE]
    page = select(found).order_by(*order).limit(_literal(shape.limit)).subquery()
    now, old = fhir.resources.alias(), fhir.history.alias()
    is_now = (now.c.organization_id == ORGANIZATION, now.c.self_key == page.c.self_key)
    is_old = (page.c.self_key.is_(None), old.c.organization_id == ORGANIZATION, *_same(old, page, "version"))
    # Subqueries, not joins: whatever the statistics say, a body is looked up by its key.
    bodies = (select(rows.c.body).where(*which).scalar_subquery() for rows, which in ((now, is_now), (old, is_old)))
    columns = (page, func.coalesce(*bodies).label("body"))
    return prepare(select(*columns).order_by(*(page.c[name].desc() for name in PLACE)), dialect)


@lru_cache(maxsize=64)
def compile_count(shape: StreamShape, dialect: str) -> Prepared:
    """Return the statement that counts the versions of the types seen whole, each table's up to the limit."""
    counts = []
    for table in (fhir.resources, fhir.history):
        rows = table.alias()
        some: Select[Any] = select(literal_column("1")).where(*_asked(rows, shape, dialect), _is_whole(rows, shape))
        counts.append(select(func.count().label("n")).select_from(some.limit(_literal(shape.limit)).subquery()))
    return prepare(select(func.sum(union_all(*counts).subquery().c.n)), dialect)


def _parts(shape: StreamShape, dialect: str) -> list[Select[Any]]:
    parts: list[Select[Any]] = []
    if shape.whole is not None:
        along = _along_type if not shape.many else _along_types_of[dialect]
        parts += [along(table.alias("along"), shape, dialect) for table in (fhir.resources, fhir.history)]
    for kind in shape.bound:
        for way in _ways(shape, kind):
            parts += [_current(shape, dialect, kind, way), _superseded(shape, dialect, kind, way)]
    return parts


# --- types that are seen whole ----------------------------------------------------------------------------------------


def _is_whole(rows: FromClause, shape: StreamShape) -> ColumnElement[bool]:
    if shape.whole is None:
        raise TypeError("no type is seen whole")
    return is_one_of(rows.c.resource_type, shape.whole, shape.many)


def _along_type(rows: FromClause, shape: StreamShape, dialect: str) -> Select[Any]:
    return _newest(_columns(rows).where(*_asked(rows, shape, dialect), _is_whole(rows, shape)), rows, shape)


def _along_types(rows: FromClause, shape: StreamShape, dialect: str) -> Select[Any]:
    """Take the newest of each type by the index, and of those the newest."""
    names = bindparam(shape.whole, type_=ARRAY(String))
    types = func.unnest(names).table_valued("kind", name="kinds").render_derived()
    own = _columns(rows).where(*_asked(rows, shape, dialect), rows.c.resource_type == types.c.kind)
    newest = _newest(own, rows, shape).lateral()
    return _newest(select(newest).select_from(types.join(newest, literal(True))), newest, shape)


def _along_types_sqlite(rows: FromClause, shape: StreamShape, dialect: str) -> Select[Any]:
    """As `_along_types`; SQLite has no LATERAL, but rows have a number."""
    types = func.json_each(bindparam(shape.whole, type_=String())).table_valued("value", name="kinds")
    own = select(_number(rows)).where(*_asked(rows, shape, dialect), rows.c.resource_type == types.c.value)
    table = fhir.history if "self_key" not in rows.c else fhir.resources
    found = table.alias("found")
    numbers = _newest(own, rows, shape).correlate(types).scalar_subquery()
    joined = types.join(found, _number(found).in_(numbers))
    return _newest(_columns(found).select_from(joined), found, shape)


_along_types_of: Final = {"postgresql": _along_types, "sqlite": _along_types_sqlite}


def _number(rows: FromClause) -> ColumnElement[int]:
    return literal_column(f"{rows.name}.rowid")  # type: ignore[attr-defined]


# --- what is found through a compartment, or named by a List ----------------------------------------------------------


def _ways(shape: StreamShape, kind: TypesWithin) -> list[str]:
    """Return the ways to the resources: by a List, by the column, by rows of what is about no one patient, or any."""
    if not kind.reach.is_bound:
        return ["listed"] if shape.listed else ["any"]
    return ["listed own", "listed shared"] if shape.listed else ["own", "shared"]


def _found(now: FromClause, kind: TypesWithin, way: str) -> list[ColumnElement[bool]]:
    conditions = [now.c.organization_id == ORGANIZATION]
    if kind.types is not None:
        conditions.append(is_one_of(now.c.resource_type, kind.types, kind.many))
    if "listed" in way:
        conditions.append(member_of(now.c.self_key, "listed"))
    own = parameter_like(fhir.resources.c.patient, ACCESS_PATIENT)
    if "own" in way:
        conditions.append(now.c.patient == own)
    if "shared" in way:
        shared = fhir.compartments.alias()
        rids = select(shared.c.rid).where(shared.c.organization_id == ORGANIZATION, shared.c.patient == own)
        conditions += [now.c.patient == 0, now.c.rid.in_(rids)]
    if kind.reach.is_granular:
        conditions.append(visible(now, kind.reach, deletions=True))
    return conditions


def _current(shape: StreamShape, dialect: str, kind: TypesWithin, way: str) -> Select[Any]:
    now = fhir.resources.alias()
    return _newest(_columns(now).where(*_asked(now, shape, dialect), *_found(now, kind, way)), now, shape)


def _superseded(shape: StreamShape, dialect: str, kind: TypesWithin, way: str) -> Select[Any]:
    """Return superseded versions; those of a compartment are of its patient, or their body has to tell (V6)."""
    now, old = fhir.resources.alias(), fhir.history.alias()
    joined = now.join(old, and_(old.c.organization_id == ORGANIZATION, *_same(old, now)))
    conditions = [*_asked(old, shape, dialect), *_found(now, kind, way)]
    if kind.reach.is_bound:
        own = parameter_like(fhir.resources.c.patient, ACCESS_PATIENT)
        conditions.append(or_(old.c.patient == own, old.c.patient == 0))
    return _newest(_columns(old).select_from(joined).where(*conditions), old, shape)


# --- what all parts have in common ------------------------------------------------------------------------------------


def _literal(number: int) -> ColumnElement[int]:
    return literal_column(str(int(number)))


def _same(one: FromClause, other: FromClause, *more: str) -> list[ColumnElement[bool]]:
    return [one.c[name] == other.c[name] for name in ("resource_type", "id", *more)]


def _columns(rows: FromClause) -> Select[Any]:
    key = rows.c.self_key if "self_key" in rows.c else null().cast(fhir.resources.c.self_key.type).label("self_key")
    return select(*(rows.c[name] for name in _OLD), key)


def _newest(query: Select[Any], rows: FromClause, shape: StreamShape) -> Select[Any]:
    return query.order_by(*(rows.c[name].desc() for name in PLACE)).limit(_literal(shape.limit))


def _asked(rows: FromClause, shape: StreamShape, dialect: str) -> list[ColumnElement[bool]]:
    """Return the conditions of time and place on current or superseded versions."""
    conditions = [rows.c.organization_id == ORGANIZATION]
    if shape.since:
        conditions.append(rows.c.last_updated >= parameter_like(rows.c.last_updated, "since"))
    if shape.at:
        conditions.append(rows.c.last_updated < parameter_like(rows.c.last_updated, "at_end"))
        if "self_key" not in rows.c:
            conditions.append(~_replaced(rows))
    if shape.after:
        place = [parameter_like(rows.c[name], f"after_{name}") for name in PLACE]
        conditions.append(rows.c.last_updated <= place[0])
        conditions.append(tuple_(*(rows.c[name] for name in PLACE)) < tuple_(*place))
    if dialect == "postgresql":
        conditions.append(_is_settled(rows))
    return conditions


def _replaced(old: FromClause) -> ColumnElement[bool]:
    """Return the condition that another superseded version took its place before `at_start`.

    Whether the current one did is not asked here: no index leads to it.
    """
    later = fhir.history.alias()
    start = parameter_like(later.c.last_updated, "at_start")
    own = (later.c.organization_id == ORGANIZATION, *_same(later, old), later.c.version > old.c.version)
    return exists(select(literal_column("1")).where(*own, later.c.last_updated <= start))


def _is_settled(rows: FromClause) -> ColumnElement[bool]:
    """Return the condition that nothing can still be written before a version (settled §3.4).

    What the reading transaction itself wrote is seen by it. The ids are read once a statement.
    """
    oldest: ColumnElement[int] = literal_column(f"(SELECT {OLDEST_RUNNING})")
    own: ColumnElement[int] = literal_column(f"(SELECT {CURRENT_IF_ASSIGNED})")
    now: ColumnElement[int] = literal_column("(SELECT (extract(epoch FROM statement_timestamp()) * 1000)::int8)")
    return or_(and_(rows.c.xid < oldest, rows.c.last_updated < now), rows.c.xid == own)


def place_parameters(place: Sequence[Any]) -> dict[str, Any]:
    """Return the parameters of the place that a page begins after."""
    return {f"after_{name}": value for name, value in zip(PLACE, place, strict=True)}
