"""Secrets and keys of the demonstration's apps and pharmacy: made once, in files that only their owner can read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from joserfc.jwk import ECKey

from fhir_server.graph.webhooks.signature import new_secret
from fhir_server.oauth.passwords import new_client_secret

ALGORITHM: Final = "ES384"
_ONLY_OWNER: Final = 0o600


def kept_secret(path: Path) -> str:
    """Return the client secret in a file, which is made if it is not there; raises OSError."""
    return _kept(path, new_client_secret).strip()


def kept_webhook_secret(path: Path) -> str:
    """Return the secret of webhooks in a file, which is made if it is not there; raises OSError."""
    return _kept(path, new_secret).strip()


def kept_key(path: Path) -> dict[str, Any]:
    """Return the private JWK (P-384, for ES384) in a file, which is made if it is not there; raises OSError."""
    return msgspec.json.decode(_kept(path, _new_key), type=dict[str, Any])


def public_part(key: dict[str, Any]) -> dict[str, Any]:
    """Return the JWK set of the public half of a private JWK."""
    return {"keys": [{name: key[name] for name in ("kty", "crv", "x", "y", "kid", "alg", "use")}]}


def _new_key() -> str:
    made = ECKey.generate_key("P-384", {"alg": ALGORITHM, "use": "sig"}, auto_kid=True)
    return msgspec.json.encode(made.as_dict(private=True)).decode()


def _kept(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _ONLY_OWNER), "w") as file:
            file.write(make())
    return path.read_text("utf-8")
