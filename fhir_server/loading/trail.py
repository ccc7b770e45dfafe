"""What the audit is told about loading: which resources and rows, of which patients; never a value (security AD-2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from fhir_server.fhir.response import patients_of
from storage.access import Access
from storage.audit import MAXIMUM_IDS, AuditKey, AuditRecord, insert_records
from storage.resources import Version
from storage.transaction import UnitOfWork

INTERACTION: Final = "load"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoadTrail:
    """Writes the records of one load into the transactions of its writes."""

    access: Access
    key: AuditKey

    async def note_resources(self, unit: UnitOfWork, versions: Iterable[Version]) -> None:
        """Record the versions that a unit of work wrote, at most a hundred a record."""
        by_type: dict[str, list[Version]] = {}
        for version in versions:
            by_type.setdefault(version.key.resource_type, []).append(version)
        records = [
            self._record(
                unit.organization_id,
                resource_type,
                [version.key.id for version in part],
                patients_of(part),
            )
            for resource_type, all_of_type in by_type.items()
            for part in _parts(all_of_type)
        ]
        if records:
            await insert_records(unit, records, self.key)

    async def note_rows(self, unit: UnitOfWork, table: str, rows: Sequence[tuple[str, str | None]]) -> None:
        """Record the rows of a table that a unit of work wrote, given as (id, customer)."""
        records = [
            self._record(
                unit.organization_id,
                table,
                [key for key, _ in part],
                list(dict.fromkeys(own for _, own in part if own)),
            )
            for part in _parts(rows)
        ]
        if records:
            await insert_records(unit, records, self.key)

    def _record(self, organization_id: str, resource: str, ids: Sequence[str], patients: Sequence[str]) -> AuditRecord:
        one = patients[0] if len(patients) == 1 else None
        return AuditRecord(
            organization_id=organization_id,
            actor_id=self.access.actor,
            actor_role=self.access.role,
            client_id=self.access.client_id,
            resource=resource,
            resource_ids=ids,
            customer_id=one,
            patients=() if one is not None else patients,
            action="write",
            interaction=INTERACTION,
            count=len(ids),
        )


def _parts(listed: Sequence[T]) -> Iterable[Sequence[T]]:
    for start in range(0, len(listed), MAXIMUM_IDS):
        yield listed[start : start + MAXIMUM_IDS]
