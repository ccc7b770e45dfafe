"""`fhir-server homes`: where resources live, and why those in no table are in none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fhir_server.cli.output import JsonOption, print_json, print_rows

if TYPE_CHECKING:
    from fhir_server.cli.installation import Installation

EXAMPLE: Final = "Example: fhir-server homes --organization loop-health"
COLUMNS: Final = ("organization", "type", "home", "resources", "reason")


def homes(
    organization: Annotated[
        str | None, typer.Option("--organization", help="Id of the organization. Default: all of them.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Count the resources of every type by the table that holds them; `native` ones are in the FHIR store alone.

    Those of a type that a table could hold are offered to it once more, and counted by the reason why it does not take
    them: what is missing for the organization's home system.
    """
    from fhir_server.cli.installation import run

    rows = run(lambda installation: _homes(installation, organization))
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, COLUMNS, as_json=False)


async def _homes(installation: Installation, organization_id: str | None) -> list[dict[str, Any]]:
    from fhir_server.cli.installation import Act
    from storage.installation import organization_ids

    if organization_id is not None:
        organizations = [(await installation.organization(organization_id)).id]
    else:
        organizations = await organization_ids(installation.database)
    rows: list[dict[str, Any]] = []
    for organization in organizations:
        async with installation.acting(organization, Act("fhir_resources", "read", "homes")):
            pass  # recorded before anything is shown
        rows += await _homes_of(installation, organization)
    return rows


async def _homes_of(installation: Installation, organization: str) -> list[dict[str, Any]]:
    from storage.projection.homes import NATIVE, report_homes

    rows: list[dict[str, Any]] = []

    def add(resource_type: str, home: str, count: int, reason: str | None = None) -> None:
        facts = {"organization": organization, "type": resource_type, "home": home, "resources": count}
        rows.append({**facts, "reason": reason})

    for resource_type, found in (await report_homes(installation.database, organization)).items():
        for home, count in sorted(found.homes.items()):
            if home != NATIVE and count:
                add(resource_type, home, count)
        for reason, count in found.reasons.most_common():
            add(resource_type, NATIVE, count, reason)
    return rows
