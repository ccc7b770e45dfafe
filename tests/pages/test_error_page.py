"""The error page (`smart.md` §15 error page; security PH-2): a true status, a reference, and nothing more."""

from __future__ import annotations

import re
from types import SimpleNamespace

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.errors import InvalidRequest, TooManyAttempts
from fhir_server.pages.page import PageRefused, page
from fhir_server.settings import Settings
from storage.errors import AuditUnavailable, ConcurrencyConflict, DatabaseUnavailable
from tests.pages.forms import Page

SETTINGS = Settings(base_url="https://host.example", secret="s" * 40)


async def shown(error: Exception) -> Page:
    """Return the page for a handler that raises."""

    async def handler(_request: Request) -> Response:
        raise error

    app = Starlette(routes=[page("/somewhere/{name}", handler)])
    app.state.oauth = SimpleNamespace(settings=SETTINGS)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://host.example") as client:
        return Page(await client.get("/somewhere/canary-path?q=canary-query"))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PageRefused(400, "No", "Not like this."), 400),
        (PageRefused(410, "Gone", "It is over."), 410),
        (InvalidRequest("The parameters cannot be read."), 400),
        (TooManyAttempts(7), 429),
        (DatabaseUnavailable(), 503),
        (AuditUnavailable(), 503),
        (ConcurrencyConflict(), 503),
        (RuntimeError("canary-message"), 500),
        (KeyError("canary-key"), 500),
    ],
)
async def test_smart_15_an_error_page_has_a_true_status_and_a_reference_and_tells_nothing(error, status):
    found = await shown(error)
    assert found.status == status
    assert not list(found.faults())
    assert re.search(r"Reference: [0-9a-f]{12}", found.text)
    assert "canary" not in found.html
    assert "Traceback" not in found.html
    assert found.response.headers["cache-control"] == "no-store"
    assert ("retry-after" in found.response.headers) is (status in {429, 503})
