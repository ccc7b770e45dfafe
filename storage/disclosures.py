"""The accounting of disclosures: who saw or changed a person's data, and when (45 CFR 164.528; security AD-6).

All of a person's records count: those that were merged with the one that is asked for are the same person's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import or_

from mappers.audit_event import RecordedAccess
from mappers.audit_kinds import FIRST_MINOR
from storage.audit_conditions import AuditFilter
from storage.audit_people import records_of_person
from storage.audit_search import AuditReader, Place, Use
from storage.clock import epoch_microseconds, microseconds_at
from storage.reading import Reader
from storage.tables.audit import rbac_logs

SIX_YEARS: Final = 2192 * 86_400_000_000
"""How far back an individual may ask (164.528(a)(3)), with both leap days; further only where it is asked for."""
PAGE: Final = 1_000
_BEGINNING: Final = microseconds_at(datetime.min.replace(tzinfo=UTC))
_SUCCEEDED: Final = (
    rbac_logs.c.outcome == "allowed",
    or_(rbac_logs.c.status.is_(None), rbac_logs.c.status < FIRST_MINOR),
)
"""Who was refused, or found nothing, saw nothing."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who used a person's data: one actor with one client for one purpose.

    `first` and `last` in microseconds since 1970 UTC, `count` requests in all; `uses` tell of which resources.
    """

    actor_id: str
    actor_role: str
    client_id: str | None
    purpose: str | None
    first: int
    last: int
    count: int
    uses: tuple[Use, ...]


@dataclass(frozen=True, slots=True)
class Accounting:
    """What is on record of a person in [since, until), microseconds since 1970 UTC.

    `records` are the ids under which the person's data is kept, the one that was asked for first.
    """

    records: tuple[str, ...]
    since: int
    until: int
    recipients: tuple[Recipient, ...]

    @property
    def count(self) -> int:
        """How many requests used the person's data."""
        return sum(each.count for each in self.recipients)

    @property
    def filter(self) -> AuditFilter:
        """What finds the single records."""
        return AuditFilter(self.since, self.until, self.records, conditions=_SUCCEEDED)


class Disclosures:
    """Reads the accounting of one person at a time; raises AuditUnavailable and DatabaseUnavailable."""

    def __init__(self, reader: Reader, database_url: str) -> None:
        self._reader = reader
        self._records = AuditReader(reader, database_url)

    async def of(self, organization_id: str, patient_id: str, since: int | None, until: int | None) -> Accounting:
        """Return the accounting of a person from `since` to `until`, that instant left out; microseconds since 1970.

        Without `until` it goes to this moment, without `since` it begins six years before its end.
        """
        end = epoch_microseconds() if until is None else until
        period = (max(end - SIX_YEARS, _BEGINNING) if since is None else since, end)
        people = await records_of_person(self._reader, organization_id, patient_id)
        found = Accounting(people, *period, ())
        uses = await self._records.uses(organization_id, found.filter)
        return Accounting(people, *period, _recipients(uses))

    async def window(
        self, organization_id: str, accounting: Accounting, offset: int, limit: int
    ) -> list[RecordedAccess]:
        """Return the single records from the `offset`-th on, newest first, as far as they are about the person."""
        found = await self._records.window(organization_id, accounting.filter, offset, limit)
        return [_of_person(each, accounting.records) for each in found]

    async def page(
        self, organization_id: str, accounting: Accounting, after: Place | None
    ) -> tuple[list[RecordedAccess], Place | None]:
        """Return some of the single records, newest first, and the place to go on after; None where that was all."""
        page = await self._records.page(organization_id, accounting.filter, PAGE, after=after)
        return [_of_person(each, accounting.records) for each in page.records], page.next


def _of_person(record: RecordedAccess, own: Sequence[str]) -> RecordedAccess:
    """Return what a record tells of one person, who is given it: of others neither who they are nor what is theirs."""
    if set(record.concerned) <= set(own):
        return record
    about = tuple(each for each in record.concerned if each in own)
    return replace(record, patients=about, resource_ids=())


def _recipients(uses: Sequence[Use]) -> tuple[Recipient, ...]:
    by_recipient: dict[tuple[str, str, str | None, str | None], list[Use]] = {}
    for use in uses:
        by_recipient.setdefault((use.actor_id, use.actor_role, use.client_id, use.purpose), []).append(use)
    found = [
        Recipient(*key, min(u.first for u in of), max(u.last for u in of), sum(u.count for u in of), tuple(of))
        for key, of in by_recipient.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.last, each.actor_id, each.client_id or "")))
