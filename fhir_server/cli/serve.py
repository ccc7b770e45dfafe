"""`fhir-server serve`: the server process."""

from __future__ import annotations

from typing import Annotated, Final

import typer

EXAMPLE: Final = "Example: DATABASE_URL=postgresql://fhir@localhost/fhir fhir-server serve --port 8000 --workers 2"


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: FHIR_SERVER_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. Default: FHIR_SERVER_PORT.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes. Default: FHIR_SERVER_WORKERS.")] = None,
) -> None:
    """Serve FHIR until a signal ends it; running requests may finish."""
    from fhir_server.server import run
    from fhir_server.settings import load_settings

    given = {"host": host, "port": port, "workers": workers}
    run(load_settings(**{name: value for name, value in given.items() if value is not None}))
