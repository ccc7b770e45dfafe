"""AuditEvents by id, and of the records that a search found (settled §1.15, security AD-6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from fhir_server.fhir.service import Service
from mappers.audit_event import RecordedAccess, audit_event
from storage.access import Access, Extent, Reach, Right
from storage.audit_people import persons_of
from storage.audit_search import record_id
from storage.codec import encode
from storage.resources import ResourceKey, Version

AUDIT_EVENT: Final = "AuditEvent"


async def read_audit_event(resource_id: str, access: Access, service: Service) -> Version | None:
    """Return the AuditEvent of a record by id; None where there is none that the caller may see."""
    record = await service.records.find(access.organization_id, resource_id)
    if record is None:
        return None
    if not sees_all(access.reach(AUDIT_EVENT, Right.READ)) and access.patient not in record.concerned:
        return None
    (version,) = await audit_events([record], access, service)
    return version


def sees_all(reach: Reach) -> bool:
    """Say whether every record of the organization is seen, or only those of the patient in context."""
    return any(way.extent is Extent.ORGANIZATION and not way.tests for way in reach.ways)


async def audit_events(records: Sequence[RecordedAccess], access: Access, service: Service) -> list[Version]:
    """Return the AuditEvents of records, in their order."""
    people = await persons_of(service.database, access.organization_id, [each.actor_id for each in records])
    return [_version(each, people, service.base_url) for each in records]


def _version(record: RecordedAccess, people: Mapping[str, str], base_url: str) -> Version:
    key = ResourceKey(AUDIT_EVENT, record_id(record))
    body = encode(audit_event(record, key.id, base_url, people.get(record.actor_id)))
    return Version(key, 1, record.at // 1000, deleted=False, body=body)
