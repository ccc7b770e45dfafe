"""`fhir-server webhook`: secrets of those who send webhooks (docs/webhooks.md)."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest

from fhir_server.cli.installation import open_installation
from fhir_server.cli.output import CommandFailed
from fhir_server.cli.webhook_sending import Sample, send_event
from fhir_server.cli.webhooks import add_secret, list_secrets, remove_secrets, rotate_secret
from fhir_server.graph.webhooks.signature import new_secret, secret_bytes
from fhir_server.settings import Settings
from storage.repositories.webhook_secrets import WebhookSecretRepository
from storage.rls import ROLE
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION

SECRET = f"whsec_{b64encode(bytes(32)).decode()}"
"""Of no installation, and the same in every process that collects these tests."""


@pytest.fixture
def settings(fresh_database_url: str) -> Settings:
    return Settings(database_url=fresh_database_url, database_role=ROLE, secret="s" * 40)


async def test_a_secret_is_shown_once_and_lies_sealed(settings: Settings) -> None:
    async with open_installation(settings) as installation:
        made = await add_secret(installation, "rimo", ORGANIZATION, None)
        assert made["address"].endswith("/graph/webhooks/rimo")
        assert len(secret_bytes(made["secret"])) == 32
        [listed] = await list_secrets(installation)
        assert (listed["provider"], listed["organization"], listed["until"]) == ("rimo", ORGANIZATION, None)
        assert made["secret"] not in str(listed)
        async with installation.database.platform_read() as connection:
            [row] = await WebhookSecretRepository(connection).all()
        assert row.secret.startswith("v1:")
        assert made["secret"].removeprefix("whsec_") not in row.secret


async def test_the_senders_own_secret_is_taken_and_not_repeated(settings: Settings) -> None:
    async with open_installation(settings) as installation:
        assert "secret" not in await add_secret(installation, "rimo", None, new_secret())


async def test_one_secret_follows_another_and_no_third_is_good(settings: Settings) -> None:
    async with open_installation(settings) as installation:
        await add_secret(installation, "rimo", ORGANIZATION, None)
        for _ in range(3):
            told = await rotate_secret(installation, "rimo", ORGANIZATION, None, 24)
            assert told["secret"]
            assert told["previous_until"]
        assert [each["until"] is None for each in await list_secrets(installation)].count(True) == 1
        assert len(await list_secrets(installation)) == 2
        assert (await remove_secrets(installation, "rimo", ORGANIZATION))["removed"] == 2
        assert await list_secrets(installation) == []


async def test_two_organizations_never_have_the_same_secret(settings: Settings) -> None:
    secret = new_secret()
    async with open_installation(settings) as installation:
        await add_secret(installation, "rimo", ORGANIZATION, secret)
        with pytest.raises(CommandFailed, match="in use"):
            await add_secret(installation, "rimo", OTHER_ORGANIZATION, secret)


async def test_mistakes_are_told_with_their_remedy(settings: Settings) -> None:
    async with open_installation(settings) as installation:
        with pytest.raises(CommandFailed, match="taken of: rimo"):
            await add_secret(installation, "acme", None, None)
        with pytest.raises(CommandFailed, match="no secret of webhooks: the secret has to be base64"):
            await add_secret(installation, "rimo", None, "whsec_?")
        with pytest.raises(CommandFailed, match="no organization"):
            await add_secret(installation, "rimo", "nowhere", None)
        with pytest.raises(CommandFailed, match="webhook add"):
            await rotate_secret(installation, "rimo", None, None, 24)
        with pytest.raises(CommandFailed, match="has no secret"):
            await remove_secrets(installation, "rimo", None)
        await add_secret(installation, "rimo", None, None)
        with pytest.raises(CommandFailed, match="webhook rotate"):
            await add_secret(installation, "rimo", None, None)


SAMPLE = Sample("order.shipped", "order-1", "rimo_1")


@pytest.mark.parametrize(
    ("secret", "sample", "told"),
    [
        ("whsec_short", SAMPLE, "no secret"),
        (SECRET, replace(SAMPLE, type="order.lost"), "order.created"),
        (SECRET, replace(SAMPLE, at="yesterday"), "an instant"),
        (SECRET, replace(SAMPLE, event_id="a\nb"), "visible ASCII"),
        (SECRET, SAMPLE, "No server answers at http://127.0.0.1:1/graph/webhooks/rimo"),
    ],
)
def test_what_cannot_be_sent_is_told_with_what_could_be(secret: str, sample: Sample, told: str) -> None:
    with pytest.raises(CommandFailed, match=told):
        send_event("http://127.0.0.1:1", secret, sample)
