"""The state machine of prescriptions (data model, `prescription_status`).

pending → processing → transmitted → shipped → delivered
pending, processing → failed → processing | transmitted …          all but shipped and delivered → cancelled

Steps may be left out: what is shipped was transmitted, whether or not somebody told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from storage.tables.enums import PrescriptionStatus as Status

NEXT: Final[Mapping[Status, frozenset[Status]]] = {
    Status.PENDING: frozenset(set(Status) - {Status.PENDING}),
    Status.PROCESSING: frozenset(set(Status) - {Status.PENDING, Status.PROCESSING}),
    Status.FAILED: frozenset(set(Status) - {Status.PENDING, Status.FAILED}),
    Status.TRANSMITTED: frozenset({Status.SHIPPED, Status.DELIVERED, Status.CANCELLED}),
    Status.SHIPPED: frozenset({Status.DELIVERED}),
    Status.DELIVERED: frozenset(),
    Status.CANCELLED: frozenset(),
}

STAMPS: Final[Mapping[Status, str]] = {
    Status.TRANSMITTED: "transmitted_at",
    Status.SHIPPED: "shipped_at",
    Status.DELIVERED: "delivered_at",
    Status.CANCELLED: "cancelled_at",
}
"""The column that says when a state was entered."""


def may_follow(before: Status, after: Status) -> bool:
    """Return whether a prescription may go from one state to another; staying is no move."""
    return before is after or after in NEXT[before]
