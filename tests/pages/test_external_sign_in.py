"""Signing in through another OpenID Connect issuer (issue 6 point 2; smart.md section 16)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit
from uuid import uuid4

import pytest
from joserfc.jwk import RSAKey
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from fhir_server.settings import Settings
from storage.authorization.linked_accounts import Account, link_account, user_of_account
from storage.engine import create_database
from storage.repositories.entities import User
from storage.repositories.platform import UserOrganizationRepository, UserRepository
from storage.rls import ROLE
from storage.tables.audit import rbac_logs
from storage.tables.platform import user_organizations
from storage.transaction import Change
from tests.conftest import ORGANIZATION, new_database_url
from tests.oauth.test_assertions import signed
from tests.pages.apps import App, add_app
from tests.pages.forms import Browser, Page
from tests.pages.people import PASSWORD, add_user, in_database
from tests.site import Site, running_site

KEY = RSAKey.generate_key(2048, private=True)
OTHER_KEY = RSAKey.generate_key(2048, private=True)
SECRET = "s3cret +/%"


@dataclass
class Elsewhere:
    """An issuer of the test's own, over HTTP: it says of a code what the test put there."""

    address: str = ""
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the token endpoint answers for a code."""
    challenges: dict[str, str] = field(default_factory=dict)
    down: bool = False

    def metadata(self) -> dict[str, Any]:
        names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
        return {"issuer": self.address, **{name: f"{self.address}/{path}" for name, path in names.items()}}

    def token(self, form: dict[str, str], authorization: str | None) -> tuple[int, dict[str, Any]]:
        """Answer as a strict issuer does: who asks, the verifier, and each code once."""
        said = base64.b64decode((authorization or "").partition(" ")[2]).decode()
        client_id, _, secret = said.partition(":")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        code = form.get("code", "")
        known = self.challenges.pop(code, None) == challenge.rstrip(b"=").decode()
        if self.down:
            return 500, {}
        if (unquote_plus(client_id), unquote_plus(secret)) != ("us", SECRET):
            return 401, {"error": "invalid_client"}
        if not known or not form.get("redirect_uri", "").endswith("/sign-in/from/elsewhere"):
            return 400, {"error": "invalid_grant"}
        return 200, self.answers.pop(code)


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    made = Elsewhere()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys = {"keys": [{**KEY.as_dict(private=False), "kid": "k"}]}
            self.say(200, keys if self.path == "/jwks" else made.metadata())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.say(*made.token(dict(parse_qsl(body)), self.headers["Authorization"]))

        def say(self, status: int, document: dict[str, Any]) -> None:
            text = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def site(database_url: str, elsewhere: Elsewhere, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that trusts the issuer, by three names: for people it knows, by e-mail, and for everybody."""
    common = {
        "title": "Elsewhere <b>",
        "client_id": "us",
        "client_secret": SECRET,
        "organization": ORGANIZATION,
        "roles": {"admin": "ORG_ADMIN", "provider": "CLINICIAN"},
        "claims": {"role": "publicMetadata.adminRole"},
        "issuer": elsewhere.address,
    }
    path = tmp_path_factory.mktemp("providers") / "providers.json"
    path.write_text(json.dumps([{**common, "name": "elsewhere"}, *_strangers(common)]))
    with running_site(database_url, identity_providers=path, allow_private_jwks=True) as made:
        yield made


def _strangers(common: dict[str, Any]) -> list[dict[str, Any]]:
    away = {**common, "name": "away", "title": "Away", "issuer": "http://127.0.0.1:9"}
    tokens_only = {**common, "name": "tokens", "issuer": "https://tokens.example", "audience": "api"}
    return [away, {name: value for name, value in tokens_only.items() if not name.startswith("client")}]


@dataclass
class Way:
    """One browser's way to the issuer and back."""

    site: Site
    elsewhere: Elsewhere
    browser: Browser
    asked: dict[str, str] = field(default_factory=dict)

    def go(self, next_path: str = "/account", **more: str) -> Way:
        return self.follow(f"/sign-in/with/elsewhere?{urlencode({'next': next_path, **more})}")

    def follow(self, address: str) -> Way:
        page = self.browser.get(address)
        assert page.away is not None, page.text
        assert page.away.startswith(f"{self.elsewhere.address}/authorize?")
        pairs = parse_qs(urlsplit(page.away).query)
        assert all(len(values) == 1 for values in pairs.values())
        self.asked = {name: values[0] for name, values in pairs.items()}
        return self

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        made = {
            "iss": self.elsewhere.address,
            "sub": "nobody",
            "aud": "us",
            "iat": now,
            "exp": now + 60,
            "nonce": self.asked["nonce"],
        }
        return {name: value for name, value in {**made, **changes}.items() if value is not ...}

    def back(self, claims: dict[str, Any], key: RSAKey = KEY, kid: str = "k", **more: str | None) -> Page:
        """Come back with a code for which the issuer gives an identity token."""
        return self.come(self.code({"id_token": signed(claims, key, "RS256", kid)}), **more)

    def code(self, answer: dict[str, Any]) -> str:
        code = secrets.token_urlsafe(8)
        self.elsewhere.answers[code] = answer
        self.elsewhere.challenges[code] = self.asked["code_challenge"]
        return code

    def come(self, code: str | None, **more: str | None) -> Page:
        fields = {"code": code, "state": self.asked["state"], **more}
        sent = {name: value for name, value in fields.items() if value is not None}
        return self.browser.get(f"/sign-in/from/elsewhere?{urlencode(sent)}")


@pytest.fixture
def browsers() -> Iterator[Callable[[Site], Browser]]:
    """Make browsers that know nothing yet."""
    made: list[Browser] = []

    def make(site: Site) -> Browser:
        made.append(Browser(site.settings.base_url))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def way(site: Site, elsewhere: Elsewhere, browsers: Callable[[Site], Browser]) -> Way:
    return Way(site, elsewhere, browsers(site))


def link(url: str, user: User, subject: str, provider: str = "elsewhere") -> None:
    async def insert(connection: AsyncConnection) -> None:
        assert await link_account(connection, uuid4().hex, Account(provider, subject), user.id)

    in_database(url, insert)


def linked(site: Site, **more: Any) -> tuple[User, str]:
    """Add somebody who is linked with an account; return the account's subject."""
    user, subject = add_user(site.settings.database_url, **more), secrets.token_hex(8)
    link(site.settings.database_url, user, subject)
    return user, subject


def refused(page: Page) -> str:
    assert page.status == 403, (page.status, page.text)
    assert page.heading == "You were not signed in"
    return page.text


def signed_in_as(browser: Browser) -> str | None:
    """Return the text of the account page; None when it asks to sign in."""
    page = browser.get("/account")
    return None if page.path == "/sign-in" else page.text


def test_the_sign_in_page_names_the_issuers_through_which_people_may_sign_in(way: Way):
    page = way.browser.get("/sign-in?next=/account/apps")
    assert page.links["Sign in with Elsewhere <b>"] == "/sign-in/with/elsewhere?next=%2Faccount%2Fapps"
    assert "Elsewhere <b>" not in page.html
    assert not any("tokens" in address for address in page.links.values())
    assert list(page.faults()) == []


def test_somebody_who_is_linked_signs_in_by_the_issuers_word(way: Way):
    user, subject = linked(way.site)
    page = way.go("/account/apps").back(way.claims(sub=subject))
    assert (page.status, page.path) == (200, "/account/apps")
    assert user.email in (signed_in_as(way.browser) or "")
    actor = _audited(way.site, user.id)
    assert ("session", "sign-in", "allowed") in actor


def _audited(site: Site, actor: str) -> list[tuple[str, str, str]]:
    """Return what the organization's trail has of somebody: resource, interaction, outcome."""

    async def found() -> list[tuple[str, str, str]]:
        columns = (rbac_logs.c.resource, rbac_logs.c.interaction, rbac_logs.c.outcome)
        database = create_database(site.settings.database_url, role=ROLE)
        await database.open()
        try:
            async with database.begin(ORGANIZATION, Change("tester", "tests", "test")) as unit:
                rows = await unit.connection.execute(select(*columns).where(rbac_logs.c.actor_id == actor))
                return [tuple(row) for row in rows]
        finally:
            await database.close()

    return asyncio.run(found())


def test_smart_A12_an_apps_request_goes_on_after_signing_in_elsewhere(way: Way):
    _, subject = linked(way.site)
    app = App(way.site, add_app(way.site.settings.database_url, name="Growth charts"))
    page = way.browser.get(app.address("openid fhirUser"))
    assert page.path == "/sign-in"
    page = way.follow(page.links["Sign in with Elsewhere <b>"]).back(way.claims(sub=subject))
    assert page.path.startswith("/authorize/"), page.text
    assert "Growth charts" in page.text
    assert app.tokens(way.browser.press(page, "Allow"))["id_token"]


def test_what_is_asked_of_the_issuer(way: Way):
    asked = way.go().asked
    assert asked["response_type"] == "code"
    assert asked["client_id"] == "us"
    assert asked["redirect_uri"] == f"{way.site.settings.base_url}/sign-in/from/elsewhere"
    assert asked["code_challenge_method"] == "S256"
    assert (len(asked["code_challenge"]), len(asked["nonce"])) == (43, 43)
    assert asked["scope"] == "openid email profile"
    assert not {"prompt", "max_age"} & asked.keys()
    again = way.go().asked
    assert all(asked[name] != again[name] for name in ("state", "nonce", "code_challenge"))
    assert "account" not in base64.b64decode(asked["state"].split(":")[-1]).decode("latin-1")


def test_smart_16_the_browser_gets_a_new_cookie_at_sign_in(way: Way):
    _, subject = linked(way.site)
    way.go()
    before = dict(way.browser.client.cookies)
    way.back(way.claims(sub=subject))
    after = dict(way.browser.client.cookies)
    assert before.keys() == after.keys()
    assert before != after


def test_smart_16_login_CSRF_another_browser_cannot_end_what_one_began(way: Way, browsers: Callable[[Site], Browser]):
    _, subject = linked(way.site)
    other = Way(way.site, way.elsewhere, browsers(way.site))
    other.go()
    way.go()
    code = way.code({"id_token": signed(way.claims(sub=subject), KEY, "RS256", "k")})
    for browser in (other.browser, browsers(way.site)):
        page = browser.get(f"/sign-in/from/elsewhere?{urlencode({'code': code, 'state': way.asked['state']})}")
        refused(page)
        assert signed_in_as(browser) is None


@pytest.mark.parametrize("state", [None, "", "x", "v1:a:b:c", "é", "v1:00000000:AAAA:AAAA", "a" * 5000])
def test_a_state_that_we_did_not_make_is_refused(way: Way, state: str | None):
    _, subject = linked(way.site)
    way.go()
    refused(way.back(way.claims(sub=subject), state=state))


def test_an_altered_state_is_refused(way: Way):
    _, subject = linked(way.site)
    version, kid, nonce, text = way.go().asked["state"].split(":")
    altered = text[:-6] + ("A" if text[-6] != "A" else "B") + text[-5:]
    refused(way.back(way.claims(sub=subject), state=f"{version}:{kid}:{nonce}:{altered}"))


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": ...},
        {"nonce": "another"},
        {"nonce": 5},
        {"aud": "another"},
        {"aud": ...},
        {"aud": ["us", "another"]},
        {"azp": "another"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"exp": ...},
        {"iat": 10**12},
        {"sub": ...},
        {"sub": 5},
    ],
)
def test_an_identity_token_that_was_not_made_for_this_sign_in_is_refused(way: Way, change: dict[str, Any]):
    _, subject = linked(way.site)
    refused(way.go().back(way.claims(**{"sub": subject, **change})))
    assert signed_in_as(way.browser) is None


def test_several_audiences_are_taken_with_us_as_the_authorized_party(way: Way):
    _, subject = linked(way.site)
    assert way.go().back(way.claims(sub=subject, aud=["us", "another"], azp="us")).status == 200


def test_an_identity_token_that_the_issuer_did_not_sign_is_refused(way: Way):
    _, subject = linked(way.site)
    refused(way.go().back(way.claims(sub=subject), OTHER_KEY))
    refused(way.go().back(way.claims(sub=subject), kid="other"))
    head, body, _ = signed(way.go().claims(sub=subject), KEY, "RS256", "k").split(".")
    refused(way.come(way.code({"id_token": f"{head}.{body}.AAAA"})))
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"k"}').rstrip(b"=").decode()
    refused(way.come(way.code({"id_token": f"{none}.{body}."})))


@pytest.mark.parametrize("answer", [{}, {"id_token": None}, {"id_token": 5}, {"access_token": "x"}])
def test_an_answer_without_an_identity_token_is_refused(way: Way, answer: dict[str, Any]):
    refused(way.come(way.go().code(answer)))


def test_a_code_that_the_issuer_does_not_know_is_refused(way: Way):
    refused(way.go().come("unknown"))


def test_a_code_counts_once(way: Way):
    _, subject = linked(way.site)
    code = way.go().code({"id_token": signed(way.claims(sub=subject), KEY, "RS256", "k")})
    assert way.come(code).status == 200
    refused(way.come(code))


def test_a_refusal_there_is_told(way: Way):
    text = refused(way.go().come(None, error="access_denied", error_description="<script>x</script>"))
    assert "You did not sign in at Elsewhere" in text
    assert "script" not in text


def test_smart_16_mix_up_the_answer_of_another_issuer_is_refused(way: Way):
    _, subject = linked(way.site)
    refused(way.go().back(way.claims(sub=subject), iss="https://evil.example"))
    assert way.go().back(way.claims(sub=subject), iss=way.elsewhere.address).status == 200


def test_a_repeated_parameter_is_refused(way: Way):
    way.go()
    page = way.browser.get(f"/sign-in/from/elsewhere?state={way.asked['state']}&code=a&code=b")
    assert page.status == 400


@pytest.mark.parametrize("path", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_smart_16_nobody_is_sent_to_another_site_afterwards(way: Way, path: str):
    _, subject = linked(way.site)
    page = way.go(path).back(way.claims(sub=subject))
    assert (page.away, page.path) == (None, "/account")


def test_somebody_who_is_not_known_here_is_refused_and_nothing_is_made(way: Way):
    page = way.go().back(way.claims(sub="stranger", email="stranger@example.org", email_verified=True))
    assert "opens nothing here" in refused(page)
    assert _user(way.site, "stranger@example.org") is None


def test_an_e_mail_address_alone_links_nobody(way: Way):
    user = add_user(way.site.settings.database_url)
    refused(way.go().back(way.claims(sub="thief", email=user.email, email_verified=True)))


def test_somebody_who_is_disabled_here_is_refused(way: Way):
    _, subject = linked(way.site, is_active=False)
    refused(way.go().back(way.claims(sub=subject)))
    assert signed_in_as(way.browser) is None


def test_a_second_factor_that_somebody_has_here_is_still_asked_for(way: Way):
    _, subject = linked(way.site, mfa_enabled=True, mfa_secret="sealed")
    page = way.go().back(way.claims(sub=subject))
    assert page.path == "/sign-in/code"
    assert way.browser.get("/account").path == "/sign-in/code" or signed_in_as(way.browser) is None


def test_a_fresh_sign_in_asks_the_issuer_to_ask_again_and_is_proved_by_it(way: Way):
    _, subject = linked(way.site)
    asked = way.go(fresh="1").asked
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")
    refused(way.back(way.claims(sub=subject)))
    refused(way.go(fresh="1").back(way.claims(sub=subject, auth_time=int(time.time()) - 301)))
    assert way.go(fresh="1").back(way.claims(sub=subject, auth_time=int(time.time()))).status == 200


def test_unknown_issuers_and_those_for_tokens_alone_have_no_page(way: Way):
    for name in ("nobody", "tokens", "..%2Faccount"):
        assert way.browser.get(f"/sign-in/with/{name}").status == 404
        assert way.browser.get(f"/sign-in/from/{name}?code=a&state=b").status == 404


def test_an_issuer_that_cannot_be_reached(way: Way):
    assert way.browser.get("/sign-in/with/away").status == 503
    way.go()
    way.elsewhere.down = True
    try:
        refused(way.come(way.code({})))
    finally:
        way.elsewhere.down = False


def _user(site: Site, email: str) -> User | None:
    async def found(connection: AsyncConnection) -> User | None:
        return await UserRepository(connection).by_email(email)

    return in_database(site.settings.database_url, found)


@pytest.fixture(scope="module")
def open_site(database_url: str, elsewhere: Elsewhere, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that takes people in whom the issuer vouches for."""
    provider = {
        "name": "elsewhere",
        "title": "Elsewhere",
        "issuer": elsewhere.address,
        "client_id": "us",
        "client_secret": SECRET,
        "organization": ORGANIZATION,
        "roles": {"provider": "CLINICIAN", "staff": "STAFF"},
        "claims": {"role": "publicMetadata.adminRole"},
        "create": True,
        "link_by_email": True,
    }
    path = tmp_path_factory.mktemp("open") / "providers.json"
    path.write_text(json.dumps([provider]))
    with running_site(database_url, identity_providers=path, allow_private_jwks=True) as made:
        yield made


@pytest.fixture
def open_way(open_site: Site, elsewhere: Elsewhere, browsers: Callable[[Site], Browser]) -> Way:
    return Way(open_site, elsewhere, browsers(open_site))


def vouched(way: Way, address: str, **changes: Any) -> dict[str, Any]:
    said = {"email": address, "email_verified": True, "name": "Ada", "publicMetadata": {"adminRole": "provider"}}
    return way.claims(**{"sub": f"sub-{address}", **said, **changes})


def test_a_new_person_becomes_a_user_with_the_mapped_role_where_that_is_configured(
    open_way: Way, browsers: Callable[[Site], Browser]
):
    email = f"{uuid4().hex}@example.org"
    page = open_way.go().back(vouched(open_way, email.upper()))
    assert page.path == "/account"
    user = _user(open_way.site, email)
    assert user is not None
    assert (user.name, user.password_hash, user.email_verified) == ("Ada", None, True)

    assert _roles(open_way.site, user) == [(ORGANIZATION, "CLINICIAN")]
    assert ("user", "create", "allowed") in _audited(open_way.site, user.id)
    again = Way(open_way.site, open_way.elsewhere, browsers(open_way.site))
    assert again.go().back(vouched(again, "other@example.org", sub=f"sub-{email.upper()}")).path == "/account"
    assert email in (signed_in_as(again.browser) or "")


def test_the_role_follows_the_issuer_at_each_sign_in_where_it_says_who_comes_in(open_way: Way):
    email = f"{uuid4().hex}@example.org"
    assert open_way.go().back(vouched(open_way, email)).path == "/account"
    user = _user(open_way.site, email)
    assert user is not None
    demoted = vouched(open_way.go(), email, publicMetadata={"adminRole": "staff"})
    assert open_way.back(demoted).path == "/account"
    assert _roles(open_way.site, user) == [(ORGANIZATION, "STAFF")]
    assert ("user", "role", "allowed") in _audited(open_way.site, user.id)
    refused(open_way.go().back(vouched(open_way, email, publicMetadata={})))


def test_a_role_that_was_taken_away_here_stays_away(open_way: Way):
    email = f"{uuid4().hex}@example.org"
    assert open_way.go().back(vouched(open_way, email)).path == "/account"
    user = _user(open_way.site, email)
    assert user is not None

    async def take_away(connection: AsyncConnection) -> None:
        own = user_organizations.c.user_id == user.id
        await connection.execute(user_organizations.update().where(own).values(is_active=False))

    in_database(open_way.site.settings.database_url, take_away)
    refused(open_way.go().back(vouched(open_way, email)))


def _roles(site: Site, user: User) -> list[tuple[str, str]]:
    async def roles(connection: AsyncConnection) -> list[tuple[str, str]]:
        found = await UserOrganizationRepository(connection).of_user(user.id)
        return [(each.organization_id, each.role) for each in found]

    return in_database(site.settings.database_url, roles)


@pytest.mark.parametrize(
    "change",
    [
        {"email_verified": False},
        {"email_verified": ...},
        {"email_verified": "true"},
        {"email": ...},
        {"email": 5},
        {"email": "no address"},
        {"email": "a\n@example.org"},
        {"email": "x" * 65 + "@example.org"},
        {"publicMetadata": ...},
        {"publicMetadata": {"adminRole": "root"}},
    ],
)
def test_nobody_is_made_a_user_without_a_verified_address_and_a_role(open_way: Way, change: dict[str, Any]):
    email = f"{uuid4().hex}@example.org"
    refused(open_way.go().back(vouched(open_way, email, **change)))
    assert _user(open_way.site, email) is None


def test_a_verified_address_links_somebody_who_is_known_where_that_is_configured(open_way: Way):
    user = add_user(open_way.site.settings.database_url)
    refused(open_way.go().back(vouched(open_way, user.email, email_verified=False)))
    assert open_way.go().back(vouched(open_way, user.email)).path == "/account"

    async def found(connection: AsyncConnection) -> User | None:
        return await user_of_account(connection, Account("elsewhere", f"sub-{user.email}"))

    linked_user = in_database(open_way.site.settings.database_url, found)
    assert linked_user is not None
    assert linked_user.id == user.id
    assert ("user", "link", "allowed") in _audited(open_way.site, user.id)


def test_a_disabled_user_is_not_linked(open_way: Way):
    user = add_user(open_way.site.settings.database_url, is_active=False)
    refused(open_way.go().back(vouched(open_way, user.email)))

    async def found(connection: AsyncConnection) -> User | None:
        return await user_of_account(connection, Account("elsewhere", f"sub-{user.email}"))

    assert in_database(open_way.site.settings.database_url, found) is None


@dataclass
class Two:
    """A site, and a second one that it trusts."""

    site: Site
    provider: Site
    client_id: str


@pytest.fixture(scope="module")
def two(request: pytest.FixtureRequest, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """Two servers of ours over HTTP: the first trusts the second."""
    folder = tmp_path_factory.mktemp("two")
    path = folder / "providers.json"
    provider_url = new_database_url("sqlite", request, folder)
    client_id = f"rp-{uuid4().hex[:8]}"
    with running_site(provider_url) as provider:

        def prepare(settings: Settings) -> None:
            facts = {"id": client_id, "redirect_uris": (f"{settings.base_url}/sign-in/from/ours",)}
            add_app(provider_url, **facts, scope="openid fhirUser")
            path.write_text(json.dumps([_ours(provider, client_id)]))

        with running_site(database_url, prepare, identity_providers=path, allow_private_jwks=True) as site:
            yield Two(site, provider, client_id)


def _ours(provider: Site, client_id: str) -> dict[str, Any]:
    return {
        "name": "ours",
        "title": "The other server",
        "issuer": provider.settings.base_url,
        "client_id": client_id,
        "scope": "openid fhirUser",
        "parameters": {"aud": provider.settings.fhir_base},
        "organization": ORGANIZATION,
    }


def test_our_own_server_is_a_provider_for_another_one(two: Two, browsers: Callable[[Site], Browser]):
    there = add_user(two.provider.settings.database_url, fhir_user="Practitioner/p1")
    here = add_user(two.site.settings.database_url)
    link(two.site.settings.database_url, here, there.id, "ours")
    browser, elsewhere = browsers(two.site), browsers(two.provider)
    page = browser.get("/account")
    page = browser.get(page.links["Sign in with The other server"])
    assert page.away is not None
    page = elsewhere.get(page.away)
    page = elsewhere.press(page, "Sign in", email=there.email, password=PASSWORD)
    while page.away is None:
        assert page.status == 200, page.text
        page = elsewhere.press(page, "Allow" if "consent" in page.path else None)
    assert page.away.startswith(f"{two.site.settings.base_url}/sign-in/from/ours?")
    page = browser.get(page.away)
    assert (page.status, page.path) == (200, "/account"), page.text
    assert here.email in page.text
