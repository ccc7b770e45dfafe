"""What is kept of records that were retired (AD-5): enough to verify all that is left, and not a record more.

A retirement says through which seal no record is left. Months and seals do not end together: of retired records that
later seals cover, id and hash are kept, as the seal's root is made of them. Retirements are chained like seals, so that
none can be altered, left out or made by anybody without the key.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select

from storage.audit import AuditKey
from storage.tables.audit import audit_retirements

LEAF_BYTES: Final = 40
"""Eight of the id, 32 of the hash."""


@dataclass(frozen=True, slots=True)
class Retirement:
    """One removal of months; `before_at` and `retired_at` in microseconds since 1970 UTC.

    `through_seal` is the last seal of which no record is left (0: none), `seal_hash` its hash, `leaves` are id and leaf
    of each retired record that later seals cover.
    """

    sequence: int
    before_at: int
    through_seal: int
    seal_hash: bytes
    records: int
    leaves: tuple[tuple[int, bytes], ...]
    previous: bytes
    retired_at: int
    hash: bytes = b""

    def signed(self, organization_id: str, key: AuditKey) -> bytes:
        """Return the HMAC over everything that the retirement says."""
        content = (
            "retirement",
            organization_id,
            self.sequence,
            self.before_at,
            self.through_seal,
            self.seal_hash.hex(),
            self.records,
            self.packed().hex(),
            self.previous.hex(),
            self.retired_at,
        )
        return key.mac(content)

    def packed(self) -> bytes:
        """Return the leaves as the table has them."""
        return b"".join(each for _, each in self.leaves)

    def follows(self, before: Retirement | None, organization_id: str, key: AuditKey) -> bool:
        """Return whether it is unaltered and the next one after `before`."""
        linked = (self.sequence, self.previous) == ((before.sequence + 1, before.hash) if before else (1, b""))
        return linked and hmac.compare_digest(self.signed(organization_id, key), self.hash)

    def row(self, organization_id: str) -> dict[str, Any]:
        """Return the row of the table."""
        return {
            "organization_id": organization_id,
            "sequence": self.sequence,
            "before_at": self.before_at,
            "through_seal": self.through_seal,
            "seal_hash": self.seal_hash,
            "records": self.records,
            "leaves": self.packed(),
            "previous": self.previous,
            "hash": self.hash,
            "retired_at": self.retired_at,
        }


def retirements(connection: Connection, organization_id: str) -> list[Retirement]:
    """Return the retirements of an organization's trail, the first one first."""
    mine = select(audit_retirements).where(audit_retirements.c.organization_id == organization_id)
    return [
        Retirement(
            row.sequence,
            row.before_at,
            row.through_seal,
            bytes(row.seal_hash),
            row.records,
            tuple(_unpacked(bytes(row.leaves))),
            bytes(row.previous),
            row.retired_at,
            bytes(row.hash),
        )
        for row in connection.execute(mine.order_by(audit_retirements.c.sequence))
    ]


def _unpacked(leaves: bytes) -> Iterator[tuple[int, bytes]]:
    for start in range(0, len(leaves), LEAF_BYTES):
        each = leaves[start : start + LEAF_BYTES]
        yield int.from_bytes(each[:8], "big"), each
