"""Records of the health hub: as received, in one form, and deduplicated across providers.

Every stage can be run again: what did not change is not written, and what a stage no longer yields goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from hashlib import sha256
from typing import ClassVar, Final, TypeVar

from sqlalchemy import ColumnElement, tuple_
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError

from mappers.hub_rows import CleanRecord
from storage.errors import UnresolvedReference
from storage.repositories.hub_entities import NormalizedRecord, RawRecord
from storage.repositories.saving import is_foreign_key
from storage.repositories.table import FIRST, Page, TableRepository, Window
from storage.tables.types import is_same_value

RAW_KEY: Final = ("organization_id", "profile_id", "provider", "resource_type", "resource_id")
"""What says which resource of a provider a raw record is."""
RAW_AT_ONCE: Final = 500
FETCHED: Final = ("resource_json", "sha256", "fetch_url", "etag", "fetched_at")
"""What a later fetch of the same resource puts in the place of the earlier one's."""

Record = TypeVar("Record", NormalizedRecord, CleanRecord)


def digest(received: bytes) -> str:
    """Return the SHA-256 of bytes as `sha256` holds it."""
    return sha256(received).hexdigest()


def is_intact(record: RawRecord) -> bool:
    """Whether the bytes are those that were hashed when they came; a record that has no hash cannot tell."""
    return record.sha256 is None or record.sha256 == digest(record.resource_json)


class RawRepository(TableRepository[RawRecord]):
    """Rows of `profile_fhir_resources_raw`: the bytes as received (health_hub.md C9)."""

    table_name = "profile_fhir_resources_raw"

    async def insert(self, row: RawRecord) -> RawRecord:
        """Add a record; its hash is taken here."""
        return await super().insert(replace(row, sha256=digest(row.resource_json)))

    async def put(self, received: Sequence[RawRecord]) -> tuple[str, ...]:
        """Add records, or put them in the place of earlier ones of the same resource; return what has other bytes.

        An earlier record keeps its id, and stays when it was fetched after the one that comes now. A record that does
        not say when it was fetched was fetched now. Raises
        UnresolvedReference for a profile that does not exist.
        """
        changed: list[str] = []
        latest = {_resource(each): replace(each, sha256=digest(each.resource_json)) for each in received}
        ordered = [latest[key] for key in sorted(latest)]  # two writers wait for each other once, never in a circle
        for start in range(0, len(ordered), RAW_AT_ONCE):
            changed += await self._put(ordered[start : start + RAW_AT_ONCE])
        return tuple(changed)

    async def _put(self, records: Sequence[RawRecord]) -> tuple[str, ...]:
        for each in records:
            self._require_own(each)
        earlier = {_resource(each): each.sha256 for each in await self._same(records)}
        insert = postgres_insert if self.unit.driver.dialect == "postgresql" else sqlite_insert
        at = self.unit.started
        rows = [{**asdict(each), "fetched_at": each.fetched_at or at} for each in records]
        statement = insert(self.table).values(rows)
        new = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=RAW_KEY,
            set_={name: new[name] for name in FETCHED},
            where=self.table.c.fetched_at <= new.fetched_at,
        )
        try:
            await self.unit.connection.execute(statement)
        except IntegrityError as error:
            if is_foreign_key(error):
                raise UnresolvedReference(f"{self.table_name}.profile_id") from None
            raise
        now = await self._same(records)
        return tuple(each.id for each in now if earlier.get(_resource(each)) != each.sha256)

    async def _same(self, records: Sequence[RawRecord]) -> tuple[RawRecord, ...]:
        """Return what is stored of the resources of these records, kept from other writers."""
        columns = tuple_(*(self.table.c[name] for name in RAW_KEY[1:]))
        order = [self.table.c[name] for name in RAW_KEY[1:]]
        return tuple(await self._rows([columns.in_([_resource(each) for each in records])], order=order, lock=True))

    async def list(
        self,
        *,
        profile_id: str | None = None,
        provider: str | None = None,
        resource_type: str | None = None,
        window: Window = FIRST,
    ) -> Page[RawRecord]:
        """Return records, last fetched first."""
        filters = {"profile_id": profile_id, "provider": provider, "resource_type": resource_type}
        return await self._page(filters, window, newest=self.table.c.fetched_at)


def _resource(record: RawRecord) -> tuple[str, str, str, str]:
    return record.profile_id, record.provider, record.resource_type, record.resource_id


class _Stage(TableRepository[Record]):
    """Rows that are made from others, and are made again when those change."""

    stamp: ClassVar[str]
    """The column that says when a row was made: a row that says nothing else than before keeps it."""

    async def _replace(self, own: Sequence[ColumnElement[bool]], wanted: Sequence[Record]) -> tuple[str, ...]:
        """Let `wanted` be all rows that meet the condition; return the ids of those added, changed and deleted."""
        before = {row.id: row for row in await self._rows(own, order=(self.table.c.id,), lock=True)}
        after = {row.id: row for row in wanted}
        gone = tuple(sorted(before.keys() - after.keys()))
        for row_id in gone:
            await self.delete(row_id)
        written = tuple([row_id for row_id in sorted(after) if await self._write(before.get(row_id), after[row_id])])
        return gone + written

    async def _write(self, before: Record | None, row: Record) -> bool:
        """Insert or update a row; return whether it says something else than before."""
        if before is None:
            await self.insert(row)
            return True
        values = {each.name: getattr(row, each.name) for each in fields(row)}
        if is_same_value(replace(before, **values | {self.stamp: getattr(before, self.stamp)}), before):
            return False
        await self.update(row.id, values | {self.stamp: getattr(row, self.stamp) or self.unit.started})
        return True


class NormalizedRepository(_Stage[NormalizedRecord]):
    """Rows of `profile_fhir_resources_normalized`."""

    table_name = "profile_fhir_resources_normalized"
    stamp = "normalized_at"

    async def replace(self, profile_id: str, provider: str, records: Sequence[NormalizedRecord]) -> tuple[str, ...]:
        """Let these be all normalized records of a profile and provider; return the ids of what changed."""
        own = [self.table.c.profile_id == profile_id, self.table.c.provider == provider]
        return await self._replace(own, records)

    async def list(
        self,
        *,
        profile_id: str | None = None,
        resource_type: str | None = None,
        canonical_code: str | None = None,
        window: Window = FIRST,
    ) -> Page[NormalizedRecord]:
        """Return records, last normalized first."""
        filters = {"profile_id": profile_id, "resource_type": resource_type, "canonical_code": canonical_code}
        return await self._page(filters, window, newest=self.table.c.normalized_at)


class CleanRepository(_Stage[CleanRecord]):
    """Rows of `profile_fhir_resources_clean`, which FHIR shows."""

    table_name = "profile_fhir_resources_clean"
    stamp = "created_at"

    async def replace(self, profile_id: str, records: Sequence[CleanRecord]) -> tuple[str, ...]:
        """Let these be all clean records of a profile; return the ids of what changed."""
        return await self._replace([self.table.c.profile_id == profile_id], records)

    async def list(
        self, *, profile_id: str | None = None, resource_type: str | None = None, window: Window = FIRST
    ) -> Page[CleanRecord]:
        """Return records, newest first."""
        return await self._page({"profile_id": profile_id, "resource_type": resource_type}, window)
