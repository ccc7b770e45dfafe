"""People whose records may be one person's, on both engines."""

from __future__ import annotations

import pytest

from storage.engine import Database
from tests.conftest import ORGANIZATION
from tests.identity.world import World


@pytest.fixture
def world(fresh_database: Database, fresh_database_url: str) -> World:
    """A database of its own, without people yet."""
    return World(fresh_database, fresh_database_url, ORGANIZATION)
