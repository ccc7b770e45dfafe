"""What authorization costs: reads with and without the token check, and tokens a second beside bare signatures.

python -m bench.authorization [--seconds 5] [--rounds 5]

One installation on a PostgreSQL of its own. Reads are asked of three servers in turn: as it is, with a cache of one
verified token (so that every request verifies a signature), and with a stub that checks nothing (`stub.py`). Codes and
client assertions are made beforehand and used once each. README.md says how to read the figures.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import psycopg
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from joserfc import jwt
from joserfc.jwk import RSAKey

from bench.footprint import cpu_seconds
from bench.installation import WORKERS, Installation
from bench.postgres import postgres
from bench.processes import BenchFailed, free_port, printed, service, wait_until_ok
from bench.wrk import Measured, ask, post_each, require_wrk

ROOT: Final = Path(__file__).resolve().parents[1]
PATIENTS: Final = 100
BACKEND: Final = "backend"
APP: Final = "app"
PERSON: Final = "bench@example.org"
ORGANIZATION: Final = "loop-health"
REDIRECT_URI: Final = "https://app.example/callback"
VERIFIER: Final = "v" * 64
READ_SCOPE: Final = "system/Patient.rs"
TOKENS: Final = 64
"""Access tokens that take turns, so that a cache of one hardly ever has the one that comes."""
CODES_A_SECOND: Final = 1500
ASSERTIONS_A_SECOND: Final = 800
"""More than will be asked for: none may be used twice."""
SIGNING_BITS: Final = 3072

READ_GOAL: Final = 0.85
CODE_GOAL: Final = 200
CREDENTIALS_GOAL: Final = 150


@dataclass(frozen=True, slots=True)
class Costed:
    """One round: what was measured, and processor time per answer in milliseconds, of the server and the database."""

    measured: Measured
    server_ms: float
    database_ms: float


@dataclass(frozen=True, slots=True)
class Running:
    """A server on a port; `pid` is its first process, `database_pid` PostgreSQL's."""

    port: int
    pid: int
    database_pid: int

    def costed(self, seconds: int, ask_it: Callable[[], Measured]) -> Costed:
        """Measure a round, and what it took of the processors: that waits for nobody else on the machine."""
        before = cpu_seconds(self.pid), cpu_seconds(self.database_pid)
        measured = ask_it()
        after = cpu_seconds(self.pid), cpu_seconds(self.database_pid)
        answers = measured.rate * seconds
        if not answers:
            raise BenchFailed(f"Nothing was answered in {seconds} s: measure for longer.")
        return Costed(measured, *((end - start) / answers * 1000 for start, end in zip(before, after, strict=True)))


@dataclass(frozen=True, slots=True)
class Exchange:
    """A kind of code exchange; `signatures` is how many tokens of one answer are signed."""

    title: str
    scope: str
    signatures: int


EXCHANGES: Final = (
    Exchange("code exchange, access token", "patient/*.rs launch/patient", 1),
    Exchange(
        "code exchange, access, refresh and identity token",
        "patient/*.rs launch/patient openid fhirUser offline_access",
        2,
    ),
)

GRANTS: Final = """
INSERT INTO grants (id, client_id, user_id, organization_id, role, scope, patient, fhir_user, context,
                    authenticated_at, created_at, last_used_at, expires_at)
SELECT %(prefix)s || n, %(client)s, (SELECT id FROM users WHERE email = %(person)s), %(organization)s, 'PATIENT',
       %(scope)s, 'p0', 'Patient/p0', '{}', %(now)s, %(now)s, %(now)s, %(now)s + 86400
FROM generate_series(1, %(count)s) n
"""
CODES: Final = """
INSERT INTO authorization_codes (code, grant_id, client_id, redirect_uri, code_challenge, nonce, expires_at)
SELECT encode(sha256(convert_to(%(prefix)s || n, 'UTF8')), 'hex'), %(prefix)s || n, %(client)s, %(redirect_uri)s,
       %(challenge)s, 'n', %(now)s + 86400
FROM generate_series(1, %(count)s) n
"""


class Installed:
    """An installation with a backend client, an app, and a person who grants it things."""

    def __init__(self, installation: Installation, database_pid: int) -> None:
        self.installation = installation
        self.database_pid = database_pid
        self.key = RSAKey.generate_key(2048)
        self._made = 0

    @property
    def origin(self) -> str:
        """The public address, which tokens name whichever port they are sent to."""
        return self.installation.fhir_base.removesuffix("/fhir")

    def prepare(self) -> None:
        """Make patients, clients and the person; raises BenchFailed."""
        installation = self.installation
        installation.initialise()
        keys = installation.folder / "jwks.json"
        public = {**self.key.as_dict(private=False), "kid": "bench", "use": "sig", "alg": "RS384"}
        keys.write_text(json.dumps({"keys": [public]}))
        backend = ("--id", BACKEND, "--type", "backend", "--scope", READ_SCOPE, "--jwks", keys)
        installation.command("client", "add", *backend)
        scope = EXCHANGES[-1].scope
        public_app = ("--id", APP, "--type", "public", "--redirect-uri", REDIRECT_URI, "--scope", scope)
        installation.command("client", "add", *public_app)
        patients = installation.folder / "patients.ndjson"
        patients.write_text("".join(map(patient_line, range(PATIENTS))))
        installation.command("load", "--strict", patients)
        person = ("--email", PERSON, "--role", "PATIENT", "--patient", "p0", "--password", "correct horse 42x")
        installation.command("user", "add", *person)
        with psycopg.connect(installation.database_url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")

    def codes(self, exchange: Exchange, count: int) -> Sequence[str]:
        """Grant `count` times and return as many bodies of token requests, each with a code of its own."""
        self._made += 1
        prefix = f"bench-{self._made}-"
        facts = {
            "prefix": prefix,
            "client": APP,
            "person": PERSON,
            "organization": ORGANIZATION,
            "scope": exchange.scope,
            "redirect_uri": REDIRECT_URI,
            "challenge": challenge(VERIFIER),
            "now": int(time.time()),
            "count": count,
        }
        with psycopg.connect(self.installation.database_url) as connection:
            connection.execute(GRANTS, facts)
            connection.execute(CODES, facts)
        with psycopg.connect(self.installation.database_url, autocommit=True) as connection:
            connection.execute("ANALYZE grants, authorization_codes")
        return [code_request(f"{prefix}{number}") for number in range(1, count + 1)]

    def assertions(self, count: int) -> Sequence[str]:
        """Return as many bodies of client_credentials requests, each with an assertion of its own."""
        self._made += 1
        now = int(time.time())
        audience = f"{self.origin}/oauth/token"
        return [
            credentials_request(self.key, audience, f"bench-{self._made}-{number}", now + 290)
            for number in range(count)
        ]

    def tokens(self, port: int, count: int) -> Sequence[str]:
        """Return access tokens of the backend client; raises BenchFailed."""
        return [self._token(port, body) for body in self.assertions(count)]

    def _token(self, port: int, body: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", "/oauth/token", body, FORM)
            answer = connection.getresponse()
            document = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise BenchFailed(f"The token endpoint answered {answer.status} {document.get('error')}.")
        return str(document["access_token"])


FORM: Final[Mapping[str, str]] = {"Content-Type": "application/x-www-form-urlencoded"}


def patient_line(number: int) -> str:
    """Return one Patient as a line of NDJSON."""
    resource = {
        "resourceType": "Patient",
        "id": f"p{number}",
        "name": [{"family": f"Family {number}", "given": ["Given"]}],
        "gender": "female",
        "birthDate": "1980-01-01",
    }
    return json.dumps(resource) + "\n"


def challenge(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def code_request(code: str) -> str:
    """Return the body with which the app redeems a code."""
    return urlencode(
        {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
            "client_id": APP,
        }
    )


def credentials_request(key: RSAKey, audience: str, jti: str, expires: int) -> str:
    """Return the body with which the backend client asks for a token."""
    claims = {"iss": BACKEND, "sub": BACKEND, "aud": audience, "exp": expires, "jti": jti}
    assertion = jwt.encode({"alg": "RS384", "kid": "bench", "typ": "JWT"}, claims, key, algorithms=["RS384"])
    return urlencode(
        {
            "grant_type": "client_credentials",
            "scope": READ_SCOPE,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
        }
    )


@contextmanager
def server(installed: Installed, name: str, *, stub: bool = False, **settings: str) -> Iterator[Running]:
    """Serve the installation on a port of its own, with other settings or without the check."""
    installation = installed.installation
    port = free_port()
    log = installation.folder / f"{name}.log"
    module = "bench.stub" if stub else "fhir_server"
    command = [sys.executable, "-m", module, *(() if stub else ("serve",)), "--port", str(port)]
    environment = {**installation.environment(), "PYTHONPATH": str(ROOT), **settings}
    with service([*command, "--workers", str(WORKERS)], environment, installation.folder, log) as process:
        wait_until_ok(process, port, "/readyz", log)
        yield Running(port, process.pid, installed.database_pid)


def signatures_a_second(seconds: float) -> float:
    """Return how many bare RS384 signatures as many processes as there are workers make in a second."""
    with get_context("spawn").Pool(WORKERS) as pool:
        return sum(pool.map(_sign_for, [seconds] * WORKERS))


def _sign_for(seconds: float) -> float:
    key = rsa.generate_private_key(65537, SIGNING_BITS)
    text, filling, digest = b"x" * 500, padding.PKCS1v15(), hashes.SHA384()
    done = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        key.sign(text, filling, digest)
        done += 1
    return done / (time.perf_counter() - started)


def measure_reads(installed: Installed, seconds: int, rounds: int) -> list[str]:
    """Read patients from three servers in turn; return the lines of the report."""
    folder = installed.installation.folder
    paths = [f"/fhir/Patient/p{number}" for number in range(PATIENTS)]
    with ExitStack() as stack:
        checked = stack.enter_context(server(installed, "checked"))
        verifying = stack.enter_context(server(installed, "verifying", FHIR_SERVER_TOKEN_CACHE_SIZE="1"))
        stubbed = stack.enter_context(server(installed, "stubbed", stub=True))
        servers = {"as it is": checked, "every token verified": verifying, "stub": stubbed}
        found: dict[str, list[Costed]] = {title: [] for title in servers}
        for number in range(rounds + 1):
            bearers = installed.tokens(checked.port, TOKENS)
            turns = list(servers.items())
            for title, running in turns if number % 2 else reversed(turns):
                reading = partial(ask, f"http://127.0.0.1:{running.port}", paths, seconds, folder, bearers=bearers)
                costed = running.costed(seconds, reading)
                if number:  # the first round opens connections and prepares statements
                    found[title].append(costed)
    return read_lines(found)


def read_lines(found: Mapping[str, Sequence[Costed]]) -> list[str]:
    """Return the table of reads; ratios are of medians over the same rounds."""
    rates = {title: median(rounds, "rate") for title, rounds in found.items()}
    lines = [
        "| token check | reads/s | p50 ms | cpu ms, server + database | of the stub | goal |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for title, rounds in found.items():
        ratio = rates[title] / rates["stub"]
        goal = verdict(ratio, READ_GOAL) if title == "as it is" else ""
        p50 = median(rounds, "p50")
        lines.append(f"| {title} | {rates[title]:,.0f} | {p50:.2f} | {cpu(rounds)} | {ratio:.2f} | {goal} |")
    return lines


def median(rounds: Sequence[Costed], part: str) -> float:
    """Return the median of a part of what was measured."""
    return statistics.median(float(getattr(each.measured, part)) for each in rounds)


def cpu(rounds: Sequence[Costed]) -> str:
    """Return the processor time per answer as it stands in the tables."""
    server_ms = statistics.median(each.server_ms for each in rounds)
    return f"{server_ms:.2f} + {statistics.median(each.database_ms for each in rounds):.2f}"


def verdict(value: float, goal: float) -> str:
    """Return the goal, and whether it is missed."""
    return f"{goal:g}" if value >= goal else f"{goal:g} FAIL"


def measure_tokens(installed: Installed, seconds: int, rounds: int) -> list[str]:
    """Ask the token endpoint for tokens; return the lines of the report."""
    folder = installed.installation.folder
    lines = [
        "| token endpoint | answers/s | p50 ms | p99 ms | cpu ms, server + database | signatures/s ÷ bare | goal |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    bare = signatures_a_second(seconds)
    with server(installed, "tokens") as running:
        origin = f"http://127.0.0.1:{running.port}"

        def measure(bodies: Sequence[str]) -> Costed:
            asking = partial(post_each, origin, "/oauth/token", bodies, seconds, folder, headers=FORM)
            return running.costed(seconds, asking)

        measure(installed.codes(EXCHANGES[0], seconds * CODES_A_SECOND))  # statements are prepared
        for exchange in EXCHANGES:
            each = [measure(installed.codes(exchange, seconds * CODES_A_SECOND)) for _ in range(rounds)]
            lines.append(token_line(exchange.title, each, exchange.signatures, bare, CODE_GOAL))
        each = [measure(installed.assertions(seconds * ASSERTIONS_A_SECOND)) for _ in range(rounds)]
        lines.append(token_line("client_credentials, private_key_jwt", each, 1, bare, CREDENTIALS_GOAL))
    again = signatures_a_second(seconds)
    return [*lines, "", f"Bare RS384 signatures/s, {WORKERS} processes: {bare:,.0f} before, {again:,.0f} after."]


def token_line(title: str, rounds: Sequence[Costed], signatures: int, bare: float, goal: float) -> str:
    """Return a row of the table; a share of 1 would mean that nothing was done but sign."""
    rate, p50, p99 = (median(rounds, part) for part in ("rate", "p50", "p99"))
    share = rate * signatures / bare
    return f"| {title} | {rate:,.0f} | {p50:.1f} | {p99:.1f} | {cpu(rounds)} | {share:.2f} | {verdict(rate, goal)} |"


def measure(seconds: int, rounds: int) -> list[str]:
    """Measure and return the lines of the report; raises BenchFailed."""
    require_wrk()
    with tempfile.TemporaryDirectory(prefix="fhir-authorization-") as name, postgres() as cluster:
        installed = Installed(Installation(cluster.create("authorization"), Path(name)), cluster.pid)
        installed.prepare()
        return [*measure_reads(installed, seconds, rounds), "", *measure_tokens(installed, seconds, rounds)]


def main() -> int:
    """Run with the command line's options; ends with 2 when measuring was not possible."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of one round")
    options = parser.parse_args()
    return printed(lambda: measure(options.seconds, options.rounds))


if __name__ == "__main__":
    sys.exit(main())
