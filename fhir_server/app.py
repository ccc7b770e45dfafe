"""The composition root: the only place where the parts meet (style.md §1).

`create_app` returns one ASGI application. Requests under `/fhir` go straight to the FHIR interface, plain ASGI;
everything else is FastAPI's.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from starlette.requests import Request
from starlette.routing import Route

from capability.smart import APP_STATE_PATH
from fhir_server import metrics
from fhir_server.app_state.endpoint import AppStateApplication
from fhir_server.cors import CrossOrigin, is_for_apps
from fhir_server.demo.pages import demo_routes
from fhir_server.fhir.endpoint import FhirApplication
from fhir_server.gate import Gate, Limits
from fhir_server.graph.application import GRAPH_PATH, NO_TELEMETRY, GraphApplication
from fhir_server.logging import configure_logging
from fhir_server.oauth.discovery import SMART_CONFIGURATION_PATH
from fhir_server.oauth.keys import KeyUnreadable, NoSigningKey
from fhir_server.oauth.routes import oauth_routes
from fhir_server.proxies import Proxies
from fhir_server.search_parameters import take_up_search_parameters
from fhir_server.settings import Settings, load_settings
from fhir_server.worker import Worker, open_worker
from storage.clock import IdSource
from storage.drift.findings import Finding
from storage.errors import StorageError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FHIR_PATH: Final = "/fhir"
ADDRESSES: Final = {
    "/fhir": "FHIR R4 base; /fhir/metadata says what is served",
    "/oauth": "SMART authorization server; /fhir/.well-known/smart-configuration says what is where",
    "/graph": "patient graph API; /graph/openapi.json describes it",
    "/app-state": "what SMART apps keep for themselves; the smart-configuration names it, too",
    "/healthz": "liveness",
    "/readyz": "readiness: database, migrations, signing keys",
    "/metrics": "figures for Prometheus",
}
NO_STORE: Final = {"Cache-Control": "no-store"}

_log = structlog.get_logger("fhir_server")


class Application:
    """Sends a request to the FHIR interface or to the rest; `worker` is there between start and stop."""

    def __init__(self, settings: Settings, ids: IdSource) -> None:
        self.settings = settings
        self.ids = ids
        self.worker: Worker | None = None
        self._proxies = Proxies(settings.trusted_proxies) if settings.trusted_proxies else None
        self._fhir = FhirApplication(FHIR_PATH)
        limits = Limits(settings.max_in_flight, settings.body_idle_seconds, settings.body_seconds)
        self._gate = Gate(self._fhir, limits)
        self._cross_origin = CrossOrigin(self._gate, settings.cors_origins)
        self._app_states = AppStateApplication()
        self._app_states_gate = Gate(self._app_states, limits)
        self._app_states_cross_origin = CrossOrigin(self._app_states_gate, settings.cors_origins)
        self._graph = GraphApplication()
        self._graph_gate = Gate(self._graph, limits)
        self._graph_cross_origin = CrossOrigin(self._graph_gate, settings.cors_origins)
        self._rest = _rest(self)
        self._rest_cross_origin = CrossOrigin(self._rest, settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or start and stop with the server."""
        if scope["type"] == "http":
            if self._proxies is not None:
                scope["client"] = self._proxies.client(scope)
            path: str = scope["path"]
            asked_by_page = any(name == b"origin" for name, _ in scope["headers"])
            if _is_fhir(path):
                await (self._cross_origin if asked_by_page else self._gate)(scope, receive, send)
                return
            if path.startswith(f"{APP_STATE_PATH}/"):
                await (self._app_states_cross_origin if asked_by_page else self._app_states_gate)(scope, receive, send)
                return
            if path == GRAPH_PATH or path.startswith(f"{GRAPH_PATH}/"):
                await (self._graph_cross_origin if asked_by_page else self._graph_gate)(scope, receive, send)
                return
            if asked_by_page and is_for_apps(path):
                await self._rest_cross_origin(scope, receive, send)
                return
        await self._rest(scope, receive, send)

    def _allow(self, origins: frozenset[str]) -> None:
        """Take the origins of browser apps as they are now."""
        self._cross_origin.allow(origins)
        self._rest_cross_origin.allow(origins)
        self._app_states_cross_origin.allow(origins)
        self._graph_cross_origin.allow(origins)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hold the worker open."""
        async with open_worker(self.settings, self.ids, self._allow) as worker:
            self.worker = worker
            self._rest.state.oauth = worker.oauth
            self._fhir.start(worker.service, worker.authenticator)
            self._app_states.start(worker.oauth)
            self._graph.start(worker.graph)
            gc.freeze()  # what start-up made stays for good: no collection need look at it again
            yield
            self.worker = None


def _is_fhir(path: str) -> bool:
    """Say whether the FHIR interface answers; the configuration below its base is the authorization server's."""
    if not path.startswith(FHIR_PATH) or path[len(FHIR_PATH) : len(FHIR_PATH) + 1] not in {"", "/"}:
        return False
    return path != SMART_CONFIGURATION_PATH


def application() -> Application:
    """Return the application of a worker process, whose settings are in the environment."""
    settings = load_settings()
    configure_logging(settings.log_level)
    return create_app(settings)


def create_app(settings: Settings, ids: IdSource | None = None) -> Application:
    """Return the application; it opens the database when it is started.

    `ids` is where new ids and the time come from; only tests that replay a run give one (settled §4.8).
    """
    take_up_search_parameters(settings)
    return Application(settings, ids or IdSource())


def _rest(application: Application) -> FastAPI:
    """Return everything that is not FHIR; interactive documentation exists in development only (PH-4)."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with application.running():
            yield

    dev = application.settings.dev
    rest = FastAPI(
        title="fhir-server",
        lifespan=lifespan,
        docs_url="/docs" if dev else None,
        redoc_url=None,
        openapi_url="/openapi.json" if dev else None,
        telemetry=NO_TELEMETRY,
        redirect_slashes=False,  # to an address made of the Host header, which anybody may write (smart.md §16)
    )

    async def addresses(_request: Request) -> Response:
        """Name what is served where."""
        return JSONResponse({"addresses": ADDRESSES}, headers=NO_STORE)

    async def healthz(_request: Request) -> Response:
        """Say that the process answers."""
        return JSONResponse({"status": "ok"}, headers=NO_STORE)

    async def readyz(_request: Request) -> Response:
        """Say whether requests can be answered: database, migrations, signing keys."""
        return await _readiness(application.worker)

    async def figures(_request: Request) -> Response:
        """Give the figures of all workers."""
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    own = {"/": addresses, "/healthz": healthz, "/readyz": readyz, "/metrics": figures}
    # not FastAPI's own routes: those read every cookie, in a time that strangers choose (CVE-2024-7592)
    rest.router.routes.extend(Route(path, handler, methods=["GET"]) for path, handler in own.items())
    rest.router.routes.extend(oauth_routes())
    if application.settings.demo_app:
        rest.router.routes.extend(demo_routes())
    return rest


def _told(finding: Finding) -> dict[str, Any]:
    """Return what anybody may know of drift: tables, columns and mappers, and no organization."""
    facts = finding.to_json()
    return {name: facts[name] for name in ("kind", "table", "column", "stops", "mappers")}


async def _readiness(worker: Worker | None) -> Response:
    try:
        if worker is not None:
            await worker.check_ready()
            drift = [_told(each) for each in worker.drift.findings]
            return JSONResponse({"status": "ready", **({"drift": drift} if drift else {})}, headers=NO_STORE)
        reason = "starting"
    except (StorageError, NoSigningKey, KeyUnreadable) as error:
        reason = type(error).__name__
        _log.warning("not_ready", reason=reason)
    return JSONResponse({"status": "not ready", "reason": reason}, status_code=503, headers=NO_STORE)
