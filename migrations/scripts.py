"""Runs the SQL of a revision. Revisions are frozen text: they import nothing of the rooms that change."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from alembic import op

FOLDER: Final = Path(__file__).parent / "sql"


def run_script(revision: str) -> None:
    """Run `sql/<revision>.<engine>.sql` within the migration's transaction."""
    connection = op.get_bind().execution_options(no_parameters=True)
    dialect = connection.dialect.name
    script = (FOLDER / f"{revision}.{dialect}.sql").read_text(encoding="utf-8")
    for statement in split_statements(script) if dialect == "sqlite" else (script,):
        connection.exec_driver_sql(statement)


def split_statements(script: str) -> Iterator[str]:
    """Yield the statements of a SQLite script; those of a trigger's body stay together.

    Raises ValueError when the script ends within a statement.
    """
    pending = ""
    for line in script.splitlines(keepends=True):
        if not pending.strip() and (not line.strip() or line.startswith("--")):
            continue
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip():
        raise ValueError("the script ends within a statement")
