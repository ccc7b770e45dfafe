"""`fhir-server keys`: what access tokens are signed with."""

from __future__ import annotations

from typing import Final

import typer

from fhir_server.cli.output import JsonOption, print_rows

app = typer.Typer(help="Signing keys of access tokens.", no_args_is_help=True)
COLUMNS: Final = ("kid", "state", "algorithm")


@app.callback()
def group() -> None:
    """Signing keys of access tokens."""


@app.command("rotate", epilog="Example: fhir-server keys rotate")
def rotate(as_json: JsonOption = False) -> None:
    """Sign with the next key from now on; the old one verifies until its last token has expired."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.rotation import rotate_keys

    print_rows(run(rotate_keys), COLUMNS, as_json=as_json)
