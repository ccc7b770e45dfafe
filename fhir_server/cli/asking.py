"""Asks a running server for a token as a backend service does: SMART Backend Services, RFC 7523."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from fhir_server.cli.output import CommandFailed

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS: Final = 300
"""The longest life that the specification allows."""
ALGORITHMS: Final[dict[str, str]] = {"EC": "ES384", "RSA": "RS384"}
TIMEOUT: Final = 30.0
UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"
"""What OpenSSL says, and httpx passes on."""


def ask_for_token(base_url: str, client_id: str, key_file: Path, scope: str) -> dict[str, Any]:
    """Return the token response for a client that proves itself with its private key.

    Raises CommandFailed for a file that holds no such key, a server that does not answer and a refused request.
    """
    key = _read_key(key_file)
    try:
        found = httpx.get(f"{base_url}/fhir/.well-known/smart-configuration", timeout=TIMEOUT).raise_for_status()
        address = str(found.json()["token_endpoint"])
        fields = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": _assertion(client_id, key, address),
        }
        answer = httpx.post(address, data=fields, timeout=TIMEOUT)
        body: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError, KeyError) as error:
        if UNTRUSTED in str(error):
            remedy = "name the authority's certificate by SSL_CERT_FILE"
            raise CommandFailed(f"The certificate of {base_url} is not trusted: {remedy}.") from None
        raise CommandFailed(f"No authorization server answers at {base_url}; is it running?") from None
    if answer.is_error:
        raise CommandFailed(f"The server refused: {body.get('error')}: {body.get('error_description', '')}")
    return body


def _assertion(client_id: str, key: ECKey | RSAKey, audience: str) -> str:
    algorithm = ALGORITHMS[key.key_type]
    header = {"alg": algorithm, "kid": key.kid, "typ": "JWT"}
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "exp": int(time.time()) + ASSERTION_SECONDS,
        "jti": secrets.token_urlsafe(32),
    }
    return jwt.encode(header, claims, key, algorithms=[algorithm])


def _read_key(path: Path) -> ECKey | RSAKey:
    kinds: dict[str, type[ECKey | RSAKey]] = {"EC": ECKey, "RSA": RSAKey}
    try:
        given = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        key = kinds[given["kty"]].import_key(given)
    except OSError as error:
        raise CommandFailed(f"The file {path} cannot be read: {error.strerror}.") from None
    except (msgspec.MsgspecError, JoseError, KeyError, ValueError, TypeError):
        key = None
    if key is None or not key.is_private or key.kid is None:
        raise CommandFailed(f"The file {path} holds no private key with a kid (JWK: EC P-384 or RSA).")
    return key
