"""By which definition each organization's search index was built, and by which it should be (settled §3.8).

What a resource has in the index is a matter of search parameters, rules and versions of the code, which
`index_fingerprint` sums up. Rows of another definition are not found by what the running code looks for; they are
written anew by `rebuild_index`, which notes the definition here.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from storage.engine import Database
from storage.projection.index_values import index_fingerprint
from storage.sql import prepare
from storage.tables.fhir import index_definitions
from storage.tables.platform import organizations
from storage.transaction import UnitOfWork

EVERY_OTHER: Final = "*"
"""Stands for the organizations that have no row: those that the database was made for, and new ones."""
UNKNOWN: Final = ""

_own, _other = index_definitions.alias("own"), index_definitions.alias("other")
_OUTDATED: Final = (
    select(organizations.c.id)
    .outerjoin(_own, _own.c.organization_id == organizations.c.id)
    .outerjoin(_other, _other.c.organization_id == EVERY_OTHER)
    .where(func.coalesce(_own.c.fingerprint, _other.c.fingerprint, UNKNOWN) != bindparam("fingerprint"))
    .order_by(organizations.c.id)
)
_PREPARED: Final = {dialect: prepare(_OUTDATED, dialect) for dialect in ("postgresql", "sqlite")}


def note_first(connection: Connection, *, is_empty: bool) -> None:
    """Note once what is known of a database that was just migrated; an index that is empty has no other definition."""
    rows = index_definitions
    if connection.scalar(select(rows.c.fingerprint).where(rows.c.organization_id == EVERY_OTHER)) is None:
        fingerprint = index_fingerprint() if is_empty else UNKNOWN
        connection.execute(insert(rows).values(organization_id=EVERY_OTHER, fingerprint=fingerprint))


async def outdated_indexes(database: Database) -> list[str]:
    """Return the organizations whose index was built by another definition; raises DatabaseUnavailable."""
    async with database.read("") as driver:  # tables outside tenancy need no context
        rows = await driver.fetch(_PREPARED[driver.dialect], {"fingerprint": index_fingerprint()})
    return [organization_id for (organization_id,) in rows]


async def note_built(unit: UnitOfWork) -> None:
    """Note that the index of the unit of work's organization is what the running code would build.

    Once that holds for every organization, it holds for new ones as well.
    """
    own: dict[str, Any] = {"organization_id": unit.organization_id, "fingerprint": index_fingerprint()}
    rows, connection = index_definitions, unit.connection
    await connection.execute(delete(rows).where(rows.c.organization_id == unit.organization_id))
    await connection.execute(insert(rows).values(**own))
    if await connection.scalar(_OUTDATED.limit(1), own) is None:
        every_other = update(rows).where(rows.c.organization_id == EVERY_OTHER)
        await connection.execute(every_other.values(fingerprint=own["fingerprint"]))
