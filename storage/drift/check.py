"""Drift of a database: looked for at start, every now and then, and on demand."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from sqlalchemy import func, insert, literal, select

from mappers.registry import mappers_of_table
from storage.drift.findings import Finding, Kind, stops_of
from storage.drift.live import read_live
from storage.drift.rows import check_rows
from storage.drift.schema import compare_schema
from storage.engine import Database
from storage.errors import StorageError
from storage.projection.declared import STORED_TABLES
from storage.stops import STOPPED
from storage.tables.fhir import outbox, projection_failures
from storage.transaction import Change, UnitOfWork

WATCHER: Final = Change(actor="drift", client_id="fhir-server", api="drift")
RUNNING_AGAIN: Final = "runs again"
"""`operation` of outbox entries that are made here."""


async def check_schema(database: Database) -> list[Finding]:
    """Compare the tables with what is declared and put in force what follows: mappers are stopped, or run again.

    Raises DatabaseUnavailable.
    """
    findings = compare_schema(await read_live(database), database.dialect)
    database.stops = stops_of(findings)
    return findings


async def check_drift(database: Database, organizations: Sequence[str], sample: int) -> list[Finding]:
    """Compare the tables, and `sample` rows of each in each organization, with what is declared.

    Raises DatabaseUnavailable.
    """
    findings = await check_schema(database)
    gone = {each.table for each in findings if each.kind is Kind.TABLE_GONE}
    unkeyed = {each.table for each in findings if each.stops and each.column in {"id", "organization_id"}}
    tables = [table for table in STORED_TABLES if table not in gone | unkeyed]
    for organization in organizations if sample > 0 else ():
        for table in tables:
            findings += await _check_rows(database, organization, table, sample)
    return findings


async def _check_rows(database: Database, organization: str, table: str, sample: int) -> list[Finding]:
    """Look at one table's rows; that they cannot even be looked at is a finding, too."""
    try:
        return await database.transact(organization, WATCHER, partial(check_rows, table=table, sample=sample))
    except StorageError:
        raise
    except Exception as error:  # noqa: BLE001 whatever another program did to the table
        detail = f"{type(error).__name__} while rows are looked at"
        remedy = "mend what else is told of this table, and of those that it refers to"
        names = tuple(mapper.name for mapper in mappers_of_table(table))
        return [Finding(Kind.ROW_UNREADABLE, table, None, detail, remedy, names, organization)]


async def resume(database: Database, organizations: Sequence[str]) -> int:
    """Note rows to be projected again that failed because their mapper was stopped and now runs; returns how many."""
    total = 0
    for organization in organizations:
        total += await database.transact(organization, WATCHER, _note_resumed)
    return total


async def _note_resumed(unit: UnitOfWork) -> int:
    columns = projection_failures.c
    mine = (columns.organization_id == unit.organization_id, columns.reason.startswith(STOPPED, autoescape=True))
    listed = set(await unit.connection.scalars(select(columns.table_name).where(*mine).distinct()))
    tables = [table for table in listed if all(unit.stops.reason(each) is None for each in mappers_of_table(table))]
    if not tables:
        return 0
    again = (*mine, columns.table_name.in_(tables))
    failed = select(columns.organization_id, columns.table_name, columns.key, literal(RUNNING_AGAIN)).where(*again)
    names = ["organization_id", "table_name", "key", "operation"]
    await unit.connection.execute(insert(outbox).from_select(names, failed))
    return await unit.connection.scalar(select(func.count()).select_from(projection_failures).where(*again)) or 0
