"""A server with two customers, once on each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.graph.kit import GraphSite, running_graph


@pytest.fixture(scope="module")
def graph_site(database_url: str) -> Iterator[GraphSite]:
    """A running server with the rows of JANE and JOHN, for this module, once on each engine; without rate limits."""
    with running_graph(database_url) as made:
        yield made


@pytest.fixture(scope="module")
def graph(graph_site: GraphSite) -> Callable[..., httpx.Client]:
    """Clients below `/graph`: `graph("CLINICIAN")`, `graph("PATIENT", customer=JANE)`, `graph("STAFF", scope="…")`."""
    return graph_site.client
