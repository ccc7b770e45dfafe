"""`fhir-server homes`: where resources live, and why those in no table are in none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fhir_server.cli.output import JsonOption, OrganizationOption, print_json, print_rows

if TYPE_CHECKING:
    from fhir_server.cli.installation import Installation

EXAMPLE: Final = "Example: fhir-server homes --organization loop-health"
COLUMNS: Final = ("type", "home", "resources", "reason")


def homes(organization: OrganizationOption = None, as_json: JsonOption = False) -> None:
    """Count the resources of every type by the table that holds them; `native` ones are in the FHIR store alone."""
    from fhir_server.cli.installation import run

    rows = run(lambda installation: _homes(installation, organization))
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, COLUMNS, as_json=False)


async def _homes(installation: Installation, organization_id: str | None) -> list[dict[str, Any]]:
    from fhir_server.cli.installation import Act
    from storage.projection.homes import NATIVE, report_homes

    organization = (await installation.organization(organization_id)).id
    async with installation.acting(organization, Act("fhir_resources", "read", "homes")):
        pass  # recorded before anything is shown
    rows: list[dict[str, Any]] = []
    for resource_type, found in (await report_homes(installation.database, organization)).items():
        tables = sorted(found.homes.items())
        rows += [_row(resource_type, home, count) for home, count in tables if home != NATIVE and count]
        rows += [_row(resource_type, NATIVE, count, reason) for reason, count in found.reasons.most_common()]
    return rows


def _row(resource_type: str, home: str, count: int, reason: str | None = None) -> dict[str, Any]:
    return {"type": resource_type, "home": home, "resources": count, "reason": reason}
