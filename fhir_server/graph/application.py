"""The patient graph API as an ASGI application, behind a gate of its own.

FastAPI finds the endpoint, checks what was sent and describes it all (`/graph/openapi.json`); the chain of `route.py`
is around every endpoint, and around what is no endpoint.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.fhir.body import Receive
from fhir_server.fhir.json_body import encode_json
from fhir_server.fhir.request import joined_headers, origin_of
from fhir_server.graph.description import described
from fhir_server.graph.endpoints import (
    audit_log,
    conversation_history,
    events,
    export,
    identity,
    identity_mappings,
    labs,
    prescriptions,
    profiles,
    protocols,
    treatments,
    wearables,
    webhooks,
)
from fhir_server.graph.envelope import refused
from fhir_server.graph.errors import LimitReached, refusal
from fhir_server.graph.route import GraphRoute, answered, authenticated, limited, opened
from fhir_server.graph.service import GraphService

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

GRAPH_PATH: Final = "/graph"
ROUTERS: Final[tuple[APIRouter, ...]] = (
    profiles.router,
    export.router,
    identity_mappings.router,
    identity.router,
    labs.router,
    protocols.router,
    events.router,
    conversation_history.router,
    treatments.router,
    prescriptions.router,
    wearables.router,
    audit_log.router,
    webhooks.router,
)
"""Every endpoint; the order is that of the description."""
NO_TELEMETRY: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False}
"""FastAPI's own would carry paths and queries, hence ids and values, to whoever collects them (security PH-1)."""
DESCRIPTION: Final = (
    "Clinical records of customers: profiles, laboratory results, protocols, treatments, prescriptions, wearables. "
    "The same rows are served as FHIR R4 at /fhir."
)


class GraphApplication:
    """Everything under `/graph`, from `start` on. One per worker."""

    def __init__(self) -> None:
        self._service: GraphService | None = None
        self.api = graph_api()

    def start(self, service: GraphService) -> None:
        """Take the parts of the worker that is open now."""
        self._service = service
        self.api.state.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if self._service is None:
            raise RuntimeError("the patient graph API is asked for before the application has started")
        await self.api({**scope, "root_path": "", "path": scope["path"].removeprefix(GRAPH_PATH) or "/"}, receive, send)

    async def refuse(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request with an error, without looking at it; nothing is accessed, so nothing is recorded."""
        origin = origin_of(scope, joined_headers(scope["headers"]))
        response = refused(refusal(error), origin.request_id)
        response.headers["X-Request-Id"] = origin.request_id
        await response(scope, receive, send)


class GraphApi(FastAPI):
    """The application that finds the endpoint, checks what was sent, and describes it all."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._document: bytes | None = None
        self._writing = threading.Lock()

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, made once: it takes a second or two."""
        if self.openapi_schema is None:
            routes = [route for router in ROUTERS for route in router.routes if isinstance(route, GraphRoute)]
            self.openapi_schema = described(self.title, self.version, self.description, GRAPH_PATH, routes)
        return self.openapi_schema

    def document(self) -> bytes:
        """Return the OpenAPI document as it is sent, made once however many ask for it at first."""
        with self._writing:
            if self._document is None:
                self._document = encode_json(self.openapi())
            return self._document


async def _describe(request: Request) -> Response:
    """Answer with the OpenAPI document, to everybody within the limit of addresses. It holds nothing of anybody."""
    call = opened(request, request.app.state.service, None, "")
    try:
        await limited(call, "address", call.origin.address, call.service.settings.graph_address_limit)
    except LimitReached as reached:
        response = refused(refusal(reached), call.origin.request_id)
        response.headers["Cache-Control"] = "no-store"
        return response
    body = await asyncio.to_thread(request.app.document)  # others are served while it is made
    return Response(body, media_type="application/json", headers={"Cache-Control": "public, max-age=300"})


def graph_api() -> GraphApi:
    """Return the API with all endpoints; its service comes with `GraphApplication.start`."""
    api = GraphApi(
        title="Patient Graph API",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
        exception_handlers={HTTPException: _no_endpoint},
    )
    for router in ROUTERS:
        if any(not isinstance(route, GraphRoute) for route in router.routes):
            raise TypeError(f"{router.prefix} has routes without the chain: give its router route_class=GraphRoute")
        api.router.routes.extend(router.routes)  # flat: FastAPI asks each included router for its routes anew
    api.add_route("/openapi.json", _describe, methods=["GET"])
    return api


async def _no_endpoint(request: Request, error: Exception) -> Response:
    """Answer what is no endpoint as one is answered, to those who are known, and counted and recorded like it."""
    call = opened(request, request.app.state.service, None, "")

    async def refuse() -> Response:
        await limited(call, "address", call.origin.address, call.service.settings.graph_address_limit)
        await authenticated(request, call)
        raise error

    return await answered(call, refuse)
