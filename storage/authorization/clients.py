"""Clients as the token endpoint meets them: one statement says who asks, and whether they have to wait."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import bindparam, func, literal_column, or_, select, true

from storage.authorization.unbound import fetch_unbound, outside_tenancy
from storage.codec import decode
from storage.engine import Database
from storage.repositories.entities import Client
from storage.sql import Prepared, prepare
from storage.tables.authorization import sign_in_failures
from storage.tables.platform import clients, organizations

_NAMES: Final = tuple(each.name for each in fields(Client) if each.name not in {"created_at", "updated_at"})
_LISTS: Final = frozenset({"redirect_uris", "launch_uris", "origins"})
_JSON: Final = frozenset({"jwks", "metadata"})
_TRUTHS: Final = frozenset({"is_verified", "is_native", "is_partner", "may_introspect", "is_dynamic", "is_active"})


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of whoever says to be a client.

    `client` is None for an id that nobody has, and its instants of change are not told. `organization_is_active` is
    True where there is no organization. `failures` were counted for this client at this address, and until
    `blocked_until` (seconds since 1970 UTC) nobody may try again from there.
    """

    client: Client | None
    organization_is_active: bool
    failures: int
    blocked_until: int


async def look_up_client(database: Database, client_id: str, failure_value: str) -> Known:
    """Return what is known of a client id; it costs the same whether a client has it. Raises DatabaseUnavailable.

    `failure_value` is what its failures from the present address are counted under.
    """
    parameters = {"client_id": client_id, "failure_value": failure_value}
    ((is_active, failures, blocked_until, *columns),) = await fetch_unbound(
        database, _statement(database.dialect), parameters
    )
    values = {name: _value(name, value) for name, value in zip(_NAMES, columns, strict=True)}
    client = Client(**values) if values["id"] is not None else None
    return Known(client, bool(is_active), failures or 0, blocked_until or 0)


@lru_cache
def _statement(dialect: str) -> Prepared:
    """Return a statement that gives exactly one row."""
    one = select(literal_column("1").label("one")).where(outside_tenancy()).subquery()
    failures = (
        select(
            func.sum(sign_in_failures.c.failures).label("failures"),
            func.max(sign_in_failures.c.blocked_until).label("blocked_until"),
        )
        .where(
            or_(sign_in_failures.c.kind == "client", sign_in_failures.c.kind == "grant"),
            sign_in_failures.c.value == bindparam("failure_value"),
        )
        .subquery()
    )
    source = (
        one.outerjoin(failures, true())
        .outerjoin(clients, clients.c.id == bindparam("client_id"))
        .outerjoin(organizations, organizations.c.id == clients.c.organization_id)
    )
    is_active = func.coalesce(organizations.c.is_active, true())
    columns = (is_active, failures.c.failures, failures.c.blocked_until, *(clients.c[name] for name in _NAMES))
    return prepare(select(*columns).select_from(source), dialect, is_short=True)


def _value(name: str, value: Any) -> Any:
    """Return a column's value as the dataclass has it, from either driver."""
    if name in _LISTS and value is not None:
        return tuple(decode(value.encode()) if isinstance(value, str) else value)
    if name in _JSON and value is not None:
        return decode(value.encode())
    return bool(value) if name in _TRUTHS else value
