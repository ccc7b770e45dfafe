"""`fhir-server client`: registered apps and services."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fhir_server.cli.output import JsonOption, OrganizationOption, note, print_facts, print_rows

app = typer.Typer(help="Registered apps and services.", no_args_is_help=True)
COLUMNS: Final = ("id", "type", "organization", "scope", "active")
APP_STATE_HELP: Final = "What it may keep for itself: 'SYSTEM|CODE:query,modify:patient,user,global'; repeatable."
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
    native: Annotated[bool, typer.Option(help="An app of a device: loopback redirects on any port.")] = False,
    partner: Annotated[
        bool, typer.Option(help="It sees patients who agreed to share their data, and no others.")
    ] = False,
    verified: Annotated[bool, typer.Option(help="You vouch for it; people are told.")] = False,
    may_introspect: Annotated[
        bool, typer.Option(help="It is told of the access tokens of all clients of its organization.")
    ] = False,
    logo: Annotated[
        str | None,
        typer.Option(help="Its logo: a picture file of at most 32 KiB, which the consent page shows, or an address."),
    ] = None,
    publisher: Annotated[str | None, typer.Option(help="Who publishes it.")] = None,
    required_scope: Annotated[str, typer.Option(help="Scopes without which it does not work.")] = "",
    access_token_ttl: Annotated[int | None, typer.Option(help="Life of its access tokens in seconds.")] = None,
    refresh_token_ttl: Annotated[
        int | None, typer.Option(help="How long its refresh tokens can wait to be used, in seconds.")
    ] = None,
    app_state: Annotated[list[str] | None, typer.Option(help=APP_STATE_HELP)] = None,
    rate_limit: Annotated[
        int | None,
        typer.Option(
            min=1, max=1_000_000, help="Requests to /fhir that it may make a minute; else FHIR_SERVER_FHIR_LIMIT."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Register a client; a confidential one without keys gets a secret, which is shown this once."""
    from fhir_server.cli.clients import add_client
    from fhir_server.cli.installation import run
    from fhir_server.oauth.clients import Registration

    asked = Registration(
        id=client_id,
        type=kind,
        scope=scope,
        organization_id=organization,
        name=name,
        redirect_uris=tuple(redirect_uri or ()),
        launch_uris=tuple(launch_uri or ()),
        origins=tuple(origin or ()),
        is_native=native,
        is_partner=partner,
        is_verified=verified,
        may_introspect=may_introspect,
        logo_uri=logo,
        publisher=publisher,
        required_scope=required_scope,
        access_token_ttl=access_token_ttl,
        refresh_token_ttl=refresh_token_ttl,
        app_states=tuple(app_state or ()),
        rate_limit=rate_limit,
    )
    facts = run(lambda installation: add_client(installation, asked, jwks))
    print_facts(facts, as_json=as_json)
    if facts["type"] != "backend" and not facts["redirect_uris"]:
        note("It has no --redirect-uri: nobody can sign in through it.")
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


@app.command("rotate", epilog="Example: fhir-server client rotate my-app --grace 48")
def rotate(
    client_id: IdArgument,
    *,
    grace: Annotated[int, typer.Option(min=0, max=720, help="Hours that the old secret stays good; 0: none.")] = 24,
    as_json: JsonOption = False,
) -> None:
    """Give a confidential client a new secret, which is shown this once; the old one stays good for a while."""
    from fhir_server.cli.clients import rotate_secret
    from fhir_server.cli.installation import run

    facts = run(lambda installation: rotate_secret(installation, client_id, grace))
    print_facts(facts, as_json=as_json)
    _tell_once(facts.get("client_secret"))


@app.command(
    "app-state",
    epilog="Example: fhir-server client app-state my-app --allow 'https://app.example|preferences:query,modify:user'",
)
def app_state_(
    client_id: IdArgument,
    *,
    allow: Annotated[list[str] | None, typer.Option(help=APP_STATE_HELP)] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a client may keep for itself, in place of what it might before; without --allow nothing."""
    from fhir_server.cli.clients import set_app_states
    from fhir_server.cli.installation import run

    print_facts(run(lambda installation: set_app_states(installation, client_id, allow or ())), as_json=as_json)


@app.command("rate-limit", epilog="Example: fhir-server client rate-limit my-app --requests 600")
def rate_limit_(
    client_id: IdArgument,
    *,
    requests: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="Requests to /fhir that it may make a minute.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Limit the requests of a client; without --requests it has the limit of the settings again."""
    from fhir_server.cli.clients import set_rate_limit
    from fhir_server.cli.installation import run

    print_facts(run(lambda installation: set_rate_limit(installation, client_id, requests)), as_json=as_json)


@app.command("disable", epilog="Example: fhir-server client disable my-app")
def disable(client_id: IdArgument, as_json: JsonOption = False) -> None:
    """Disable a client; its access tokens die within a second, and what people granted it waits."""
    from fhir_server.cli.clients import set_active
    from fhir_server.cli.installation import run

    print_facts(run(lambda installation: set_active(installation, client_id, active=False)), as_json=as_json)


@app.command("enable", epilog="Example: fhir-server client enable my-app")
def enable(client_id: IdArgument, as_json: JsonOption = False) -> None:
    """Enable a client again; it has to get new access tokens."""
    from fhir_server.cli.clients import set_active
    from fhir_server.cli.installation import run

    print_facts(run(lambda installation: set_active(installation, client_id, active=True)), as_json=as_json)


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
