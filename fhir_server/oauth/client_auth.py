"""Who asks: the ways in which clients authenticate at the token endpoint (RFC 6749 §2.3, `smart.md` T2 to T5, T16).

A public client names itself by `client_id`, a confidential one sends its secret by HTTP Basic or signs an assertion, a
backend client signs. Nobody may use less than it registered for, and a secret never comes in the body, where it would
end up in more logs than a header does.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

import structlog
from starlette.requests import Request

from fhir_server.access import APP, SERVICE
from fhir_server.oauth.assertions import client_of_assertion
from fhir_server.oauth.backoff import CLIENT, count_failure, failure_value, forget_failures, require_patience
from fhir_server.oauth.clients import IDENTIFIER
from fhir_server.oauth.errors import InvalidClient, InvalidRequest
from fhir_server.oauth.pace import REFUSED, network_of
from fhir_server.oauth.passwords import CLIENT_SECRETS, client_secret_fits
from fhir_server.oauth.service import Act, OAuthService, service_of
from storage.authorization.clients import Known, look_up_client
from storage.repositories.entities import Client
from storage.tables.enums import ClientType

NOBODY: Final = "0" * 64
"""What a secret is compared with where there is none, so that unknown clients take as long as known ones."""
ASSERTION_FIELDS: Final = frozenset({"client_assertion", "client_assertion_type"})

log = structlog.get_logger("fhir_server.oauth")


@dataclass(frozen=True, slots=True)
class AuthenticatedClient:
    """A client that proved who it is; `method` is none, client_secret_basic or private_key_jwt (RFC 7591 §2).

    `failed_before` says that something is counted against it at this address.
    """

    client: Client
    method: str
    failed_before: bool = False

    @property
    def role(self) -> str:
        """The role of the client when it acts for itself."""
        return SERVICE if self.client.type == ClientType.BACKEND else APP


@dataclass(frozen=True, slots=True)
class Basic:
    """What an Authorization header says, as it is and with both parts percent-decoded (RFC 6749 §2.3.1)."""

    client_id: str
    secrets: tuple[str, ...]


async def authenticate_client(request: Request, form: Mapping[str, str]) -> AuthenticatedClient:
    """Return the active client that sends a request.

    Raises InvalidRequest for two ways at once, InvalidClient for every other fault, all alike, and TooManyAttempts for
    a client that failed too often from this address.
    """
    basic = basic_credentials(request)
    signed = any(form.get(name) for name in ASSERTION_FIELDS)
    if (basic is not None) + signed + bool(form.get("client_secret")) > 1:
        raise InvalidRequest("Authenticate in one way only.")
    service = service_of(request)
    if signed:
        return AuthenticatedClient(await _by_assertion(request, form), "private_key_jwt")
    named = basic.client_id if basic is not None else form.get("client_id", "")
    client_id = named if IDENTIFIER.match(named) else ""  # what no client is called
    value = client_failures(request, client_id)
    known = await look_up_client(service.database, client_id, value)
    require_patience(service, known.blocked_until)
    found = _by_secret(service, known, basic, form) if basic is not None else _by_name(known, form)
    if found is None:
        why = _why(known, basic, form)
        await _refuse(request, known.client, value, why, counts=basic is not None)
        raise InvalidClient(tried_basic=basic is not None)
    if basic is not None and known.failures:
        await forget_failures(service, CLIENT, value=value)
    method = "none" if basic is None else "client_secret_basic"
    return AuthenticatedClient(found, method, failed_before=known.failures > 0)


async def _by_assertion(request: Request, form: Mapping[str, str]) -> Client:
    """Return the client that signed; a refusal is recorded, and counts against nobody: a signature is not guessed."""
    try:
        return await client_of_assertion(service_of(request), form)
    except InvalidClient as error:
        await _refuse(request, None, "", error.why, claimed=error.client_id, counts=False)
        raise


def client_failures(request: Request, client_id: str) -> str:
    """Return what the failures of a client at the peer's address are counted under."""
    return failure_value(service_of(request), client_id, network_of(request))


def basic_credentials(request: Request) -> Basic | None:
    """Return the credentials of the one Authorization header; None without one.

    Raises InvalidRequest for two headers, InvalidClient for another scheme and for what is no pair.
    """
    values = request.headers.getlist("authorization")
    if not values:
        return None
    if len(values) > 1:
        raise InvalidRequest("There are two Authorization headers; send one.")
    scheme, _, encoded = values[0].partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient(tried_basic=True)
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidClient(tried_basic=True) from None
    client_id, colon, secret = text.partition(":")
    if not colon or not client_id:
        raise InvalidClient(tried_basic=True)
    return Basic(unquote_plus(client_id), tuple(dict.fromkeys((secret, unquote_plus(secret)))))


def _by_secret(service: OAuthService, known: Known, basic: Basic, form: Mapping[str, str]) -> Client | None:
    """Return the client whose secret it is; all comparisons are made, whichever decides."""
    client = known.client
    pepper = service.settings.derive(CLIENT_SECRETS)
    stored = [(client and client.secret) or NOBODY, _previous(client, service.seconds) or NOBODY]
    fits = [client_secret_fits(pepper, secret, each) for secret in basic.secrets for each in stored]
    if client is None or not any(fits) or not _may_ask(known):
        return None
    same = form.get("client_id") in (None, "", client.id)
    return client if same and client.type == ClientType.CONFIDENTIAL else None


def _previous(client: Client | None, now: int) -> str | None:
    """Return the secret before the present one while it is still good (`smart.md` R2)."""
    if client is None or client.previous_secret_until is None or client.previous_secret_until <= now:
        return None
    return client.previous_secret


def _by_name(known: Known, form: Mapping[str, str]) -> Client | None:
    """Return a public client: whoever has a secret or keys may not come without them (T5)."""
    client = known.client
    if client is None or not _may_ask(known) or form.get("client_secret"):
        return None
    return client if client.type == ClientType.PUBLIC else None


def _may_ask(known: Known) -> bool:
    return known.client is not None and known.client.is_active and known.organization_is_active


def _why(known: Known, basic: Basic | None, form: Mapping[str, str]) -> str:
    """Return, for the operator's log, why a client was refused that did not sign."""
    if known.client is None:
        return "nobody said who asks" if basic is None and not form.get("client_id") else "no such client"
    if not _may_ask(known):
        return "the client or its organization is disabled"
    if form.get("client_secret"):
        return "a secret in the body"
    if basic is None:
        return "it has a secret or keys, and used neither"
    if known.client.type != ClientType.CONFIDENTIAL:
        return "it has no secret"
    return "a wrong secret, or client_id is another one"


async def _refuse(
    request: Request, client: Client | None, value: str, why: str, *, counts: bool, claimed: str | None = None
) -> None:
    """Record a refusal; a wrong secret counts against the client at this address.

    `claimed` is whom an assertion claimed to be of: the log names it, but not the audit of an organization, to which
    strangers could add without end, since signatures make nobody wait. Raises TooManyAttempts where one network is
    refused so often that nothing more is recorded of it.
    """
    service = service_of(request)
    name = client.id if client is not None else "unknown"
    log.warning("client_refused", client=claimed or name, why=why)
    service.require_pace(request, REFUSED)
    if counts:
        await count_failure(service, CLIENT, value)
    act = Act(name, APP, "client", "authenticate", outcome="denied", status=InvalidClient.status, client_id=name)
    await service.note(request, client.organization_id if client is not None else None, act)
