"""`fhir-server demo`: sample data, demo users and apps, and the server, with one command."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fhir_server.cli.output import JsonOption, print_json

EXAMPLE: Final = "Example: fhir-server demo --port 8000"


def demo(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1 to listen on.")] = 8000,
    prepare_only: Annotated[bool, typer.Option("--prepare-only", help="Set up and print, but do not serve.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Set up and serve a demonstration: SQLite in ./var unless DATABASE_URL names another database.

    Runs in development mode on the loopback address. Doing it again changes nothing.
    """
    from fhir_server.cli.demonstration import prepare, tell
    from fhir_server.server import run

    settings, prepared = prepare(port)
    if as_json:
        print_json(prepared.facts)
    else:
        tell(prepared)
    if not prepare_only:
        run(settings)
