"""Proof that the FHIR store says what the rows say, and that the index says what the store says (settled §3.8).

`check` compares everything and changes nothing; `fix` writes what differs. Rows are compared in batches, each in a unit
of work of its own, so writers are held up for a batch at most. An index that differs is written anew likewise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from mappers.telemetry import SETTING, SettingRefused
from storage.engine import Database
from storage.projection.declared import PROJECTION_ORDER
from storage.projection.facts import open_facts
from storage.projection.flush import ORGANIZATIONS, note_failures
from storage.projection.index_check import check_index
from storage.projection.index_definition import note_built, outdated_indexes
from storage.projection.index_rebuild import rebuild_index
from storage.projection.project import project_rows
from storage.projection.sources import keys_of
from storage.projection.telemetry import compare_setting, take_setting, waiting
from storage.transaction import Change, UnitOfWork
from storage.versions import Pending, is_unchanged, write_versions

BATCH: Final = 500
SHOWN: Final = 100
RECONCILER: Final = Change(actor="reconcile", client_id="fhir-server", api="reconcile")
Progress = Callable[[str, int], None]


@dataclass(slots=True)
class Findings:
    """What was compared and what differs; `examples` names some of what differs, without values."""

    rows: int = 0
    resources: int = 0
    differing: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    index: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Index table that differs → rows expected, and how many of them, or else of all, there are."""
    index_outdated: bool = False
    """Whether it is on record that another definition than the running code's built the index."""
    examples: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.differing and not self.failures and not self.index

    def note(self, kind: str, what: str) -> None:
        """Count a difference."""
        self.differing[kind] += 1
        if len(self.examples) < SHOWN:
            self.examples.append(f"{kind}: {what}")


async def reconcile(
    database: Database, organization_id: str, *, fix: bool, progress: Progress | None = None
) -> Findings:
    """Compare rows with the store and the store with its index in one organization; with `fix`, repair."""
    findings = Findings()
    for table in PROJECTION_ORDER:
        keys = await database.transact(organization_id, RECONCILER, partial(keys_of, table=table))
        for start in range(0, len(keys), BATCH):
            batch = keys[start : start + BATCH]

            async def compare(unit: UnitOfWork, own: str = table, some: Sequence[str] = batch) -> None:
                await _compare_rows(unit, own, some, findings, fix=fix)

            await database.transact(organization_id, RECONCILER, compare)
            findings.rows += len(batch)
            if progress is not None:
                progress(table, len(batch))
    await _compare_index(database, organization_id, findings, fix=fix)
    return findings


async def _compare_rows(unit: UnitOfWork, table: str, keys: Sequence[str], findings: Findings, *, fix: bool) -> None:
    refused = await _compare_setting(unit, findings, fix=fix) if table == ORGANIZATIONS else None
    projected = await project_rows(unit, await open_facts(unit), table, keys, at_once=True)
    if refused is not None:
        projected.failures[unit.organization_id] = refused
    asleep = await waiting(unit, table, list(projected.deferred)) if projected.deferred else set()
    for pending in projected.pendings:
        if not (is_unchanged(pending) or (pending.home is not None and pending.home.key in asleep)):
            findings.note(_kind(pending), str(pending.key))
    findings.failures.update({f"{table}/{key}": reason for key, reason in projected.failures.items()})
    if fix:
        await write_versions(unit, projected.pendings)
        await note_failures(unit, table, keys, projected)


def _kind(pending: Pending) -> str:
    if pending.resource is None:
        return "left over"
    return "missing" if pending.stored is None or pending.stored.deleted else "outdated"


async def _compare_setting(unit: UnitOfWork, findings: Findings, *, fix: bool) -> str | None:
    """Compare what the organization says of its readings with what is in force; returns why it cannot be understood."""
    try:
        said, in_force = await compare_setting(unit)
    except SettingRefused as refusal:
        return f"settings: {refusal}"
    if said != in_force:
        findings.note("outdated", f"{ORGANIZATIONS}/{unit.organization_id} settings.{SETTING}")
        if fix:
            await take_setting(unit)
    return None


async def _compare_index(database: Database, organization_id: str, findings: Findings, *, fix: bool) -> None:
    found = await check_index(database, organization_id)
    findings.resources = found.resources
    findings.index = found.tables
    for name in found.misplaced:
        findings.note("misplaced", name)
    findings.index_outdated = organization_id in await outdated_indexes(database)
    if fix and not found.agrees:
        await rebuild_index(database, organization_id)
    elif fix and findings.index_outdated:  # it is all the same what this code would build
        await database.transact(organization_id, RECONCILER, note_built)
