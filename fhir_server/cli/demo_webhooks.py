"""Lets the demonstration's pharmacy send webhooks, signed with a secret that is kept beside the others."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fhir_server.cli.installation import Installation
from fhir_server.cli.webhooks import add_secret, list_secrets, rotate_secret
from fhir_server.demo.credentials import kept_webhook_secret
from fhir_server.graph.webhooks.receiving import sealer_of
from fhir_server.graph.webhooks.signature import secret_bytes
from storage.orders.applying import RIMO
from storage.repositories.webhook_secrets import WebhookSecretRepository

SECRET_FILE: Final = "demo-rimo.secret"  # noqa: S105 its name


async def take_webhooks(installation: Installation) -> str:
    """Return the secret that the pharmacy signs with; where the kept one is no longer good, another takes its place.

    Raises CommandFailed and OSError.
    """
    path = installation.settings.secret_file.parent / SECRET_FILE
    if path.exists() and await _is_good(installation, path):
        return kept_webhook_secret(path)
    path.unlink(missing_ok=True)
    secret = kept_webhook_secret(path)
    home = installation.settings.organization
    known = await list_secrets(installation)
    if any((each["provider"], each["organization"], each["until"]) == (RIMO, home, None) for each in known):
        await rotate_secret(installation, RIMO, home, secret, 0)
    else:
        await add_secret(installation, RIMO, home, secret)
    return secret


async def _is_good(installation: Installation, path: Path) -> bool:
    """Return whether the server believes what is signed with the kept secret."""
    sealer = sealer_of(installation.settings)
    async with installation.database.platform_read() as connection:
        usable = await WebhookSecretRepository(connection).usable(RIMO, datetime.now(UTC))
    own = [each for each in usable if each.organization_id == installation.settings.organization]
    return secret_bytes(kept_webhook_secret(path)) in [sealer.open(each.id, each.secret) for each in own]
