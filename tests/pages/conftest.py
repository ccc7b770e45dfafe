"""Browsers at a running site, once on each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.pages.forms import Browser
from tests.site import Site, site

__all__ = ["site"]


@pytest.fixture(scope="module")
def url(site: Site) -> str:
    """The database of the site."""
    return site.settings.database_url


@pytest.fixture
def new_browser(site: Site) -> Iterator[Callable[[], Browser]]:
    """Make browsers that know nothing yet."""
    made: list[Browser] = []

    def make() -> Browser:
        made.append(Browser(site.settings.base_url))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def browser(new_browser: Callable[[], Browser]) -> Browser:
    return new_browser()
