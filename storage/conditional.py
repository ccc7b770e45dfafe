"""Equal conditional creates take turns, so that only the first one creates (settled §3.11, security DU-5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from storage.search.query import Criterion
from storage.sql import Prepared
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
