"""The server process: uvicorn with one or several workers (design Decision 9)."""

from __future__ import annotations

import os
import signal
import tempfile
from typing import Final

import structlog
import uvicorn

from fhir_server.logging import configure_logging
from fhir_server.settings import PREFIX, Settings
from storage.revision import check_revision

GRACE_SECONDS: Final = 25
"""How long running requests may take after SIGTERM (security DU-8)."""
FACTORY: Final = "fhir_server.app:application"
METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
MEMORY_VARIABLES: Final = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}
"""For glibc in the workers: few heaps, and what a large bundle took is given back (mallopt(3))."""
BACKLOG: Final = 2048

_log = structlog.get_logger("fhir_server")


def run(settings: Settings) -> None:
    """Serve until a signal ends it.

    Raises SchemaOutOfDate, DatabaseUnavailable and SettingsInvalid before anything is listened to.
    """
    configure_logging(settings.log_level)
    _ = settings.secret_bytes
    check_revision(settings.database_url)
    if settings.database_url.startswith("sqlite"):
        _log.warning(
            "no_second_wall", reason="SQLite has no row-level security; organizations are kept apart by us alone"
        )
    _log.info("serving", address=f"http://{settings.host}:{settings.port}", fhir_base=settings.fhir_base)
    _end_well()
    with tempfile.TemporaryDirectory(prefix="fhir-metrics-") as folder:
        _hand_down(settings, folder)
        uvicorn.run(
            FACTORY,
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers if settings.workers > 1 else None,
            loop="uvloop",
            http="httptools",
            backlog=BACKLOG,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            log_config=None,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )


def _end_well() -> None:
    """End with status 0 after SIGTERM or Ctrl-C: uvicorn finishes its work and then raises the signal once more."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)


def _hand_down(settings: Settings, metrics_folder: str) -> None:
    """Give the workers, which read the environment anew, what the command line said."""
    for name in ("host", "port", "workers"):
        os.environ[PREFIX + name.upper()] = str(getattr(settings, name))
    if settings.workers > 1:
        os.environ[METRICS_VARIABLE] = metrics_folder
        for name, value in MEMORY_VARIABLES.items():
            os.environ.setdefault(name, value)
