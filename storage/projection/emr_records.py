"""What a profile's providers call their records: for references between clean records (settled §1.4, health_hub.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from mappers.lookups import EMR_RECORDS, EmrRecord
from storage.projection.facts import Facts
from storage.projection.needed import ASKED
from storage.tables.health_hub import profile_fhir_resources_clean as clean
from storage.tables.health_hub import profile_fhir_resources_raw as raw
from storage.transaction import UnitOfWork

EMR_RECORDS_TABLE: Final = "profile_emr_records"


@dataclass(frozen=True, slots=True)
class EmrRecords:
    """A derived row: the names of all records of a profile, by the key of the raw one; `id` is the profile's."""

    id: str
    organization_id: str
    records: tuple[tuple[str, EmrRecord], ...]


async def load_emr_records(
    connection: AsyncConnection, organization_id: str, profiles: Sequence[str]
) -> dict[str, EmrRecords]:
    """Return the records of profiles by the profile's key, in order of their keys; none for one without any."""
    made_of: dict[str, list[str]] = {}
    sources = select(clean.c.id, clean.c.sources).where(
        clean.c.organization_id == organization_id, clean.c.profile_id.in_(profiles)
    )
    for key, named in await connection.execute(sources.order_by(clean.c.id)):
        for raw_id in dict.fromkeys(_raw_ids(named)):
            made_of.setdefault(raw_id, []).append(key)
    names = (raw.c.profile_id, raw.c.id, raw.c.provider, raw.c.resource_type, raw.c.resource_id)
    statement = select(*names).where(raw.c.organization_id == organization_id, raw.c.profile_id.in_(profiles))
    found: dict[str, list[tuple[str, EmrRecord]]] = {}
    for profile, key, provider, resource_type, resource_id in await connection.execute(statement.order_by(raw.c.id)):
        record = EmrRecord(provider, resource_type, resource_id, tuple(made_of.get(key, ())))
        found.setdefault(profile, []).append((key, record))
    return {profile: EmrRecords(profile, organization_id, tuple(records)) for profile, records in found.items()}


def _raw_ids(sources: Any) -> Iterable[str]:
    """Yield the raw records that a clean one names; another writer may have left anything there."""
    for source in sources if isinstance(sources, list) else ():
        named = source.get("raw_id") if isinstance(source, dict) else None
        if isinstance(named, str):
            yield named


async def add_emr_records(unit: UnitOfWork, facts: Facts, profiles: Iterable[str]) -> None:
    """Look up what the providers of some profiles call their records."""
    places = {(EMR_RECORDS_TABLE, unit.organization_id, profile) for profile in profiles} - facts.sought
    if not places or unit.stops.lacks(ASKED[EMR_RECORDS]):
        return
    facts.sought |= places
    loaded = await load_emr_records(unit.connection, unit.organization_id, sorted(place[2] for place in places))
    for profile, found in loaded.items():
        for key, record in found.records:
            facts.emr_records[key] = record
            facts.emr_ids[profile, record.provider, record.resource_type, record.resource_id] = key
