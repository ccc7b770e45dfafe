"""What a server in this process logs, at the level that says most."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from fhir_server.logging import configure_logging


@pytest.fixture(scope="module")
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged while the tests of a module run."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    configure_logging("debug", written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    logging.getLogger("uvicorn.access").disabled = False
