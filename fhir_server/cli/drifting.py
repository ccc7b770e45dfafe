"""What the `drift` command does."""

from __future__ import annotations

from typing import Any

from fhir_server.cli.installation import Act, Installation
from storage.drift.check import check_drift
from storage.installation import organization_ids


async def find_drift(installation: Installation, organization_id: str | None, sample: int) -> dict[str, Any]:
    """Return the findings, the mappers that are stopped, and whether nothing has to be done.

    Raises CommandFailed and DatabaseUnavailable.
    """
    if organization_id is not None:
        organizations = [(await installation.organization(organization_id)).id]
    else:
        organizations = await organization_ids(installation.database)
    findings = await check_drift(installation.database, organizations, sample)
    if sample:
        for organization in organizations:
            async with installation.acting(organization, Act("fhir_resources", "read", "drift")):
                pass  # the record is all there is to write
    return {
        "findings": [each.to_json() for each in findings],
        "stopped": sorted(installation.database.stops.mappers),
        "agrees": not any(each.is_drift for each in findings),
    }
