"""A look into the database behind a server, as its owner has it: the rows of all organizations."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, create_engine, func, make_url, select

from storage.audit_sqlite import audit_path
from storage.tables.audit import audit_seals, rbac_logs
from storage.tables.metadata import metadata

AUDIT = {rbac_logs.name, audit_seals.name}


class Inside:
    """The database of a URL; on SQLite with the file of the audit of reads."""

    def __init__(self, url: str) -> None:
        self._engines = [create_engine(make_url(url).set(drivername=_driver(url)))]
        if url.startswith("sqlite"):
            self._engines.append(create_engine(f"sqlite:///{audit_path(url)}"))

    def counts(self) -> dict[str, int]:
        """Return how many rows every table has, the audit trail aside."""
        with self._engines[0].connect() as connection:
            return {
                table.name: connection.scalar(select(func.count()).select_from(table)) or 0
                for table in metadata.sorted_tables
                if table.name not in AUDIT
            }

    def settle(self) -> None:
        """Wait until nothing is left to be projected: the organizations themselves are when the server starts."""
        deadline = time.monotonic() + 30
        while self.counts()["outbox"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def records(self, request_id: str) -> list[tuple[int, str, str]]:
        """Return status, outcome and actor of what is on record about a request."""
        asked = select(rbac_logs.c.status, rbac_logs.c.outcome, rbac_logs.c.actor_id)
        return [(row[0], row[1], row[2]) for row in self._trail(asked.where(rbac_logs.c.request_id == request_id))]

    def recorded(self) -> set[str]:
        """Return the ids of all requests that are on record."""
        return {row[0] for row in self._trail(select(rbac_logs.c.request_id))}

    def _trail(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        rows: list[Row[Any]] = []
        for engine in self._engines:
            with engine.connect() as connection:
                rows += connection.execute(statement).all()
        return rows

    def close(self) -> None:
        """Close every connection."""
        for engine in self._engines:
            engine.dispose()


def _driver(url: str) -> str:
    return "postgresql+psycopg" if url.startswith("postgresql") else "sqlite"
