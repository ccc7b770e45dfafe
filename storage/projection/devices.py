"""Devices that no reading shows any more: derived rows go with the last row that they follow from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import select

from mappers.device import DEVICE_TABLE, WEARABLE
from mappers.observation import WEARABLE_READING
from storage.tables.fhir import resources
from storage.transaction import UnitOfWork
from storage.versions import Pending

_PREFIX: Final = f"{WEARABLE.resource_type}/"


async def devices_left(unit: UnitOfWork, pendings: Iterable[Pending]) -> list[str]:
    """Return the keys of devices that readings showed until now: the rows that named them are gone or name others."""
    left = {
        reference.removeprefix(_PREFIX)
        for pending in pendings
        if _is_reading(pending)
        and pending.stored is not None
        and (reference := _device(pending.stored.resource())) is not None
        and reference != _device(pending.resource or {})
    }
    if not left:
        return []
    columns = resources.c
    statement = select(columns.home_key).where(
        columns.organization_id == unit.organization_id,
        columns.resource_type == WEARABLE.resource_type,
        columns.id.in_(left),
        columns.home_table == DEVICE_TABLE,
    )
    return sorted(await unit.connection.scalars(statement))


def _is_reading(pending: Pending) -> bool:
    stored = pending.stored
    if stored is None or stored.deleted or stored.home is None:
        return False
    return stored.home.table == WEARABLE_READING.table


def _device(resource: Mapping[str, Any]) -> str | None:
    reference = resource.get("device", {}).get("reference")
    return reference if isinstance(reference, str) and reference.startswith(_PREFIX) else None
