"""`fhir-server keys`: what access tokens and identity tokens are signed with."""

from __future__ import annotations

from typing import Final

import typer

from fhir_server.cli.output import JsonOption, print_rows

app = typer.Typer(help="Signing keys of access tokens and identity tokens.", no_args_is_help=True)
COLUMNS: Final = ("kid", "state", "algorithm", "signs", "retired")


@app.callback()
def group() -> None:
    """Signing keys of access tokens and identity tokens."""


@app.command("list", epilog="Example: fhir-server keys list")
def list_(as_json: JsonOption = False) -> None:
    """Tell every signing key that has not gone, with what it signs."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.rotation import list_keys

    print_rows(run(list_keys), COLUMNS, as_json=as_json)


@app.command("rotate", epilog="Example: fhir-server keys rotate")
def rotate(as_json: JsonOption = False) -> None:
    """Sign with the next keys from now on; the old ones verify until their last token has expired."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.rotation import rotate_keys

    print_rows(run(rotate_keys), COLUMNS, as_json=as_json)
