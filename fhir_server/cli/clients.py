"""What the `client` commands do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from fhir_server.cli.installation import Act, Installation
from fhir_server.cli.output import CommandFailed
from fhir_server.oauth.clients import Registration, app_state_rules, register
from fhir_server.oauth.logos import embedded_logo
from fhir_server.oauth.passwords import CLIENT_SECRETS, hash_client_secret, new_client_secret
from storage.grants import LONGEST_TOKEN_SECONDS, RevocationKind, instant, revoke
from storage.repositories.entities import Client
from storage.repositories.errors import ValueTaken
from storage.repositories.platform import ClientRepository
from storage.tables.enums import ClientType
from storage.transaction import UnitOfWork

SECONDS_OF_HOUR: Final = 3600


async def add_client(installation: Installation, asked: Registration, jwks: str | None) -> dict[str, Any]:
    """Register a client whose keys are in the file `jwks`, or at that address.

    Raises ClientRefused, and CommandFailed for an id in use.
    """
    organization = asked.organization_id
    if organization is not None or asked.type != ClientType.PUBLIC:
        organization = (await installation.organization(organization)).id
    keys, jwks_uri = _keys(jwks)
    logo = _logo(asked.logo_uri)
    client = register(replace(asked, organization_id=organization, keys=keys, jwks_uri=jwks_uri, logo_uri=logo))
    secret = None
    if client.type == ClientType.CONFIDENTIAL and keys is None and jwks_uri is None:
        secret = new_client_secret()
        client = replace(client, secret=_hashed(installation, secret))
    try:
        async with installation.acting(
            _home(installation, client), Act("clients", "write", "create", (client.id,))
        ) as unit:
            await ClientRepository(unit.connection).insert(client)
    except ValueTaken:
        raise CommandFailed(f"There is a client {client.id} already; remove it first or take another id.") from None
    return _facts(client) | ({"client_secret": secret} if secret else {})


async def list_clients(installation: Installation) -> list[dict[str, Any]]:
    """Return the facts of every client."""
    async with installation.database.platform() as connection:
        return [_facts(client) for client in await ClientRepository(connection).all()]


async def show_client(installation: Installation, client_id: str) -> dict[str, Any]:
    """Return the facts of a client; raises CommandFailed."""
    return _facts(await _client(installation, client_id))


async def rotate_secret(installation: Installation, client_id: str, grace_hours: int) -> dict[str, Any]:
    """Give a client a new secret; the old one stays good for some hours, so that the client can be given the new one.

    Raises CommandFailed for a client that has none.
    """
    client = await _client(installation, client_id)
    if client.secret is None:
        raise CommandFailed(f"The client {client_id} has no secret; only confidential clients without keys have one.")
    secret = new_client_secret()
    changed = replace(
        client,
        secret=_hashed(installation, secret),
        previous_secret=client.secret if grace_hours else None,
        previous_secret_until=int(time.time()) + grace_hours * SECONDS_OF_HOUR if grace_hours else None,
    )
    async with installation.acting(
        _home(installation, client), Act("clients", "write", "rotate", (client_id,))
    ) as unit:
        await ClientRepository(unit.connection).update(changed)
    return {"id": client_id, "client_secret": secret, "previous_secret_until": _told(changed.previous_secret_until)}


async def set_active(installation: Installation, client_id: str, *, active: bool) -> dict[str, Any]:
    """Disable a client, whose access tokens die within the second, or enable it again; raises CommandFailed.

    What people granted stays: once enabled, the client can refresh. Tokens from before stay dead.
    """
    client = await _client(installation, client_id)
    interaction = "enable" if active else "disable"
    async with installation.acting(
        _home(installation, client), Act("clients", "write", interaction, (client_id,))
    ) as unit:
        await ClientRepository(unit.connection).update(replace(client, is_active=active))
        if not active:
            await _revoke_tokens(unit, client_id)
    return {"id": client_id, "active": active}


async def set_app_states(installation: Installation, client_id: str, texts: Sequence[str]) -> dict[str, Any]:
    """Let these be the states that a client may keep; raises ClientRefused and CommandFailed."""
    client = await _client(installation, client_id)
    changed = replace(client, app_states=app_state_rules(texts, client.type))
    async with installation.acting(
        _home(installation, client), Act("clients", "write", "app-state", (client_id,))
    ) as unit:
        await ClientRepository(unit.connection).update(changed)
    return {"id": client_id, "app_states": changed.app_states}


async def set_rate_limit(installation: Installation, client_id: str, a_minute: int | None) -> dict[str, Any]:
    """Let a client make so many requests a minute to the FHIR interface; None: what the settings say.

    Workers know it within seconds. Raises CommandFailed.
    """
    client = await _client(installation, client_id)
    async with installation.acting(
        _home(installation, client), Act("clients", "write", "rate-limit", (client_id,))
    ) as unit:
        await ClientRepository(unit.connection).update(replace(client, rate_limit=a_minute))
    return {"id": client_id, "rate_limit": a_minute}


async def remove_client(installation: Installation, client_id: str) -> dict[str, Any]:
    """Remove a client and revoke its tokens; raises CommandFailed."""
    client = await _client(installation, client_id)
    async with installation.acting(
        _home(installation, client), Act("clients", "delete", "remove", (client_id,))
    ) as unit:
        await ClientRepository(unit.connection).delete(client_id)
        await _revoke_tokens(unit, client_id)
    return {"id": client_id, "removed": True}


async def _revoke_tokens(unit: UnitOfWork, client_id: str) -> None:
    """Let every access token of a client die (R6)."""
    now = time.time()
    until = instant(now + LONGEST_TOKEN_SECONDS)
    await revoke(unit.connection, RevocationKind.CLIENT, client_id, instant(now), until)


async def _client(installation: Installation, client_id: str) -> Client:
    async with installation.database.platform() as connection:
        client = await ClientRepository(connection).find(client_id)
    if client is None:
        raise CommandFailed(f"There is no client {client_id}; `fhir-server client list` names them.")
    return client


def _home(installation: Installation, client: Client) -> str:
    """Return the organization whose audit trail names a change of the client."""
    return client.organization_id or installation.settings.organization


def _hashed(installation: Installation, secret: str) -> str:
    return hash_client_secret(installation.settings.derive(CLIENT_SECRETS), secret)


def _keys(jwks: str | None) -> tuple[dict[str, Any] | None, str | None]:
    """Return the JWK set of a file, or the address where there is one."""
    if jwks is None:
        return None, None
    if "://" in jwks:
        return None, jwks
    try:
        return msgspec.json.decode(Path(jwks).read_bytes(), type=dict[str, Any]), None
    except OSError as error:
        raise CommandFailed(f"The file {jwks} cannot be read: {error.strerror}.") from None
    except msgspec.MsgspecError:
        remedy = "'Clients that sign' in docs/authorization.md makes one of a key in PEM"
        raise CommandFailed(f"The file {jwks} holds no JWK set (RFC 7517 §5); {remedy}.") from None


def _told(instant: int | None) -> str | None:
    """Return an instant for people, in UTC."""
    return None if instant is None else datetime.fromtimestamp(instant, UTC).isoformat()


def _logo(logo: str | None) -> str | None:
    """Return the address of a logo, which of a file is the picture itself."""
    if logo is None or ":" in logo:
        return logo
    try:
        return embedded_logo(Path(logo).read_bytes())
    except OSError as error:
        raise CommandFailed(f"The file {logo} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise CommandFailed(f"The file {logo} cannot be taken: {error}.") from None


def _facts(client: Client) -> dict[str, Any]:
    return {
        "id": client.id,
        "name": client.name,
        "type": client.type,
        "organization": client.organization_id,
        "scope": client.scope,
        "redirect_uris": client.redirect_uris,
        "launch_uris": client.launch_uris,
        "origins": client.origins,
        "jwks_uri": client.jwks_uri,
        "keys": [key.get("kid") for key in (client.jwks or {}).get("keys", ())],
        "secret": client.secret is not None,
        "previous_secret_until": _told(client.previous_secret_until),
        "publisher": client.publisher,
        "logo_uri": client.logo_uri,
        "required_scope": client.required_scope,
        "verified": client.is_verified,
        "native": client.is_native,
        "partner": client.is_partner,
        "may_introspect": client.may_introspect,
        "registered_itself": client.is_dynamic,
        "access_token_ttl": client.access_token_ttl,
        "refresh_token_ttl": client.refresh_token_ttl,
        "app_states": client.app_states,
        "rate_limit": client.rate_limit,
        "active": client.is_active,
    }
