"""A server with two customers, once on each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.graph.kit import GraphSite, running_graph
from tests.graph.webhooks.pharmacy import Pharmacy, secret_for
from tests.logged import logged

__all__ = ["graph", "graph_site", "logged", "pharmacy", "staff"]


@pytest.fixture(scope="module")
def graph_site(database_url: str) -> Iterator[GraphSite]:
    """A running server with the rows of JANE and JOHN, for this module, once on each engine; without rate limits."""
    with running_graph(database_url) as made:
        yield made


@pytest.fixture(scope="module")
def graph(graph_site: GraphSite) -> Callable[..., httpx.Client]:
    """Clients below `/graph`: `graph("CLINICIAN")`, `graph("PATIENT", customer=JANE)`, `graph("STAFF", scope="…")`."""
    return graph_site.client


@pytest.fixture(scope="module")
def staff(graph_site: GraphSite) -> httpx.Client:
    return graph_site.client("STAFF")


@pytest.fixture(scope="module")
def pharmacy(graph_site: GraphSite) -> Iterator[Pharmacy]:
    """A pharmacy with a secret for the organization."""
    settings = graph_site.site.settings
    made = Pharmacy(settings.base_url, secret_for(settings))
    yield made
    made.client.close()
