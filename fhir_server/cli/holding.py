"""What the `audit hold` commands do."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from fhir_server.cli.installation import Act, Installation
from fhir_server.cli.output import CommandFailed
from storage.installation import trail_ids
from storage.legal_holds import Hold, holds_of, place, release


async def add_hold(
    installation: Installation, organization_id: str | None, patient: str | None, reason: str
) -> dict[str, Any]:
    """Put a hold in force and return it; raises CommandFailed."""
    said = _checked(reason)
    organization = (await installation.organization(organization_id)).id
    hold_id = f"h-{secrets.token_hex(6)}"
    act = Act("legal_holds", "write", "create", ids=(hold_id,), patient=patient)
    async with installation.acting(organization, act) as unit:
        hold = Hold(organization, hold_id, patient, said, unit.now * 1000)
        await place(unit, hold)
    return _shown(hold)


async def list_holds(installation: Installation, organization_id: str | None) -> list[dict[str, Any]]:
    """Return the holds of one organization, or of all."""
    organizations = [organization_id] if organization_id else await trail_ids(installation.database)
    return [_shown(each) for each in await holds_of(installation.database, organizations)]


async def release_hold(
    installation: Installation, organization_id: str | None, hold_id: str, reason: str
) -> dict[str, Any]:
    """End a hold and return it; raises CommandFailed when there is none in force of that id."""
    said = _checked(reason)
    organization = organization_id or installation.settings.organization
    async with installation.acting(organization, Act("legal_holds", "write", "release", ids=(hold_id,))) as unit:
        hold = await release(unit, hold_id, said)
        if hold is None:
            raise CommandFailed(
                f"{organization} has no hold {hold_id} in force; `fhir-server audit hold list` names them."
            )
    return _shown(hold)


def _checked(reason: str) -> str:
    said = reason.strip()
    if not 3 <= len(said) <= 500:
        raise CommandFailed("The reason has 3 to 500 characters.")
    return said


def _shown(hold: Hold) -> dict[str, Any]:
    return {
        "id": hold.id,
        "organization": hold.organization_id,
        "patient": hold.customer_id,
        "reason": hold.reason,
        "placed": _instant(hold.placed_at),
        "released": None if hold.released_at is None else _instant(hold.released_at),
        "release_reason": hold.release_reason,
    }


def _instant(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(timespec="seconds")
