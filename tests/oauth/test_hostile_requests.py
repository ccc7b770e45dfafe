"""Requests that are wrong in every way, at every address of the authorization server and its pages (IN-2, PH-2).

They are drawn at random with a fixed seed: methods, queries, headers, bodies, cookies of people who are signed in, and
forms whose token is right and whose rest is not. Whatever comes, the answer is no failure of ours, tells nothing of
the inside, and is kept by nobody.
"""

from __future__ import annotations

import base64
import json
import random
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import Route

from fhir_server.app import create_app
from fhir_server.oauth.routes import oauth_routes
from fhir_server.pages.browser import browser_key, browser_of, cookie_name, form_token
from fhir_server.settings import Settings
from storage.authorization.opaque import new_opaque
from storage.authorization.sessions import Session, add_session
from storage.repositories.entities import Client, User
from tests.oauth.granting import challenge_of
from tests.pages.apps import App, add_app
from tests.pages.people import PASSWORD, add_user, in_database, run_sql
from tests.site import Site, running_site

REQUESTS: Final = 1000
"""On each engine."""
SEED: Final = 20_406
METHODS: Final = ("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
NO_ADDRESS: Final = '{"detail":"Not Found"}'
KEPT: Final = ("/static/", "/.well-known/", "/fhir/.well-known/", "/oauth/jwks")
"""What anybody may keep: it holds nothing of anybody."""
TELLING: Final = re.compile(r"Traceback|sqlalchemy|psycopg|sqlite3|File \"|\.py\b|SELECT [a-z_.]+,|INSERT INTO")
ADDRESSES: Final = ("https://[", "http://a]", "https://[x]/a", "//evil.example", "https://evil.example\\@host", "null")
STRANGE: Final = (
    "",
    " ",
    "\0",
    "\r\nSet-Cookie: a=b",
    "٣" * 43,
    "\u202eevil",
    "\ud800",
    "../../etc/passwd",
    "' OR 1=1 --",
    "%00%0d%0a",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "x" * 9000,
    "9" * 400,
    "-1",
    "1e999",
    "NaN",
    "null",
    "true",
    "a|b\\,c$d",
    *ADDRESSES,
)
NAMES: Final = (
    *("grant_type", "code", "code_verifier", "redirect_uri", "client_id", "client_secret", "client_assertion"),
    *("client_assertion_type", "refresh_token", "scope", "token", "token_type_hint", "response_type", "state", "aud"),
    *("code_challenge", "code_challenge_method", "launch", "nonce", "prompt", "max_age", "login_hint", "request"),
    *("next", "fresh", "email", "password", "csrf", "decision", "patient", "encounter", "organization", "name"),
    *("birth_date", "number", "cursor", "reason", "emergency", "grant", "client", "done", "iss", "error", "new"),
    *("current", "repeated", "only-0", "only-1", "resource", "id_token_hint", "access_token"),
)
MEMBERS: Final = (
    *("redirect_uris", "launch_uris", "token_endpoint_auth_method", "grant_types", "response_types", "client_name"),
    *("scope", "logo_uri", "client_uri", "jwks", "jwks_uri", "contacts", "application_type", "software_statement"),
    *("client_id", "user", "patient", "encounter", "launch_url", "intent", "tenant", "smart_style_url"),
    *("need_patient_banner", "fhirContext"),
)
FORMS: Final = ("sign-in", "code", "sign-out", "account", "apps", "second-factor", "launch", "emergency")
STEPS: Final = ("organization", "patient", "encounter", "cancel")
JSON_ADDRESSES: Final = frozenset({"/oauth/register", "/ehr/launch"})
ROUTES: Final = [each for each in oauth_routes() if isinstance(each, Route)]
SERVED: Final[Mapping[str, Sequence[str]]] = {
    path: sorted({method for each in ROUTES if each.path == path for method in each.methods or ()})
    for path in sorted({each.path for each in ROUTES})
}
"""The methods of each address."""


@pytest.fixture(scope="module")
def open_site(database_url: str) -> Iterator[Site]:
    """A server at which everybody may register apps, so that there is something to get wrong."""
    with running_site(database_url, registration="open") as made:
        yield made


@dataclass
class Attacker:
    """Somebody who knows every name there is, sits in browsers of people, and has the tokens of the forms in them."""

    site: Site
    app: App
    user: User
    random: random.Random = field(default_factory=lambda: random.Random(SEED))
    browser: str = ""
    transaction: str = ""

    def renew(self) -> None:
        """Sign in anew behind the server's back, with a request of the app in the middle."""
        self.browser = new_opaque()
        now = int(time.time())
        session = Session(new_opaque(), browser_key(self.browser), self.user.id, now, now, now + 3600)
        in_database(self.site.settings.database_url, lambda connection: add_session(connection, session))
        with httpx.Client(base_url=self.site.settings.base_url, timeout=30) as client:
            begun = client.get(self.app.address("launch/patient launch/encounter patient/*.rs openid user/*.rs"))
            self.transaction = begun.headers["location"].rpartition("/")[2]
            cookies = {"cookie": f"{cookie_name(self.site.settings)}={self.browser}"}
            assert client.get(begun.headers["location"], headers=cookies).status_code == 303
        run_sql(self.site, "DELETE FROM sign_in_failures")  # whoever has to wait gets no further

    def text(self) -> str:
        """Return a value: strange, or right somewhere."""
        right = (
            *(self.app.client.id, self.app.redirect_uri, self.site.base, self.user.email, PASSWORD, self.transaction),
            *("authorization_code", "refresh_token", "client_credentials", "code", "S256", challenge_of("v" * 43)),
            *("patient/*.rs", "patient/Observation.rs?category=a|b", "openid", "none", "login", "approve", "deny"),
            *("1", "0.read", "identity", "pat-1", "/account", f"/authorize/{self.transaction}", new_opaque(), "v" * 43),
        )
        return self.random.choice((*STRANGE, *right, *right))

    def address(self, path: str) -> str:
        """Return an address of a route."""
        own = {"transaction": self.transaction}
        return re.sub(
            r"\{([a-z_]+)[^}]*\}",
            lambda found: quote(
                own.get(found[1], "") if self.random.random() < 0.8 else self.text(), "", errors="replace"
            ),
            path,
        )

    def pairs(self) -> list[tuple[str, str]]:
        names = self.random.sample(NAMES, self.random.randrange(12))
        return [(name, self.text()) for name in [*names, *names[: self.random.randrange(2)]]]

    def encoded(self, pairs: list[tuple[str, str]]) -> bytes:
        text = urlencode(pairs, errors="surrogatepass").encode()
        return text if self.random.random() < 0.9 else text + self.random.choice((b"&%ff=%fe", b"&" * 2000, b"&\xff=1"))

    def form(self, path: str) -> bytes:
        """Return the body of a form: its token is mostly right, the rest seldom."""
        settings, pairs = self.site.settings, self.pairs()
        transactional = "{transaction}" in path
        name = self.random.choice(FORMS) if not transactional else f"{self.random.choice(STEPS)} {self.transaction}"
        words = [word for word in (*FORMS, *STEPS) if word in path]
        if words and self.random.random() < 0.8:
            name = f"{words[-1]} {self.transaction}" if transactional else words[-1]
        if self.random.random() < 0.8:
            pairs = [pair for pair in pairs if pair[0] != "csrf"]
            pairs.append(("csrf", form_token(settings, self.browser, name)))
        return self.encoded(pairs)

    def value(self, depth: int = 0) -> Any:
        """Return a JSON value."""
        kind = self.random.randrange(8 if depth < 3 else 5)
        if kind < 3:
            return self.text().encode("utf-8", "replace").decode()
        if kind < 5:
            return self.random.choice((None, True, 0, -1, 10**400, 1.5))
        if kind < 7:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return {self.text().encode("utf-8", "replace").decode(): self.value(depth + 1) for _ in range(3)}

    def document(self) -> bytes:
        """Return a JSON body, mostly an object of names that mean something."""
        said = {name: self.value() for name in self.random.sample(MEMBERS, self.random.randrange(8))}
        said |= {"redirect_uris": ["https://app.example/cb"]} if self.random.random() < 0.7 else {}
        said |= {"token_endpoint_auth_method": "none"} if self.random.random() < 0.5 else {}
        broken = (
            b"",
            b"[" * 60_000,
            b'{"a":1,"a":2}',
            b"\xff\xfe{}",
            b'{"a":"\\ud800"}',
            b'{"a":' + b"9" * 5000 + b"}",
        )
        return self.random.choice(broken) if self.random.random() < 0.1 else json.dumps(said).encode()

    def credentials(self) -> bytes:
        return self.random.choice(
            (
                b"Basic " + base64.b64encode(f"{self.app.client.id}:{self.text()}".encode("utf-8", "replace")),
                b"Basic !!!",
                b"Basic",
                b"Basic " + base64.b64encode(b"\xff\xfe:\x00"),
                b"Bearer +" + self.text().encode("latin-1", "replace").translate(None, b"\0\r\n").strip(),
                b"Bearer a.b.c",
                b"Bearer " + self.site.token(self.random.choice(("system/*.rs", "openid"))).encode(),
                b"Negotiate \xe9",
            )
        )

    def headers(self, path: str) -> list[tuple[bytes, bytes]]:
        found: list[tuple[bytes, bytes]] = []
        if self.random.random() < 0.7:
            found.append((b"cookie", f"{cookie_name(self.site.settings)}={self.browser}".encode()))
        elif self.random.random() < 0.3:
            found.append((b"cookie", self.random.choice((b"fhir-server=\xe9", b"fhir-server=" + b"x" * 43, b";;=;="))))
        sent = [name for name in (b"origin", b"referer") if self.random.random() < 0.15]
        found += [(name, self.random.choice(ADDRESSES).encode()) for name in sent]
        if self.random.random() < (0.5 if path.startswith(("/oauth", "/ehr")) else 0.1):
            found.append((b"authorization", self.credentials()))
            found += [(b"authorization", b"Basic a")] if self.random.random() < 0.05 else []
        if self.random.random() < 0.1:
            found.append(
                (b"host", self.random.choice((b"evil.example", b"[", b"a/b?c", b"a//evil.example", b"\xe9", b"")))
            )
        if self.random.random() < 0.1:
            found.append((b"user-agent", self.random.choice((b"u" * 20_000, b"\xff\xfe", b"' OR 1=1"))))
        return found

    def content_type(self, path: str) -> bytes:
        right = b"application/json" if path in JSON_ADDRESSES else b"application/x-www-form-urlencoded"
        wrong = (b"", b"multipart/form-data", b"text/plain", b"application/xml; charset=\xe9", b"application/json")
        return right if self.random.random() < 0.9 else self.random.choice(wrong)

    def request(self, path: str) -> tuple[str, str, bytes, list[tuple[bytes, bytes]]]:
        """Return method, address, body and headers."""
        served = self.random.random() < 0.8
        method, address, body = self.random.choice(SERVED[path] if served else METHODS), self.address(path), b""
        headers = self.headers(path)
        if self.random.random() < (0.6 if method in {"GET", "HEAD"} else 0.1):
            address += "?" + self.encoded(self.pairs()).replace(b"\xff", b"%ff").decode()
        if method not in {"GET", "HEAD", "OPTIONS", "TRACE"} or self.random.random() < 0.05:
            body = self.document() if path in JSON_ADDRESSES else self.form(path)
            body = body if self.random.random() < 0.97 else b"a=" + b"x" * 70_000
            headers.append((b"content-type", self.content_type(path)))
        return method, address, body, headers


def attacker(site: Site) -> Attacker:
    url = site.settings.database_url
    client: Client = add_app(url)
    user = add_user(url, "ORG_ADMIN", is_platform_admin=True)
    return Attacker(site, App(site, client), user)


def fault_of(path: str, answer: httpx.Response) -> str | None:
    """Return what is wrong with an answer."""
    if answer.status_code >= 500:
        return "a failure of ours"
    if TELLING.search(answer.text):
        return "it tells of the inside"
    if "\r" in str(answer.headers.get("location", "")) or "a=b" in str(answer.headers.get("set-cookie", "")):
        return "a header that somebody else wrote"
    if path.startswith(KEPT):
        return None
    nothing_there = answer.status_code == 404 and answer.headers.get("content-length") == str(len(NO_ADDRESS))
    return None if nothing_there or answer.headers.get("cache-control") == "no-store" else "somebody may keep it"


def test_security_IN2_requests_that_are_wrong_in_every_way_are_refused_and_nothing_fails(open_site: Site):
    hostile = attacker(open_site)
    faults, paths = [], list(SERVED)
    with httpx.Client(base_url=open_site.settings.base_url, timeout=30, follow_redirects=False) as client:
        for number in range(REQUESTS):
            if number % 25 == 0:
                hostile.renew()
            path = paths[number % len(paths)]
            method, address, body, headers = hostile.request(path)
            answer = client.request(method, address, content=body, headers=headers)
            fault = fault_of(path, answer)
            if fault is not None:
                asked = f"{method} {address[:200]} {headers} {body[:300]!r}"
                faults.append(f"{number}: {fault}: {answer.status_code} {asked}")
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:20])


@pytest.mark.parametrize("sender", ["https://[", "http://a]", "https://[x]/a"])
@pytest.mark.parametrize("header", ["Origin", "Referer"])
def test_security_AU6_a_sender_that_is_no_address_is_none_of_ours(open_site: Site, header: str, sender: str):
    hostile = attacker(open_site)
    hostile.renew()
    form = {"csrf": form_token(open_site.settings, hostile.browser, "sign-out")}
    cookies = {"Cookie": f"{cookie_name(open_site.settings)}={hostile.browser}"}
    answer = httpx.post(f"{open_site.settings.base_url}/sign-out", data=form, headers={header: sender, **cookies})
    assert answer.status_code == 403


def test_what_a_page_says_to_GET_it_says_to_HEAD(open_site: Site):
    hostile = attacker(open_site)
    hostile.renew()
    cookies = {"Cookie": f"{cookie_name(open_site.settings)}={hostile.browser}"}
    address = f"{open_site.settings.base_url}/authorize/{hostile.transaction}/patient"
    shown, head = httpx.get(address, headers=cookies), httpx.head(address, headers=cookies)
    assert (shown.status_code, head.status_code, head.text) == (200, 200, "")


@pytest.mark.parametrize("path", [path for path, methods in SERVED.items() if not path.startswith(KEPT)])
def test_other_methods_are_405_and_nobody_keeps_that(open_site: Site, path: str):
    answer = httpx.request("PUT", open_site.settings.base_url + re.sub(r"\{[^}]+\}", "x" * 43, path))
    assert answer.status_code == 405
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Allow"]


@pytest.mark.parametrize("value", ['"%s"' % ("\\" * 60_000), '"%s"' % ("\\012" * 15_000), "=" * 60_000, ";" * 60_000])
def test_security_IN7_a_cookie_costs_no_more_than_it_is_long(value: str):
    """`request.cookies` would take seconds (CVE-2024-7592); nobody is signed in by then."""
    lines = 0

    def count(_frame, event, _argument) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    service = SimpleNamespace(settings=SimpleNamespace(base_url="http://127.0.0.1"))
    scope = {"type": "http", "headers": [(b"cookie", f"fhir-server={value}".encode())]}
    request = Request({**scope, "app": SimpleNamespace(state=SimpleNamespace(oauth=service))})
    sys.settrace(count)
    try:
        assert browser_of(request) is None
    finally:
        sys.settrace(None)
    assert lines < 5 * len(value)
    assert "_cookies" not in vars(request)


def test_the_last_cookie_of_the_name_counts(open_site: Site):
    hostile = attacker(open_site)
    hostile.renew()
    name = cookie_name(open_site.settings)
    cookies = f"other=1; {name}={'x' * 43};{name}= {hostile.browser} ; more"
    answer = httpx.get(f"{open_site.settings.base_url}/account", headers={"Cookie": cookies})
    assert answer.status_code == 200


def test_security_IN7_no_address_reads_cookies_by_the_way():
    settings = Settings(base_url="http://127.0.0.1", secret="s" * 40, dev=True)
    routes = create_app(settings)._rest.router.routes
    assert {"/", "/healthz", "/readyz", "/metrics"} <= {each.path for each in routes if isinstance(each, Route)}
    assert not [each for each in routes if isinstance(each, APIRoute)]
