"""States of apps: read, made, changed and deleted, each change by one statement (SMART App State, `smart.md` §17)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, insert, select, update

from storage.reading import Reader
from storage.sql import Prepared, prepare
from storage.tables.app_state import app_states
from storage.transaction import UnitOfWork

NOTHING: Final = "[]"
"""The extensions of a state that was deleted: none of what it held is kept."""

_LOCK: Final = Prepared("SELECT pg_advisory_xact_lock(%(key)s::int8)", {})


@dataclass(frozen=True, slots=True)
class StateKey:
    """What a state is about, which never changes: a coding, and whose it is (`Type/id`; None: the organization's)."""

    system: str
    code: str
    subject: str | None
    display: str | None = None


@dataclass(frozen=True, slots=True)
class AppState:
    """One row of `app_states`; `extensions` is JSON as it was sent, instants are milliseconds since 1970 UTC."""

    id: str
    key: StateKey
    extensions: str
    version: int
    updated_at: int
    is_deleted: bool = False


_COLUMNS: Final = tuple(
    app_states.c[name]
    for name in ("id", "system", "code", "subject", "display", "extensions", "version", "updated_at", "deleted_at")
)
_OWN: Final = app_states.c.organization_id == bindparam("organization_id", type_=app_states.c.organization_id.type)


def _bound(name: str) -> Any:
    return app_states.c[name] == bindparam(name, type_=app_states.c[name].type)


def _about(*, is_global: bool) -> Select[Any]:
    whose = app_states.c.subject.is_(None) if is_global else _bound("subject")
    conditions = (_OWN, _bound("system"), _bound("code"), whose, app_states.c.deleted_at.is_(None))
    return select(*_COLUMNS).where(*conditions).order_by(app_states.c.id)


@lru_cache
def _by_id(dialect: str) -> Prepared:
    return prepare(select(*_COLUMNS).where(_OWN, _bound("id")), dialect)


@lru_cache
def _by_key(dialect: str, *, is_global: bool) -> Prepared:
    return prepare(_about(is_global=is_global), dialect)


def _state(row: Any) -> AppState:
    state_id, system, code, subject, display, extensions, version, updated_at, deleted_at = row
    key = StateKey(system, code, subject, display)
    return AppState(state_id, key, extensions, version, updated_at, deleted_at is not None)


async def find_state(reader: Reader, organization_id: str, state_id: str) -> AppState | None:
    """Return a state of an organization, a deleted one, too; None for an id that was never given."""
    parameters = {"organization_id": organization_id, "id": state_id}
    rows = await reader.fetch(organization_id, _by_id(reader.dialect), parameters)
    return _state(rows[0]) if rows else None


async def find_states(reader: Reader, organization_id: str, key: StateKey) -> list[AppState]:
    """Return the states of a coding and subject, in the order in which they were made."""
    parameters = {"organization_id": organization_id, "system": key.system, "code": key.code}
    if key.subject is not None:
        parameters["subject"] = key.subject
    rows = await reader.fetch(organization_id, _by_key(reader.dialect, is_global=key.subject is None), parameters)
    return [_state(row) for row in rows]


def _lock_of(organization_id: str, key: StateKey) -> int:
    """Return an int8 for a coding and subject; it is no key of `storage/conditional.py` but by rare chance."""
    text = "\x00".join(["app_states", organization_id, key.system, key.code, key.subject or ""])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


async def count_states(unit: UnitOfWork, key: StateKey) -> int:
    """Return how many states there are of a coding and subject; nobody else adds one until the unit of work ends.

    On SQLite a unit of work is alone anyway. Raises ConcurrencyConflict when the wait for others takes too long.
    """
    if unit.driver.dialect == "postgresql":
        await unit.driver.fetch(_LOCK, {"key": _lock_of(unit.organization_id, key)})
    rows = app_states.c
    conditions = (
        rows.organization_id == unit.organization_id,
        rows.system == key.system,
        rows.code == key.code,
        rows.subject.is_(None) if key.subject is None else rows.subject == key.subject,
        rows.deleted_at.is_(None),
    )
    return int(await unit.connection.scalar(select(func.count()).select_from(app_states).where(*conditions)) or 0)


async def add_state(unit: UnitOfWork, key: StateKey, extensions: str) -> AppState:
    """Insert a state of the client that the unit of work is for; it gets an id that no other ever had."""
    state = AppState(unit.ids.uuid7(), key, extensions, 1, unit.now)
    await unit.connection.execute(
        insert(app_states).values(
            organization_id=unit.organization_id,
            id=state.id,
            client_id=unit.change.client_id,
            system=key.system,
            code=key.code,
            display=key.display,
            subject=key.subject,
            extensions=extensions,
            version=1,
            created_at=unit.now,
            updated_at=unit.now,
        )
    )
    return state


async def change_state(unit: UnitOfWork, state_id: str, version: int, extensions: str) -> AppState | None:
    """Give a state other extensions, in one step; None unless `version` is its newest one and it was not deleted."""
    values = {"extensions": extensions, "version": version + 1, "updated_at": unit.now}
    return await _step(unit, state_id, version, values)


async def delete_state(unit: UnitOfWork, state_id: str, version: int) -> AppState | None:
    """Delete a state, in one step; None unless `version` is its newest one and it was not deleted before.

    What it held is gone; its id, coding and subject stay, so that later requests can be told what happened (ST4).
    """
    values = {"extensions": NOTHING, "version": version + 1, "updated_at": unit.now, "deleted_at": unit.now}
    return await _step(unit, state_id, version, values)


async def _step(unit: UnitOfWork, state_id: str, version: int, values: dict[str, Any]) -> AppState | None:
    rows = app_states.c
    statement = (
        update(app_states)
        .where(
            rows.organization_id == unit.organization_id,
            rows.id == state_id,
            rows.version == version,
            rows.deleted_at.is_(None),
        )
        .values(**values)
        .returning(*_COLUMNS)
    )
    row = (await unit.connection.execute(statement)).first()
    return None if row is None else _state(row)
