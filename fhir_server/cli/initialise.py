"""Makes an installation ready: everything that `init` and `demo` have to do before the first request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from fhir_server.cli.installation import Act, Installation, open_installation
from fhir_server.oauth.keys import ALGORITHM, SIGNING_KEYS, KeyCipher, rotated, unsigned
from fhir_server.search_parameters import take_up_search_parameters
from fhir_server.settings import Settings
from storage.addresses import is_sqlite, without_password
from storage.audit_partitions import make_months
from storage.audit_seals import open_trails
from storage.audit_sqlite import audit_path
from storage.grants import StoredKey, instant, keys_in, lock_keys, save_keys
from storage.projection.index_definition import outdated_indexes
from storage.projection.outbox import Projector
from storage.repositories.platform import OrganizationRepository
from storage.revision import current_revision, head_revision
from storage.schema import create_audit_file, create_standard_organizations, upgrade
from storage.tables.enums import KeyState

REBUILD: Final = "fhir-server reconcile --fix"
"""Writes an index that differs anew."""


def initialise(settings: Settings) -> dict[str, Any]:
    """Migrate the database and make what is missing; return what there is now.

    Raises SettingsInvalid without a secret, SchemaOutOfDate for a newer database and DatabaseUnavailable.
    """
    _ = settings.secret_bytes
    take_up_search_parameters(settings)  # the first index is noted as one of these parameters
    found = current_revision(settings.owner_database_url)
    upgrade(settings.owner_database_url)
    create_standard_organizations(settings.owner_database_url)
    if is_sqlite(settings.database_url):
        create_audit_file(audit_path(settings.database_url))
    return asyncio.run(_complete(settings, without_password(settings.database_url), found))


async def _complete(settings: Settings, shown_url: str, found: str | None) -> dict[str, Any]:
    async with open_installation(settings) as installation:
        if found != head_revision():
            act = Act("installation", "write", "upgrade", (found or "none", head_revision()))
            async with installation.acting(settings.organization, act):
                pass  # there was no trail to record it in before
        kid = await _ensure_key(installation)
        await asyncio.to_thread(make_months, open_trails(settings.database_url, role=settings.database_role or None)[0])
        await Projector(installation.database).drain()  # the organizations, and what others wrote meanwhile
        async with installation.database.platform() as connection:
            organizations = [row.id for row in await OrganizationRepository(connection).all()]
        outdated = await outdated_indexes(installation.database)
    return {
        "database": shown_url,
        "revision": head_revision(),
        "organizations": organizations,
        "search_index": index_state(outdated),
        "signing_key": kid,
        "fhir_base": settings.fhir_base,
    }


def index_state(outdated: list[str]) -> str:
    """Return in words whether the search index fits this version, with the remedy."""
    if not outdated:
        return "current"
    return f"built by another definition for {', '.join(outdated)}: run `{REBUILD}`"


async def _ensure_key(installation: Installation) -> str:
    """Return the kid of the active key for access tokens; makes what is missing of the keys of each algorithm."""
    act = Act("signing_keys", "write", "create")
    async with installation.database.platform() as connection:
        known = await keys_in(connection)
    if not unsigned(known):
        return _active(known)
    async with installation.acting(installation.settings.organization, act) as unit:
        await lock_keys(unit.connection)
        known = await keys_in(unit.connection)  # another init may have been faster
        moment = time.time()
        made = rotated(known, KeyCipher(installation.settings.derive(SIGNING_KEYS)), int(moment), unsigned(known))
        await save_keys(unit.connection, made, instant(moment))
        return _active(await keys_in(unit.connection))


def _active(keys: Sequence[StoredKey]) -> str:
    return next(key.kid for key in keys if key.state is KeyState.ACTIVE and key.algorithm == ALGORITHM)
