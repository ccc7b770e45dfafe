"""The server process: uvicorn with one or several workers (design Decision 9)."""

from __future__ import annotations

import os
import signal
import tempfile
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
import uvicorn

from fhir_server.heap import keep_small
from fhir_server.http_protocol import HttpProtocol
from fhir_server.logging import configure_logging
from fhir_server.oauth.providers import load_providers
from fhir_server.search_parameters import take_up_search_parameters
from fhir_server.settings import LOOPBACK, PREFIX, Settings
from fhir_server.workers import supervise
from storage.revision import check_revision

GRACE_SECONDS: Final = 25
"""How long running requests may take after SIGTERM (security DU-8)."""
APPLICATION: Final = "fhir_server.app"
FACTORY: Final = f"{APPLICATION}:application"
METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
OPTIONS: Final[dict[str, Any]] = {
    "factory": True,
    "loop": "uvloop",
    "http": HttpProtocol,
    "backlog": 2048,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,
    "log_config": None,
    "timeout_graceful_shutdown": GRACE_SECONDS,
}

_log = structlog.get_logger("fhir_server")


def run(settings: Settings) -> None:
    """Serve until a signal ends it.

    Raises SchemaOutOfDate, DatabaseUnavailable and SettingsInvalid before anything is listened to.
    """
    load_providers(settings.identity_providers)
    configure_logging(settings.log_level)
    _ = settings.secret_bytes
    take_up_search_parameters(settings)
    check_revision(settings.database_url)
    if settings.database_url.startswith("sqlite"):
        _log.warning(
            "no_second_wall", reason="SQLite has no row-level security; organizations are kept apart by us alone"
        )
    if _is_open_to_readers(settings):
        _log.warning(
            "no_tls",
            reason="FHIR_SERVER_BASE_URL is http: passwords, codes and tokens can be read on their way; "
            "put a proxy that speaks https before the server and name its address",
        )
    _log.info("serving", address=f"http://{settings.host}:{settings.port}", fhir_base=settings.fhir_base)
    _end_well()
    with tempfile.TemporaryDirectory(prefix="fhir-metrics-") as folder:
        _hand_down(settings, folder)
        keep_small()
        address: dict[str, Any] = {"host": settings.host, "port": settings.port, "workers": settings.workers}
        if settings.workers > 1:
            supervise(uvicorn.Config(FACTORY, **address, **OPTIONS), APPLICATION)
        else:
            uvicorn.run(FACTORY, **address, **OPTIONS)


def _is_open_to_readers(settings: Settings) -> bool:
    """Say whether clients reach the server in the clear from other machines."""
    address = urlsplit(settings.base_url)
    return address.scheme == "http" and address.hostname not in LOOPBACK


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
