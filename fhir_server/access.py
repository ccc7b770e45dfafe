"""Who may do what: verified caller × scopes × role → `Access`. Nothing else decides (security AZ-1, AZ-5).

Effective right = scope ∩ role ∩ organization ∩ ownership, as a pure function of the access token's claims, the matrix
in `capability/roles.json` and the resource types served. Storage applies the result to every statement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from capability.compartments import in_patient_compartment
from capability.elements import RESOURCE_TYPES as R4_TYPES
from capability.roles import GraphAction, Role, graph_types, is_directory, roles
from capability.search_parameters import find
from fhir_server.errors import NotAuthorised
from fhir_server.oauth.filters import Filter
from fhir_server.oauth.scopes import ANY_TYPE, Level, Scope, parse_scopes
from storage.access import Access, Extent, Reach, Right, Way
from storage.search.agreement import NOBODY
from storage.search.granular import filter_tests, together
from storage.search.shape import Agreed, Binder, Test

RESOURCE_TYPES: Final = frozenset(R4_TYPES)
SERVICE: Final = "SERVICE"
"""The role of a backend client acting for itself."""
APP: Final = "APP"
"""The role of a client that was given one patient, without a user."""
EMERGENCY: Final = "EMERGENCY"
"""The role of a person with emergency access to one patient (security TN-7)."""
BREAK_GLASS: Final = "BTG"
"""Purpose of use of emergency access (v3-ActReason, break the glass)."""
READING: Final = frozenset({Right.READ, Right.SEARCH})

LETTERS_OF: Final[Mapping[GraphAction, str]] = {
    GraphAction.READ: "rs",
    GraphAction.WRITE: "cu",
    GraphAction.DELETE: "d",
    GraphAction.EXPORT: "rs",
}
"""SMART letters that an action on the patient graph API takes."""

Rights = Mapping[str, Mapping[Right, Reach]]


@dataclass(frozen=True, slots=True)
class Caller:
    """The claims of a verified access token; instants in seconds since 1970 UTC."""

    subject: str
    client_id: str
    organization_id: str
    role: str
    scope: str
    token_id: str
    issued_at: int
    expires_at: int
    patient: str | None = None
    fhir_user: str | None = None
    """`Type/id` of the person, relative to the FHIR base."""
    grant_id: str | None = None
    """The grant that the token comes from; None: the operator's command, or a client acting for itself."""
    break_glass_id: str | None = None
    """The emergency access that it is part of."""
    is_partner: bool = False
    """Whether the client is a partner, who sees only patients who agreed to it."""
    account: str | None = None
    """The person's id at the issuer of the token, where that is not this server."""


def authorise(caller: Caller) -> Access:
    """Return the access of a caller.

    Raises NotAuthorised for a role nobody defined, for a `patient/` scope without a patient: never "no filter" (AZ-3),
    and for emergency access that names none.
    """
    role = roles().get(caller.role)
    if role is None or (role.name == EMERGENCY) != (caller.break_glass_id is not None):
        raise NotAuthorised("The role of this access token is not known.")
    rights, filters = _rights(role.name, caller.scope, caller.patient is not None, is_partner=caller.is_partner)
    return Access(
        organization_id=caller.organization_id,
        actor=caller.subject,
        role=role.name,
        client_id=caller.client_id,
        rights=rights,
        patient=caller.patient,
        fhir_user=caller.fhir_user,
        purpose=BREAK_GLASS if caller.break_glass_id else None,
        grant=caller.token_id,
        filters=filters,
    )


@lru_cache(maxsize=256)  # of some 40 KB each, with a hundred filters 130
def _rights(role_name: str, scope: str, has_patient: bool, *, is_partner: bool) -> tuple[Rights, Mapping[str, Any]]:
    """Return the rights by type, with the values that their tests name.

    Equal tokens share them, as they are the same for every organization and patient.
    """
    granted = parse_scopes(scope, RESOURCE_TYPES).fhir
    if not has_patient and any(each.level is Level.PATIENT for each in granted):
        raise NotAuthorised("The access token has a patient/ scope but names no patient.")
    filters = _Filters()
    role = roles()[role_name]
    named = {scope.resource_type for scope in granted}
    types = R4_TYPES if ANY_TYPE in named else [each for each in R4_TYPES if each in named]
    rights = {resource_type: _rights_of_type(role, resource_type, granted, filters) for resource_type in types}
    if is_partner:
        rights = {name: _of_partner(name, reaches) for name, reaches in rights.items()}
        filters.binder.values |= NOBODY
    found = MappingProxyType({resource_type: reaches for resource_type, reaches in rights.items() if reaches})
    return found, MappingProxyType(filters.binder.values)


def _of_partner(resource_type: str, reaches: Mapping[Right, Reach]) -> Mapping[Right, Reach]:
    """Return what is left of rights to a type for a partner: of patients, those who agreed.

    Of types that lie in no compartment whatever may tell of a patient is nothing to partners.
    """
    if in_patient_compartment(resource_type):
        return {
            right: Reach.by(Way(way.extent, (*way.tests, Agreed())) for way in reach.ways)
            for right, reach in reaches.items()
        }
    is_common = is_directory(resource_type) or find(resource_type, "url") is not None
    return reaches if is_common else {}


def _rights_of_type(
    role: Role, resource_type: str, granted: tuple[Scope, ...], filters: _Filters
) -> Mapping[Right, Reach]:
    """Return the union of what the scopes for a type permit (smart.md C6)."""
    asked = [scope for scope in granted if scope.resource_type in {ANY_TYPE, resource_type}]
    reaches: dict[Right, Reach] = {}
    for right in Right:
        ways: list[Way] = []
        narrow: dict[Extent, list[Filter]] = {}
        for scope in asked:
            if right.value not in scope.letters:
                continue
            whole = reach_of(role, resource_type, right, scope.level)
            if scope.filter:
                for way in whole.ways:
                    narrow.setdefault(way.extent, []).append(scope.criteria)
            else:
                ways.extend(whole.ways)
        ways += [Way(extent, filters.tests(each)) for extent, some in narrow.items() for each in together(some)]
        if ways:
            found = Reach.by(ways)
            reaches[right] = next((each for each in reaches.values() if each == found), found)
    return MappingProxyType(reaches)


class _Filters:
    """Turns filters into tests, equal ones into equal tests: then `r` and `s` of one scope are one statement."""

    def __init__(self) -> None:
        self.binder = Binder(letter="f")
        self._known: dict[Filter, tuple[Test, ...]] = {}

    def tests(self, criteria: Filter) -> tuple[Test, ...]:
        """Return the tests of a filter; their values go into `binder`."""
        if criteria not in self._known:
            self._known[criteria] = filter_tests(criteria, self.binder)
        return self._known[criteria]


def reach_of(role: Role, resource_type: str, right: Right, level: Level) -> Reach:
    """Return how far one cell of the matrix reaches: role × type × right, with a scope of `level` for it."""
    if right.value not in role.rights(resource_type) or not _speaks_for(role, level):
        return Reach.NONE
    if level is not Level.PATIENT and not role.own:
        return Reach.ORGANIZATION
    if is_directory(resource_type):
        return Reach.ORGANIZATION if right in READING else Reach.NONE
    if resource_type == "Patient" and right is Right.CREATE:
        return Reach.NONE  # a new patient is never the caller's own (smart.md E7)
    return Reach.COMPARTMENT


def _speaks_for(role: Role, level: Level) -> bool:
    """`system/` is a backend client's alone (OA-12), `user/` needs a user; `patient/` narrows any of them."""
    match level:
        case Level.SYSTEM:
            return role.name == SERVICE
        case Level.USER:
            return role.assignable
        case Level.PATIENT:
            return True


def graph_extent(caller: Caller, resource: str, action: GraphAction) -> Extent | None:
    """Return how far a caller may do `action` with a resource of the patient graph API; None: not at all.

    Role × scopes: the role needs the action (`graph` in roles.json), the token the letters for every FHIR type that
    shows the resource (`graph_types`), each for the type as a whole: what a filter would leave out these APIs do not
    know. COMPARTMENT is the caller's own customer. Partners' clients have no part in these APIs.
    """
    role = roles().get(caller.role)
    if role is None or caller.is_partner or action not in role.actions(resource):
        return None
    granted = parse_scopes(caller.scope, RESOURCE_TYPES).fhir
    found = [_extent_of(role, granted, name, letter) for name in graph_types(resource) for letter in LETTERS_OF[action]]
    return None if None in found else min(each for each in found if each is not None)


def _extent_of(role: Role, granted: tuple[Scope, ...], resource_type: str, letter: str) -> Extent | None:
    levels = {
        scope.level
        for scope in granted
        if scope.resource_type in {ANY_TYPE, resource_type}
        and letter in scope.letters
        and not scope.filter
        and _speaks_for(role, scope.level)
    }
    if not levels:
        return None
    return Extent.COMPARTMENT if role.own or levels == {Level.PATIENT} else Extent.ORGANIZATION


def access_for_read(access: Access, resource_type: str, resource_id: str) -> Access:
    """Return the access for one GET of one resource: the caller's own, unless it is exactly the token's fhirUser.

    That one is readable without a scope for its type, whatever the filter of a scope, and whichever patient is in
    context: a mother with her child's record open is a Patient herself (settled §4.3, smart.md O5, E18). Use the answer
    for this read only.
    """
    reach = access.reach(resource_type, Right.READ)
    if access.fhir_user != f"{resource_type}/{resource_id}" or reach is Reach.ORGANIZATION:
        return access
    return replace(access, rights={resource_type: {Right.READ: Reach.ORGANIZATION}})


def may_read_changes(access: Access, resource_type: str) -> bool:
    """Say whether whatever the caller may change the caller may read, too.

    Else an answer to a change shows nothing of what stayed, and no patch asks what is there (decision 24).
    """
    return access.reach(resource_type, Right.READ) >= access.reach(resource_type, Right.UPDATE)
