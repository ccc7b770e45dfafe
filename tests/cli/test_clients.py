"""`fhir-server client`: what is registered, two secrets in rotation, clients switched off (`smart.md` R1, R2, R6)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from fhir_server.errors import Unauthenticated
from storage.repositories.platform import ClientRepository
from tests.cli.conftest import Command
from tests.cli.test_commands import _stored, bear, refused

ADD = ("client", "add", "--id", "app", "--scope", "openid launch/patient patient/*.rs")


def stored(url: str, client_id: str):
    return asyncio.run(_stored(url, ClientRepository, "get", client_id))


def test_smart_R1_everything_that_a_client_record_says_can_be_given(installed: Command):
    added = installed(
        *ADD,
        *("--type", "confidential", "--organization", "health-hub", "--name", "An App", "--publisher", "North Apps"),
        *("--redirect-uri", "https://app.example/cb", "--launch-uri", "https://app.example/launch"),
        *("--origin", "https://app.example", "--logo", "https://app.example/logo.png"),
        *("--required-scope", "openid patient/Patient.r", "--access-token-ttl", "600", "--refresh-token-ttl", "86400"),
        *("--partner", "--verified", "--may-introspect", "--json"),
    )
    assert added.status == 0, added.err
    facts = installed("client", "show", "app", "--json").json
    assert facts["publisher"] == "North Apps"
    assert facts["logo_uri"] == "https://app.example/logo.png"
    assert facts["required_scope"] == "openid patient/Patient.r"
    assert (facts["access_token_ttl"], facts["refresh_token_ttl"]) == (600, 86_400)
    assert [facts[name] for name in ("partner", "verified", "may_introspect", "native")] == [True, True, True, False]
    assert facts["organization"] == "health-hub"


def test_smart_R3_an_app_without_a_redirect_address_is_told_that_nobody_signs_in_through_it(installed: Command):
    told = "nobody can sign in through it"
    assert told in installed(*ADD, "--type", "public").err
    other = ("client", "add", "--id", "b", "--type", "public", "--scope", "openid")
    assert told not in installed(*other, "--redirect-uri", "https://app.example/cb").err
    service = ("client", "add", "--id", "c", "--type", "backend", "--scope", "system/*.rs")
    assert told not in installed(*service).err


def test_smart_R3_a_native_app_is_public(installed: Command):
    native = ("--redirect-uri", "http://127.0.0.1/cb", "--native")
    assert installed(*ADD, "--type", "public", *native).status == 0
    assert installed("client", "show", "app", "--json").json["native"] is True
    refused(
        installed("client", "add", "--id", "b", "--type", "confidential", "--scope", "openid", "--native"), "public"
    )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--may-introspect",), "introspect"),
        (("--required-scope", "user/*.rs"), "user/*.rs"),
        (("--required-scope", "patient/*.cruds"), "patient/*.cruds"),
        (("--required-scope", "profile"), "profile"),
        (("--access-token-ttl", "3601"), "3600"),
        (("--access-token-ttl", "-1"), "3600"),
        (("--refresh-token-ttl", "59"), "minute"),
        (("--logo", "http://app.example/logo.png"), "https"),
    ],
)
def test_smart_R1_what_cannot_be_is_refused_with_its_reason(installed: Command, options: tuple[str, ...], word: str):
    refused(installed(*ADD, "--type", "public", *options), word)


def test_smart_15_the_logo_of_a_file_is_kept_within_the_record(installed: Command, tmp_path: Path):
    picture, text = tmp_path / "logo.png", tmp_path / "logo.svg"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    text.write_text("<svg/>")
    assert installed(*ADD, "--type", "public", "--logo", str(picture)).status == 0
    assert installed("client", "show", "app", "--json").json["logo_uri"] == "data:image/png;base64,iVBORw0KGgo="
    refused(installed(*ADD, "--type", "public", "--logo", str(text)), "PNG")
    refused(installed(*ADD, "--type", "public", "--logo", str(tmp_path / "none.png")), "cannot be read")


def test_smart_B2_a_backend_client_has_no_longer_tokens(installed: Command):
    add = ("client", "add", "--id", "etl", "--type", "backend", "--scope", "system/*.rs")
    refused(installed(*add, "--access-token-ttl", "301"), "300")


def test_smart_R2_the_old_secret_stays_good_for_a_day_or_as_told(installed: Command, fresh_database_url: str):
    installed(*ADD, "--type", "confidential")
    first = stored(fresh_database_url, "app")
    assert installed("client", "rotate", "app").status == 0
    second = stored(fresh_database_url, "app")
    assert second.previous_secret == first.secret != second.secret
    assert abs(second.previous_secret_until - (time.time() + 86_400)) < 600
    told = installed("client", "rotate", "app", "--grace", "0", "--json").json
    third = stored(fresh_database_url, "app")
    assert told["previous_secret_until"] is None
    assert (third.previous_secret, third.previous_secret_until) == (None, None)


def test_smart_R6_tokens_die_with_a_client_that_is_disabled(installed: Command, fresh_database_url: str):
    installed("client", "add", "--id", "etl", "--type", "backend", "--scope", "system/*.rs")
    token = installed("token", "--client", "etl", "--scope", "system/*.rs").out.strip()
    assert bear(fresh_database_url, token)
    assert installed("client", "disable", "etl").status == 0
    with pytest.raises(Unauthenticated):
        bear(fresh_database_url, token)
    refused(installed("token", "--client", "etl", "--scope", "system/*.rs"), "not active")
    assert installed("client", "enable", "etl", "--json").json == {"id": "etl", "active": True}
    with pytest.raises(Unauthenticated):
        bear(fresh_database_url, token)
    refused(installed("client", "disable", "nobody"), "no client nobody")


def test_security_RL1_a_client_is_given_a_limit_and_loses_it_again(installed: Command):
    assert installed(*ADD, "--type", "public", "--rate-limit", "600").status == 0
    assert installed("client", "show", "app", "--json").json["rate_limit"] == 600
    assert installed("client", "rate-limit", "app", "--requests", "60", "--json").json["rate_limit"] == 60
    assert installed("client", "rate-limit", "app").status == 0
    assert installed("client", "show", "app", "--json").json["rate_limit"] is None
    refused(installed("client", "rate-limit", "nobody"), "no client nobody")
