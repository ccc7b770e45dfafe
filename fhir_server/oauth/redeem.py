"""`grant_type=authorization_code`: a code becomes tokens, once (`smart.md` T1, T6, T7, security OA-4).

One statement spends the code, whatever comes of it. Whoever sends it a second time, right or wrong, ends the grant and
everything that was issued for it: one of the two has stolen it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from starlette.requests import Request

from fhir_server.oauth.client_auth import AuthenticatedClient
from fhir_server.oauth.errors import InvalidGrant, InvalidRequest, UnauthorizedClient
from fhir_server.oauth.granted import Issue, Refused, end_of_theft, issue_for, refusal_of
from fhir_server.oauth.identity import IdentityClaims
from fhir_server.oauth.refused import refuse, respond
from fhir_server.oauth.service import API, service_of
from fhir_server.oauth.standing import fallen
from storage.authorization.codes import SpentCode, organization_of_code, spend_statement, spent_code
from storage.authorization.opaque import digest
from storage.authorization.standing import By, Standing, standing_of, standing_statement
from storage.driver import Question
from storage.repositories.entities import Client
from storage.tables.enums import ClientType
from storage.transaction import Change, UnitOfWork

VERIFIER: Final = re.compile(r"[A-Za-z0-9\-._~]{43,128}\Z")
"""RFC 7636 §4.1."""
REPLAYED: Final = "code replayed"


async def redeem_code(request: Request, asking: AuthenticatedClient, form: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the token response for a code.

    Raises InvalidRequest without a code, UnauthorizedClient for a backend client, InvalidGrant for every fault of the
    code and of what it was bound to.
    """
    if asking.client.type == ClientType.BACKEND:
        raise UnauthorizedClient("A backend client has no users; use client_credentials.")
    code = form.get("code")
    if code is None:
        raise InvalidRequest("code is missing.")
    service = service_of(request)
    key = digest(code)
    organization_id = await organization_of_code(service.database, key)
    if organization_id is None:
        await refuse(request, asking, None, Refused("unknown code"))
        raise InvalidGrant
    redeeming = _Redeeming(request, asking.client, form, key, service.seconds)
    change = Change(asking.client.id, asking.client.id, API)
    outcome = await service.database.transact(organization_id, change, redeeming.run, redeeming.questions)
    return await respond(request, asking, organization_id, outcome)


@dataclass(frozen=True, slots=True)
class _Redeeming:
    """One redemption; `key` is the SHA-256 of the code.

    `now` is the one instant of it: what was asked ahead has to be asked again in the same words.
    """

    request: Request
    client: Client
    form: Mapping[str, str]
    key: str
    now: int

    @property
    def questions(self) -> tuple[Question, Question]:
        """What the transaction begins with."""
        dialect = service_of(self.request).database.dialect
        return (
            Question(spend_statement(dialect), {"code": self.key, "now": self.now}),
            Question(standing_statement(dialect, By.CODE), {By.CODE.value: self.key}),
        )

    async def run(self, unit: UnitOfWork) -> Issue | Refused:
        """Spend the code and issue, in one transaction; what is refused is committed, too."""
        spend, stand = self.questions
        code = spent_code(await unit.driver.fetch(spend.statement, spend.parameters))
        standing = standing_of(await unit.driver.fetch(stand.statement, stand.parameters))
        if standing is None:
            return Refused("unknown code")
        if code is None:
            return await end_of_theft(self.request, unit, standing.grant, self.client, why=REPLAYED, now=self.now)
        service = service_of(self.request)
        fault = self._fault(code) or fallen(standing, self.client, service.settings, self.now)
        if fault is not None:
            await service.record(self.request, unit, refusal_of(standing.grant, self.client, "code"))
            return Refused(fault)
        made = await issue_for(
            self.request, unit, self.client, standing, scope=standing.grant.scope, interaction="code"
        )
        return replace(made, identity=_identity(standing, code))

    def _fault(self, code: SpentCode) -> str | None:
        """Return what is wrong with the request, in a word for the log."""
        if code.expires_at <= self.now:
            return "expired code"
        if code.client_id != self.client.id:
            return "another client"
        if code.redirect_uri != self.form.get("redirect_uri"):
            return "another redirect URI"
        return None if verifier_fits(self.form.get("code_verifier"), code.code_challenge) else "wrong verifier"


def verifier_fits(verifier: str | None, challenge: str) -> bool:
    """Return whether a verifier is the one of an S256 challenge (RFC 7636 §4.6), in constant time.

    The challenge itself is never one, as it would be with the method `plain`.
    """
    if verifier is None or not VERIFIER.match(verifier):
        return False
    made: str = create_s256_code_challenge(verifier)  # type: ignore[no-untyped-call]
    return hmac.compare_digest(made, challenge) and not hmac.compare_digest(verifier, challenge)


def _identity(standing: Standing, code: SpentCode) -> IdentityClaims | None:
    """Return what the id_token says; None without `openid` (O7)."""
    grant = standing.grant
    words = grant.scope.split()
    if "openid" not in words or grant.user_id is None:
        return None
    return IdentityClaims(
        subject=grant.user_id,
        client_id=grant.client_id,
        nonce=code.nonce,
        authenticated_at=grant.authenticated_at if code.max_age else None,
        fhir_user=grant.fhir_user if "fhirUser" in words else None,
    )
