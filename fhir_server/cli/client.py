"""`fhir-server client`: registered apps and services."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fhir_server.cli.output import JsonOption, OrganizationOption, note, print_facts, print_rows

app = typer.Typer(help="Registered apps and services.", no_args_is_help=True)
COLUMNS: Final = ("id", "type", "organization", "scope", "active")
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the client.")]


@app.command(
    "add",
    epilog="Example: fhir-server client add --id my-app --type public --redirect-uri https://app.example/cb"
    " --scope 'launch/patient patient/*.rs'",
)
def add(
    *,
    client_id: Annotated[str, typer.Option("--id", help="Id of the client.")],
    kind: Annotated[str, typer.Option("--type", help="public, confidential or backend.")],
    scope: Annotated[str, typer.Option(help="The most that it may be granted, separated by spaces.")],
    name: Annotated[str | None, typer.Option(help="Name that people see.")] = None,
    organization: OrganizationOption = None,
    redirect_uri: Annotated[list[str] | None, typer.Option(help="Where answers go; repeatable.")] = None,
    launch_uri: Annotated[list[str] | None, typer.Option(help="Where launches start; repeatable.")] = None,
    jwks: Annotated[str | None, typer.Option(help="Public keys: a file with a JWK set, or its address.")] = None,
    origin: Annotated[list[str] | None, typer.Option(help="Origin of a browser app; repeatable.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Register a client; a confidential one without keys gets a secret, which is shown this once."""
    from fhir_server.cli.clients import Asked, add_client
    from fhir_server.cli.installation import run

    uris = (tuple(redirect_uri or ()), tuple(launch_uri or ()), tuple(origin or ()))
    asked = Asked(client_id, kind, scope, name, organization, *uris, jwks)
    facts = run(lambda installation: add_client(installation, asked))
    print_facts(facts, as_json=as_json)
    _tell_once(facts.get("client_secret"))


@app.command("list", epilog="Example: fhir-server client list --json")
def list_(as_json: JsonOption = False) -> None:
    """List the clients."""
    from fhir_server.cli.clients import list_clients
    from fhir_server.cli.installation import run

    print_rows(run(list_clients), COLUMNS, as_json=as_json)


@app.command("show", epilog="Example: fhir-server client show my-app")
def show(client_id: IdArgument, as_json: JsonOption = False) -> None:
    """Show what is registered of a client."""
    from fhir_server.cli.clients import show_client
    from fhir_server.cli.installation import run

    print_facts(run(lambda installation: show_client(installation, client_id)), as_json=as_json)


@app.command("rotate", epilog="Example: fhir-server client rotate my-app")
def rotate(client_id: IdArgument, as_json: JsonOption = False) -> None:
    """Give a confidential client a new secret, which is shown this once; the old one is worth nothing from now on."""
    from fhir_server.cli.clients import rotate_secret
    from fhir_server.cli.installation import run

    facts = run(lambda installation: rotate_secret(installation, client_id))
    print_facts(facts, as_json=as_json)
    _tell_once(facts.get("client_secret"))


@app.command("remove", epilog="Example: fhir-server client remove my-app")
def remove(client_id: IdArgument, as_json: JsonOption = False) -> None:
    """Remove a client; its access tokens die within seconds."""
    from fhir_server.cli.clients import remove_client
    from fhir_server.cli.installation import run

    print_facts(run(lambda installation: remove_client(installation, client_id)), as_json=as_json)


@app.command("registration-token", epilog="Example: fhir-server client registration-token --ttl 86400")
def registration_token(
    *,
    organization: OrganizationOption = None,
    ttl: Annotated[int, typer.Option(min=60, max=31_536_000, help="Life of the token in seconds.")] = 604_800,
    as_json: JsonOption = False,
) -> None:
    """Make a token with which one app may register itself; it is shown this once."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.registering import make_registration_token

    print_facts(run(lambda installation: make_registration_token(installation, organization, ttl)), as_json=as_json)
    note("The token is not stored: keep it now.")


def _tell_once(secret: str | None) -> None:
    if secret is not None:
        note("The secret is not stored: keep it now.")
