"""The server process: uvicorn with one or several workers (design Decision 9)."""

from __future__ import annotations

import os
import tempfile
from typing import Final

import structlog
import uvicorn

from fhir_server.settings import PREFIX, Settings
from storage.errors import DatabaseUnavailable, SchemaOutOfDate
from storage.schema import check_revision

GRACE_SECONDS: Final = 25
"""How long running requests may take after SIGTERM (security DU-8)."""
FACTORY: Final = "fhir_server.server:application"
METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

_log = structlog.get_logger("fhir_server")


class NotReady(Exception):
    """The server cannot start; the message says why and the remedy."""


def application() -> object:
    """Return the application of a worker, whose settings are in the environment."""
    from fhir_server.app import create_app
    from fhir_server.settings import load_settings

    return create_app(load_settings())


def run(settings: Settings) -> None:
    """Serve until a signal ends it; raises NotReady when the database is not there or not migrated."""
    _check_database(settings)
    if settings.database_url.startswith("sqlite"):
        _log.warning("no_second_wall", reason="SQLite has no row-level security: see docs/sqlite.md")
    with tempfile.TemporaryDirectory(prefix="fhir-metrics-") as folder:
        if settings.workers > 1:
            os.environ[METRICS_VARIABLE] = folder
        _hand_down(settings)
        uvicorn.run(
            FACTORY,
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers if settings.workers > 1 else None,
            loop="uvloop",
            http="httptools",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            log_level="warning",
            timeout_graceful_shutdown=GRACE_SECONDS,
            h11_max_incomplete_event_size=settings.max_header_bytes,
        )


def _check_database(settings: Settings) -> None:
    try:
        check_revision(settings.database_url)
    except (SchemaOutOfDate, DatabaseUnavailable) as error:
        raise NotReady(f"{error}.") from None


def _hand_down(settings: Settings) -> None:
    """Give the workers, which read the environment anew, what the command line said."""
    for name in ("host", "port", "workers"):
        os.environ[PREFIX + name.upper()] = str(getattr(settings, name))
