"""AuditEvents by id, and of the records that a search found (settled §1.15, security AD-6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from fhir_server.fhir.service import Service
from mappers.audit_event import RecordedAccess, audit_event
from storage.access import Access, Extent, Reach, Right
from storage.audit_people import patients_of_rows, persons_of
from storage.audit_search import record_id
from storage.codec import encode
from storage.resources import ResourceKey, Version

AUDIT_EVENT: Final = "AuditEvent"


async def read_audit_event(resource_id: str, access: Access, service: Service) -> Version | None:
    """Return the AuditEvent of a record by id; None where there is none that the caller may see."""
    record = await service.records.find(access.organization_id, resource_id)
    if record is None:
        return None
    (record,) = await _with_patients([record], access, service)
    if not sees_all(access.reach(AUDIT_EVENT, Right.READ)) and access.patient not in record.concerned:
        return None
    (version,) = await audit_events([record], access, service, Right.READ)
    return version


def sees_all(reach: Reach) -> bool:
    """Say whether every record of the organization is seen, or only those of the patient in context."""
    return any(way.extent is Extent.ORGANIZATION and not way.tests for way in reach.ways)


async def audit_events(
    records: Sequence[RecordedAccess], access: Access, service: Service, right: Right
) -> list[Version]:
    """Return the AuditEvents of records, in their order, as far as the caller may see them by this right."""
    records = await _with_patients(records, access, service)
    if not sees_all(access.reach(AUDIT_EVENT, right)):
        records = [_narrowed(each, access.patient) for each in records]
    people = await persons_of(service.database, access.organization_id, [each.actor_id for each in records])
    return [_version(each, people, service.base_url) for each in records]


async def _with_patients(
    records: Sequence[RecordedAccess], access: Access, service: Service
) -> Sequence[RecordedAccess]:
    """Return the records with the ids of Patients where the internal interfaces named rows."""
    concerned = {each for record in records for each in record.concerned}
    known = await patients_of_rows(service.database, access.organization_id, concerned)
    return [_renamed(each, known) for each in records] if known else records


def _renamed(record: RecordedAccess, known: Mapping[str, str]) -> RecordedAccess:
    one = None if record.customer_id is None else known.get(record.customer_id, record.customer_id)
    several = dict.fromkeys(known.get(each, each) for each in record.patients)
    return replace(record, customer_id=one, patients=tuple(several))


def _narrowed(record: RecordedAccess, patient: str | None) -> RecordedAccess:
    """Return what a record tells of one patient: who the others were, and what is theirs, is not told."""
    if record.concerned == (patient,):
        return record
    return replace(record, customer_id=patient, patients=(), resource_ids=())


def _version(record: RecordedAccess, people: Mapping[str, str], base_url: str) -> Version:
    key = ResourceKey(AUDIT_EVENT, record_id(record))
    body = encode(audit_event(record, key.id, base_url, people.get(record.actor_id)))
    return Version(key, 1, record.at // 1000, deleted=False, body=body)
