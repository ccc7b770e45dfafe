"""The first connections to new SQLite files come together, and none of them is told that a file is locked."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from storage import schema

CONNECTIONS = 8
ROUNDS = 20


def first_commit(path: Path) -> None:
    """Do what each process begins with: ask for the write-ahead log, and write."""
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO seen DEFAULT VALUES")
        connection.execute("COMMIT")


def with_table(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE seen (id INTEGER PRIMARY KEY)")
        connection.commit()
    return path


@pytest.mark.parametrize("number", range(ROUNDS))
def test_the_file_of_audited_reads_takes_whoever_comes_first(number: int, tmp_path: Path):
    path = tmp_path / f"{number}.sqlite"
    schema.create_audit_file(path)
    with_table(path)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(first_commit, [path] * CONNECTIONS))


def test_a_new_database_has_its_log_before_anybody_connects(tmp_path: Path):
    path = tmp_path / "fhir.sqlite"
    schema.upgrade(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
