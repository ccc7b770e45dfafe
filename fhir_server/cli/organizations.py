"""What the `organization` commands do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fhir_server.cli.installation import Act, Installation
from fhir_server.cli.output import CommandFailed
from fhir_server.oauth.clients import IDENTIFIER
from mappers.rows import Organization
from mappers.telemetry import SETTING, SettingRefused, read_setting
from storage.grants import LONGEST_TOKEN_SECONDS, RevocationKind, instant, revoke
from storage.installation import organization_ids
from storage.person_links import find_person_links
from storage.repositories.errors import ValueTaken
from storage.repositories.platform import OrganizationRepository
from storage.tables.enums import HomeSystem


async def add_organization(
    installation: Installation, organization_id: str, name: str, home_system: str
) -> dict[str, Any]:
    """Add an organization, which FHIR shows as an Organization of its own; raises CommandFailed."""
    if not IDENTIFIER.match(organization_id):
        raise CommandFailed("An id has 1 to 64 letters, digits, dots, dashes or underscores.")
    if home_system not in {each.value for each in HomeSystem}:
        raise CommandFailed(f"The home system is one of: {', '.join(each.value for each in HomeSystem)}.")
    organization = Organization(organization_id, name, home_system=home_system)
    act = Act("organizations", "write", "create", (organization_id,))
    try:
        async with installation.acting(organization_id, act) as unit:
            await OrganizationRepository(unit.connection).insert(organization)
            unit.touch("organizations", organization_id)
    except ValueTaken:
        raise CommandFailed(f"There is an organization {organization_id} already.") from None
    return _facts(organization)


async def show_telemetry(
    installation: Installation, organization_id: str, default: str | None, metrics: Sequence[str]
) -> dict[str, Any]:
    """Return what FHIR shows of an organization's readings; where something is given, change that first.

    Each of `metrics` is NAME=DETAIL, and NAME= for the default. Raises CommandFailed.
    """
    organization = await installation.organization(organization_id)
    if default is None and not metrics:
        return _telemetry_facts(organization)
    settings = dict(organization.settings or {})
    said = settings.get(SETTING)
    said = dict(said) if isinstance(said, dict) else {}
    if default is not None:
        said["default"] = default
    if metrics:
        said["metrics"] = _with_metrics(said.get("metrics"), metrics)
    changed = replace(organization, settings={**settings, SETTING: said})
    act = Act("organizations", "write", "telemetry", (organization_id,))
    try:
        async with installation.acting(organization_id, act) as unit:
            await OrganizationRepository(unit.connection).update(changed)
            unit.touch("organizations", organization_id)
    except SettingRefused as refusal:
        raise CommandFailed(f"{refusal}.") from None
    return _telemetry_facts(changed)


def _with_metrics(said: Any, metrics: Sequence[str]) -> dict[str, Any]:
    named = dict(said) if isinstance(said, dict) else {}
    for each in metrics:
        name, equals, detail = each.partition("=")
        if not equals:
            raise CommandFailed(f"Write --metric NAME=each or NAME=daily, and NAME= for the default; not {each}.")
        named.pop(name, None)
        if detail:
            named[name] = detail
    return named


def _telemetry_facts(organization: Organization) -> dict[str, Any]:
    try:
        telemetry = read_setting(organization.settings)
    except SettingRefused as refusal:
        raise CommandFailed(f"What another program wrote there is not understood: {refusal}.") from None
    listed = [f"{name}={detail}" for name, detail in sorted(telemetry.metrics.items())]
    return {"id": organization.id, "default": telemetry.default.value, "metrics": listed}


async def find_persons(installation: Installation) -> dict[str, Any]:
    """Propose links between records of one person in several organizations; return how many by kind of identifier."""
    organizations = await organization_ids(installation.database)
    found = await find_person_links(installation.database, organizations)
    for organization in organizations:
        async with installation.acting(organization, Act("person_links", "write", "persons")):
            pass  # the record is all there is to write
    return {"organizations": len(organizations), "links": dict(sorted(found.items()))}


async def list_organizations(installation: Installation) -> list[dict[str, Any]]:
    """Return the facts of every organization."""
    async with installation.database.platform() as connection:
        return [_facts(row) for row in await OrganizationRepository(connection).all()]


async def disable_organization(installation: Installation, organization_id: str) -> dict[str, Any]:
    """Disable an organization and revoke its tokens; raises CommandFailed."""
    organization = await installation.organization(organization_id)
    disabled = replace(organization, is_active=False)
    now = time.time()
    act = Act("organizations", "write", "disable", (organization_id,))
    async with installation.acting(organization_id, act) as unit:
        await OrganizationRepository(unit.connection).update(disabled)
        unit.touch("organizations", organization_id)
        until = instant(now + LONGEST_TOKEN_SECONDS)
        await revoke(unit.connection, RevocationKind.ORGANIZATION, organization_id, instant(now), until)
    return _facts(disabled)


def _facts(organization: Organization) -> dict[str, Any]:
    return {
        "id": organization.id,
        "name": organization.name,
        "home_system": organization.home_system,
        "active": organization.is_active,
    }
