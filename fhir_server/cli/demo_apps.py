"""Registers the apps of the demonstration, and lets the records of those that are there fit its address and secrets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fhir_server.cli.installation import Act, Installation
from fhir_server.demo.cast import CLIENTS, PUBLISHER, DemoClient
from fhir_server.demo.credentials import kept_key, kept_secret, public_part
from fhir_server.oauth.clients import Registration, register
from fhir_server.oauth.passwords import CLIENT_SECRETS, hash_client_secret
from fhir_server.settings import Settings
from storage.repositories.entities import Client
from storage.repositories.platform import ClientRepository
from storage.tables.enums import ClientType


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the apps' secret and key are kept: beside the installation's secret."""

    folder: Path

    @classmethod
    def of(cls, settings: Settings) -> Credentials:
        """Return those of an installation."""
        return cls(settings.secret_file.parent)

    def secret(self, client_id: str) -> str:
        """Return the secret of a confidential app; raises OSError."""
        return kept_secret(self.folder / f"{client_id}.secret")

    def key_file(self, client_id: str) -> Path:
        """Return the file with the private key of a backend client."""
        return self.folder / f"{client_id}.jwk"


async def add_apps(installation: Installation) -> None:
    """Register the apps; of those that are there, addresses and credentials alone are set anew."""
    for asked in CLIENTS:
        wanted = _wanted(installation, asked)
        async with installation.database.platform() as connection:
            known = await ClientRepository(connection).find(asked.id)
        if known is None:
            await _save(installation, wanted, "create")
            continue
        fitting = replace(
            known,
            redirect_uris=wanted.redirect_uris,
            launch_uris=wanted.launch_uris,
            jwks=wanted.jwks,
            secret=wanted.secret,
        )
        if fitting != known:
            await _save(installation, fitting, "update")


async def _save(installation: Installation, client: Client, interaction: str) -> None:
    home = client.organization_id or installation.settings.organization
    async with installation.acting(home, Act("clients", "write", interaction, (client.id,))) as unit:
        clients = ClientRepository(unit.connection)
        await (clients.insert(client) if interaction == "create" else clients.update(client))


def _wanted(installation: Installation, asked: DemoClient) -> Client:
    settings = installation.settings
    credentials = Credentials.of(settings)
    public = asked.type == ClientType.PUBLIC
    key = kept_key(credentials.key_file(asked.id)) if asked.has_key else None
    client = register(
        Registration(
            id=asked.id,
            type=asked.type,
            scope=asked.scope,
            organization_id=asked.organization or (None if public else settings.organization),
            name=asked.name,
            redirect_uris=_absolute(settings, asked.redirects),
            launch_uris=_absolute(settings, asked.launches),
            keys=None if key is None else public_part(key),
        )
    )
    client = replace(client, publisher=PUBLISHER, is_verified=True)
    if asked.type != ClientType.CONFIDENTIAL:
        return client
    secret = hash_client_secret(settings.derive(CLIENT_SECRETS), credentials.secret(asked.id))
    return replace(client, secret=secret)


def _absolute(settings: Settings, addresses: Sequence[str]) -> tuple[str, ...]:
    return tuple(settings.base_url + each if each.startswith("/") else each for each in addresses)
