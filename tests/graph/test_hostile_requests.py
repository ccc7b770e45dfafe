"""Requests that are wrong in every way, at every endpoint of the patient graph API (security IN-1, IN-2, PH-2).

They are drawn at random with a fixed seed: a valid request with one thing or several things wrong: a value, a member,
the whole body, its type or encoding, parameters, the row, the token, headers; webhooks are signed mostly well. Whatever
comes, the answer is the error envelope or a success, no failure of ours, tells nothing of the inside, and is kept by
nobody.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx
import pytest

from fhir_server.graph.webhooks.payload import STATES
from tests.graph.answers import document
from tests.graph.kit import JANE, JOHN, GraphSite, Person
from tests.graph.requests import SAMPLES, filled
from tests.graph.webhooks.pharmacy import Pharmacy, event, secret_for

REQUESTS: Final = 1000
"""On each engine."""
SEED: Final = 20_407
METHODS: Final = ("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
WEBHOOK: Final = "POST /webhooks/rimo"
LONGEST_ADDRESS: Final = 50_000
"""Longer ones httpx does not send."""
TELLING: Final = re.compile(
    r"Traceback|sqlalchemy|psycopg|sqlite3|pydantic|File \"|\.py\b|SELECT [a-z_.]+,|INSERT INTO"
)
INSTANTS: Final = (
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-14:00",
    "9999-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01",
    "9999-12-31",
    "0000-00-00",
    "2026-02-30",
    "2026-03-20T24:00:00Z",
    "2026-03-20T23:59:60Z",
    "2026-03-20T10:00:00.123456789Z",
    "2026-03-20T10:00:00+99:99",
    "20260320",
    "2026-W12-5",
    "٢٠٢٦-٠٣-٢٠",
    "-2026-03-20",
)
TEXTS: Final = (
    "",
    " ",
    "\0",
    "a\0b",
    "\r\nSet-Cookie: a=b",
    "\u202eevil",
    "\ud800",
    "\ufdd0\uffff\U0010ffff",
    "e\u0301" * 200,
    "'; DROP TABLE customer_profiles; --",
    "%' OR '1'='1",
    "../../etc/passwd",
    "{{7*7}}${7*7}",
    "x" * 256,
    "x" * 9000,
    "x" * 70_000,
    "\U0001f600" * 255,
    "9" * 400,
    "1e999",
    "NaN",
    "null",
    "America/New_York",
    "a@b",
    "reviewed",
    "approved",
    "cancelled",
    JANE.customer,
    JOHN.customer,
    *INSTANTS,
)
NUMBERS: Final = (
    0,
    -1,
    2**31,
    2**63,
    2**64,
    -(2**70),
    10**300,
    1.5,
    -0.0,
    1e-300,
    1e300,
    0.1234567890123456789,
    253402300800,
    True,
    None,
)
BROKEN: Final = (
    b"",
    b" ",
    b"null",
    b"[]",
    b"7",
    b'"text"',
    b"{",
    b"[" * 60_000,
    b'{"a":' * 3000 + b"1" + b"}" * 3000,
    b'{"customerId":"cust_jane","customerId":"cust_john"}',
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b'{"customerId":"\\ud800"}',
    b'{"customerId":"\\u0000"}',
    b'{"readings":' + b"9" * 5000 + b"}",
    b'{"readings":[{"value":1e99999}]}',
    b'{"readings":[{"value":NaN}]}',
    b'{"readings":[' + b"{}," * 20_000 + b"{}]}",
    b'{"readings":[' + b"null," * 9_000 + b"null]}",
    b"{}{}",
    b"<a/>",
    b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--",
)
TYPES: Final = (
    b"",
    b"text/plain",
    b"application/xml",
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=x",
    b"application/json; charset=utf-16",
    b"application/json; charset=\xe9",
    b"application/json;;;",
    b"application/fhir+json",
)
ENCODINGS: Final = (b"gzip", b"br", b"deflate", b"gzip, gzip", b"identity", b"\xe9", b"x" * 5000)
ODD_HEADERS: Final = (
    (b"x-request-id", b"a" * 5000),
    (b"x-request-id", b"\xff\xfe"),
    (b"user-agent", b"u" * 20_000),
    (b"user-agent", b"\xff\xfe\x80"),
    (b"x-forwarded-for", b"1.2.3.4, \xff, ::1"),
    (b"x-tenant-id", b"another"),
    (b"x-http-method-override", b"DELETE"),
    (b"accept", b"application/xml"),
    (b"accept-encoding", b"br;q=x"),
    (b"range", b"bytes=0-1"),
    (b"if-none-match", b'W/"1"'),
    (b"host", b"evil.example"),
    (b"cookie", b"a=b;" * 500),
    (b"origin", b"https://["),
    (b"expect", b"200-ok"),
)


def _schemas() -> Mapping[str, tuple[str, ...]]:
    """Return the members that each endpoint's body may have, and those of what is within."""
    found: dict[str, tuple[str, ...]] = {}
    described = document()
    everywhere = described["components"]["schemas"]
    for endpoint in SAMPLES:
        method, _, path = endpoint.partition(" ")
        text = json.dumps(described["paths"][path][method.lower()].get("requestBody", {}))
        names: set[str] = set()
        for reference in re.findall(r"schemas/([A-Za-z_]+)", text):
            names |= set(everywhere[reference].get("properties", {}))
        found[endpoint] = tuple(sorted(names))
    return found


@dataclass
class Attacker:
    """Somebody who has tokens of several people and knows every member there is."""

    site: GraphSite
    tokens: Mapping[str, str]
    pharmacy: Pharmacy
    random: random.Random
    members: Mapping[str, tuple[str, ...]]
    number: int = 0

    def text(self) -> str:
        return self.random.choice(TEXTS)

    def value(self, depth: int = 0) -> Any:
        """Return a JSON value."""
        kind = self.random.randrange(9 if depth < 3 else 6)
        if kind < 3:
            return self.text()
        if kind < 6:
            return self.random.choice(NUMBERS)
        if kind < 7:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        if kind < 8:
            return {self.text(): self.value(depth + 1) for _ in range(self.random.randrange(4))}
        deep: Any = 1
        for _ in range(self.random.choice((10, 62, 70, 500))):
            deep = {"a": deep} if self.random.random() < 0.5 else [deep]
        return deep

    def spoilt(self, value: Any, names: tuple[str, ...]) -> Any:
        """Return a JSON value with something else somewhere."""
        value = copy.deepcopy(value)
        places = list(_objects(value))
        if not places or self.random.random() < 0.05:
            return self.value()
        for _ in range(self.random.choice((1, 1, 1, 2, 4))):
            place = self.random.choice(places)
            known = list(place) if isinstance(place, dict) else list(range(len(place)))
            if isinstance(place, dict) and (not known or self.random.random() < 0.5):
                place[self.random.choice((*names, self.text()))] = self.value()
            elif known:
                at = self.random.choice(known)
                if self.random.random() < 0.15:
                    del place[at]
                else:
                    place[at] = self.value()
        return value

    def parameters(self, right: Mapping[str, str], known: tuple[str, ...]) -> str:
        """Return a query."""
        pairs = [(name, self.text() if self.random.random() < 0.3 else value) for name, value in right.items()]
        names = (*known, "limit", "offset", "customer_id", "access_token", "organizationId", self.text())
        odd = ("-1", "0", "501", "1" * 40, "10000001", "1.5", "true", "٣", *TEXTS)
        more = range(self.random.randrange(4))
        pairs += [(self.random.choice(names), self.random.choice(odd)) for _ in more]
        text = urlencode(pairs, errors="surrogatepass")
        return (
            text if self.random.random() < 0.9 else text + self.random.choice(("&%ff=%fe", "&" * 500, "&=1", "%", "#"))
        )

    def headers(self) -> list[tuple[bytes, bytes]]:
        token = self.tokens[self.random.choice(tuple(self.tokens))].encode()
        found = [(b"authorization", b"Bearer " + token)]
        if self.random.random() < 0.05:
            found = [(b"authorization", self.random.choice((b"Bearer", b"Basic YTpi", b"Bearer a.b.c", b"\xe9")))]
        if self.random.random() < 0.03:
            found *= 2
        if self.random.random() < 0.2:
            found.append(self.random.choice(ODD_HEADERS))
        return found

    def body(self, right: Any, names: tuple[str, ...]) -> bytes:
        if self.random.random() < 0.12:
            return self.random.choice(BROKEN)
        said = right if self.random.random() < 0.05 else self.spoilt(right, names)
        return json.dumps(said, ensure_ascii=self.random.random() < 0.5).encode("utf-8", "surrogatepass")

    def packed(self, body: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """Return a body as it is sent, and what the headers say of it."""
        kind = b"application/json" if self.random.random() < 0.93 else self.random.choice(TYPES)
        headers = [(b"content-type", kind)]
        if self.random.random() < 0.05:
            headers.append((b"content-encoding", self.random.choice(ENCODINGS)))
        elif self.random.random() < 0.05:
            bomb = self.random.random() < 0.2
            body = gzip.compress(b" " * 30_000_000 if bomb else body)[: -1 if self.random.random() < 0.3 else None]
            headers.append((b"content-encoding", b"gzip"))
        return body, headers

    def webhook(self) -> tuple[str, str, bytes, list[tuple[bytes, bytes]]]:
        """Return a delivery: of an order of JANE's or JOHN's, or of nobody's."""
        self.number += 1
        kind = self.random.choice(tuple(STATES)).removeprefix("order.")
        whose = self.random.choice((JANE.customer, JOHN.customer, "nobody"))
        right = event(kind, "10:00", f"order_{self.random.randrange(20)}", f"rimo_{whose}")
        names = ("nextRefillDate", "prescribedDate", "trackingNumber", "pharmacyId", "quantity", "refills", "type")
        body = self.body(right, names)
        key = f"hostile-{self.number if self.random.random() < 0.7 else self.random.randrange(60)}"
        if self.random.random() < 0.1:
            key = self.random.choice(("é", " ", "x" * 300))
        signed = self.pharmacy.headers(f"hostile-{self.number}", "")
        with suppress(UnicodeDecodeError):  # the library signs texts only: what is no text has another signature
            signed = self.pharmacy.headers(key, body.decode())
        if self.random.random() < 0.15:
            odd = ("", "v1,", "v1,!!!", "v2,aaaa", "v1," + "A" * 44, " ".join(["v1,aaaa"] * 2000), "1e9", "９９", "-1")
            signed[self.random.choice(tuple(signed))] = self.random.choice(odd)
        headers = [(name.encode(), value.encode("utf-8").strip()) for name, value in signed.items()]
        return "POST", "/webhooks/rimo", body, headers

    def request(self, endpoint: str) -> tuple[str, str, bytes, list[tuple[bytes, bytes]]]:
        """Return method, address, body and headers."""
        if endpoint == WEBHOOK:
            return self.webhook()
        sample, (method, _, template) = SAMPLES[endpoint], endpoint.partition(" ")
        person: Person = self.random.choice((JANE, JANE, JOHN))
        row = person.row(sample.path_row) if sample.path_row else ""
        if self.random.random() < 0.2:
            row = self.random.choice((*TEXTS[:22], "%00", "%ff", "a/b", "..x", "resolve"))
        address = template.replace("{id}", quote(row, "%", errors="replace"))
        self.number += 1
        right = filled(sample.json, person, f"h{self.number}")
        known = tuple(
            each["name"]
            for each in document()["paths"][template][method.lower()].get("parameters", ())
            if "name" in each
        )
        if self.random.random() < (0.8 if method == "GET" else 0.1):
            address += "?" + self.parameters(filled(sample.params, person, ""), known)
        headers, body = self.headers(), b""
        if right is not None or self.random.random() < 0.05:
            body, more = self.packed(self.body(right, self.members[endpoint]))
            headers += more
        if self.random.random() < 0.04:
            method = self.random.choice(METHODS)
        return method, address[:LONGEST_ADDRESS], body, headers


def _objects(value: Any) -> Iterator[dict[str, Any] | list[Any]]:
    """Yield the objects and lists within a value, itself first."""
    if isinstance(value, dict | list):
        yield value
        for each in value.values() if isinstance(value, dict) else value:
            yield from _objects(each)


@pytest.fixture(scope="module")
def attacker(graph_site: GraphSite) -> Iterator[Attacker]:
    pharmacy = Pharmacy(graph_site.site.settings.base_url, secret_for(graph_site.site.settings))
    staff = graph_site.client("ORG_ADMIN")
    for person in (JANE, JOHN):
        staff.patch(f"/treatments/{person.row('treatment')}", json={"status": "approved"})
    tokens = {
        "admin": graph_site.token("ORG_ADMIN"),
        "staff": graph_site.token("STAFF"),
        "clinician": graph_site.token("CLINICIAN"),
        "customer": graph_site.token("PATIENT", customer=JANE),
        "nobody yet": graph_site.token("PATIENT", subject="user_hostile"),
        "bound": graph_site.token("ORG_ADMIN", patient=JANE, scope="patient/*.cruds"),
        "read only": graph_site.token("ORG_ADMIN", scope="user/*.rs"),
    }
    yield Attacker(graph_site, tokens, pharmacy, random.Random(SEED), _schemas())
    pharmacy.client.close()


def fault_of(answer: httpx.Response) -> str | None:
    """Return what is wrong with an answer."""
    if answer.status_code >= 500:
        return "a failure of ours"
    if answer.status_code >= 400 and TELLING.search(answer.text):
        return "it tells of the inside"
    if answer.headers.get("cache-control") != "no-store":
        return "somebody may keep it"
    if answer.request.method == "HEAD" or not answer.content:
        return None
    body = answer.json()
    if body.get("success") is not (answer.status_code < 400):
        return "it is not in the envelope"
    return None


def test_security_IN2_requests_that_are_wrong_in_every_way_are_refused_and_nothing_fails(attacker: Attacker):
    faults, statuses, endpoints = [], dict[int, int](), [*SAMPLES, WEBHOOK, WEBHOOK]
    base = f"{attacker.site.site.settings.base_url}/graph"
    with httpx.Client(timeout=30, follow_redirects=False) as client:
        for number in range(REQUESTS):
            endpoint = endpoints[number % len(endpoints)]
            method, address, body, headers = attacker.request(endpoint)
            answer = client.request(method, base + address, content=body, headers=headers)
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
            fault = fault_of(answer)
            if fault is not None:
                said = f"{answer.status_code} {answer.text[:300]}"
                faults.append(f"{number}: {fault}: {said}: {method} {address[:200]} {headers[1:]} {body[:400]!r}")
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:20])
    assert {200, 201, 400, 401, 403, 404, 405, 415} <= statuses.keys()


MANY: Final = 20_000
LONG: Final = {f"m{number}": 1 for number in range(MANY)}
OWN: Final = {"customerId": JANE.customer}
LARGE: Final[Mapping[str, tuple[str, str, Any]]] = {
    "unknown members": ("POST", "/events", {**OWN, **LONG}),
    "unknown members of a line": ("POST", "/conversation-history", {**OWN, "messages": [LONG]}),
    "unknown members of a reading": ("POST", "/wearables/readings", {"readings": [LONG]}),
    "unknown members of a record": ("POST", "/identity/merges", {"survivor": LONG, "merged": LONG}),
    "conditions": ("PATCH", f"/profiles/{JANE.customer}", {"conditions": [1] * MANY}),
    "conditions that are texts": ("PATCH", f"/profiles/{JANE.customer}", {"conditions": ["c"] * 201}),
    "tags": ("PATCH", f"/profiles/{JANE.customer}", {"tags": [1] * MANY}),
    "metadata": ("PATCH", f"/profiles/{JANE.customer}", {"metadata": {"m": "x" * 300_000}}),
    "biomarkers": ("POST", "/labs", {**OWN, "biomarkers": LONG}),
    "compounds": ("POST", "/protocols", {**OWN, "name": "n", "compounds": [1] * MANY}),
    "goals": ("POST", "/protocols", {**OWN, "name": "n", "goals": ["x" * 300_000]}),
    "data of an event": ("POST", "/events", {**OWN, "type": "note_added", "data": {"d": "x" * 300_000}}),
    "messages": ("POST", "/conversation-history", {**OWN, "messages": [1] * MANY}),
    "readings": ("POST", "/wearables/readings", {"readings": [1] * MANY}),
}
"""Bodies with much that is wrong, or more of something than any reader could bear."""


@pytest.mark.parametrize("what", LARGE)
def test_security_RL3_what_is_wrong_with_a_large_body_is_told_in_few_words(graph_site: GraphSite, what: str):
    method, path, body = LARGE[what]
    answer = graph_site.client("ORG_ADMIN").request(method, path, json=body)
    assert answer.status_code == 400
    assert len(answer.content) < 1000
