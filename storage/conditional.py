"""Conditional writes and patches: equal conditions take turns, and what is changed is what was seen (settled §3.11)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from storage.access import Access, Right
from storage.errors import ResourceGone, ResourceNotFound, VersionConflict
from storage.provenance import require_stored
from storage.resources import ANY_VERSION, ResourceKey, Stored
from storage.search.query import Criterion
from storage.sql import Prepared
from storage.store import is_visible
from storage.transaction import UnitOfWork

_LOCKS: Final = Prepared("SELECT pg_advisory_xact_lock(key) FROM unnest(%(keys)s::int8[]) AS key", {})


async def serialise(unit: UnitOfWork, conditions: Iterable[tuple[str, Sequence[Criterion]]]) -> None:
    """Wait until no other unit of work holds one of the conditions (resource type, criteria), and hold them to the end.

    Keys are taken in ascending order, so that two units of work never wait for each other. On SQLite a unit of work is
    alone anyway. Raises ConcurrencyConflict through the driver when the wait takes too long.
    """
    if unit.driver.dialect == "postgresql":
        keys = {_key(unit.organization_id, resource_type, criteria) for resource_type, criteria in conditions}
        await unit.driver.fetch(_LOCKS, {"keys": sorted(keys)})


def _key(organization_id: str, resource_type: str, criteria: Sequence[Criterion]) -> int:
    """Return an int8 for a condition; the order of its criteria does not matter."""
    text = "\x00".join([organization_id, resource_type, *sorted(map(repr, criteria))])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def required(
    key: ResourceKey, stored: Stored | None, access: Access, base_url: str, expected_version: int | None
) -> Stored:
    """Return what is stored if the caller may update it.

    Raises ResourceNotFound (absent or invisible), ResourceGone, ReadOnlyHome for what is stored nowhere, and
    VersionConflict when it is not the expected one.
    """
    reach = access.require(key.resource_type, Right.UPDATE)
    require_stored(key, stored)
    if stored is None or not is_visible(stored, reach, access, base_url):
        raise ResourceNotFound(key.resource_type, key.id)
    if stored.deleted:
        raise ResourceGone(key.resource_type, key.id, stored.version, stored.last_updated)
    if expected_version not in (None, ANY_VERSION, stored.version):
        raise VersionConflict(key.resource_type, key.id)
    return stored
