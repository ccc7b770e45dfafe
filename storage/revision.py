"""Which schema a database has. It imports no SQLAlchemy, so that a server that cannot start says so at once."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import psycopg

from storage.errors import DatabaseUnavailable, SchemaOutOfDate

HEAD: Final = "0018"
"""The revision that this version of the server needs; named here so that a start need not load Alembic."""

QUESTION: Final = "SELECT version_num FROM alembic_version"
CONNECT_SECONDS: Final = 5


def head_revision() -> str:
    """Return the revision that this version needs."""
    return HEAD


def current_revision(url: str) -> str | None:
    """Return the revision of a database, None when it has no schema of ours.

    Raises DatabaseUnavailable when it cannot be reached.
    """
    scheme, _, rest = url.partition(":")
    if scheme.startswith("postgresql"):
        return _postgres_revision(f"postgresql:{rest}")
    path = Path(unquote(urlsplit(url).path[1:]))
    return _sqlite_revision(path) if path.exists() else None


def _postgres_revision(url: str) -> str | None:
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
            row = connection.execute(QUESTION).fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    except psycopg.OperationalError:
        raise DatabaseUnavailable from None
    return None if row is None else str(row[0])


def _sqlite_revision(path: Path) -> str | None:
    connection = sqlite3.connect(path, timeout=30)
    try:
        row = connection.execute(QUESTION).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise DatabaseUnavailable from None
    except sqlite3.DatabaseError:
        raise DatabaseUnavailable from None
    finally:
        connection.close()
    return None if row is None else str(row[0])


def check_revision(url: str) -> None:
    """Raise SchemaOutOfDate unless the database is at the revision that this version needs."""
    found = current_revision(url)
    if found == HEAD:
        return
    if found is None:
        raise SchemaOutOfDate("the database has no schema yet: run `fhir-server init`")
    if found > HEAD:
        raise SchemaOutOfDate(f"the database is at revision {found}, newer than {HEAD}: install the newer server")
    raise SchemaOutOfDate(f"the database is at revision {found}, older than {HEAD}: run `fhir-server init`")
