"""Authorization codes: one use, at most a minute, and everything that a code is bound to (security OA-4, A10)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.tables.authorization import authorization_codes

CODE_SECONDS: Final = 60
"""How long a code can be redeemed."""


@dataclass(frozen=True, slots=True)
class NewCode:
    """One row of `authorization_codes` that is still to be redeemed; `code` is the SHA-256, never the code itself.

    User, scope, patient and the rest of the context are those of the grant. `max_age` says that the app asked for
    `auth_time` in the id_token.
    """

    code: str
    grant_id: str
    client_id: str
    redirect_uri: str
    code_challenge: str
    expires_at: int
    nonce: str | None = None
    max_age: bool = False


async def add_code(connection: AsyncConnection, code: NewCode) -> None:
    """Insert a code."""
    await connection.execute(insert(authorization_codes).values(asdict(code)))
