"""What the `webhook` commands do."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fhir_server.cli.installation import Act, Installation
from fhir_server.cli.output import CommandFailed
from fhir_server.graph.webhooks.receiving import sealer_of
from fhir_server.graph.webhooks.signature import new_secret, secret_bytes
from storage.orders.applying import RIMO
from storage.repositories.webhook_secrets import WebhookSecret, WebhookSecretRepository
from storage.transaction import UnitOfWork

PROVIDERS: Final = (RIMO,)
RESOURCE: Final = "webhook_secrets"
ADDRESS: Final = "/graph/webhooks/"


async def add_secret(
    installation: Installation, provider: str, organization_id: str | None, written: str | None
) -> dict[str, Any]:
    """Take webhooks signed with a secret; raises CommandFailed when there is one, or it is another's."""
    organization = await _known(installation, provider, organization_id)
    async with installation.acting(organization, Act(RESOURCE, "write", "add", (provider,))) as unit:
        if any(each.expires_at is None for each in await _secrets(unit, provider, organization)):
            raise CommandFailed(f"{organization} has a secret of {provider}; `fhir-server webhook rotate` changes it.")
        return await _keep(installation, unit, provider, organization, written)


async def rotate_secret(
    installation: Installation, provider: str, organization_id: str | None, written: str | None, hours: int
) -> dict[str, Any]:
    """Take a new secret; the present one stays good for so many hours. Raises CommandFailed."""
    organization = await _known(installation, provider, organization_id)
    until = datetime.now(UTC) + timedelta(hours=hours)
    async with installation.acting(organization, Act(RESOURCE, "write", "rotate", (provider,))) as unit:
        if not await WebhookSecretRepository(unit.connection).retire(provider, organization, until):
            raise CommandFailed(f"{organization} has no secret of {provider}; `fhir-server webhook add` takes one.")
        facts = await _keep(installation, unit, provider, organization, written)
    return {**facts, "previous_until": until.isoformat(timespec="seconds")}


async def list_secrets(installation: Installation) -> list[dict[str, Any]]:
    """Return whose webhooks are taken for whom, without the secrets."""
    async with installation.database.platform_read() as connection:
        found = await WebhookSecretRepository(connection).all()
    return [
        {
            "provider": each.provider,
            "organization": each.organization_id,
            "created": each.created_at.isoformat(timespec="seconds") if each.created_at else None,
            "until": each.expires_at.isoformat(timespec="seconds") if each.expires_at else None,
        }
        for each in found
    ]


async def remove_secrets(installation: Installation, provider: str, organization_id: str | None) -> dict[str, Any]:
    """Forget all secrets of a provider for an organization; raises CommandFailed when there are none."""
    organization = organization_id or installation.settings.organization
    async with installation.acting(organization, Act(RESOURCE, "delete", "remove", (provider,))) as unit:
        removed = await WebhookSecretRepository(unit.connection).remove(provider, organization)
        if not removed:
            raise CommandFailed(f"{organization} has no secret of {provider}.")
    return {"provider": provider, "organization": organization, "removed": removed}


async def _known(installation: Installation, provider: str, organization_id: str | None) -> str:
    if provider not in PROVIDERS:
        raise CommandFailed(f"Webhooks are taken of: {', '.join(PROVIDERS)}.")
    return (await installation.organization(organization_id)).id


async def _secrets(unit: UnitOfWork, provider: str, organization: str | None = None) -> list[WebhookSecret]:
    found = await WebhookSecretRepository(unit.connection).all()
    return [each for each in found if each.provider == provider and organization in {None, each.organization_id}]


async def _keep(
    installation: Installation, unit: UnitOfWork, provider: str, organization: str, written: str | None
) -> dict[str, Any]:
    """Keep a secret, sealed; a secret tells whose an event is, so no two organizations may have the same."""
    shown = written or new_secret()
    try:
        plain = secret_bytes(shown)
    except ValueError as error:
        raise CommandFailed(f"This is no secret of webhooks: {error}.") from None
    sealer = sealer_of(installation.settings)
    for each in await _secrets(unit, provider):
        if hmac.compare_digest(sealer.open(each.id, each.secret), plain):
            raise CommandFailed("This secret is in use already; every organization has its own.")
    key = unit.ids.uuid7()
    secret = WebhookSecret(key, organization, provider, sealer.seal(key, plain))
    await WebhookSecretRepository(unit.connection).insert(secret)
    facts = {
        "provider": provider,
        "organization": organization,
        "address": f"{installation.settings.base_url}{ADDRESS}{provider}",
    }
    return facts if written else {**facts, "secret": shown}
