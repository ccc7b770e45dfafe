"""What a client record may say (security OA-3, `smart.md` §3)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from fhir_server.oauth.clients import ClientRefused, Registration, public_keys, register
from fhir_server.oauth.logos import MAXIMUM_BYTES, embedded_logo, is_embedded

APP = Registration("my-app", "public", "patient/*.rs openid", redirect_uris=("https://app.example/cb",))
SERVICE = Registration("etl", "backend", "system/*.rs", "loop-health")


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/cb",
        "http://127.0.0.1:8080/cb",
        "http://localhost/cb",
        "http://[::1]/cb",
        "com.example.app:/cb",
    ],
)
def test_smart_R3_redirect_uris_are_https_loopback_or_of_a_native_app(uri: str):
    assert register(replace(APP, redirect_uris=(uri,))).redirect_uris == (uri,)


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example/cb", "https://app.example/cb#x", "https://*.example/cb", "https://u:p@app.example/cb",
        "/cb", "", "javascript:alert(1)", "data:text/html,x", "https://", "https://app.example:port/", "ftp://a.example",
        "https://app.example/\r\nSet-Cookie: x", "https://app.exämple/", "app:/cb", "https://app.example/ x",
        "http://127.0.0.1.evil.example/", "http://localhost.evil.example/",
    ],
)  # fmt: skip
def test_smart_R3_other_redirect_uris_are_refused(uri: str):
    with pytest.raises(ClientRefused):
        register(replace(APP, redirect_uris=(uri,)))


def test_private_use_schemes_are_for_public_clients_only():
    with pytest.raises(ClientRefused):
        register(replace(APP, type="confidential", organization_id="o", redirect_uris=("com.example.app:/cb",)))


@pytest.mark.parametrize("client_id", ["", "a b", "a/b", "é", "x" * 65, "-x", "a\n"])
def test_an_id_is_a_plain_word(client_id: str):
    with pytest.raises(ClientRefused):
        register(replace(APP, id=client_id))


@pytest.mark.parametrize(
    "asked",
    [
        replace(APP, type="secret"),
        replace(SERVICE, organization_id=None),
        replace(APP, scope=""),
        replace(APP, scope="nonsense"),
        replace(APP, scope="patient/Observation.rs?nothing=x"),
        replace(APP, scope="system/*.rs"),
        replace(APP, keys={"keys": []}),
        replace(APP, origins=("https://app.example/path",)),
        replace(APP, origins=("null",)),
        replace(SERVICE, jwks_uri="http://keys.example/jwks"),
        replace(SERVICE, launch_uris=("com.example.app:/launch",)),
    ],
)
def test_what_would_be_unsafe_or_of_no_use_is_refused(asked: Registration):
    with pytest.raises(ClientRefused):
        register(asked)


def jwk(key, **changes):
    return {**key.as_dict(private=False), "kid": "k1", **changes}


def test_public_keys_of_the_two_algorithms_are_taken():
    keys = {"keys": [jwk(RSAKey.generate_key(2048)), jwk(ECKey.generate_key("P-384"), kid="k2")]}
    assert register(replace(SERVICE, keys=keys)).jwks == keys
    assert register(replace(SERVICE, jwks_uri="https://keys.example/jwks")).jwks_uri == "https://keys.example/jwks"


@pytest.mark.parametrize(
    "keys",
    [
        None,
        [],
        "keys",
        [7],
        [{}],
        [{"kty": "RSA"}],
        [{"kty": "RSA", "n": "?", "e": "AQAB", "kid": "x"}],
        [RSAKey.generate_key(2048).as_dict(private=True) | {"kid": "k"}],
        [OctKey.generate_key(256).as_dict() | {"kid": "k"}],
        [ECKey.generate_key("P-256").as_dict(private=False) | {"kid": "k"}],
        [RSAKey.generate_key(2048).as_dict(private=False)],
    ],
)
def test_other_keys_are_refused(keys):
    with pytest.raises(ClientRefused):
        public_keys({"keys": keys})


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example;frame-ancestors/cb",
        "https://app.example,evil.example/cb",
        "https://app'/cb",
        "https://app.example:443:1/cb",
        "https://[::1/cb",
        "https://(app)/cb",
    ],
)
def test_smart_16_what_is_no_host_never_becomes_part_of_a_header(uri: str):
    with pytest.raises(ClientRefused):
        register(replace(APP, redirect_uris=(uri,)))


PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100


def test_smart_15_a_logo_travels_within_the_record():
    logo = embedded_logo(PNG)
    assert is_embedded(logo)
    assert register(replace(APP, logo_uri=logo)).logo_uri == logo
    for picture in (b"<svg onload=alert(1)>", b"GIF89a", b"", PNG + b"x" * MAXIMUM_BYTES):
        with pytest.raises(ValueError, match="PNG"):
            embedded_logo(picture)


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "https://app.example/logo.png",
        "data:text/html;base64,PHNjcmlwdD4=",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:image/png;base64,PHNjcmlwdD4=",
        "data:image/jpeg;base64,iVBORw0KGgo=",
        "data:image/png,iVBORw0KGgo=",
        "data:image/png;base64,iVBORw0KGgo",
        'data:image/png;base64,iVBORw0KGgo=" onerror="alert(1)',
        "javascript:alert(1)",
    ],
)
def test_smart_16_no_other_address_is_shown_as_a_logo(address: str | None):
    assert not is_embedded(address)
