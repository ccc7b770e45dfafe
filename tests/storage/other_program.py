"""A database that another program writes to, and what FHIR shows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import NullPool, create_engine, make_url

from storage.codec import decode
from storage.engine import Database
from storage.projection.flush import flush
from storage.projection.outbox import Projector


@dataclass
class World:
    """A database, another program that writes to it, and what FHIR shows."""

    database: Database
    url: str
    projector: Projector

    def sql(self, *statements: str) -> list[Any]:
        """Run statements in one transaction of the other program; returns the rows of the last."""
        url = make_url(self.url)
        driver = "postgresql+psycopg" if url.get_backend_name() == "postgresql" else "sqlite"
        engine = create_engine(url.set(drivername=driver), poolclass=NullPool)
        rows: list[Any] = []
        with engine.begin() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
                rows = list(result) if result.returns_rows else []
        engine.dispose()
        return rows

    async def after(self, *statements: str) -> None:
        """Run statements and let the projector see them."""
        self.sql(*statements)
        await self.projector.drain()

    def shown(self, table: str, key: str) -> list[tuple[int, dict[str, Any]]]:
        """Return version and content of the resources that a row gives."""
        found = self.sql(
            "SELECT version, body FROM fhir_resources"
            f" WHERE home_table = '{table}' AND home_key = '{key}' AND deleted = false ORDER BY resource_type, id"
        )
        return [(version, decode(bytes(body))) for version, body in found]

    def failures(self) -> list[Any]:
        """Return the rows that could not be mapped, and why."""
        return self.sql("SELECT table_name, key, reason FROM projection_failures")


def other_program(database: Database, url: str) -> World:
    """Return the world of a database."""
    database.flush = flush
    return World(database, url, Projector(database))
