"""`fhir-server serve`: the server process."""

from __future__ import annotations

from typing import Annotated

import typer


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: FHIR_SERVER_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. Default: FHIR_SERVER_PORT.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes. Default: FHIR_SERVER_WORKERS.")] = None,
) -> None:
    """Serve FHIR until a signal ends it.

    Example: DATABASE_URL=postgresql://fhir@localhost/fhir fhir-server serve --port 8000 --workers 2
    """
    from fhir_server.server import NotReady, run
    from fhir_server.settings import SettingsInvalid, load_settings

    given = {name: value for name, value in (("host", host), ("port", port), ("workers", workers)) if value is not None}
    try:
        run(load_settings(**given))
    except (SettingsInvalid, NotReady) as error:
        typer.echo(f"Cannot serve: {error}", err=True)
        raise typer.Exit(1) from None
