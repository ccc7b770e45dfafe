"""Organizations, users, their roles and patients, and clients: tables outside tenancy (settled §2.1).

These repositories work on a connection of `Database.platform()`. A change of an organization reaches FHIR through its
trigger and the outbox, like one by a foreign writer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Generic

from sqlalchemy import ColumnElement, Table, select
from sqlalchemy import delete as delete_from
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from mappers.rows import Organization
from mappers.telemetry import read_setting
from storage.errors import ReferenceConflict, ResourceNotFound
from storage.repositories.entities import Client, User, UserOrganization
from storage.repositories.errors import ValueTaken
from storage.repositories.saving import require_known_values
from storage.repositories.table import R
from storage.rows import Shape, fetch_rows, save_row, shape_of, taken_unique
from storage.tables.platform import user_patients


class PlatformRepository(Generic[R]):
    """The rows of one platform table."""

    table_name: ClassVar[str]

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.shape: Shape = shape_of(self.table_name)

    @property
    def table(self) -> Table:
        """The table itself."""
        return self.shape.table

    async def find(self, row_id: str) -> R | None:
        """Return the row with this id, None when there is none."""
        found = await self._rows([self.table.c.id == row_id])
        return found[0] if found else None

    async def get(self, row_id: str) -> R:
        """Return the row with this id; raises ResourceNotFound."""
        row = await self.find(row_id)
        if row is None:
            raise ResourceNotFound(self.table_name, row_id)
        return row

    async def all(self) -> list[R]:
        """Return all rows in order of id."""
        return await self._rows([])

    async def insert(self, row: R) -> R:
        """Add a row and return it as stored; raises UnknownValue and ValueTaken."""
        if await self.find(row.id) is not None:
            raise ValueTaken(self.table_name, row.id, "id")
        return await self._save(None, row)

    async def update(self, row: R) -> R:
        """Save a changed row and return it as stored; raises ResourceNotFound, UnknownValue, ValueTaken."""
        before = await self.get(row.id)
        return row if before == row else await self._save(before, row)

    async def delete(self, row_id: str) -> None:
        """Delete a row; raises ResourceNotFound, and ReferenceConflict while others refer to it."""
        await self.get(row_id)
        try:
            await self.connection.execute(delete_from(self.table).where(self.table.c.id == row_id))
        except IntegrityError:
            raise ReferenceConflict(self.table_name, row_id, ()) from None

    async def _save(self, before: R | None, row: R) -> R:
        require_known_values(self.table_name, before, row)
        taken = await taken_unique(self.connection, self.table_name, row)
        if taken is not None:
            raise ValueTaken(self.table_name, row.id, taken)
        await save_row(self.connection, self.table_name, row, new=before is None)
        return await self.get(row.id)

    async def _rows(self, conditions: Sequence[ColumnElement[bool]]) -> list[R]:
        found: list[R] = await fetch_rows(self.connection, self.shape, "", conditions, order=(self.table.c.id,))
        return found


class OrganizationRepository(PlatformRepository[Organization]):
    """Rows of `organizations`."""

    table_name = "organizations"

    async def _save(self, before: Organization | None, row: Organization) -> Organization:
        """Save a row; raises SettingRefused, too, for a telemetry setting that nobody understands (settled §3.2).

        What a foreign writer left there stays possible.
        """
        if before is None or before.settings != row.settings:
            read_setting(row.settings)
        return await super()._save(before, row)


class ClientRepository(PlatformRepository[Client]):
    """Rows of `clients`."""

    table_name = "clients"


class UserRepository(PlatformRepository[User]):
    """Rows of `users`."""

    table_name = "users"

    async def by_email(self, email: str) -> User | None:
        """Return the user with this e-mail, in whatever case it is written; None when there is none."""
        found = await self._rows([self.table.c.email == email.lower()])
        return found[0] if found else None

    async def patients_of(self, user_id: str, organization_id: str) -> tuple[str, ...]:
        """Return the ids of the Patient resources whom the user may act for in the organization, in order."""
        own = (user_patients.c.user_id == user_id, user_patients.c.organization_id == organization_id)
        statement = select(user_patients.c.patient_id).where(*own).order_by(user_patients.c.patient_id)
        return tuple(await self.connection.scalars(statement))

    async def set_patients(self, user_id: str, organization_id: str, patient_ids: Sequence[str]) -> None:
        """Let these be the patients whom the user may act for in the organization."""
        own = (user_patients.c.user_id == user_id, user_patients.c.organization_id == organization_id)
        await self.connection.execute(delete_from(user_patients).where(*own))
        rows: list[dict[str, Any]] = [
            {"user_id": user_id, "organization_id": organization_id, "patient_id": patient_id}
            for patient_id in dict.fromkeys(patient_ids)
        ]
        if rows:
            await self.connection.execute(user_patients.insert(), rows)


class UserOrganizationRepository(PlatformRepository[UserOrganization]):
    """Rows of `user_organizations`: who has which role where."""

    table_name = "user_organizations"

    async def of_user(self, user_id: str, *, active: bool = True) -> list[UserOrganization]:
        """Return the memberships of a user in order of id; with `active` only those in force."""
        conditions: list[ColumnElement[bool]] = [self.table.c.user_id == user_id]
        if active:
            conditions.append(self.table.c.is_active)
        return await self._rows(conditions)
