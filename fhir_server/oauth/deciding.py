"""What may be granted, and what is still to be asked: pure rules of the authorization flow (`smart.md` §6, §7)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from capability.roles import Role, roles
from fhir_server.access import RESOURCE_TYPES
from fhir_server.oauth.scopes import ANY_TYPE, Level, Scope, intersect, parse_scope, parse_scopes


class Step(StrEnum):
    """The pages of the flow, in their order; each is an address of its own below `/authorize/{transaction}`."""

    ORGANIZATION = "organization"
    PATIENT = "patient"
    ENCOUNTER = "encounter"
    CONSENT = "consent"


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known so far.

    `own` says that the person's role reaches own records alone. `encounter` is "" for a person who chose none, None for
    one who was not asked.
    """

    organization: str | None
    offered: Sequence[str]
    patient: str | None
    encounter: str | None
    own: bool = False


def next_step(progress: Progress) -> Step:
    """Return the first page that has to be shown; consent comes last, and its answer ends the request."""
    if progress.organization is None:
        return Step.ORGANIZATION
    if needs_patient(progress.offered, own=progress.own) and progress.patient is None:
        return Step.PATIENT
    if "launch/encounter" in progress.offered and progress.encounter is None:
        return Step.ENCOUNTER
    return Step.CONSENT


def offer(scope: str, role_name: str, *, has_fhir_user: bool) -> tuple[str, ...]:
    """Return which of the scopes can be granted by a user in a role, in the order asked (C4, OA-12).

    Letters that the role never has go; whatever the type, if the role has them for types of its kind they stay (C1).
    `system/` is never granted by a person (C12), nor `user/` with emergency access, which is to one patient. `fhirUser`
    needs `openid` (O7) and a resource that stands for the user. Of `offline_access` and `online_access` the first
    remains (C11). A scope that is offered in full keeps its spelling (C3).
    """
    words = [kept for word in scope.split() if (kept := _of_role(word, role_name)) is not None]
    dropped: set[str] = set()
    if "openid" not in words or not has_fhir_user:
        dropped.add("fhirUser")
    if "offline_access" in words:
        dropped.add("online_access")
    return tuple(dict.fromkeys(word for word in words if word not in dropped))


def _of_role(word: str, role_name: str) -> str | None:
    scope = parse_scope(word, RESOURCE_TYPES)
    if scope is None:
        return word
    if scope.level is Level.SYSTEM or (scope.level is Level.USER and not roles()[role_name].assignable):
        return None
    letters = "".join(letter for letter in scope.letters if letter in _letters(role_name, scope.resource_type))
    if letters == scope.letters:
        return word
    return str(replace(scope, letters=letters)) if letters else None


@lru_cache(maxsize=4096)
def _letters(role_name: str, resource_type: str) -> frozenset[str]:
    """Return the letters that a role has for a type, or for any type at all.

    Of Basic they are those for the states of apps, too: at /fhir the role still has no more than its own (ST5).
    """
    role: Role = roles()[role_name]
    types: Collection[str] = RESOURCE_TYPES if resource_type == ANY_TYPE else (resource_type,)
    of_states = role.app_state.values() if resource_type == "Basic" else ()
    return frozenset(letter for text in (*map(role.rights, types), *of_states) for letter in text)


def fhir_scopes(words: Sequence[str]) -> tuple[Scope, ...]:
    """Return the FHIR scopes among the words."""
    return parse_scopes(" ".join(words), RESOURCE_TYPES).fhir


def needs_patient(words: Sequence[str], *, own: bool = False) -> bool:
    """Say whether a patient has to be in context: asked for, or because a scope speaks of one (P1, P3).

    Of a person whose role reaches own records alone every scope does: `user/` is one of these records, too (C12).
    """
    asked = "launch/patient" in words or "launch/encounter" in words
    return asked or any(own or scope.level is Level.PATIENT for scope in fhir_scopes(words))


def covers(earlier: str, words: Sequence[str]) -> bool:
    """Say whether an earlier grant holds everything that is asked for now: nothing grew since then."""
    before = parse_scopes(earlier, RESOURCE_TYPES)
    known = set(earlier.split())
    return all(word in known or _is_within(word, before.fhir) for word in words)


def _is_within(word: str, before: tuple[Scope, ...]) -> bool:
    scope = parse_scope(word, RESOURCE_TYPES)
    return scope is not None and scope in intersect((scope,), before)
