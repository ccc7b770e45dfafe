"""What `keys rotate` and `keys list` do."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

from fhir_server.cli.installation import Act, Installation
from fhir_server.oauth.keys import ALGORITHM, IDENTITY_ALGORITHM, SIGNING_KEYS, KeyCipher, rotated
from storage.grants import StoredKey, instant, keys_in, lock_keys, save_keys
from storage.tables.enums import KeyState

SIGNS: Final = {ALGORITHM: "access tokens", IDENTITY_ALGORITHM: "identity tokens"}


async def rotate_keys(installation: Installation) -> list[dict[str, Any]]:
    """Move every signing key one state on and make the next ones; return the facts of all that have not gone."""
    cipher = KeyCipher(installation.settings.derive(SIGNING_KEYS))
    now = time.time()
    async with installation.acting(installation.settings.organization, Act("signing_keys", "write", "rotate")) as unit:
        await lock_keys(unit.connection)
        await save_keys(unit.connection, rotated(await keys_in(unit.connection), cipher, int(now)), instant(now))
        keys = await keys_in(unit.connection)
    return _facts(keys)


async def list_keys(installation: Installation) -> list[dict[str, Any]]:
    """Return the facts of every key that has not gone."""
    async with installation.database.platform() as connection:
        return _facts(await keys_in(connection))


def _facts(keys: Iterable[StoredKey]) -> list[dict[str, Any]]:
    return [
        {
            "kid": key.kid,
            "state": key.state.value,
            "algorithm": key.algorithm,
            "signs": SIGNS[key.algorithm],
            "retired": None if key.retired_at is None else instant(key.retired_at).isoformat(),
        }
        for key in keys
        if key.state is not KeyState.GONE
    ]
