"""`grant_type=refresh_token`: a token is used once and followed by another (`smart.md` F1 to F8, security OA-5).

There is no grace for lost replies: within it a thief who was faster would get the same successor as the app, and
nobody would notice. An app whose reply was lost launches again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from fhir_server.oauth.client_auth import AuthenticatedClient
from fhir_server.oauth.errors import InvalidGrant, InvalidRequest, InvalidScopes
from fhir_server.oauth.granted import Issue, Refused, end_of_theft, issue_for
from fhir_server.oauth.refused import refuse, respond
from fhir_server.oauth.service import API, service_of
from fhir_server.oauth.standing import fallen
from storage.authorization.opaque import digest
from storage.authorization.refresh_tokens import (
    RefreshToken,
    find_refresh_token,
    rotate_statement,
    was_rotated,
)
from storage.authorization.standing import By, standing_of, standing_statement
from storage.driver import Question
from storage.repositories.entities import Client
from storage.transaction import Change, UnitOfWork

REUSED: Final = "refresh token reused"
STOLEN: Final = "refresh token of another client"


class _NotNow(Exception):
    """Nothing is issued and nothing changed: the transaction is rolled back, the token can be used later."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.why)
        self.refused = refused


async def refresh(request: Request, asking: AuthenticatedClient, form: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the token response for a refresh token.

    Raises InvalidRequest without one, InvalidGrant for one that is unknown, used, expired, foreign or whose grant no
    longer stands, InvalidScopes for a scope that was not granted.
    """
    token = form.get("refresh_token")
    if token is None:
        raise InvalidRequest("refresh_token is missing.")
    service = service_of(request)
    key = digest(token)
    known = await find_refresh_token(service.database, key)
    if known is None:
        await refuse(request, asking, None, Refused("unknown refresh token"))
        raise InvalidGrant
    refreshing = _Refreshing(request, asking.client, form.get("scope"), key, known, service.seconds)
    change = Change(asking.client.id, asking.client.id, API)
    try:
        outcome = await service.database.transact(known.organization_id, change, refreshing.run, refreshing.questions)
    except _NotNow as error:
        await refuse(request, asking, None, error.refused)
        raise InvalidGrant from None
    return await respond(request, asking, known.organization_id, outcome)


@dataclass(frozen=True, slots=True)
class _Refreshing:
    """One refresh; `key` is the SHA-256 of the token, `known` the token as it was a moment ago.

    `now` is the one instant of it: what was asked ahead has to be asked again in the same words.
    """

    request: Request
    client: Client
    scope: str | None
    key: str
    known: RefreshToken
    now: int

    @property
    def questions(self) -> tuple[Question, Question]:
        """What the transaction begins with."""
        dialect = service_of(self.request).database.dialect
        return (
            Question(rotate_statement(dialect), {"refresh_token": self.key, "now": self.now}),
            Question(standing_statement(dialect, By.REFRESH_TOKEN), {By.REFRESH_TOKEN.value: self.key}),
        )

    async def run(self, unit: UnitOfWork) -> Issue | Refused:
        """Use the token up and issue, in one transaction.

        Raises _NotNow and InvalidScopes, which undo it.
        """
        rotate, stand = self.questions
        rotated = was_rotated(await unit.driver.fetch(rotate.statement, rotate.parameters))
        standing = standing_of(await unit.driver.fetch(stand.statement, stand.parameters))
        if standing is None:
            raise _NotNow(Refused("unknown refresh token"))
        service = service_of(self.request)
        if standing.grant.client_id != self.client.id:
            return await end_of_theft(self.request, unit, standing.grant, self.client, why=STOLEN, now=self.now)
        if not rotated:
            if self.known.used_at is None and self.known.expires_at <= self.now:
                raise _NotNow(Refused("expired refresh token"))
            return await end_of_theft(self.request, unit, standing.grant, self.client, why=REUSED, now=self.now)
        why = fallen(standing, self.client, service.settings, self.now)
        if why is not None:
            raise _NotNow(Refused(why))
        scope = narrowed(self.scope, standing.grant.scope)
        return await issue_for(self.request, unit, self.client, standing, scope=scope, interaction="refresh")


def narrowed(asked: str | None, granted: str) -> str:
    """Return the scope of a refreshed access token: what is asked for, in the words that were granted (F3).

    Raises InvalidScopes for a word that was not. The grant itself stays as wide as it was.
    """
    if asked is None:
        return granted
    words = tuple(dict.fromkeys(asked.split()))
    if not words or not set(words) <= set(granted.split()):
        raise InvalidScopes("A refresh can narrow the scope, in the words that were granted, and never widen it.")
    return " ".join(words)
