"""What `audit disclosures` does."""

from __future__ import annotations

from typing import Any

from fhir_server.audit_shown import shown_accounting, shown_record
from fhir_server.cli.auditing import Asked
from fhir_server.cli.installation import Act, Installation
from storage.disclosures import Disclosures


async def account_for(
    installation: Installation, organization_id: str | None, patient: str, since: str | None, until: str | None
) -> dict[str, Any]:
    """Return the accounting of a person with the single accesses, newest first; it is on record before it is shown.

    Raises CommandFailed and AuditUnavailable.
    """
    period = Asked(since=since, until=until).chosen()
    organization = organization_id or installation.settings.organization
    disclosures = Disclosures(installation.database, installation.settings.database_url)
    accounting = await disclosures.of(organization, patient, period.since, period.until)
    told = {**shown_accounting(patient, accounting), "accesses": []}
    after = None
    while True:
        records, after = await disclosures.page(organization, accounting, after)
        told["accesses"] += map(shown_record, records)
        if after is None:
            break
    act = Act("audit_log", "read", "disclosures", patient=patient)
    async with installation.acting(organization, act):
        pass
    return told
