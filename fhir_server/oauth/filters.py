"""What a granular scope narrows its type to: `patient/Observation.rs?category=…|laboratory` (smart.md §7 C1, C9).

A filter is what a search would ask, of parameters that the index answers exactly: tokens, references and dates, by
value alone. Whatever else is written there (modifiers, chains, other parameters) makes the scope one that is not
granted: leaving the filter out would grant more than was asked (security OA-12).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from capability.search_parameters import SearchParameter, SearchType, find
from fhir_server.fhir.parse.criteria import CriterionParser
from fhir_server.fhir.parse.faults import MalformedValue, SearchTooLarge, UnknownParameter, UnsupportedSearch
from fhir_server.fhir.parse.values import Ground
from storage.projection.coverage import Answer, answer, answers_any_code
from storage.search.query import Date, Match, Prefix, Reference, Token, Value

Filter = tuple[Match, ...]
"""What a granular scope asks: all of it, each by one of its values. Empty: the type as a whole."""

MOST_PARAMETERS: Final = 8
MOST_VALUES: Final = 50
_ALLOWED: Final = frozenset({SearchType.TOKEN, SearchType.REFERENCE, SearchType.DATE})
_TEXT: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")
"""The letters of a scope (RFC 6749 §3.3)."""
_NAME: Final = re.compile(r"_?[a-z][a-z\-]*")
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ZONED: Final = re.compile(r"[^T]*(T.*(Z|[+-]\d\d:\d\d))?")


@lru_cache(maxsize=1024)
def parse_filter(resource_type: str, text: str) -> Filter | None:
    """Return what the text after `?` asks of a type; None for what cannot be granted.

    Names and values are percent-decoded once.
    """
    if not _TEXT.fullmatch(text) or _STRAY_PERCENT.search(text):
        return None
    pairs = [pair.partition("=") for pair in text.split("&")]
    if len(pairs) > MOST_PARAMETERS:
        return None
    found: list[Match] = []
    for name, _, value in pairs:
        match = _match(resource_type, unquote(name), unquote(value, errors="replace"))
        if match is None:
            return None
        found.append(match)
    return tuple(dict.fromkeys(found))


def _match(resource_type: str, name: str, value: str) -> Match | None:
    parameter = find(resource_type, name) if _NAME.fullmatch(name) else None
    if parameter is None or parameter.custom or parameter.type not in _ALLOWED or "\ufffd" in value:
        return None
    if answer(resource_type, name) is Answer.OWN_COLUMNS:
        return None
    try:
        found = CriterionParser(Ground("")).parse(resource_type, name, value)
    except (UnknownParameter, MalformedValue, UnsupportedSearch, SearchTooLarge):
        return None
    if not isinstance(found, Match) or len(found.values) > MOST_VALUES:
        return None
    if parameter.type is SearchType.DATE and not all(map(_ZONED.fullmatch, value.split(","))):
        return None  # a time without offset means another instant in each server's zone
    return found if all(_is_exact(parameter, each) for each in found.values) else None


def _is_exact(parameter: SearchParameter, value: Value) -> bool:
    """Say whether index rows tell of a value all that there is to tell, whoever asks and whenever."""
    match value:
        case Token(_, code):
            return code is not None or answers_any_code(parameter.resource_type, parameter.code)
        case Reference(_, _, version):
            return version is None
        case Date(prefix):
            return prefix is not Prefix.AP
        case _:
            return False


def implies(narrow: Filter, wide: Filter) -> bool:
    """Say whether everything that meets one filter meets the other, as far as their values show."""
    return all(any(_is_part(one, other) for one in narrow) for other in wide)


def _is_part(one: Match, other: Match) -> bool:
    return one.parameter == other.parameter and set(one.values) <= set(other.values)
