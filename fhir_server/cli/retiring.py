"""What `audit retire` does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from fhir_server.cli.installation import OPERATOR, ROLE, Installation
from fhir_server.cli.output import CommandFailed
from fhir_server.oauth.operator import COMMAND_LINE
from storage.audit import AuditKey, AuditRecord
from storage.audit_retire import Retired, RetirementRefused, check_age, check_holds, retire, survey
from storage.audit_seals import Trail, open_trails, seal
from storage.audit_verify import verify

RECORD = AuditRecord(
    organization_id="",
    actor_id=OPERATOR,
    actor_role=ROLE,
    client_id=COMMAND_LINE,
    resource="audit_log",
    action="delete",
    interaction="retire",
)
"""What each trail keeps of its retirement."""


async def retire_months(
    installation: Installation, before: date, *, dry_run: bool, despite_faults: bool
) -> list[dict[str, Any]]:
    """Return what was, or would be, removed per organization and trail; raises CommandFailed and AuditUnavailable."""
    settings = installation.settings
    trails = open_trails(settings.owner_database_url, role=None)
    try:
        check_age(before, datetime.now(UTC).date(), settings.audit_years)
        await asyncio.to_thread(check_holds, trails, before)
        if dry_run:
            found = [await asyncio.to_thread(survey, trail, before) for trail in trails]
        else:
            found = await asyncio.to_thread(_retire, trails, before, installation.audit_key, despite_faults)
    except RetirementRefused as error:
        raise CommandFailed(f"Nothing was removed: {error}.") from None
    return [_row(each) for trail in found for each in trail]


def _retire(trails: Sequence[Trail], before: date, key: AuditKey, despite_faults: bool) -> list[list[Retired]]:
    """Seal and verify what shall go, all trails before the first one is touched, and remove it."""
    for trail in trails:
        for each in survey(trail, before):
            seal(trail, each.organization_id, key)
            if not despite_faults and verify(trail, each.organization_id, key).findings:
                raise RetirementRefused(
                    f"something is wrong with the trail of {each.organization_id}, and what is removed can never be"
                    " looked at again: see `fhir-server audit verify`, or say --despite-faults"
                )
    return [retire(trail, before, key, RECORD) for trail in trails]


def _row(retired: Retired) -> dict[str, Any]:
    return {
        "organization": retired.organization_id,
        "trail": retired.trail,
        "records": retired.records,
        "before": retired.before.isoformat(),
    }
