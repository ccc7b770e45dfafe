"""What the `audit` commands do."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from fhir_server.cli.installation import Act, Installation
from fhir_server.cli.output import CommandFailed
from storage.audit_seals import Trail, export, open_trails
from storage.audit_verify import Verification, verify
from storage.installation import trail_ids


async def verify_trails(
    installation: Installation, organization_id: str | None, *, every: bool
) -> list[dict[str, Any]]:
    """Return what verification found, per organization and trail; raises AuditUnavailable."""
    organizations = (
        await trail_ids(installation.database) if every else [organization_id or installation.settings.organization]
    )
    rows = []
    for organization in organizations:
        for trail in _trails(installation):
            result = await asyncio.to_thread(verify, trail, organization, installation.audit_key)
            rows.append(_row(organization, result))
    return rows


def _trails(installation: Installation) -> tuple[Trail, ...]:
    settings = installation.settings
    return open_trails(settings.database_url, role=settings.database_role or None)


def _row(organization_id: str, result: Verification) -> dict[str, Any]:
    findings = [{"organization": organization_id, **asdict(finding)} for finding in result.findings]
    for finding in findings:
        finding["seal"] = finding.pop("sequence")
    return {
        "organization": organization_id,
        "trail": result.trail,
        "records": result.records,
        "seals": result.seals,
        "unsealed": result.unsealed,
        "faults": len(findings),
        "head": result.head,
        "findings": findings,
    }


async def export_records(installation: Installation, organization_id: str | None, out: Path | None) -> int:
    """Write an organization's records as NDJSON and return how many; raises CommandFailed and AuditUnavailable."""
    organization = organization_id or installation.settings.organization
    async with installation.acting(organization, Act("audit_log", "export", "export")):
        pass  # recorded before anything is shown
    return await asyncio.to_thread(_write, _trails(installation), organization, out)


def _write(trails: tuple[Trail, ...], organization_id: str, out: Path | None) -> int:
    count = 0
    with _opened(out) as file:
        for trail in trails:
            for record in export(trail, organization_id):
                file.write(msgspec.json.encode({"trail": trail.name, **record}) + b"\n")
                count += 1
        file.flush()
    return count


def _opened(out: Path | None) -> AbstractContextManager[BinaryIO]:
    if out is None:
        return nullcontext(sys.stdout.buffer)
    try:
        return os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    except OSError as error:
        raise CommandFailed(f"The file {out} cannot be written: {error.strerror}.") from None
