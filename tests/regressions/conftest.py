"""Fixtures of the regression tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from storage.clock import IdSource
from storage.engine import create_database
from storage.projection.flush import flush
from storage.projection.outbox import Projector
from storage.projection.places import Places
from storage.rls import ROLE
from storage.store import ResourceStore
from tests.regressions.shop import BASE, Shop


@pytest.fixture
async def shop(fresh_database_url: str) -> AsyncIterator[Shop]:
    """A store of its own on each engine, which knows its own address."""
    database = create_database(fresh_database_url, ids=IdSource(), role=ROLE, base_url=BASE)
    database.flush = flush
    await database.open()
    await Projector(database).drain()
    yield Shop(database, ResourceStore(database, Places()))
    await database.close()
