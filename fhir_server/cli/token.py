"""`fhir-server token`: an access token for a registered client or a user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fhir_server.cli.output import CommandFailed, JsonOption, note, print_json

EXAMPLE: Final = "Example: fhir-server token --client my-app --patient p1 --scope 'patient/*.rs'"


def token(
    *,
    scope: Annotated[str, typer.Option(help="Scopes, separated by spaces.")],
    client: Annotated[str | None, typer.Option(help="Id of a registered client.")] = None,
    user: Annotated[str | None, typer.Option(help="E-mail address of a user.")] = None,
    patient: Annotated[str | None, typer.Option(help="Id of the Patient in context.")] = None,
    organization: Annotated[str | None, typer.Option(help="Id of the organization, where it is not clear.")] = None,
    break_glass: Annotated[
        str | None,
        typer.Option(help="Reason for emergency access of --user to --patient: opens it, for the life of the token."),
    ] = None,
    ttl: Annotated[int | None, typer.Option(help="Life in seconds, 3600 at most.", min=1, max=3600)] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="File with the client's private key (JWK): asks the running server as a service does."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print an access token: what the authorization server would grant the client or the user, and no more."""
    if (client is None) == (user is None):
        raise CommandFailed("Give either --client or --user.")
    if break_glass is not None and (user is None or patient is None):
        raise CommandFailed("Emergency access is a person's to one patient: give --user and --patient.")
    if key is None:
        answer = _issued(
            scope=scope,
            client=client,
            user=user,
            patient=patient,
            organization=organization,
            lifetime=ttl,
            break_glass=break_glass,
        )
    elif client is None or (patient, organization, ttl) != (None, None, None):
        raise CommandFailed("With --key give --client and --scope alone: the server decides on the rest.")
    else:
        answer = _asked_for(client, key, scope)
    if answer["scope"] != " ".join(scope.split()):
        note(f"Granted: {answer['scope']}")
    if as_json:
        print_json(answer)
    else:
        typer.echo(answer["access_token"])


def _issued(**wanted: Any) -> dict[str, Any]:
    from fhir_server.cli.installation import run
    from fhir_server.cli.issuing import Wanted, issue_token

    return run(lambda installation: issue_token(installation, Wanted(**wanted)))


def _asked_for(client: str, key: Path, scope: str) -> dict[str, Any]:
    from fhir_server.cli.asking import ask_for_token
    from fhir_server.settings import load_settings

    return ask_for_token(load_settings().base_url, client, key, scope)
