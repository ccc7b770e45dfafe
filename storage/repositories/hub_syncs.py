"""The health hub's work: sign-ins at providers, jobs that fetch records, and the summaries they lead to."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from sqlalchemy import delete, insert, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError

from storage.errors import UnresolvedReference
from storage.repositories.errors import TransitionRefused, UnknownValue
from storage.repositories.hub_entities import OAuthState, ProfileSummary, SyncJob
from storage.repositories.saving import is_foreign_key
from storage.repositories.table import FIRST, Page, TableRepository, Window
from storage.tables.enums import SummaryStatus, SyncStatus
from storage.tables.health_hub import oauth_states, profile_summary
from storage.transaction import UnitOfWork

ENDS: Final = (SyncStatus.SUCCESS.value, SyncStatus.FAILED.value)


class SyncJobRepository(TableRepository[SyncJob]):
    """Rows of `profile_sync_jobs`: running, then success or failed for good."""

    table_name = "profile_sync_jobs"

    async def finish(
        self, row_id: str, status: SyncStatus, *, resources_fetched: int | None = None, error_message: str | None = None
    ) -> SyncJob:
        """End a running job; raises ResourceNotFound, and TransitionRefused for a job that has ended."""
        before = await self._locked(row_id, None)
        if before.status != SyncStatus.RUNNING or status not in ENDS:
            allowed = ENDS if before.status == SyncStatus.RUNNING else ()
            raise TransitionRefused(self.table_name, row_id, before.status, status, allowed)
        changes = {
            "status": status.value,
            "finished_at": self.unit.started,
            "resources_fetched": resources_fetched,
            "error_message": error_message,
        }
        return await self.update(row_id, changes)

    async def list(
        self,
        *,
        profile_id: str | None = None,
        provider: str | None = None,
        status: str | None = None,
        window: Window = FIRST,
    ) -> Page[SyncJob]:
        """Return jobs, last started first."""
        filters = {"profile_id": profile_id, "provider": provider, "status": status}
        return await self._page(filters, window, newest=self.table.c.started_at)


class SummaryRepository:
    """Rows of `profile_summary`: at most one for each profile."""

    def __init__(self, unit: UnitOfWork) -> None:
        self.unit = unit

    async def get(self, profile_id: str) -> ProfileSummary:
        """Return the summary of a profile; where there is no row, its status is `absent`."""
        columns = profile_summary.c
        own = (columns.organization_id == self.unit.organization_id, columns.profile_id == profile_id)
        found = (await self.unit.connection.execute(select(profile_summary).where(*own))).mappings().one_or_none()
        return ProfileSummary(profile_id, self.unit.organization_id) if found is None else ProfileSummary(**found)

    async def put(self, row: ProfileSummary) -> ProfileSummary:
        """Let this be the summary of a profile; it was made now unless it says otherwise.

        Raises UnknownValue, and UnresolvedReference for a profile that does not exist.
        """
        if row.organization_id != self.unit.organization_id:
            raise ValueError("the row belongs to another organization than the unit of work")
        if row.status not in (allowed := [each.value for each in SummaryStatus]):
            raise UnknownValue(profile_summary.name, row.profile_id, "status", allowed)
        values = {**asdict(row), "updated_at": row.updated_at or self.unit.started}
        upsert = postgres_insert if self.unit.driver.dialect == "postgresql" else sqlite_insert
        changes = {name: value for name, value in values.items() if name not in ("organization_id", "profile_id")}
        statement = upsert(profile_summary).values(values)
        try:
            await self.unit.connection.execute(
                statement.on_conflict_do_update(index_elements=["organization_id", "profile_id"], set_=changes)
            )
        except IntegrityError as error:
            if is_foreign_key(error):
                raise UnresolvedReference(f"{profile_summary.name}.profile_id") from None
            raise
        return await self.get(row.profile_id)


class OAuthStateRepository:
    """Rows of `oauth_states`: each is good for one callback, until it expires."""

    def __init__(self, unit: UnitOfWork) -> None:
        self.unit = unit

    async def add(self, row: OAuthState) -> None:
        """Remember a sign-in that begins; raises UnresolvedReference for a user or profile that does not exist."""
        if row.organization_id != self.unit.organization_id:
            raise ValueError("the row belongs to another organization than the unit of work")
        try:
            await self.unit.connection.execute(insert(oauth_states).values(asdict(row)))
        except IntegrityError as error:
            if is_foreign_key(error):
                raise UnresolvedReference(f"{oauth_states.name}.profile_id") from None
            raise

    async def take(self, state: str) -> OAuthState | None:
        """Return the sign-in of a callback and forget it; None when there is none, or it began too long ago."""
        columns = oauth_states.c
        own = (columns.organization_id == self.unit.organization_id, columns.state == state)
        statement = delete(oauth_states).where(*own).returning(oauth_states)
        found = (await self.unit.connection.execute(statement)).mappings().one_or_none()
        if found is None or found["expires_at"] <= self.unit.started:
            return None
        return OAuthState(**found)

    async def forget_expired(self) -> int:
        """Delete the sign-ins that were never completed; return how many these were."""
        columns = oauth_states.c
        old = (columns.organization_id == self.unit.organization_id, columns.expires_at <= self.unit.started)
        return (await self.unit.connection.execute(delete(oauth_states).where(*old))).rowcount
