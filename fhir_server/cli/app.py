"""The command line: one module per group of commands, each imported only as far as `--help` needs it."""

from __future__ import annotations

import os
import resource
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from fhir_server.cli import (
    audit,
    capability,
    client,
    demo,
    disclosures,
    drift,
    homes,
    identity,
    init,
    keys,
    load,
    mapping,
    organization,
    reconcile,
    serve,
    settings,
    token,
    user,
    webhook,
)
from fhir_server.cli.output import explain, fail

app = typer.Typer(
    name="fhir-server",
    help="A FHIR R4 server in front of an existing application database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"fhir-server {version('fhir-server')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """Take what stands before the command."""


app.command("init", epilog=init.EXAMPLE)(init.init)
app.command("demo", epilog=demo.EXAMPLE)(demo.demo)
app.command("serve", epilog=serve.EXAMPLE)(serve.serve)
app.command("load", epilog=load.EXAMPLE)(load.load)
app.command("reconcile", epilog=reconcile.EXAMPLE)(reconcile.reconcile)
app.command("drift", epilog=drift.EXAMPLE)(drift.drift)
app.command("homes", epilog=homes.EXAMPLE)(homes.homes)
app.command("mapping", epilog=mapping.EXAMPLE)(mapping.mapping)
app.command("capability", epilog=capability.EXAMPLE)(capability.capability)
app.command("token", epilog=token.EXAMPLE)(token.token)
app.command("settings", epilog=settings.EXAMPLE)(settings.settings)
app.add_typer(client.app, name="client")
app.add_typer(user.app, name="user")
app.add_typer(organization.app, name="organization")
app.add_typer(identity.app, name="identity")
app.add_typer(keys.app, name="keys")
app.add_typer(webhook.app, name="webhook")
app.add_typer(audit.app, name="audit")
audit.app.command("disclosures", epilog=disclosures.EXAMPLE)(disclosures.disclosures)


def main() -> None:
    """Run the command that the arguments name; a mistake of the user's ends with its remedy and status 1."""
    _leave_nothing_to_others()
    try:
        app()
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        fail(message, as_json="--json" in sys.argv)


def _leave_nothing_to_others() -> None:
    """Databases, logs and exports are for nobody else's eyes, and a crash leaves no memory behind (security PH-4)."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
