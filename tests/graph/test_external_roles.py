"""Roles that another issuer names, under the whole matrix (API document 'JWT Claims', settled §4.1)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import RSAKey

from tests.conftest import ORGANIZATION
from tests.graph.kit import JANE, JOHN, GraphSite, running_graph
from tests.graph.requests import SAMPLES
from tests.graph.test_matrix import ADMIN, CUSTOMER, GUARDED, NOBODY, PROVIDER, STAFF, SUPPORT, names_nobody, told
from tests.oauth.test_assertions import signed

KEY = RSAKey.generate_key(2048, private=True)
ROLES: Mapping[str, Mapping[str, set[str]]] = {
    "admin": ADMIN, "staff": STAFF, "provider": PROVIDER, "support": SUPPORT, "unheard-of": {},
}  # fmt: skip


class Issuer:
    """An OpenID Connect issuer on this machine: its metadata and its keys."""

    def __init__(self) -> None:
        documents: dict[str, Any] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(documents[self.path]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_said: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        documents["/.well-known/openid-configuration"] = {
            "issuer": self.address,
            "jwks_uri": f"{self.address}/jwks",
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
        }
        documents["/jwks"] = {"keys": [{**KEY.as_dict(private=False), "kid": "rsa"}]}
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def token(self, subject: str, role: str | None, **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": self.address, "sub": subject, "aud": "patient-graph", "iat": now, "exp": now + 300,
            "email": f"{subject}@example.com", "publicMetadata": {} if role is None else {"adminRole": role},
        }  # fmt: skip
        return signed({**claims, **changes}, KEY, "RS256", "rsa")

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def trusting(database_url: str, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphSite]:
    """A server that trusts the issuer, and takes whoever has no role there for a customer."""
    provider = {
        "name": "clerk",
        "title": "Clerk",
        "issuer": issuer.address,
        "audience": "patient-graph",
        "organization": ORGANIZATION,
        "roles": {"admin": "ORG_ADMIN", "staff": "STAFF", "provider": "CLINICIAN", "support": "SUPPORT"},
        "default_role": "PATIENT",
        "claims": {"subject": "sub", "email": "email", "role": "publicMetadata.adminRole"},
    }
    path: Path = tmp_path_factory.mktemp("providers") / "providers.json"
    path.write_text(json.dumps([provider]))
    with running_graph(database_url, identity_providers=path, allow_private_jwks=True) as made:
        yield made


def statuses(answers: Mapping[str, httpx.Response]) -> dict[str, int]:
    return {whose: answer.status_code for whose, answer in answers.items()}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_of_another_issuer_is_the_role_of_the_document(trusting: GraphSite, issuer: Issuer, role: str):
    client = trusting.bearing(issuer.token(f"user_{role}", role))
    for endpoint in GUARDED:
        sample = SAMPLES[endpoint]
        if role == "unheard-of":
            assert sample.ask(endpoint, client, JANE).status_code in {401, 403}, endpoint
            continue
        allowed = sample.action in ROLES[role].get(sample.resource, set())
        yes = {"own": sample.status, "foreign": sample.status, "absent": sample.absent}
        assert statuses(told(sample, endpoint, client)) == (yes if allowed else dict.fromkeys(yes, 403)), endpoint


def test_who_has_no_role_there_is_the_customer_of_that_login(trusting: GraphSite, issuer: Issuer):
    client = trusting.bearing(issuer.token(JANE.login, None))
    for endpoint in GUARDED:
        sample = SAMPLES[endpoint]
        own = sample.of_bound("PATIENT") if sample.action in CUSTOMER.get(sample.resource, set()) else 403
        other = own if names_nobody(sample) else 403
        expected = {"own": own, "foreign": other, "absent": other}
        assert statuses(told(sample, endpoint, client)) == expected, endpoint


def test_a_login_without_profile_makes_its_own(trusting: GraphSite, issuer: Issuer):
    client = trusting.bearing(issuer.token("user_signup", None))
    profile = {"externalId": "user_signup", "email": "signup@example.com"}
    assert client.get("/profiles").status_code == 403
    assert client.post("/profiles", json={**profile, "externalId": JOHN.login}).status_code == 403
    made = client.post("/profiles", json=profile)
    assert made.status_code == 201, made.text
    assert client.get("/profiles").json()["data"] == [made.json()["data"]]


@pytest.mark.parametrize(
    "changes",
    [{"exp": 1}, {"aud": "another"}, {"iss": "https://another.example"}, {"nbf": 2**40}],
    ids=["expired", "for another", "of another", "not yet"],
)
def test_a_token_of_the_issuer_that_is_not_valid_is_refused(
    trusting: GraphSite, issuer: Issuer, changes: dict[str, Any]
):
    client = trusting.bearing(issuer.token(JANE.login, "admin", **changes))
    for person in (JANE, NOBODY):
        assert SAMPLES["GET /profiles"].ask("GET /profiles", client, person).status_code == 401
