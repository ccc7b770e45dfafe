"""Where passwords are hashed: a few threads of their own, never the event loop, with a short queue (security AU-1).

Hashing takes a processor and 64 MiB for some 100 ms. Whoever floods the sign-in page fills the queue, not the server.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher

from fhir_server.oauth import passwords
from fhir_server.oauth.errors import TooManyAttempts
from fhir_server.settings import PasswordHashing, Settings

T = TypeVar("T")
QUEUE: Final = 32
"""How many may wait; the next one is refused."""
RETRY_SECONDS: Final = 5


def hasher_of(settings: Settings) -> PasswordHasher:
    """Return the hasher of new passwords."""
    return passwords.FLOOR if settings.password_hashing is PasswordHashing.FLOOR else passwords.HASHER


class PasswordPool:
    """Hashes and verifies passwords; one per worker. Every call raises TooManyAttempts when too many wait already."""

    def __init__(self, hasher: PasswordHasher = passwords.HASHER, *, threads: int | None = None) -> None:
        self.hasher = hasher
        self._threads = threads or os.cpu_count() or 1
        self._unknown = passwords.unknown_hash(hasher)
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="passwords")
        self._present = 0

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Return whether a password fits; for someone who has none (None) the same work is done, and it does not."""
        return await self._run(lambda: passwords.verify_password(hashed or self._unknown, password))

    async def hash(self, password: str, *, owner: str) -> str:
        """Return the hash of a new password; raises PasswordRefused."""
        return await self._run(lambda: passwords.hash_password(password, owner=owner, hasher=self.hasher))

    async def hash_again(self, hashed: str, password: str) -> str | None:
        """Return a new hash of a verified password where its present one is weaker than those made now; else None."""
        if not passwords.is_weaker(hashed, self.hasher):
            return None
        return await self._run(lambda: passwords.hash_again(password, hasher=self.hasher))

    def require_room(self) -> None:
        """Raise TooManyAttempts when too many wait already, before anything else is done for one more."""
        if self._present >= self._threads + QUEUE:
            raise TooManyAttempts(RETRY_SECONDS)

    async def _run(self, work: Callable[[], T]) -> T:
        self.require_room()
        self._present += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._present -= 1

    def close(self) -> None:
        """Let the threads go; what waits is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)
