"""Rows whose contents others show: when they change, what shows them is rendered again (settled §1.8).

That happens in the background. Each changed row is remembered in `shown_rows` with a fingerprint of what others show of
it, in the transaction that changed it or that learnt of the change: a change that nobody shows makes no work. A walk
takes some of them and notes the rows that show them in the outbox, a batch at a time; its state is a row of
`rerenders`, so it goes on where it was after a crash. Whatever renders the same bytes makes no version.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    delete,
    func,
    insert,
    literal,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from mappers.care_rows import SHARED
from mappers.lens import Row, Shows
from storage.projection.declared import Path, owner_of_children, paths_to, shown_tables, used_columns
from storage.projection.needed import DERIVED_FROM, KEYS
from storage.projection.shown import UNREADABLE, rows_of
from storage.tables.fhir import outbox, rerenders, shown_rows
from storage.tables.metadata import metadata
from storage.transaction import UnitOfWork
from storage.transaction_ids import NEXT, OLDEST_RUNNING

STEP: Final = 500
"""Rows that a walk notes in one unit of work, and changed rows that one walk takes."""
SHOWN_CHANGED: Final = "shown"
"""`operation` of the outbox entries that a walk makes."""
WAITING: Final = 0
WALKED: Final = 1
"""`walk` of a changed row that no walk has taken yet, and of one that the walk under way has; null: all is shown."""
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one organization's walk is; `total` is None while it is not counted yet.

    `waiting` are changed rows that no walk has taken yet, `undrained` rows that were noted and not rendered again yet.
    """

    table: str | None
    done: int
    total: int | None
    waiting: int
    undrained: int


# ---- what changed --------------------------------------------------------------------------------------------------


async def note_shown(unit: UnitOfWork, keys: Mapping[str, Sequence[str]], new: Collection[_Key] = ()) -> None:
    """Remember the rows (table → keys) of which others show something else than until now.

    `new` are rows that nobody can show yet.
    """
    for table, some in keys.items():
        if some and table in shown_tables() and not unit.stops.lacks(DERIVED_FROM.get(table, {})):
            await _note(unit, table, sorted(set(some)), {key for of, key in new if of == table})


async def _note(unit: UnitOfWork, table: str, keys: Sequence[str], new: Collection[str]) -> None:
    prints = await _fingerprints(unit, table, keys)
    columns = shown_rows.c
    own = (columns.organization_id == unit.organization_id, columns.table_name == table)
    known_ones = select(columns.key, columns.fingerprint).where(*own, columns.key.in_(keys))
    known = {key: bytes(value) for key, value in await unit.connection.execute(known_ones)}
    values = [
        {
            "organization_id": unit.organization_id,
            "table_name": table,
            "key": key,
            "fingerprint": prints[key],
            "walk": None if key in new and key not in known else WAITING,
        }
        for key in keys
        if known.get(key) != prints[key]
    ]
    if values:
        upsert = (postgres_insert if unit.driver.dialect == "postgresql" else sqlite_insert)(shown_rows).values(values)
        changes = {"fingerprint": upsert.excluded.fingerprint, "walk": upsert.excluded.walk}
        await unit.connection.execute(
            upsert.on_conflict_do_update(index_elements=["organization_id", "table_name", "key"], set_=changes)
        )


async def _fingerprints(unit: UnitOfWork, table: str, keys: Sequence[str]) -> dict[str, bytes]:
    """Return what others show of rows, the organization's own and shared ones, as a hash; of absent ones, too."""
    names = used_columns(table)
    homes = [await rows_of(unit, table, unit.organization_id, keys)]
    if _may_be_shared(table):
        homes.append(await rows_of(unit, table, SHARED, keys))
    return {key: _fingerprint([rows.get(key) for rows in homes], names) for key in keys}


def _may_be_shared(table: str) -> bool:
    return any(edge.whose in metadata.tables[edge.of].c for path in paths_to(table) for edge in path.edges[-1:])


def _fingerprint(rows: Iterable[Row | None], names: Sequence[str]) -> bytes:
    values = [
        None if row is None else "unreadable" if row is UNREADABLE else [getattr(row, name) for name in names]
        for row in rows
    ]
    return blake2b(repr(values).encode(), digest_size=16).digest()


# ---- who shows it --------------------------------------------------------------------------------------------------


async def walk_shown(unit: UnitOfWork) -> int:
    """Note some rows that show changed rows, beginning a walk if there is cause; returns 0 when there is nothing to do.

    On PostgreSQL a walk first waits for transactions that may have rendered what was there before the change.
    """
    columns = rerenders.c
    own = columns.organization_id == unit.organization_id
    state = select(columns.table_name, columns.owner, columns.after, columns.walk_from, columns.total)
    found = (await unit.connection.execute(state.where(own).with_for_update(skip_locked=True))).one_or_none()
    if found is None:
        return await _begin(unit)
    table, owner, after, start, total = found
    if start is not None and await unit.connection.scalar(select(literal_column(OLDEST_RUNNING))) < start:
        return 0
    owners = list(dict.fromkeys(path.owner for path in _paths(unit, table)))
    if total is None:
        counted = [await unit.connection.scalar(_count(unit, table, each)) for each in owners]
        await unit.connection.execute(update(rerenders).where(own).values(total=sum(map(int, counted))))
        return 1
    if owner not in owners:  # a walk that begins; or one of another version of the server, whose order was another
        owner, after = (owners[0], "") if owners else (None, "")
    if owner is None:
        return await _end(unit)
    keys = list(await unit.connection.scalars(_step(unit, table, owner, after)))
    await _note_owners(unit, owner, keys)
    is_over = len(keys) < STEP
    if is_over and owner == owners[-1]:
        return await _end(unit)
    following = owners[owners.index(owner) + 1] if is_over else owner
    moved = {"owner": following, "after": "" if is_over else keys[-1], "done": columns.done + len(keys)}
    await unit.connection.execute(update(rerenders).where(own).values(moved))
    return max(len(keys), 1)


async def _begin(unit: UnitOfWork) -> int:
    """Let a walk begin for some changed rows of one table; returns 0 when there are none."""
    columns = shown_rows.c
    waits = (columns.organization_id == unit.organization_id, columns.walk == WAITING)
    table = await unit.connection.scalar(select(columns.table_name).where(*waits).order_by(columns.table_name).limit(1))
    if table is None:
        return 0
    is_postgres = unit.driver.dialect == "postgresql"
    begun = (postgres_insert if is_postgres else sqlite_insert)(rerenders).values(
        organization_id=unit.organization_id,
        table_name=table,
        after="",
        walk_from=literal_column(NEXT) if is_postgres else None,
        done=0,
    )
    own = begun.on_conflict_do_nothing().returning(rerenders.c.organization_id)
    if await unit.connection.scalar(own) is None:
        return 0  # another projector was faster
    some = select(columns.key).where(*waits, columns.table_name == table).order_by(columns.key).limit(STEP)
    keys = list(await unit.connection.scalars(some.with_for_update(skip_locked=True)))
    taken = (columns.organization_id == unit.organization_id, columns.table_name == table, columns.key.in_(keys))
    await unit.connection.execute(update(shown_rows).where(*taken).values(walk=WALKED))
    return 1


async def _end(unit: UnitOfWork) -> int:
    columns = shown_rows.c
    await unit.connection.execute(delete(rerenders).where(rerenders.c.organization_id == unit.organization_id))
    walked = (columns.organization_id == unit.organization_id, columns.walk == WALKED)
    await unit.connection.execute(update(shown_rows).where(*walked).values(walk=null()))
    return 1


async def _note_owners(unit: UnitOfWork, owner: str, keys: Sequence[str]) -> None:
    if keys:
        own = {"organization_id": unit.organization_id, "table_name": owner, "operation": SHOWN_CHANGED}
        await unit.connection.execute(insert(outbox), [{**own, "key": key} for key in keys])


def _paths(unit: UnitOfWork, table: str) -> list[Path]:
    """Return the paths to a table whose columns the database has; mappers that need the others are stopped."""
    return [path for path in paths_to(table) if all(_is_there(unit, path, edge) for edge in path.edges)]


def _is_there(unit: UnitOfWork, path: Path, edge: Shows) -> bool:
    begins = (path.owner, *(each.table for each in path.edges))
    owners = (owner_of_children(begin).get(edge.of) for begin in begins)
    columns = {*KEYS, edge.column, *(owner.name for owner in owners if owner is not None)}
    return not unit.stops.lacks({path.owner: KEYS, edge.of: columns})


def _step(unit: UnitOfWork, table: str, owner: str, after: str) -> Select[Any]:
    rows = metadata.tables[owner]
    chosen = select(rows.c.id).where(*_showing(unit, table, owner), rows.c.id > after)
    return chosen.order_by(rows.c.id).limit(STEP)


def _count(unit: UnitOfWork, table: str, owner: str) -> Select[Any]:
    return select(func.count()).select_from(metadata.tables[owner]).where(*_showing(unit, table, owner))


def _showing(unit: UnitOfWork, table: str, owner: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return the conditions of the rows of `owner` that show a row of `table` which the walk has taken."""
    paths = [path for path in _paths(unit, table) if path.owner == owner]
    own: ColumnElement[bool] = metadata.tables[owner].c.organization_id == unit.organization_id
    return own, or_(*(_leads(unit, path, table) for path in paths))


def _leads(unit: UnitOfWork, path: Path, table: str) -> ColumnElement[bool]:
    """Return the condition that the edges lead from a row of the path's owner to a changed row.

    Of shared rows and the organization's own with one id, both count: rendering more than has to be makes no version.
    """
    columns = shown_rows.c
    goal: Any = select(columns.key).where(
        columns.organization_id == unit.organization_id, columns.table_name == table, columns.walk == WALKED
    )
    begins = [path.owner, *(edge.table for edge in path.edges[:-1])]
    for begin, edge in zip(reversed(begins), reversed(path.edges), strict=True):
        of = metadata.tables[edge.of]
        if edge.of == path.owner:
            return of.c[edge.column].in_(goal)
        key = of.c.id if edge.of == begin else owner_of_children(begin)[edge.of]
        visible = of.c.organization_id.in_((unit.organization_id, SHARED))
        goal = select(key).where(visible, of.c[edge.column].in_(goal))
    return metadata.tables[path.owner].c.id.in_(goal)


# ---- how far it is -------------------------------------------------------------------------------------------------


async def progress_of(unit: UnitOfWork) -> Progress:
    """Return how far the organization's re-rendering is."""
    organization = unit.organization_id
    state = select(rerenders.c.table_name, rerenders.c.done, rerenders.c.total)
    found = (await unit.connection.execute(state.where(rerenders.c.organization_id == organization))).one_or_none()
    table, done, total = found or (None, 0, None)
    waits = (shown_rows.c.organization_id == organization, shown_rows.c.walk == WAITING)
    noted = (outbox.c.organization_id == organization, outbox.c.operation == literal(SHOWN_CHANGED))
    waiting = await unit.connection.scalar(select(func.count()).select_from(shown_rows).where(*waits))
    undrained = await unit.connection.scalar(select(func.count()).select_from(outbox).where(*noted))
    return Progress(table, done, total, waiting or 0, undrained or 0)


def organizations_with_walks() -> tuple[Select[Any], ...]:
    """Return statements that name the organizations in which something is to be rendered again."""
    waiting = select(shown_rows.c.organization_id).where(shown_rows.c.walk == WAITING)
    return select(rerenders.c.organization_id), waiting
