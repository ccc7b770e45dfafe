"""Serves the server with a part of it replaced (`stub.py`, `silent.py`): to be measured against, on loopback only."""

from __future__ import annotations

import argparse

from fhir_server import server
from fhir_server.settings import load_settings


def serve(module: str, about: str | None) -> None:
    """Serve what `application` of a module returns until a signal ends it, with the command line's options."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    server.FACTORY = f"{module}:application"  # type: ignore[misc]
    server.APPLICATION = module  # type: ignore[misc]
    server.run(load_settings(host="127.0.0.1", port=options.port, workers=options.workers))
