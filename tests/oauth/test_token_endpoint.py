"""The token endpoint: redeeming codes and authenticating clients (`smart.md` §9, security OA-1, OA-4, OA-9)."""

from __future__ import annotations

import base64
import itertools
import time
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import select

from fhir_server.oauth.keys import KeyRing, NoSigningKey
from storage.engine import Database
from storage.tables.audit import rbac_logs
from storage.transaction import Change
from tests.conftest import ORGANIZATION
from tests.oauth.granting import (
    REDIRECT_URI,
    SCOPE,
    SECRET,
    Granted,
    Person,
    challenge_of,
    change_client,
    find_grant,
    grant,
    new_client,
    new_person,
    refresh_form,
    refused,
)
from tests.site import Site, site

__all__ = ["site"]


@pytest.fixture
async def granted(database: Database, person: Person) -> Granted:
    return await grant(database, await new_client(database), person)


def exchange(http: httpx.Client, granted: Granted, **changes: str | None) -> httpx.Response:
    return http.post("/oauth/token", data=granted.form(**changes))


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


async def confidential(database: Database, site: Site, person: Person, **facts: object) -> Granted:
    return await grant(database, await new_client(database, site.settings, type="confidential", **facts), person)


def test_smart_T1_T11_T12_a_public_client_exchanges_a_code(http: httpx.Client, site: Site, granted: Granted):
    answer = exchange(http, granted)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token", "patient"}
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == site.settings.access_token_ttl
    assert body["scope"] == SCOPE
    assert body["patient"] == granted.grant.patient


def test_smart_T12_the_access_token_says_what_was_granted(http: httpx.Client, site: Site, granted: Granted):
    token = exchange(http, granted).json()["access_token"]
    claims = jwt.decode(token, KeySet.import_key_set(site.ring.jwks()), algorithms=["RS384"]).claims
    assert claims["sub"] == granted.grant.user_id
    assert claims["client_id"] == granted.grant.client_id
    assert claims["grant"] == granted.grant.id
    assert claims["patient"] == granted.grant.patient
    assert claims["role"] == "PATIENT"
    assert claims["scope"] == SCOPE
    assert claims["exp"] - claims["iat"] == site.settings.access_token_ttl
    assert httpx.get(f"{site.base}/Patient", headers={"Authorization": f"Bearer {token}"}).status_code == 200


async def test_smart_O4_O7_an_id_token_comes_with_openid_only(database: Database, http: httpx.Client, person: Person):
    client = await new_client(database)
    asked = await grant(database, client, person, nonce="n-1", max_age=True)
    token = exchange(http, asked).json()["id_token"]
    keys = KeySet.import_key_set(http.get("/oauth/jwks").json())
    claims = jwt.decode(token, keys, algorithms=["RS256"]).claims
    assert claims["aud"] == client.id
    assert claims["sub"] == person.user.id
    assert claims["nonce"] == "n-1"
    assert claims["auth_time"] == asked.grant.authenticated_at
    assert claims["fhirUser"].endswith(f"/fhir/{asked.grant.fhir_user}")
    without = await grant(database, client, person, scope="launch/patient patient/*.rs")
    assert "id_token" not in exchange(http, without).json()


async def test_smart_F1_a_refresh_token_comes_with_offline_access_only(
    database: Database, http: httpx.Client, person: Person
):
    without = await grant(database, await new_client(database), person, scope="openid patient/*.rs")
    assert "refresh_token" not in exchange(http, without).json()


async def test_smart_T12_T13_T17_launch_context_is_answered(database: Database, http: httpx.Client, person: Person):
    context = {
        "fhirContext": [{"reference": "ImagingStudy/i1"}],
        "need_patient_banner": False,
        "intent": "summary",
        "smart_style_url": "https://ehr.example/style.json",
        "tenant": "north",
        "else": "is not told",
    }
    asked = await grant(database, await new_client(database), person, context=context, encounter="enc-1")
    body = exchange(http, asked).json()
    assert body["encounter"] == "enc-1"
    assert body["need_patient_banner"] is False
    assert body["fhirContext"] == [{"reference": "ImagingStudy/i1"}]
    assert body["intent"] == "summary"
    assert body["smart_style_url"] == "https://ehr.example/style.json"
    assert body["tenant"] == "north"
    assert "else" not in body
    assert "authorization_details" not in body  # T17


async def test_smart_R1_a_client_has_its_own_lifetime(database: Database, http: httpx.Client, person: Person):
    asked = await grant(database, await new_client(database, access_token_ttl=120), person)
    assert exchange(http, asked).json()["expires_in"] == 120


@pytest.mark.parametrize(
    "changes",
    [
        {"code": "unknown"},
        {"code": "x" * 5000},
        {"redirect_uri": None},
        {"redirect_uri": "https://app.example/callback"},
        {"redirect_uri": REDIRECT_URI + "&more=1"},
        {"code_verifier": None},
        {"code_verifier": ""},
        {"code_verifier": "w" * 43},
        {"code_verifier": "short"},
        {"code_verifier": "w" * 129},
    ],
    ids=lambda changes: "-".join(f"{name}={str(value)[:12]}" for name, value in changes.items()),
)
def test_smart_T6_a_wrong_code_redirect_or_verifier_is_400_invalid_grant(
    http: httpx.Client, granted: Granted, changes: dict[str, str | None]
):
    refused(exchange(http, granted, **changes), "invalid_grant")


def test_smart_T6_the_challenge_itself_is_no_verifier(http: httpx.Client, granted: Granted):
    refused(exchange(http, granted, code_verifier=challenge_of(granted.verifier)), "invalid_grant")


async def test_smart_T6_a_challenge_made_by_the_method_plain_is_refused(
    database: Database, http: httpx.Client, person: Person
):
    asked = await grant(database, await new_client(database), person, challenge="p" * 43)
    refused(exchange(http, asked, code_verifier="p" * 43), "invalid_grant")


async def test_smart_T6_an_expired_code_is_refused(database: Database, http: httpx.Client, person: Person):
    asked = await grant(database, await new_client(database), person, code_expires_at=int(time.time()) - 1)
    refused(exchange(http, asked), "invalid_grant")


async def test_smart_T6_another_clients_code_is_refused(database: Database, http: httpx.Client, granted: Granted):
    other = await new_client(database)
    refused(exchange(http, granted, client_id=other.id), "invalid_grant")


@pytest.mark.parametrize("wrong", [{"code_verifier": "w" * 43}, {"redirect_uri": "https://evil.example/"}])
def test_security_OA4_a_wrong_attempt_spends_the_code(
    http: httpx.Client, granted: Granted, wrong: dict[str, str | None]
):
    refused(exchange(http, granted, **wrong), "invalid_grant")
    refused(exchange(http, granted), "invalid_grant")


def test_smart_T6_an_unknown_client_is_401(http: httpx.Client, granted: Granted):
    refused(exchange(http, granted, client_id="nobody"), "invalid_client", 401)
    assert exchange(http, granted).status_code == 200, "the code is still good: it was nobody who asked"


def test_smart_T7_the_second_use_of_a_code_ends_everything_of_it(http: httpx.Client, site: Site, granted: Granted):
    first = exchange(http, granted).json()
    bearer = {"Authorization": f"Bearer {first['access_token']}"}
    assert httpx.get(f"{site.base}/Patient", headers=bearer).status_code == 200
    refused(exchange(http, granted), "invalid_grant")
    assert httpx.get(f"{site.base}/Patient", headers=bearer).status_code == 401
    renewal = refresh_form(granted.grant, first["refresh_token"], client_id=granted.grant.client_id)
    refused(http.post("/oauth/token", data=renewal), "invalid_grant")


async def test_smart_T7_the_second_use_counts_whoever_sends_it(
    database: Database, http: httpx.Client, granted: Granted
):
    assert exchange(http, granted).status_code == 200
    refused(exchange(http, granted, code_verifier="w" * 43), "invalid_grant")
    async with database.platform() as connection:
        found = await find_grant(connection, granted.grant.id)
    assert found is not None
    assert found.revoked_for == "code replayed"


async def test_smart_F8_a_code_is_worth_nothing_once_the_user_is_disabled_or_out(
    database: Database, http: httpx.Client
):
    from dataclasses import replace

    from storage.repositories.platform import UserOrganizationRepository, UserRepository

    client, disabled, out = await new_client(database), await new_person(database), await new_person(database)
    codes = [await grant(database, client, person) for person in (disabled, out)]
    async with database.platform() as connection:
        await UserRepository(connection).update(replace(disabled.user, is_active=False))
        await UserOrganizationRepository(connection).update(replace(out.membership, is_active=False))
    for each in codes:
        refused(exchange(http, each), "invalid_grant")


async def test_smart_R6_a_disabled_client_is_401(database: Database, http: httpx.Client, granted: Granted):
    client = await new_client(database)
    await change_client(database, client, is_active=False)
    refused(exchange(http, granted, client_id=client.id), "invalid_client", 401)


@pytest.mark.parametrize("grant_type", ["password", "implicit", "urn:ietf:params:oauth:grant-type:device_code", "x"])
def test_smart_T8_security_OA1_other_grant_types_are_unsupported(http: httpx.Client, grant_type: str):
    refused(http.post("/oauth/token", data={"grant_type": grant_type}), "unsupported_grant_type")


@pytest.mark.parametrize("grant_type", [None, ""])
def test_smart_T8_a_request_without_grant_type_is_invalid(http: httpx.Client, granted: Granted, grant_type: str | None):
    refused(exchange(http, granted, grant_type=grant_type), "invalid_request")


def test_smart_T1_a_request_without_code_is_invalid(http: httpx.Client, granted: Granted):
    refused(exchange(http, granted, code=None), "invalid_request")


@pytest.mark.parametrize("name", ["code", "client_id", "code_verifier", "redirect_uri", "grant_type"])
def test_smart_T14_a_repeated_parameter_is_refused(http: httpx.Client, granted: Granted, name: str):
    form = [*granted.form().items(), (name, granted.form()[name])]
    body = "&".join(f"{key}={quote(value, safe='')}" for key, value in form)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    refused(http.post("/oauth/token", content=body, headers=headers), "invalid_request")


def test_smart_T14_parameters_in_the_query_are_refused(http: httpx.Client, granted: Granted):
    refused(http.post("/oauth/token?client_id=x", data=granted.form()), "invalid_request")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_smart_T14_other_methods_are_405(http: httpx.Client, method: str):
    assert http.request(method, "/oauth/token").status_code == 405


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x", "text/plain"])
def test_smart_T1_other_content_types_are_refused(http: httpx.Client, granted: Granted, content_type: str):
    refused(http.post("/oauth/token", content=b"{}", headers={"Content-Type": content_type}), "invalid_request")


@pytest.mark.parametrize(
    "body", [b"\xff=1", b"grant_type=%ff", b"client_id=%00", b"a" * 70_000, b"&".join([b"a=1"] * 2000)]
)
def test_smart_T14_bodies_that_cannot_be_read_are_invalid_requests(http: httpx.Client, body: bytes):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    refused(http.post("/oauth/token", content=body, headers=headers), "invalid_request")


async def test_smart_T2_a_public_client_has_no_secret(http: httpx.Client, granted: Granted):
    client_id = granted.grant.client_id
    refused(exchange(http, granted, client_secret="x"), "invalid_client", 401)
    refused(http.post("/oauth/token", data=granted.form(), headers=basic(client_id, "x")), "invalid_client", 401)
    refused(http.post("/oauth/token", data=granted.form(), headers=basic(client_id, "")), "invalid_client", 401)


async def test_smart_T3_a_confidential_client_sends_its_secret_by_basic(
    database: Database, http: httpx.Client, site: Site, person: Person
):
    asked = await confidential(database, site, person)
    form = asked.form(client_id=None)
    answer = http.post("/oauth/token", data=form, headers=basic(asked.grant.client_id, SECRET))
    assert answer.status_code == 200, answer.text


async def test_smart_T3_the_secret_may_be_form_encoded(
    database: Database, http: httpx.Client, site: Site, person: Person
):
    asked = await confidential(database, site, person)
    headers = basic(
        quote(asked.grant.client_id, safe="").replace("-", "%2D"), quote(SECRET, safe="").replace("%20", "+")
    )
    answer = http.post("/oauth/token", data=asked.form(), headers=headers)
    assert answer.status_code == 200, answer.text


async def test_smart_T5_a_confidential_client_may_not_come_without_its_secret(
    database: Database, http: httpx.Client, site: Site, person: Person
):
    asked = await confidential(database, site, person)
    refused(exchange(http, asked), "invalid_client", 401)


async def test_smart_T3_a_secret_in_the_body_is_refused(
    database: Database, http: httpx.Client, site: Site, person: Person
):
    asked = await confidential(database, site, person)
    refused(exchange(http, asked, client_secret=SECRET), "invalid_client", 401)


async def test_smart_T3_two_ways_at_once_are_refused(
    database: Database, http: httpx.Client, site: Site, person: Person
):
    asked = await confidential(database, site, person)
    headers = basic(asked.grant.client_id, SECRET)
    refused(http.post("/oauth/token", data=asked.form(client_secret=SECRET), headers=headers), "invalid_request")
    refused(http.post("/oauth/token", data=asked.form(client_assertion="x.y.z"), headers=headers), "invalid_request")
    refused(exchange(http, asked, client_secret=SECRET, client_assertion="x.y.z"), "invalid_request")


async def test_smart_T3_a_client_id_in_the_body_has_to_be_the_same(
    database: Database, http: httpx.Client, site: Site, person: Person
):
    asked = await confidential(database, site, person)
    headers = basic(asked.grant.client_id, SECRET)
    refused(http.post("/oauth/token", data=asked.form(client_id="another"), headers=headers), "invalid_client", 401)


async def test_smart_T10_basic_that_failed_is_challenged_with_basic(
    database: Database, http: httpx.Client, site: Site, person: Person
):
    asked = await confidential(database, site, person)
    for headers in (basic(asked.grant.client_id, "wrong"), basic("nobody", "x"), {"Authorization": "Basic !"}):
        answer = http.post("/oauth/token", data=asked.form(), headers=headers)
        refused(answer, "invalid_client", 401)
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    without = exchange(http, asked)
    refused(without, "invalid_client", 401)
    assert "WWW-Authenticate" not in without.headers


async def test_smart_T10_a_bearer_is_no_client(http: httpx.Client, site: Site, granted: Granted):
    headers = {"Authorization": f"Bearer {site.token()}"}
    refused(http.post("/oauth/token", data=granted.form(), headers=headers), "invalid_client", 401)


@pytest.mark.parametrize("client_id", ["", "é", "a b", "x" * 300])
def test_smart_T6_names_that_no_client_can_have_are_unknown_clients(
    http: httpx.Client, granted: Granted, client_id: str
):
    refused(exchange(http, granted, client_id=client_id), "invalid_client", 401)


async def test_smart_R2_two_secrets_are_good_during_rotation(
    database: Database, http: httpx.Client, site: Site, person: Person
):
    from fhir_server.oauth.passwords import CLIENT_SECRETS, hash_client_secret

    pepper = site.settings.derive(CLIENT_SECRETS)
    facts = {
        "type": "confidential",
        "secret": hash_client_secret(pepper, "the new one"),
        "previous_secret": hash_client_secret(pepper, "the old one"),
    }
    until = int(time.time()) + 3600
    client = await new_client(database, site.settings, previous_secret_until=until, **facts)
    for secret in ("the new one", "the old one"):
        asked = await grant(database, client, person)
        answer = http.post("/oauth/token", data=asked.form(), headers=basic(client.id, secret))
        assert answer.status_code == 200, answer.text
    await change_client(database, client, previous_secret_until=int(time.time()) - 1)
    asked = await grant(database, client, person)
    headers = basic(client.id, "the old one")
    refused(http.post("/oauth/token", data=asked.form(), headers=headers), "invalid_client", 401)


async def test_smart_T16_wrong_secrets_have_to_wait_and_others_do_not(
    database: Database, http: httpx.Client, site: Site, person: Person
):
    asked = await confidential(database, site, person)
    headers = basic(asked.grant.client_id, "wrong")
    for _ in range(6):
        refused(http.post("/oauth/token", data=asked.form(), headers=headers), "invalid_client", 401)
    right = http.post("/oauth/token", data=asked.form(), headers=basic(asked.grant.client_id, SECRET))
    refused(right, "slow_down", 429)
    assert 0 < int(right.headers["Retry-After"]) <= 4
    other = await confidential(database, site, person)
    answer = http.post("/oauth/token", data=other.form(), headers=basic(other.grant.client_id, SECRET))
    assert answer.status_code == 200


async def test_smart_T16_unknown_clients_are_compared_with_a_secret_too(
    monkeypatch: pytest.MonkeyPatch, http: httpx.Client, granted: Granted
):
    from fhir_server.oauth import client_auth

    compared: list[str] = []
    real = client_auth.client_secret_fits

    def watched(pepper: bytes, secret: str, stored: str) -> bool:
        compared.append(stored)
        return real(pepper, secret, stored)

    monkeypatch.setattr(client_auth, "client_secret_fits", watched)
    headers = basic("nobody-at-all", "x")
    refused(http.post("/oauth/token", data=granted.form(), headers=headers), "invalid_client", 401)
    assert compared == [client_auth.NOBODY] * 2


async def test_smart_T5_a_backend_client_has_no_codes(
    database: Database, http: httpx.Client, site: Site, person: Person, monkeypatch: pytest.MonkeyPatch
):
    from fhir_server.oauth import client_auth

    backend = await new_client(database, site.settings, type="backend", scope="system/*.rs")

    async def known(_service: object, _form: object) -> object:
        return backend

    monkeypatch.setattr(client_auth, "client_of_assertion", known)
    asked = await grant(database, backend, person)
    refused(exchange(http, asked, client_assertion="x"), "unauthorized_client")


async def test_smart_T5_other_clients_have_no_client_credentials(
    database: Database, http: httpx.Client, site: Site, person: Person
):
    asked = await confidential(database, site, person)
    form = {"grant_type": "client_credentials", "scope": "system/*.rs"}
    headers = basic(asked.grant.client_id, SECRET)
    refused(http.post("/oauth/token", data=form, headers=headers), "unauthorized_client")


async def test_security_OA7_neither_code_nor_refresh_token_is_an_access_token(
    http: httpx.Client, site: Site, granted: Granted
):
    bearer = {"Authorization": f"Bearer {granted.code}"}
    assert httpx.get(f"{site.base}/Patient", headers=bearer).status_code == 401
    token = exchange(http, granted).json()["refresh_token"]
    assert httpx.get(f"{site.base}/Patient", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_smart_T1_a_code_is_redeemed_though_the_clock_ticks_meanwhile(
    monkeypatch: pytest.MonkeyPatch, http: httpx.Client, granted: Granted
):
    from fhir_server.oauth.service import OAuthService

    ticks = itertools.count(int(time.time()))
    monkeypatch.setattr(OAuthService, "seconds", property(lambda _service: next(ticks)))
    answer = exchange(http, granted)
    assert answer.status_code == 200, answer.text
    renewal = refresh_form(granted.grant, answer.json()["refresh_token"], client_id=granted.grant.client_id)
    assert http.post("/oauth/token", data=renewal).status_code == 200


async def test_smart_T16_codes_that_are_none_have_to_wait_in_the_end_and_a_right_one_clears(
    database: Database, http: httpx.Client, granted: Granted, person: Person
):
    client_id = granted.grant.client_id
    for _ in range(49):
        refused(exchange(http, granted, code="guess"), "invalid_grant")
    assert exchange(http, granted).status_code == 200
    for _ in range(51):
        refused(exchange(http, granted, code="guess"), "invalid_grant")
    waiting = exchange(http, granted, code="guess")
    refused(waiting, "slow_down", 429)
    assert 0 < int(waiting.headers["Retry-After"]) <= 4
    other = await grant(database, await new_client(database), person)
    assert other.grant.client_id != client_id
    assert exchange(http, other).status_code == 200


async def test_security_AD2_tokens_are_on_record_and_nothing_secret_is(
    database: Database, http: httpx.Client, granted: Granted
):
    body = exchange(http, granted).json()
    refused(exchange(http, granted), "invalid_grant")
    async with database.begin(ORGANIZATION, Change("tests", "tests", "tests")) as unit:
        found = await unit.connection.execute(select(rbac_logs).where(rbac_logs.c.grant_id == granted.grant.id))
        rows = [row._mapping for row in found]
    said = [(row["resource"], row["interaction"], row["outcome"], row["actor_id"]) for row in rows]
    assert said == [
        ("access_token", "code", "allowed", granted.grant.user_id),
        ("access_token", "replay", "denied", granted.grant.client_id),
    ]
    assert all(row["client_id"] == granted.grant.client_id for row in rows)
    written = str(rows)
    secrets = (granted.code, granted.verifier, body["access_token"], body["refresh_token"], body["id_token"])
    assert not any(secret in written for secret in secrets)


def test_security_PH1_neither_codes_nor_tokens_are_logged(
    http: httpx.Client, granted: Granted, capfd: pytest.CaptureFixture[str]
):
    body = exchange(http, granted).json()
    refused(exchange(http, granted), "invalid_grant")
    out, err = capfd.readouterr()
    assert "code replayed" in out + err
    for secret in (granted.code, granted.verifier, body["access_token"], body["refresh_token"]):
        assert secret not in out + err


FIELDS = ("grant_type", "code", "redirect_uri", "code_verifier", "client_id", "client_secret", "refresh_token", "scope")
ANYTHING = st.text(st.characters(codec="utf-8"), max_size=40)


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/oauth/revoke"])
def test_security_IN2_whatever_is_sent_is_refused_in_the_words_of_oauth(http: httpx.Client, path: str):
    values = st.one_of(ANYTHING, st.sampled_from(["authorization_code", "refresh_token", "client_credentials"]))

    @settings(max_examples=60, deadline=None)
    @given(
        form=st.dictionaries(st.sampled_from([*FIELDS, "token", "client_assertion", "client_assertion_type"]), values),
        credentials=st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    )
    def refuse_all(form: dict[str, str], credentials: str | None) -> None:
        headers = {}
        if credentials is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()
        answer = http.post(path, data=form, headers=headers)
        assert answer.status_code in {400, 401, 429}, (answer.status_code, answer.text)
        assert set(answer.json()) == {"error", "error_description"}

    refuse_all()


@pytest.mark.parametrize(
    "header", ["Basic", "Basic =", "basic é", "Basic Og==", "Basic 6Q==", "Digest x", "", "Bearer"]
)
def test_smart_T10_headers_that_are_no_credentials_are_401(http: httpx.Client, granted: Granted, header: str):
    answer = http.post("/oauth/token", data=granted.form(), headers={"Authorization": header.encode()})
    refused(answer, "invalid_client", 401)


def test_smart_T3_two_authorization_headers_are_refused(http: httpx.Client, granted: Granted):
    headers = [("Authorization", "Basic eDp5"), ("Authorization", "Basic eDp5")]
    refused(http.post("/oauth/token", data=granted.form(), headers=headers), "invalid_request")


ORIGIN = "https://browser-app.example"


async def test_smart_T15_a_browser_app_reads_the_answer_from_its_registered_origin(
    database: Database, http: httpx.Client, person: Person
):
    client = await new_client(database, origins=(ORIGIN,))
    asking = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    until = time.monotonic() + 30
    while http.options("/oauth/token", headers=asking).headers.get("Access-Control-Allow-Origin") != ORIGIN:
        assert time.monotonic() < until, "the origin is not known"
        time.sleep(0.1)
    preflight = http.options("/oauth/token", headers=asking)
    assert preflight.status_code in {200, 204}
    allowed = preflight.headers["Access-Control-Allow-Headers"].lower()
    assert "authorization" in allowed
    assert "content-type" in allowed
    asked = await grant(database, client, person)
    good = http.post("/oauth/token", data=asked.form(), headers={"Origin": ORIGIN})
    bad = http.post("/oauth/token", data=asked.form(), headers={"Origin": ORIGIN})
    assert (good.status_code, bad.status_code) == (200, 400)
    for answer in (good, bad):
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
    stranger = http.post("/oauth/token", data=asked.form(), headers={"Origin": "https://stranger.example"})
    assert "Access-Control-Allow-Origin" not in stranger.headers


def test_security_KY1_without_a_key_to_sign_with_nothing_is_spent(
    monkeypatch: pytest.MonkeyPatch, http: httpx.Client, granted: Granted
):
    def none(_ring: KeyRing) -> object:
        raise NoSigningKey("there is no active signing key")

    with monkeypatch.context() as patched:
        patched.setattr(KeyRing, "signing_key", none)
        answer = exchange(http, granted)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert "Retry-After" in answer.headers
    assert exchange(http, granted).status_code == 200
