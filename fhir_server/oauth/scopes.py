"""SMART scopes: grammar, normal form, intersection (SMART App Launch 2.2 scopes-and-launch-context, `smart.md` §7).

Access is granted on the level of resource types. A scope with a granular filter (`?category=…`) would be wider than
what was asked if the filter were left out, so it is refused as `invalid_scope` (security OA-12).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ANY_TYPE: Final = "*"
LETTERS: Final = "cruds"
V1_LETTERS: Final[Mapping[str, str]] = {"read": "rs", "write": "cud", "*": "cruds"}
IDENTITY_SCOPES: Final = frozenset(
    {"openid", "fhirUser", "profile", "offline_access", "online_access", "launch", "launch/patient", "launch/encounter"}
)
URI_FORM: Final = "http://smarthealthit.org/fhir/scopes/"
MAXIMUM_LENGTH: Final = 8192
_SCOPE: Final = re.compile(r"(patient|user|system)/([A-Za-z]{1,64}|\*)\.([a-z]{1,8}|\*)\Z")


class InvalidScope(Exception):
    """A scope cannot be granted; the message names it (RFC 6749 §5.2 `invalid_scope`)."""


class Level(StrEnum):
    """On whose behalf a scope speaks."""

    PATIENT = "patient"
    USER = "user"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """One FHIR scope: `level/resource_type.letters`, letters in the order of `cruds`, type `*` for every type."""

    level: Level
    resource_type: str
    letters: str

    def __str__(self) -> str:
        return f"{self.level}/{self.resource_type}.{self.letters}"


def parse_scope(text: str, resource_types: Collection[str]) -> Scope | None:
    """Return a FHIR scope in normal form (v1 as v2), or None for a scope that is none and for a name that is no type.

    Out-of-order and unknown letters are dropped as a whole, never guessed (C2). Raises InvalidScope for a granular
    filter.
    """
    if "?" in text:
        raise InvalidScope(f"The scope {text} has a filter; ask for the type without one.")
    match = _SCOPE.match(text.removeprefix(URI_FORM))
    if match is None:
        return None
    level, resource_type, letters = match.groups()
    letters = V1_LETTERS.get(letters, letters)
    if not _in_order(letters) or not (resource_type == ANY_TYPE or resource_type in resource_types):
        return None
    return Scope(Level(level), resource_type, letters)


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

    Raises InvalidScope for a granular filter and for a list of more than 8 KiB.
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
    return Grant(tuple(fhir), tuple(identity), tuple(unknown))


def intersect(requested: Iterable[Scope], allowed: Iterable[Scope]) -> tuple[Scope, ...]:
    """Return what of `requested` lies within the union of `allowed`, in the order asked (C4, OA-12).

    `user/*.rs` of a client that is registered for `user/Patient.r` gives `user/Patient.r`.
    """
    permitted = tuple(allowed)
    granted: dict[Scope, None] = {}
    for scope in requested:
        for part in _within(scope, permitted):
            granted[part] = None
    return tuple(granted)


def _within(scope: Scope, permitted: tuple[Scope, ...]) -> Iterable[Scope]:
    same_level = [each for each in permitted if each.level is scope.level]
    everywhere = _letters_of(same_level, ANY_TYPE)
    if scope.resource_type != ANY_TYPE:
        yield from _narrowed(scope, scope.resource_type, everywhere | _letters_of(same_level, scope.resource_type))
        return
    yield from _narrowed(scope, ANY_TYPE, everywhere)
    for resource_type in dict.fromkeys(each.resource_type for each in same_level):
        own = _letters_of(same_level, resource_type)
        if own - everywhere:
            yield from _narrowed(scope, resource_type, own)


def _letters_of(scopes: Iterable[Scope], resource_type: str) -> frozenset[str]:
    return frozenset(letter for scope in scopes if scope.resource_type == resource_type for letter in scope.letters)


def _narrowed(scope: Scope, resource_type: str, permitted: frozenset[str]) -> Iterable[Scope]:
    letters = "".join(letter for letter in scope.letters if letter in permitted)
    if letters:
        yield Scope(scope.level, resource_type, letters)


def grant_text(requested: str, allowed: str, resource_types: Collection[str]) -> str:
    """Return the scopes of `requested` that `allowed` covers, space-separated.

    A scope that is granted in full keeps its spelling, so a v1 request gets a v1 answer (C3). Raises InvalidScope when
    nothing is left and for scopes that cannot be granted at all.
    """
    registered = parse_scopes(allowed, resource_types)
    granted: dict[str, None] = {}
    for word in requested.split():
        scope = parse_scope(word, resource_types)
        if scope is None:
            if word in registered.identity:
                granted[word] = None
            continue
        parts = intersect((scope,), registered.fhir)
        for part in parts:
            granted[word if part == scope else str(part)] = None
    if not granted:
        raise InvalidScope("None of the scopes asked for can be granted.")
    return " ".join(granted)


def letters_by_type(scopes: Collection[Scope], level: Level) -> Mapping[str, frozenset[str]]:
    """Return the union of the letters per type on one level; `*` is a key of its own (C6)."""
    return {
        resource_type: _letters_of((scope for scope in scopes if scope.level is level), resource_type)
        for resource_type in {scope.resource_type for scope in scopes if scope.level is level}
    }
