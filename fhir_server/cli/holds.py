"""`fhir-server audit hold`: audit records that stay whatever their age."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fhir_server.cli.output import JsonOption, OrganizationOption, print_facts, print_rows

app = typer.Typer(help="Legal holds: audit records that stay whatever their age.", no_args_is_help=True)
COLUMNS: Final = ("id", "organization", "patient", "reason", "placed", "released", "release_reason")
ReasonOption = Annotated[str, typer.Option(help="Why: 3 to 500 characters.")]


@app.command("add", epilog='Example: fhir-server audit hold add --patient p1 --reason "Case 12/34"')
def add(
    *,
    reason: ReasonOption,
    organization: OrganizationOption = None,
    patient: Annotated[
        str | None, typer.Option(help="Only records about this patient. Default: all of the organization.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Have `audit retire` leave the months alone that have records of an organization, or about one of its patients."""
    from fhir_server.cli.holding import add_hold
    from fhir_server.cli.installation import run

    print_facts(run(lambda installation: add_hold(installation, organization, patient, reason)), as_json=as_json)


@app.command("list", epilog="Example: fhir-server audit hold list --json")
def list_(
    organization: Annotated[
        str | None, typer.Option("--organization", help="Whose holds. Default: of all organizations.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List holds, those that were released included."""
    from fhir_server.cli.holding import list_holds
    from fhir_server.cli.installation import run

    print_rows(run(lambda installation: list_holds(installation, organization)), COLUMNS, as_json=as_json)


@app.command("release", epilog='Example: fhir-server audit hold release h-2b1c --reason "Case closed"')
def release(
    hold: Annotated[str, typer.Argument(metavar="HOLD", help="Id of the hold; `audit hold list` names them.")],
    *,
    reason: ReasonOption,
    organization: OrganizationOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a hold; it stays in the list."""
    from fhir_server.cli.holding import release_hold
    from fhir_server.cli.installation import run

    print_facts(run(lambda installation: release_hold(installation, organization, hold, reason)), as_json=as_json)
