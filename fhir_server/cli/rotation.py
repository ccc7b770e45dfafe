"""What `keys rotate` does."""

from __future__ import annotations

import time
from typing import Any

from fhir_server.cli.installation import Act, Installation
from fhir_server.oauth.keys import SIGNING_KEYS, KeyCipher, rotated
from storage.grants import instant, keys_in, lock_keys, save_keys


async def rotate_keys(installation: Installation) -> list[dict[str, Any]]:
    """Move every signing key one state on and make the next one; return the facts of all."""
    cipher = KeyCipher(installation.settings.derive(SIGNING_KEYS))
    now = time.time()
    async with installation.acting(installation.settings.organization, Act("signing_keys", "write", "rotate")) as unit:
        await lock_keys(unit.connection)
        await save_keys(unit.connection, rotated(await keys_in(unit.connection), cipher, int(now)), instant(now))
        keys = await keys_in(unit.connection)
    return [{"kid": key.kid, "state": key.state.value, "algorithm": key.algorithm} for key in keys]
