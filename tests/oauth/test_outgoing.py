"""What the server fetches, and from where it refuses to (security SS-1, SS-2; smart.md R5, section 16)."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

import fhir_server
from fhir_server.outgoing import Address, Fetched, FetchFailed, Outgoing

NAME = "client.example"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

REFUSED = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.1.1",
    "169.254.169.254",
    "168.63.129.16",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a00:1::",
    "64:ff9b:1::a00:1",
    "fec0::1",
    "::7f00:1",
    "::ffff:0:7f00:1",
    "5f00::1",
]


def answers(*addresses: str) -> Callable[[str, int], Awaitable[Sequence[Address]]]:
    async def resolver(_host: str, _port: int) -> Sequence[Address]:
        return [ip_address(each) for each in addresses]

    return resolver


def says(text: bytes) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()

    return answer


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers, b"", body]
    return b"\r\n".join(lines)


@asynccontextmanager
async def serving(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[int]]]:
    """Run a server; give its port, and a list that grows by one with every connection."""
    met: list[int] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.append(1)
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], met
    finally:
        server.close()


async def refused(outgoing: Outgoing, address: str, **limits: float) -> str:
    with pytest.raises(FetchFailed) as failed:
        await outgoing.fetch(address, **limits)  # type: ignore[arg-type]
    return str(failed.value)


@pytest.mark.parametrize("address", REFUSED)
async def test_security_SS1_addresses_that_are_not_public_are_refused(address: str):
    assert await refused(Outgoing(resolver=answers(address)), f"https://{NAME}/jwks") == "not a public address"


@pytest.mark.parametrize("address", REFUSED)
async def test_security_SS1_one_address_that_is_not_public_refuses_them_all(address: str):
    resolver = answers("93.184.216.34", address)
    assert await refused(Outgoing(resolver=resolver), f"https://{NAME}/jwks") == "not a public address"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "localhost", "2130706433", "0x7f.1", "127.1", "[::ffff:7f00:1]", "169.254.169.254"]
)
async def test_security_SS1_however_a_loopback_address_is_written(host: str):
    reason = await refused(Outgoing(), f"https://{host}/jwks")
    assert reason in {"not a public address", "unknown host", "not reachable"}


@pytest.mark.parametrize("address", ["169.254.1.1", "169.254.169.254", "168.63.129.16", "fe80::1", "100.100.100.200"])
async def test_security_SS1_clouds_secrets_are_refused_where_private_networks_are_allowed(address: str):
    outgoing = Outgoing(private=True, resolver=answers(address))
    assert await refused(outgoing, f"https://{NAME}/jwks") == "not a public address"


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "127.0.0.1", "::1"])
async def test_smart_R5_private_networks_are_allowed_by_setting(address: str):
    assert await Outgoing(private=True, resolver=answers(address)).checked(NAME, 443) == [ip_address(address)]


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "100.64.0.1", "fd00::1"])
async def test_development_allows_this_machine_and_no_private_network(address: str):
    outgoing = Outgoing(loopback=True, resolver=answers(address))
    assert await refused(outgoing, f"https://{NAME}/jwks") == "not a public address"


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
)
async def test_public_addresses_are_connected_to(address: str):
    assert await Outgoing(resolver=answers(address)).checked(NAME, 443) == [ip_address(address)]


@pytest.mark.parametrize(
    "address",
    [
        "http://client.example/jwks",
        "ftp://client.example/jwks",
        "file:///etc/passwd",
        "gopher://client.example/",
        "//client.example/jwks",
        "jwks",
        "",
        "https://",
        "https://client.example:99999/",
        "https://clïent\x00.example/",
    ],
)
async def test_security_SS1_only_https(address: str):
    assert await refused(Outgoing(resolver=answers("93.184.216.34")), address) in {
        "not https",
        "not reachable",
        "unknown host",
    }


async def test_http_is_for_this_machine_where_that_is_allowed():
    async with serving(says(ok(b"{}"))) as (port, _met):
        assert (await Outgoing(loopback=True).fetch(f"http://127.0.0.1:{port}/jwks")).body == b"{}"
        assert await refused(Outgoing(), f"http://127.0.0.1:{port}/jwks") == "not https"
        away = Outgoing(private=True, resolver=answers("127.0.0.1"))
        assert await refused(away, f"http://{NAME}:{port}/jwks") == "not https"


async def test_localhost_has_to_be_this_machine():
    outgoing = Outgoing(private=True, resolver=answers("10.0.0.1"))
    assert await refused(outgoing, "http://localhost/jwks") == "not a public address"


async def test_security_SS1_a_name_is_looked_up_once_and_the_connection_goes_to_what_was_checked():
    """DNS rebinding: whatever the name says the second time, nobody asks it."""
    asked: list[str] = []

    async def rebinding(host: str, _port: int) -> Sequence[Address]:
        asked.append(host)
        return [ip_address("127.0.0.1" if len(asked) == 1 else "10.0.0.1")]

    async with serving(says(b"")) as (port, met):
        assert await refused(Outgoing(loopback=True, resolver=rebinding), f"https://{NAME}:{port}/") == "not reachable"
        assert asked == [NAME]
        assert met == [1]


async def test_security_SS1_a_redirect_is_not_followed():
    async with serving(says(ok(b"{}"))) as (target, met_there):
        location = b"Location: http://127.0.0.1:%d/secret\r\n" % target
        for status in (b"301 Moved", b"302 Found", b"303 See Other", b"307 Temporary", b"308 Permanent"):
            text = b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n" + location + b"\r\n"
            async with serving(says(text)) as (port, _):
                assert await refused(Outgoing(loopback=True), f"http://127.0.0.1:{port}/") == "redirected"
        assert met_there == []


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified", b"404 Not Found", b"500 Oops"])
async def test_only_a_200_answer_counts(status: bytes):
    async with serving(says(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")) as (port, _):
        assert await refused(Outgoing(loopback=True), f"http://127.0.0.1:{port}/") == "not a 200 answer"


async def test_security_SS1_bytes_are_counted_as_they_arrive():
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await writer.drain()

    async with serving(endless) as (port, _):
        assert await refused(Outgoing(loopback=True), f"http://127.0.0.1:{port}/") == "too large"


@pytest.mark.parametrize(("size", "fits"), [(65_536, True), (65_537, False)])
async def test_smart_R5_at_most_64_KiB(size: int, fits: bool):
    async with serving(says(ok(b"x" * size))) as (port, _):
        if fits:
            assert len((await Outgoing(loopback=True).fetch(f"http://127.0.0.1:{port}/")).body) == size
        else:
            assert await refused(Outgoing(loopback=True), f"http://127.0.0.1:{port}/") == "too large"


async def test_a_compressed_answer_is_refused_before_it_is_opened():
    async with serving(says(ok(b"\x1f\x8b" * 10, b"Content-Encoding: gzip"))) as (port, _):
        assert "compressed" in await refused(Outgoing(loopback=True), f"http://127.0.0.1:{port}/")


async def test_security_SS1_whoever_is_slow_is_given_up():
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    for answer in (silent, dripping):
        async with serving(answer) as (port, _):
            assert await refused(Outgoing(loopback=True), f"http://127.0.0.1:{port}/", seconds=0.2) == "too slow"


@pytest.mark.parametrize("text", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"])
async def test_an_answer_that_breaks_off_or_is_no_HTTP_is_refused(text: bytes):
    async with serving(says(text)) as (port, _):
        assert await refused(Outgoing(loopback=True), f"http://127.0.0.1:{port}/") == "not reachable"


async def test_nobody_there():
    async with serving(says(b"")) as (port, _):
        pass
    assert await refused(Outgoing(loopback=True), f"http://127.0.0.1:{port}/") == "not reachable"


async def test_an_unknown_name_is_refused():
    async def unknown(_host: str, _port: int) -> Sequence[Address]:
        return []

    assert await refused(Outgoing(resolver=unknown), f"https://{NAME}/") == "unknown host"


async def test_security_SS1_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch):
    async with serving(says(ok(b"proxied"))) as (proxy, met), serving(says(ok(b"direct"))) as (port, _):
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        assert (await Outgoing(loopback=True).fetch(f"http://127.0.0.1:{port}/")).body == b"direct"
        assert met == []


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate of the name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path


def https(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_TLS_asks_for_the_name_though_the_connection_goes_to_an_address(certificate: Path):
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ok(b'{"keys": []}', b"Cache-Control: max-age=60"))
        await writer.drain()

    trusting = ssl.create_default_context(cafile=str(certificate))
    async with serving(answer, https(certificate)) as (port, _):
        outgoing = Outgoing(loopback=True, resolver=answers("127.0.0.1"), context=trusting)
        fetched: Fetched = await outgoing.fetch(f"https://{NAME}:{port}/jwks?a=b")
        assert fetched.body == b'{"keys": []}'
        assert fetched.headers["cache-control"] == "max-age=60"
        assert asked[0].startswith(b"GET /jwks?a=b HTTP/1.1\r\n")
        assert b"host: client.example:%d" % port in asked[0].lower()
        assert b"python" not in asked[0].lower()  # no library names itself
        assert await refused(outgoing, f"https://other.example:{port}/jwks") == "not reachable"


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path):
    async with serving(says(ok(b"{}")), https(certificate)) as (port, _):
        outgoing = Outgoing(loopback=True, resolver=answers("127.0.0.1"))
        assert await refused(outgoing, f"https://{NAME}:{port}/jwks") == "not reachable"


ROOMS = ("mappers", "capability", "storage", "fhir_server")
ASKING = re.compile(
    r"^\s*(?:import|from) (?:httpx|httpcore|aiohttp|requests|urllib3|urllib\.request|http\.client)\b", re.MULTILINE
)


def test_security_SS2_nothing_else_in_the_server_fetches_anything():
    """References, profiles, value sets, logos and `jku` are not dereferenced: no other module could."""
    root = Path(fhir_server.__file__).parent.parent
    asking = {
        str(path.relative_to(root))
        for room in ROOMS
        for path in (root / room).rglob("*.py")
        if ASKING.search(path.read_text("utf-8"))
    }
    # commands at the operator's terminal ask the operator's own server, and so does the client where it is used
    commands = {"fhir_server/cli/asking.py", "fhir_server/cli/webhook_sending.py"}
    client = {"fhir_server/graph_client/asynchronous.py", "fhir_server/graph_client/client.py"}
    assert asking == {"fhir_server/outgoing.py", *commands, *client}


async def test_a_form_is_sent_within_the_same_limits():
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head + await reader.readexactly(3))
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    async with serving(answer) as (port, _):
        address = f"http://127.0.0.1:{port}/token"
        assert await Outgoing(loopback=True).post_form(address, {"a": "b"}, ("us", "secret")) == (400, b"{}")
        assert b"authorization: basic dxm6c2vjcmv0" in asked[0].lower()
        assert asked[0].endswith(b"a=b")
        with pytest.raises(FetchFailed, match="not https"):
            await Outgoing().post_form(address, {"a": "b"})


async def test_the_next_checked_address_is_tried_when_one_does_not_answer():
    async with serving(says(ok(b"{}"))) as (port, _):
        outgoing = Outgoing(loopback=True, resolver=answers("::1", "127.0.0.1"))
        assert (await outgoing.fetch(f"http://localhost:{port}/")).body == b"{}"
