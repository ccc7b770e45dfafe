"""Tokens: `code`, `system|code`, `system|`, `|code` (FHIR R4 search.html#token)."""

from __future__ import annotations

from fhir_server.fhir.parse.escapes import split, unescape
from fhir_server.fhir.parse.faults import MalformedValue
from storage.search.query import Token, TypedIdentifier


def parse_token(text: str) -> Token:
    """Return the token; raises MalformedValue for `|` alone and for more than one separator."""
    parts = [unescape(part) for part in split(text, "|")]
    match parts:
        case [code]:
            return Token(None, code)
        case ["", ""]:
            raise MalformedValue("a token needs a system or a code: system|code, system|, |code or code")
        case [system, code]:
            return Token(system, code or None)
        case _:
            raise MalformedValue("a token has at most one separator: system|code; write \\| for a bar in a value")


def parse_coded_token(text: str) -> Token:
    """Return the token of `:above` and `:below`; only a system says what a code lies above or below of."""
    token = parse_token(text)
    if not token.system or not token.code:
        raise MalformedValue("above and below need system and code: system|code")
    return token


def parse_typed_identifier(text: str) -> TypedIdentifier:
    """Return the value of `:of-type`; all three parts are required."""
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) != 3 or not all(parts):
        raise MalformedValue("of-type needs three parts: system|code|value")
    return TypedIdentifier(*parts)
