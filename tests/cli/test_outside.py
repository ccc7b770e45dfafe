"""Commands about whoever comes from outside: apps that register themselves, and accounts at other issuers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage.authorization.linked_accounts import Account, user_of_account
from storage.authorization.registration_tokens import registering_organization
from tests.cli.conftest import Command
from tests.cli.test_people import EMAIL, audited, done, in_database, pat, signed_in, tokens_revoked

__all__ = ["pat"]
CLERK = {
    "name": "clerk",
    "title": "Clerk",
    "issuer": "https://clerk.example",
    "client_id": "us",
    "organization": "loop-health",
}


def test_security_OA14_a_registration_token_is_made_where_registration_is_on(
    installed: Command, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
):
    refused = installed("client", "registration-token")
    assert refused.status == 1
    assert "FHIR_SERVER_REGISTRATION" in refused.err
    monkeypatch.setenv("FHIR_SERVER_REGISTRATION", "token")
    made = done(installed("client", "registration-token", "--organization", "health-hub", "--ttl", "60", "--json"))
    assert (made["organization"], made["expires_in"]) == ("health-hub", 60)
    assert made["registration_endpoint"] == "http://127.0.0.1:8000/oauth/register"

    async def owner(connection):
        return await registering_organization(connection, made["registration_token"], 0)

    assert in_database(fresh_database_url, owner) == "health-hub"
    exported = installed("audit", "export", "--organization", "health-hub").out
    assert "registration-token" in exported
    assert made["registration_token"] not in exported
    assert installed("client", "registration-token", "--organization", "nowhere").status == 1


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "providers.json"
    path.write_text(json.dumps([CLERK]))
    monkeypatch.setenv("FHIR_SERVER_IDENTITY_PROVIDERS", str(path))


@pytest.mark.usefixtures("trusted")
def test_an_account_elsewhere_is_linked_and_unlinked(installed: Command, fresh_database_url: str, pat: str):
    account = ("user", "account")
    linked = done(installed(*account, "add", EMAIL, "--provider", "clerk", "--subject", "user_1", "--json"))
    assert linked == {"email": EMAIL, "provider": "clerk", "subject": "user_1"}

    async def known(connection):
        found = await user_of_account(connection, Account("clerk", "user_1"))
        return None if found is None else found.id

    assert in_database(fresh_database_url, known) == pat
    assert installed(*account, "add", EMAIL, "--provider", "clerk", "--subject", "user_1").status == 1
    assert signed_in(fresh_database_url)
    done(installed(*account, "remove", EMAIL, "--provider", "clerk", "--json"))
    assert in_database(fresh_database_url, known) is None
    assert not signed_in(fresh_database_url)
    assert tokens_revoked(fresh_database_url, pat)
    assert installed(*account, "remove", EMAIL, "--provider", "clerk").status == 1
    assert sum("account-" in line for line in audited(installed)) == 2


def test_a_faulty_file_of_issuers_is_told_before_anything_is_listened_to(
    installed: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "faulty.json"
    path.write_text(json.dumps([{**CLERK, "client_secret": "very-secret-words", "rolls": {}}]))
    monkeypatch.setenv("FHIR_SERVER_IDENTITY_PROVIDERS", str(path))
    refused = installed("serve", "--port", "0")
    assert refused.status == 1
    assert "FHIR_SERVER_IDENTITY_PROVIDERS" in refused.err
    assert "rolls" in refused.err
    assert "very-secret-words" not in refused.err + refused.out


@pytest.mark.usefixtures("trusted", "pat")
@pytest.mark.parametrize(
    ("email", "provider", "subject"),
    [("nobody@example.org", "clerk", "u"), (EMAIL, "other", "u"), (EMAIL, "clerk", ""), (EMAIL, "clerk", "a\nb")],
)
def test_an_account_that_cannot_be_linked(installed: Command, email: str, provider: str, subject: str):
    refused = installed("user", "account", "add", email, "--provider", provider, "--subject", subject)
    assert refused.status == 1
    assert refused.err.startswith("Error: ")
