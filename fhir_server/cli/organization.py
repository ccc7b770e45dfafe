"""`fhir-server organization`: tenants."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fhir_server.cli.output import JsonOption, print_facts, print_rows

app = typer.Typer(help="Organizations: each sees its own data only.", no_args_is_help=True)
COLUMNS: Final = ("id", "name", "home_system", "active")


@app.command("add", epilog="Example: fhir-server organization add --id clinic-north --name 'Clinic North'")
def add(
    organization_id: Annotated[str, typer.Option("--id", help="Id, for ever.")],
    name: Annotated[str, typer.Option(help="Name.")],
    home_system: Annotated[str, typer.Option(help="Whose tables take its patients: graph or care.")] = "graph",
    as_json: JsonOption = False,
) -> None:
    """Add an organization."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.organizations import add_organization

    facts = run(lambda installation: add_organization(installation, organization_id, name, home_system))
    print_facts(facts, as_json=as_json)


@app.command("list", epilog="Example: fhir-server organization list")
def list_(as_json: JsonOption = False) -> None:
    """List the organizations."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.organizations import list_organizations

    print_rows(run(list_organizations), COLUMNS, as_json=as_json)


@app.command("telemetry", epilog="Example: fhir-server organization telemetry loop-health --metric glucose=daily")
def telemetry(
    organization_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the organization.")],
    default: Annotated[
        str | None, typer.Option(help="What FHIR shows of metrics that are not named: each or daily.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="NAME=each or NAME=daily, and NAME= for the default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show or change what FHIR shows of wearable readings: each of them, or the statistics of the day only.

    Readings stay rows in any case. `serve` shows and withdraws those recorded before the change, in the background;
    `reconcile --fix` does it at once.
    """
    from fhir_server.cli.installation import run
    from fhir_server.cli.organizations import show_telemetry

    facts = run(lambda installation: show_telemetry(installation, organization_id, default, metric or []))
    print_facts(facts, as_json=as_json)


@app.command("persons", epilog="Example: fhir-server organization persons")
def persons(as_json: JsonOption = False) -> None:
    """Look for people with records in several organizations, by exact identifiers, and propose links for review.

    No organization sees them: within one organization, Patient.link shows a person's records by itself.
    """
    from fhir_server.cli.installation import run
    from fhir_server.cli.organizations import find_persons

    print_facts(run(find_persons), as_json=as_json)


@app.command("disable", epilog="Example: fhir-server organization disable clinic-north")
def disable(
    organization_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the organization.")],
    as_json: JsonOption = False,
) -> None:
    """Disable an organization: no new access tokens, and those made until now die within seconds. Data stays."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.organizations import disable_organization

    print_facts(run(lambda installation: disable_organization(installation, organization_id)), as_json=as_json)
