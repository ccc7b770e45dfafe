"""The people of the workflows, and an EMR that reads FHIR."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import httpx
import pytest

from tests.graph.kit import GraphSite, Person

_numbers = count(1)


@pytest.fixture(scope="module")
def clinician(graph_site: GraphSite) -> httpx.Client:
    return graph_site.client("CLINICIAN")


@pytest.fixture(scope="module")
def emr(graph_site: GraphSite) -> httpx.Client:
    """An EMR, below the FHIR base."""
    return graph_site.site.client()


@pytest.fixture
def somebody(staff: httpx.Client) -> Person:
    """A customer without any rows yet."""
    number = next(_numbers)
    login, email = f"user_flow_{number}", f"flow{number}@example.com"
    sent = {"externalId": login, "email": email, "firstName": "Ada", "lastName": f"Flow{number}"}
    made = staff.post("/profiles", json=sent)
    assert made.status_code == 201, made.text
    return Person(made.json()["data"]["id"], login, email)


@pytest.fixture(scope="module")
def shows(emr: httpx.Client) -> Callable[..., list[dict[str, Any]]]:
    """Gives what a search of the EMR finds."""

    def search(resource_type: str, **parameters: str) -> list[dict[str, Any]]:
        named = {name.replace("_", "-"): value for name, value in parameters.items()}
        found = emr.get(f"/{resource_type}", params=named)
        assert found.status_code == 200, found.text
        entries = found.json().get("entry", [])
        return [each["resource"] for each in entries if each["search"]["mode"] == "match"]

    return search
