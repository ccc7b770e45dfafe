"""SMART scopes: grammar, normal form, intersection (SMART App Launch 2.2 scopes-and-launch-context, `smart.md` §7).

A scope may be granular: `patient/Observation.rs?category=…|laboratory` (`filters.py`). One whose filter cannot be
enforced exactly is no scope that could be granted: without the filter it would be wider than what was asked
(security OA-12).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from fhir_server.oauth.filters import Filter, implies, parse_filter

ANY_TYPE: Final = "*"
LETTERS: Final = "cruds"
V1_LETTERS: Final[Mapping[str, str]] = {"read": "rs", "write": "cud", "*": "cruds"}
IDENTITY_SCOPES: Final = frozenset(
    {"openid", "fhirUser", "profile", "offline_access", "online_access", "launch", "launch/patient", "launch/encounter"}
)
URI_FORM: Final = "http://smarthealthit.org/fhir/scopes/"
MAXIMUM_LENGTH: Final = 8192
LONGEST_GRANT: Final = 4_500
"""What is granted goes into access tokens, which are refused above 8 KiB (security OA-6)."""
MOST_GRANULAR: Final = 100
"""So many scopes of a list may have a filter: each is part of every statement about its type."""
_SCOPE: Final = re.compile(r"(patient|user|system)/([A-Za-z]{1,64}|\*)\.([a-z]{1,8}|\*)(?:\?(.+))?\Z")


class InvalidScope(Exception):
    """A scope cannot be granted; the message names it (RFC 6749 §5.2 `invalid_scope`)."""


class Level(StrEnum):
    """On whose behalf a scope speaks."""

    PATIENT = "patient"
    USER = "user"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """One FHIR scope: `level/resource_type.letters`, letters in the order of `cruds`, type `*` for every type.

    `filter` is the text after `?` as it was written, empty for a scope of the type as a whole.
    """

    level: Level
    resource_type: str
    letters: str
    filter: str = ""

    def __str__(self) -> str:
        whole = f"{self.level}/{self.resource_type}.{self.letters}"
        return f"{whole}?{self.filter}" if self.filter else whole

    @property
    def criteria(self) -> Filter:
        """What the filter asks; nothing for the type as a whole. Raises InvalidScope for a filter that is none."""
        found = parse_filter(self.resource_type, self.filter) if self.filter else ()
        if found is None:
            raise InvalidScope(f"The scope {self} has a filter that cannot be granted.")
        return found


def parse_scope(text: str, resource_types: Collection[str]) -> Scope | None:
    """Return a FHIR scope in normal form (v1 as v2), or None for a scope that is none and for a name that is no type.

    Out-of-order and unknown letters are dropped as a whole, never guessed (C2), and so is a filter that cannot be
    granted, or that stands behind `*` or letters of v1 (C9).
    """
    match = _SCOPE.match(text.removeprefix(URI_FORM))
    if match is None:
        return None
    level, resource_type, written, filtering = match.groups()
    letters = V1_LETTERS.get(written, written)
    if not _in_order(letters) or not (resource_type == ANY_TYPE or resource_type in resource_types):
        return None
    if "?" not in text:
        return Scope(Level(level), resource_type, letters)
    if letters != written or resource_type == ANY_TYPE or parse_filter(resource_type, filtering) is None:
        return None
    return Scope(Level(level), resource_type, letters, filtering)


def _in_order(letters: str) -> bool:
    return letters == "".join(letter for letter in LETTERS if letter in letters)


@dataclass(frozen=True, slots=True)
class Grant:
    """A list of scopes taken apart: those for FHIR, those for identity and launch, and those nobody knows."""

    fhir: tuple[Scope, ...]
    identity: tuple[str, ...]
    unknown: tuple[str, ...]


def parse_scopes(text: str, resource_types: Collection[str]) -> Grant:
    """Take a space-separated list apart; repeated scopes count once, in the order given.

    Raises InvalidScope for a list of more than 8 KiB, or of more than MOST_GRANULAR scopes with a filter.
    """
    if len(text) > MAXIMUM_LENGTH:
        raise InvalidScope("The list of scopes is longer than 8 KiB.")
    fhir: dict[Scope, None] = {}
    identity: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for word in text.split():
        scope = parse_scope(word, resource_types)
        if scope is not None:
            fhir[scope] = None
        elif word in IDENTITY_SCOPES:
            identity[word] = None
        else:
            unknown[word] = None
    if sum(1 for scope in fhir if scope.filter) > MOST_GRANULAR:
        raise InvalidScope(f"More than {MOST_GRANULAR} scopes have a filter; ask for the types as a whole.")
    return Grant(tuple(fhir), tuple(identity), tuple(unknown))


def intersect(requested: Iterable[Scope], allowed: Iterable[Scope]) -> tuple[Scope, ...]:
    """Return what of `requested` lies within the union of `allowed`, in the order asked (C4, OA-12).

    `user/*.rs` of a client that is registered for `user/Patient.r` gives `user/Patient.r`. Where one of the two has a
    filter that the other implies, the narrower one is granted; filters that only overlap give nothing.
    """
    permitted = _by_level(allowed)
    return tuple(dict.fromkeys(part for scope in requested for part in _within(scope, permitted)))


@dataclass(frozen=True, slots=True)
class _Permitted:
    """What is permitted at one level, sorted out once: strangers ask for hundreds of scopes of clients with as many.

    `whole` has the letters of each type as a whole, none where there are filters alone.
    """

    whole: dict[str, set[str]] = field(default_factory=dict)
    filtered: dict[str, list[Scope]] = field(default_factory=dict)

    def of(self, resource_type: str) -> frozenset[str]:
        """Return the letters for a type as a whole."""
        return frozenset(self.whole.get(resource_type, ()))


def _by_level(allowed: Iterable[Scope]) -> Mapping[Level, _Permitted]:
    found: dict[Level, _Permitted] = {}
    for scope in allowed:
        own = found.setdefault(scope.level, _Permitted())
        letters = own.whole.setdefault(scope.resource_type, set())
        if scope.filter:
            own.filtered.setdefault(scope.resource_type, []).append(scope)
        else:
            letters.update(scope.letters)
    return found


def _within(scope: Scope, permitted: Mapping[Level, _Permitted]) -> Iterable[Scope]:
    own = permitted.get(scope.level, _Permitted())
    everywhere = own.of(ANY_TYPE)
    if scope.resource_type != ANY_TYPE:
        yield from _narrowed(scope, scope.resource_type, everywhere | own.of(scope.resource_type))
        types: Iterable[str] = (scope.resource_type,)
    else:
        yield from _narrowed(scope, ANY_TYPE, everywhere)
        for resource_type in own.whole:
            if own.of(resource_type) - everywhere:
                yield from _narrowed(scope, resource_type, own.of(resource_type))
        types = own.filtered
    for each in (each for resource_type in types for each in own.filtered.get(resource_type, ())):
        left = frozenset(each.letters) - everywhere - own.of(each.resource_type)
        filtering = _narrower(scope, each)
        if filtering is not None:
            yield from _narrowed(replace(scope, filter=filtering), each.resource_type, left)


def _narrower(one: Scope, other: Scope) -> str | None:
    """Return the filter of the one that implies the other's, None where neither does."""
    if implies(one.criteria, other.criteria):
        return one.filter
    return other.filter if implies(other.criteria, one.criteria) else None


def _narrowed(scope: Scope, resource_type: str, permitted: frozenset[str]) -> Iterable[Scope]:
    letters = "".join(letter for letter in scope.letters if letter in permitted)
    if letters:
        yield Scope(scope.level, resource_type, letters, scope.filter)


def grant_text(requested: str, allowed: str, resource_types: Collection[str]) -> str:
    """Return the scopes of `requested` that `allowed` covers, space-separated.

    A scope that is granted in full keeps its spelling, so a v1 request gets a v1 answer (C3). Raises InvalidScope when
    nothing is left, for more than LONGEST_GRANT characters, and where `parse_scopes` does.
    """
    parse_scopes(requested, resource_types)  # within its limits
    registered = parse_scopes(allowed, resource_types)
    permitted = _by_level(registered.fhir)
    granted: dict[str, None] = {}
    for word in dict.fromkeys(requested.split()):
        scope = parse_scope(word, resource_types)
        if scope is None:
            if word in registered.identity:
                granted[word] = None
            continue
        for part in dict.fromkeys(_within(scope, permitted)):
            granted[word if part == scope else str(part)] = None
    if not granted:
        raise InvalidScope("None of the scopes asked for is known and registered for this client.")
    text = " ".join(granted)
    if len(text) > LONGEST_GRANT:
        raise InvalidScope(f"The scopes to be granted are longer than {LONGEST_GRANT} characters; ask for fewer.")
    return text
