"""What `audit verify` and `audit export` do."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import stat
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from fhir_server.cli.installation import Act, Installation
from fhir_server.cli.output import CommandFailed, note
from storage.audit import column_names
from storage.audit_heads import HeadsUnreadable, read_heads
from storage.audit_seals import Chosen, Trail, export, open_trails
from storage.audit_verify import Verification, verify
from storage.clock import microseconds_at
from storage.installation import trail_ids

PROGRESS: Final = 100_000
"""Records after which a word of progress is told."""
ACTIONS: Final = ("read", "write", "delete", "export")
Heads = Mapping[tuple[str, str], Mapping[int, str]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What `audit export` was asked for, as it was written; None means any."""

    organization: str | None = None
    since: str | None = None
    until: str | None = None
    patient: str | None = None
    actor: str | None = None
    action: str | None = None
    form: str = "ndjson"
    out: Path | None = None

    def chosen(self) -> Chosen:
        """Return which records are meant; raises CommandFailed."""
        if self.action is not None and self.action not in ACTIONS:
            raise CommandFailed(f"There is no action {self.action}; actions are {', '.join(ACTIONS)}.")
        return Chosen(_instant(self.since), _instant(self.until), self.patient, self.actor, self.action)


def _instant(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandFailed(f"{text} is no day or instant: write 2026-01-31 or 2026-01-31T08:00:00Z.") from None
    return microseconds_at(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


async def verify_trails(
    installation: Installation, organization_id: str | None, *, every: bool, heads: Path | None = None
) -> list[dict[str, Any]]:
    """Return what verification found, per organization and trail; raises CommandFailed and AuditUnavailable."""
    organizations = (
        await trail_ids(installation.database) if every else [organization_id or installation.settings.organization]
    )
    noted = _heads(installation, heads)
    rows = []
    for organization in organizations:
        for trail in _trails(installation):
            expected = noted.get((organization, trail.name), {})
            result = await asyncio.to_thread(verify, trail, organization, installation.audit_key, expected)
            rows.append(_row(organization, result))
    return rows


def _heads(installation: Installation, asked: Path | None) -> Heads:
    """Return the heads that were kept: of the file asked for, else of that of the settings, once it is there."""
    path = asked or installation.settings.audit_heads
    if path is None or (asked is None and not path.exists()):
        return {}
    try:
        return read_heads(path, installation.audit_key)
    except HeadsUnreadable as error:
        raise CommandFailed(f"The heads cannot be compared: {error}.") from None
    except OSError as error:
        raise CommandFailed(f"The file {path} cannot be read: {error.strerror}.") from None


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
        "retired": result.retired,
        "faults": len(findings),
        "head": result.head,
        "findings": findings,
    }


async def export_records(installation: Installation, asked: Asked) -> int:
    """Write an organization's records and return how many; raises CommandFailed and AuditUnavailable."""
    organization = asked.organization or installation.settings.organization
    chosen = asked.chosen()
    async with installation.acting(organization, Act("audit_log", "export", "export", patient=asked.patient)):
        pass  # recorded before anything is shown
    return await asyncio.to_thread(_write, _trails(installation), organization, chosen, asked)


def _write(trails: tuple[Trail, ...], organization_id: str, chosen: Chosen, asked: Asked) -> int:
    count = 0
    with _opened(asked.out) as file:
        written = _csv_writer(file) if asked.form == "csv" else _ndjson_writer(file)
        for trail in trails:
            for record in export(trail, organization_id, chosen):
                written({"trail": trail.name, **record})
                count += 1
                if count % PROGRESS == 0:
                    note(f"{count} records …")
        file.flush()
    return count


def _ndjson_writer(file: BinaryIO) -> Callable[[dict[str, Any]], object]:
    return lambda record: file.write(msgspec.json.encode(record) + b"\n")


def _csv_writer(file: BinaryIO) -> Callable[[dict[str, Any]], object]:
    """Return what writes lines after RFC 4180, the first with the names of the columns.

    A text that a spreadsheet would take for a formula begins with an apostrophe: clients chose some of them.
    """
    line = io.StringIO(newline="")
    writer = csv.writer(line)

    def write(values: list[Any]) -> None:
        line.seek(0)
        line.truncate()
        writer.writerow(values)
        file.write(line.getvalue().encode())

    write(["trail", *column_names()])
    return lambda record: write([_harmless(value) for value in record.values()])


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _opened(out: Path | None) -> AbstractContextManager[BinaryIO]:
    if out is None:
        return nullcontext(sys.stdout.buffer)
    try:
        file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        if stat.S_ISREG(os.fstat(file).st_mode):  # not for /dev/null
            os.fchmod(file, 0o600)  # one that was there keeps its mode otherwise
        return os.fdopen(file, "wb")
    except OSError as error:
        raise CommandFailed(f"The file {out} cannot be written: {error.strerror}.") from None
