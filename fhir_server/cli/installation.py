"""An installation opened for a command: its settings, its database, and audited changes to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from fhir_server.cli.output import CommandFailed
from fhir_server.oauth.operator import COMMAND_LINE
from fhir_server.search_parameters import take_up_search_parameters
from fhir_server.settings import Settings, load_settings
from mappers.rows import Organization
from storage.audit import AuditKey, AuditRecord, insert_records
from storage.drift.check import check_schema
from storage.engine import Database, create_database
from storage.projection.flush import flush
from storage.repositories.platform import OrganizationRepository
from storage.revision import check_revision
from storage.transaction import Change, UnitOfWork

T = TypeVar("T")
OPERATOR: Final = "operator"
"""Who the audit names: whoever may run commands here."""
ROLE: Final = "OPERATOR"


@dataclass(frozen=True, slots=True)
class Act:
    """What a command does, for the audit; `client_id` and `grant_id` of a token that it makes."""

    resource: str
    action: str
    interaction: str
    ids: Sequence[str] = ()
    client_id: str = COMMAND_LINE
    grant_id: str | None = None
    patient: str | None = None
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class Installation:
    """The settings and the open database."""

    settings: Settings
    database: Database

    @property
    def audit_key(self) -> AuditKey:
        """The key that audit records are signed with."""
        return AuditKey(self.settings.derive("audit"))

    @asynccontextmanager
    async def acting(self, organization_id: str, act: Act) -> AsyncIterator[UnitOfWork]:
        """Give a unit of work in an organization that ends with the audit record of the act (AD-2)."""
        async with self.database.begin(organization_id, Change(OPERATOR, COMMAND_LINE, "cli")) as unit:
            yield unit
            record = AuditRecord(
                organization_id=organization_id,
                actor_id=OPERATOR,
                actor_role=ROLE,
                client_id=act.client_id,
                resource=act.resource,
                resource_ids=act.ids,
                action=act.action,
                interaction=act.interaction,
                grant_id=act.grant_id,
                customer_id=act.patient,
                purpose=act.purpose,
            )
            await insert_records(unit, [record], self.audit_key)

    async def organization(self, organization_id: str | None) -> Organization:
        """Return an active organization, by default that of the settings; raises CommandFailed."""
        wanted = organization_id or self.settings.organization
        async with self.database.platform() as connection:
            found = await OrganizationRepository(connection).find(wanted)
        if found is None:
            raise CommandFailed(f"There is no organization {wanted}; `fhir-server organization list` names them.")
        if not found.is_active:
            raise CommandFailed(f"The organization {wanted} is disabled.")
        return found


@asynccontextmanager
async def open_installation(settings: Settings, *, pool_size: int = 1) -> AsyncIterator[Installation]:
    """Open the database; raises SchemaOutOfDate when it is not migrated, DatabaseUnavailable when it is away."""
    _ = settings.secret_bytes  # a missing secret is told before anything else happens
    take_up_search_parameters(settings)
    await asyncio.to_thread(check_revision, settings.database_url)
    database = create_database(
        settings.database_url, pool_size=pool_size, role=settings.database_role or None, base_url=settings.fhir_base
    )
    database.flush = flush
    await database.open()
    try:
        await check_schema(database)  # a command does without what the server does without
        yield Installation(settings, database)
    finally:
        await database.close()


def run(command: Callable[[Installation], Awaitable[T]], *, pool_size: int = 1) -> T:
    """Run a command on the installation of the environment and return its answer."""

    async def opened() -> T:
        async with open_installation(load_settings(), pool_size=pool_size) as installation:
            return await command(installation)

    return asyncio.run(opened())
