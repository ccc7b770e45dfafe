"""What an app asks of the authorization endpoint, checked before anybody is asked (`smart.md` §4, OA-2, OA-3).

Pure: pairs × client × settings → `Parameters`. A request whose client or redirect URI cannot be trusted is refused on a
page of our own and never redirects (A2); any other fault is told to the app (A4), as `Rejected`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from fhir_server.access import RESOURCE_TYPES
from fhir_server.oauth.scopes import InvalidScope, grant_text
from fhir_server.pages.page import PageRefused
from fhir_server.settings import Settings
from storage.repositories.entities import Client
from storage.tables.enums import ClientType

Pairs = Sequence[tuple[str, str]]

TITLE: Final = "This app cannot be opened"
GRANT_TYPE: Final = "authorization_code"
MAXIMUM_TEXT: Final = 4096
PROMPTS: Final = frozenset({"none", "login", "consent", "select_account"})
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z")  # of a SHA-256, RFC 7636 §4.2
_MAX_AGE: Final = re.compile(r"[0-9]{1,9}\Z")
_LOOPBACK: Final = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(?::([0-9]{1,5}))?((?:[/?][!-~]*)?)\Z")
_BREAKS: Final = re.compile(r"[\x00\r\n]")


@dataclass(frozen=True, slots=True)
class Parameters:
    """A request that may be put before a person.

    `scope` is what was asked for and the client is registered for; `launch` the opaque launch id, only with the scope
    `launch`. `max_age` in seconds.
    """

    redirect_uri: str
    state: str
    scope: str
    code_challenge: str
    launch: str | None = None
    nonce: str | None = None
    prompt: tuple[str, ...] = ()
    max_age: int | None = None
    login_hint: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what is kept of it; the launch id is spent by then."""
        return {**asdict(self), "launch": None, "prompt": list(self.prompt)}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Parameters:
        """Return what `to_json` gave."""
        return Parameters(**{**document, "prompt": tuple(document["prompt"])})


class Rejected(Exception):
    """A request is refused, and its app is told so by a redirect (RFC 6749 §4.1.2.1); `state` is None if not given."""

    def __init__(self, code: str, description: str, redirect_uri: str, state: str | None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.redirect_uri = redirect_uri
        self.state = state


def client_id_of(pairs: Pairs) -> str:
    """Return the one client id of a request; raises PageRefused when it is missing, repeated or no text for us."""
    return _once_on_page(pairs, "client_id")


def check(pairs: Pairs, client: Client | None, settings: Settings) -> Parameters:
    """Return the parameters of a request of a client.

    Raises PageRefused (A2, R6) and, once the redirect URI is known to be the client's, Rejected (A4).
    """
    if client is None or not client.is_active:
        raise _untrusted("The app is not known here, or it was switched off. Ask those who made it.")
    redirect_uri = _once_on_page(pairs, "redirect_uri")
    if not is_registered(redirect_uri, client):
        raise _untrusted(
            "The app gave an address to return to (redirect_uri) that it did not register. Ask those who made it."
        )
    if any(_BREAKS.search(name) or _BREAKS.search(value) for name, value in pairs):
        raise _untrusted("The request holds characters that cannot be part of one.")
    return _Checker(pairs, client, settings, redirect_uri).parameters()


def is_registered(redirect_uri: str, client: Client) -> bool:
    """Say whether an address is one that the client registered, letter by letter (A3).

    Native apps listen on a loopback address on whatever port is free: for them alone, and for IP literals alone, the
    port may be another one (RFC 8252 §7.3).
    """
    if redirect_uri in client.redirect_uris:
        return True
    asked = _LOOPBACK.match(redirect_uri)
    if not client.is_native or asked is None or not 0 < int(asked[2] or 80) < 2**16:
        return False
    registered = (_LOOPBACK.match(uri) for uri in client.redirect_uris)
    return any(each is not None and (each[1], each[3]) == (asked[1], asked[3]) for each in registered)


def answer_address(redirect_uri: str, fields: Mapping[str, str | None], issuer: str) -> str:
    """Return where the browser goes with an answer: the redirect URI with its own query (A8), and `iss` (RFC 9207)."""
    given = {name: value for name, value in fields.items() if value is not None} | {"iss": issuer}
    joined = "" if redirect_uri.endswith(("?", "&")) else "&" if "?" in redirect_uri else "?"
    return f"{redirect_uri}{joined}{urlencode(given, safe='', quote_via=quote)}"


def rejection_address(error: Rejected, issuer: str) -> str:
    """Return where the browser goes with an error."""
    fields = {"error": error.code, "error_description": error.description, "state": error.state}
    return answer_address(error.redirect_uri, fields, issuer)


def is_private_use(redirect_uri: str) -> bool:
    """Say whether an address leads to whatever app of a device claims it: a scheme of its own, or loopback."""
    return urlsplit(redirect_uri).scheme != "https"


def _untrusted(message: str) -> PageRefused:
    return PageRefused(400, TITLE, message)


def _once_on_page(pairs: Pairs, name: str) -> str:
    values = [value for each, value in pairs if each == name]
    if len(values) != 1 or not values[0] or len(values[0]) > MAXIMUM_TEXT or not values[0].isprintable():
        raise _untrusted(f"The request has to name its {name} once.")
    return values[0]


class _Checker:
    """One request whose redirect URI is the client's."""

    def __init__(self, pairs: Pairs, client: Client, settings: Settings, redirect_uri: str) -> None:
        self.given = dict(pairs)
        self.counts = Counter(name for name, _ in pairs)
        self.client = client
        self.settings = settings
        self.redirect_uri = redirect_uri
        self.state = (self.given.get("state") or None) if self.counts["state"] == 1 else None

    def parameters(self) -> Parameters:
        self._check_repeated()
        self._check_kind()
        self._check_challenge()
        self._check_audience()
        if not self.state or len(self.state) > MAXIMUM_TEXT:
            self._reject("invalid_request", "state is missing, or too long.")
        scope = self._scope()
        return Parameters(
            redirect_uri=self.redirect_uri,
            state=self.state,
            scope=scope,
            code_challenge=self.given["code_challenge"],
            launch=self.given.get("launch") if "launch" in scope.split() else None,
            nonce=self._text("nonce"),
            prompt=self._prompt(),
            max_age=self._max_age(),
            login_hint=self._text("login_hint"),
        )

    def _reject(self, code: str, description: str) -> NoReturn:
        raise Rejected(code, description, self.redirect_uri, self.state)

    def _check_repeated(self) -> None:
        if any(count > 1 for count in self.counts.values()):
            self._reject("invalid_request", "A parameter is given more than once.")

    def _check_kind(self) -> None:
        kind = self.given.get("response_type")
        if not kind:
            self._reject("invalid_request", "response_type is missing.")
        if kind != "code":
            self._reject("unsupported_response_type", "The only response_type is code.")
        if self.given.get("response_mode", "query") != "query":
            self._reject("invalid_request", "The only response_mode is query.")
        for name in ("request", "request_uri"):  # OpenID Connect Core §6: they would change what was asked (SS-2)
            if name in self.given:
                self._reject(f"{name}_not_supported", "Send the parameters themselves.")
        registered = (self.client.metadata or {}).get("grant_types") or [GRANT_TYPE]
        if self.client.type == ClientType.BACKEND or GRANT_TYPE not in registered:
            self._reject("unauthorized_client", "This client is not registered for authorization codes.")

    def _check_challenge(self) -> None:
        if not self.given.get("code_challenge"):
            self._reject("invalid_request", "code_challenge is missing: PKCE is required.")
        if self.given.get("code_challenge_method") != "S256":
            self._reject("invalid_request", "The only code_challenge_method is S256.")
        if not _CHALLENGE.match(self.given["code_challenge"]):
            self._reject("invalid_request", "code_challenge has to be 43 characters of base64url.")

    def _check_audience(self) -> None:
        base = self.settings.fhir_base
        named = [self.given[name] for name in ("aud", "resource") if name in self.given]
        if not named or any(audience not in {base, f"{base}/"} for audience in named):
            self._reject("invalid_request", f"aud has to be the FHIR base, {base}.")

    def _scope(self) -> str:
        """Return what of the scopes the client may be granted; `launch` without a launch is not granted (P4)."""
        try:
            granted = grant_text(self.given.get("scope", ""), self.client.scope, RESOURCE_TYPES).split()
        except InvalidScope as error:
            self._reject("invalid_scope", str(error))
        if not self.given.get("launch"):
            granted = [word for word in granted if word != "launch"]
        if not granted:
            self._reject("invalid_scope", "None of the scopes asked for is known and registered for this client.")
        return " ".join(granted)

    def _prompt(self) -> tuple[str, ...]:
        """Return the known words of `prompt`; `none` stands alone (OpenID Connect Core §3.1.2.1)."""
        words = tuple(word for word in self.given.get("prompt", "").split() if word in PROMPTS)
        if "none" in words and len(words) > 1:
            self._reject("invalid_request", "prompt=none stands alone.")
        return words

    def _max_age(self) -> int | None:
        text = self.given.get("max_age")
        if text is None:
            return None
        if not _MAX_AGE.match(text):
            self._reject("invalid_request", "max_age has to be a number of seconds.")
        return int(text)

    def _text(self, name: str) -> str | None:
        value = self.given.get(name)
        if value is not None and len(value) > MAXIMUM_TEXT:
            self._reject("invalid_request", f"{name} is too long.")
        return value
