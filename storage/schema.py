"""The schema of a database: its revision, the way to the newest one, and what every installation holds.

Migrations are forward-only. One upgrade is one transaction: killed half-way, it did not happen.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, NullPool, Table, create_engine, event, exc, inspect, make_url, select, text
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from storage import triggers
from storage.errors import DatabaseUnavailable, SchemaOutOfDate
from storage.projection.index_definition import note_first
from storage.revision import HEAD
from storage.statistics import seed_statistics
from storage.tables import audit
from storage.tables.platform import organizations

STANDARD_ORGANIZATIONS: Final = (
    {"id": "loop-health", "name": "Loop Health", "home_system": "graph"},
    {"id": "health-hub", "name": "Health Hub", "home_system": "graph"},
)

FIRST_WITH_INDEX: Final = "0005"
"""The revision that brought the FHIR store and its index."""
UPGRADE_LOCK: Final = 0x66686972  # "fhir"
LOCK_TIMEOUT: Final = "10s"
"""How long an upgrade waits for a table that others use, before it gives up and nothing has happened."""
LOG_ATTEMPTS: Final = 100
LOG_PAUSE_SECONDS: Final = 0.1


def upgrade(url: str, revision: str = "head") -> None:
    """Bring a database to a revision, by default the newest; makes the file of a SQLite database.

    Two upgrades at a time run one after the other. Raises SchemaOutOfDate when the database is newer than this version
    or when the role may not change rows under row-level security, and DatabaseUnavailable when it cannot be reached or
    another session holds a table for too long.
    """
    target = make_url(url)
    if target.get_backend_name() == "sqlite" and target.database:
        _make_file(Path(target.database))
    with _translated_errors(), _engine(url).begin() as connection:
        _lock(connection)
        found = _revision(connection)
        if found is not None and found > HEAD:
            raise SchemaOutOfDate(f"the database is at revision {found}, newer than {HEAD}")
        if found != HEAD:
            _require_all_rows(connection)
            _migrate(connection, revision)
        if _revision(connection) == HEAD:
            restore_triggers(connection)
            seed_statistics(connection)
            note_first(connection, is_empty=found is None or found < FIRST_WITH_INDEX)
        _check_foreign_keys(connection)


def create_standard_organizations(url: str) -> None:
    """Insert the organizations that every installation has; those that exist stay as they are."""
    with _translated_errors(), _engine(url).begin() as connection:
        insert = insert_sqlite if connection.dialect.name == "sqlite" else insert_postgresql
        connection.execute(insert(organizations).on_conflict_do_nothing(), STANDARD_ORGANIZATIONS)


def restore_triggers(connection: Connection) -> Sequence[str]:
    """Make the triggers that a SQLite database lacks, and return their names.

    SQLite changes most things about a table by making it anew, which drops its triggers without a word.
    """
    if connection.dialect.name != "sqlite":
        return ()
    existing = set(connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")))
    restored = []
    for statement in triggers.trigger_statements("sqlite"):
        name = statement.split()[2]
        if name not in existing:
            connection.exec_driver_sql(statement)
            restored.append(name)
    return restored


def create_audit_file(path: Path) -> None:
    """Make the second SQLite file, which takes the audit of reads, unless it exists (settled §4.7).

    Its tables have the shape of those in the first, and refuse changes like those.
    """
    _make_file(path)
    with _engine(f"sqlite:///{path}").begin() as connection:
        existing = set(inspect(connection).get_table_names())
        for table in audit.TRAIL_TABLES:
            if table.name in existing:
                _add_indexes(connection, table)
                continue
            table.create(connection)
            for statement in triggers.append_only_sqlite(table):
                connection.exec_driver_sql(statement)


def _add_indexes(connection: Connection, table: Table) -> None:
    """Give a table of a file that was made before the indexes it lacks, and take those that none are any more."""
    known = {index.name for index in table.indexes}
    for each in inspect(connection).get_indexes(table.name):
        if each["name"] not in known:
            connection.exec_driver_sql(f'DROP INDEX "{each["name"]}"')
    for index in table.indexes:
        index.create(connection, checkfirst=True)


def _make_file(path: Path) -> None:
    """Make a SQLite file unless it exists, with a write-ahead log from the beginning.

    Connections that change to it all at once are told that the file is locked, and wait for nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, LOG_ATTEMPTS + 1):
        try:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == LOG_ATTEMPTS:
                raise DatabaseUnavailable from None
            time.sleep(LOG_PAUSE_SECONDS)


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn a connection that fails, or a lock that does not come free, into DatabaseUnavailable."""
    try:
        yield
    except exc.OperationalError as error:
        # SQLite's driver calls mistakes in SQL by the same name.
        reason = str(error.orig)
        if not isinstance(error.orig, sqlite3.Error) or "unable to open" in reason or "locked" in reason:
            raise DatabaseUnavailable from None
        raise


def _engine(url: str, *, writes: bool = True) -> Engine:
    """Return an engine; one that does not write takes no lock on SQLite."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed.set(drivername="sqlite"), poolclass=NullPool, connect_args={"timeout": 30})
        event.listen(engine, "connect", _configure_sqlite)
        if writes:
            event.listen(engine, "begin", _begin_immediate)
        return engine
    return create_engine(parsed.set(drivername="postgresql+psycopg"), poolclass=NullPool)


def _configure_sqlite(connection: Any, _record: object) -> None:
    """Let BEGIN be ours, so that DDL is part of the transaction; foreign keys are checked at the end instead."""
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=OFF")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(select(text(f"pg_advisory_xact_lock({UPGRADE_LOCK})")))
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))


def _require_all_rows(connection: Connection) -> None:
    """Refuse to migrate rows that row-level security hides: an UPDATE would touch none, without an error (§3.10)."""
    if connection.dialect.name != "postgresql":
        return
    forced = connection.scalar(
        text(
            "SELECT count(*) FROM pg_class WHERE relforcerowsecurity AND relnamespace = current_schema()::regnamespace"
        )
    )
    sees_all = connection.scalar(text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"))
    if forced and not sees_all:
        raise SchemaOutOfDate(
            "row-level security hides rows from this role: upgrade as a superuser or a role with BYPASSRLS"
        )


def _migrate(connection: Connection, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _check_foreign_keys(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        broken = connection.execute(text("PRAGMA foreign_key_check")).fetchall()
        if broken:
            tables = ", ".join(sorted({str(row[0]) for row in broken}))
            raise SchemaOutOfDate(f"rows refer to rows that do not exist, in: {tables}; mend them and upgrade again")
