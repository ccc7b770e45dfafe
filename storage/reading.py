"""Where reading statements run: on the pools, or inside an open unit of work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from storage.driver import Driver, Row
from storage.sql import Prepared
from storage.transaction import UnitOfWork


class Reader(Protocol):
    """What the reading verbs of the store and the search need of a database."""

    @property
    def dialect(self) -> str:
        """The engine: "postgresql" or "sqlite"."""
        ...

    @property
    def base_url(self) -> str:
        """This server's FHIR base: absolute references below it are local ones."""
        ...

    async def fetch(self, organization_id: str, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        """Return the rows of one reading statement in the organization's context."""
        ...

    def read(self, organization_id: str) -> AbstractAsyncContextManager[Driver]:
        """Give a driver on which several reading statements see one snapshot."""
        ...


class UnitReader:
    """Reads inside a unit of work, so that its own writes are seen before COMMIT."""

    def __init__(self, unit: UnitOfWork) -> None:
        self._unit = unit

    @property
    def unit(self) -> UnitOfWork:
        """The unit of work."""
        return self._unit

    @property
    def dialect(self) -> str:
        """The engine of the unit of work."""
        return self._unit.driver.dialect

    @property
    def base_url(self) -> str:
        """The FHIR base that the unit of work knows."""
        return self._unit.base_url

    def _require_own(self, organization_id: str) -> None:
        if organization_id != self._unit.organization_id:
            raise ValueError("a unit of work reads in its own organization only")

    async def fetch(self, organization_id: str, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        """Return the rows of one statement."""
        self._require_own(organization_id)
        return await self._unit.driver.fetch(statement, parameters)

    @asynccontextmanager
    async def read(self, organization_id: str) -> AsyncIterator[Driver]:
        """Give the unit of work's own driver."""
        self._require_own(organization_id)
        yield self._unit.driver
