"""`fhir-server token`: an access token for a registered client or a user."""

from __future__ import annotations

from typing import Annotated, Final

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
    ttl: Annotated[int | None, typer.Option(help="Life in seconds, 3600 at most.", min=1, max=3600)] = None,
    as_json: JsonOption = False,
) -> None:
    """Print an access token: what the authorization server would grant the client or the user, and no more."""
    if (client is None) == (user is None):
        raise CommandFailed("Give either --client or --user.")
    from fhir_server.cli.installation import run
    from fhir_server.cli.issuing import Wanted, issue_token

    wanted = Wanted(scope, client, user, patient, organization, ttl)
    answer = run(lambda installation: issue_token(installation, wanted))
    if answer["scope"] != " ".join(scope.split()):
        note(f"Granted: {answer['scope']}")
    if as_json:
        print_json(answer)
    else:
        typer.echo(answer["access_token"])
