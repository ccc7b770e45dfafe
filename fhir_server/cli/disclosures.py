"""`fhir-server audit disclosures`: who used one person's data (45 CFR 164.528)."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fhir_server.cli.output import JsonOption, OrganizationOption, note, print_json, print_rows

COLUMNS: Final = ("actor", "role", "client", "purpose", "first", "last", "count", "resources")
EXAMPLE: Final = "Example: fhir-server audit disclosures --patient p1 --since 2026-01-01 --json"


def disclosures(
    *,
    patient: Annotated[str, typer.Option(help="Id of the patient.")],
    organization: OrganizationOption = None,
    since: Annotated[
        str | None, typer.Option(help="From this day or instant on (UTC). Default: six years before the end.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Before this day or instant (UTC). Default: now.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Account for every use of one person's data: who, with which client, what for, how often, from when to when.

    Records that were merged with the patient's count as well. JSON has the single accesses, too. The accounting itself
    is recorded.
    """
    from fhir_server.cli.disclosing import account_for
    from fhir_server.cli.installation import run

    told = run(lambda installation: account_for(installation, organization, patient, since, until))
    if as_json:
        print_json(told)
        return
    rows = [
        {
            "actor": each["actorId"],
            "role": each["actorRole"],
            "client": each["clientId"],
            "purpose": each["purpose"],
            "first": each["firstAt"],
            "last": each["lastAt"],
            "count": each["count"],
            "resources": [f"{used['resource']}:{used['action']}={used['count']}" for used in each["resources"]],
        }
        for each in told["recipients"]
    ]
    print_rows(rows, COLUMNS, as_json=False)
    note(f"{told['count']} accesses from {told['fromDate']} to {told['toDate']}, under {', '.join(told['records'])}")
