"""Profiles of the health hub and their connections to providers."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import NoReturn

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from mappers.hub_rows import EmrConnection, Profile
from storage.errors import ResourceNotFound, UnresolvedReference
from storage.repositories.hub_entities import Tokens
from storage.repositories.saving import is_foreign_key, require_known_values
from storage.repositories.table import FIRST, Page, TableRepository, Window
from storage.rows import STAMPS, next_stamp
from storage.tables.enums import EmrConnectionStatus


class HubProfileRepository(TableRepository[Profile]):
    """Rows of `profiles` with their connections. With a profile goes all that was gathered for it."""

    table_name = "profiles"

    async def list(self, *, user_id: str | None = None, window: Window = FIRST) -> Page[Profile]:
        """Return profiles, newest first."""
        return await self._page({"user_id": user_id}, window)


class EmrConnectionRepository(TableRepository[EmrConnection]):
    """Rows of `profile_emr_connections`: one for each profile and provider. Tokens are handed out by `tokens` alone."""

    table_name = "profile_emr_connections"

    async def insert(self, row: EmrConnection) -> NoReturn:
        """Raise TypeError: a connection has tokens, so `connect` adds it."""
        raise TypeError(f"{self.table_name}/{row.id} is added with its tokens, by connect()")

    async def connect(self, row: EmrConnection, tokens: Tokens) -> EmrConnection:
        """Add a connection, or put it in the place of the profile's earlier one at the provider, which keeps its id.

        What kept the earlier one from working is over. Raises UnknownValue, UnresolvedReference for a profile that
        does not exist, and ConcurrencyConflict when two connect at the same time.
        """
        self._require_own(row)
        row = replace(row, expires_at=tokens.expires_at, last_error=None)
        require_known_values(self.table_name, None, row)
        earlier = await self.of_provider(row.profile_id, row.provider)
        kept = {"id", "organization_id", *STAMPS}
        values = {each.name: getattr(row, each.name) for each in fields(row) if each.name not in kept} | asdict(tokens)
        if earlier is None:
            await self._insert({"id": row.id, "organization_id": row.organization_id, **values})
            return await self._kept(row.id)
        await self._set(earlier, values)
        return await self._kept(earlier.id)

    async def of_provider(self, profile_id: str, provider: str) -> EmrConnection | None:
        """Return the connection of a profile to a provider, None when there is none."""
        found = await self._rows([self.table.c.profile_id == profile_id, self.table.c.provider == provider])
        return found[0] if found else None

    async def list(
        self,
        *,
        profile_id: str | None = None,
        provider: str | None = None,
        status: str | None = None,
        window: Window = FIRST,
    ) -> Page[EmrConnection]:
        """Return connections, newest first."""
        return await self._page({"profile_id": profile_id, "provider": provider, "status": status}, window)

    async def tokens(self, row_id: str) -> Tokens:
        """Return the tokens of a connection, still encrypted; raises ResourceNotFound."""
        columns = [self.table.c[each.name] for each in fields(Tokens)]
        own = (self.table.c.organization_id == self.unit.organization_id, self.table.c.id == row_id)
        found = (await self.unit.connection.execute(select(*columns).where(*own))).one_or_none()
        if found is None:
            raise ResourceNotFound(self.table_name, row_id)
        return Tokens(*found)

    async def refresh(self, row_id: str, tokens: Tokens) -> EmrConnection:
        """Put new tokens in the place of a connection's earlier ones; raises ResourceNotFound.

        A provider that sends no refresh token means the earlier one to go on (RFC 6749 §6).
        """
        before = await self._locked(row_id, None)
        values = {**asdict(tokens), "status": EmrConnectionStatus.CONNECTED.value, "last_error": None}
        if tokens.refresh_token_encrypted is None:
            del values["refresh_token_encrypted"]
        await self._set(before, values)
        return await self._kept(row_id)

    async def _insert(self, values: dict[str, object]) -> None:
        try:
            await self.unit.connection.execute(self.table.insert().values(values))
        except IntegrityError as error:
            if is_foreign_key(error):
                raise UnresolvedReference(f"{self.table_name}/{values['id']}") from None
            raise

    async def _set(self, before: EmrConnection, values: dict[str, object]) -> None:
        own = (self.table.c.organization_id == self.unit.organization_id, self.table.c.id == before.id)
        stamped = {**values, "updated_at": next_stamp(before.updated_at)}
        await self.unit.connection.execute(update(self.table).where(*own).values(stamped))

    async def _kept(self, row_id: str) -> EmrConnection:
        self.unit.touch(self.table_name, row_id)
        return await self.get(row_id)
