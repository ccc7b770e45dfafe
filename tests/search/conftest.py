"""What the tests of searches share."""

from __future__ import annotations

import pytest

from storage.engine import Database
from tests.search.library import Library


@pytest.fixture
def library(database: Database) -> Library:
    """An empty organization on each engine."""
    return Library(database)
