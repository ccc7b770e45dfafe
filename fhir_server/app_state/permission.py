"""Who may do what with a state: client × role × scope × whose it is, all of them (`smart.md` ST5).

The client's list comes from the operator, the role's letters from `capability/roles.json`, scopes from the token.
Decided is by coding and subject alone, which never change: so a query shows all states that it asks for, or is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from capability.roles import roles
from fhir_server.access import RESOURCE_TYPES, Caller, authorise
from fhir_server.app_state.rules import Rule
from fhir_server.errors import NotAuthorised
from fhir_server.oauth.scopes import ANY_TYPE, Level, Scope, parse_scopes
from storage.access import Right
from storage.app_states import StateKey
from storage.errors import InteractionForbidden, ResourceGone, ResourceNotFound
from storage.projection.index_values import index_values
from storage.resources import ResourceKey
from storage.search.granular import filter_tests
from storage.search.matching import meets
from storage.search.shape import Binder
from storage.store import ResourceStore

PATIENT, USER, GLOBAL = "patient", "user", "global"
"""Whose a state is (`capability.roles.STATE_KINDS`)."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What a caller may do whose client has some rules; `store` knows which patients the caller reaches."""

    caller: Caller
    rules: Sequence[Rule]
    store: ResourceStore

    async def permits(self, key: StateKey, right: Right) -> bool:
        """Say whether the caller may do something with the states of a coding and subject."""
        for kind, level in self._grounds(key, right):
            if kind != PATIENT or await self._reaches(str(key.subject).partition("/")[2], level):
                return True
        return False

    def _grounds(self, key: StateKey, right: Right) -> list[tuple[str, Level]]:
        """Return why the caller might: whose the state is to the caller, and the level of scopes that speak of it."""
        role = roles().get(self.caller.role)
        if role is None:
            return []
        scopes = parse_scopes(self.caller.scope, RESOURCE_TYPES).fhir
        return [
            (kind, level)
            for kind, level in self._ways(key)
            if (level is not Level.USER or role.assignable)
            and right.value in role.app_state.get(kind, "")
            and any(rule.allows(key.system, key.code, kind, right) for rule in self.rules)
            and any(self._speaks(scope, level, key, right) for scope in scopes)
        ]

    def _ways(self, key: StateKey) -> Iterator[tuple[str, Level]]:
        """Yield whose a state is to the caller, and at which level a scope has to be."""
        if key.subject is None:
            yield GLOBAL, Level.USER
            return
        if key.subject == self.caller.fhir_user:
            yield USER, Level.USER
        if key.subject.startswith("Patient/"):
            yield PATIENT, Level.USER
            if key.subject == f"Patient/{self.caller.patient}":
                yield PATIENT, Level.PATIENT

    def _speaks(self, scope: Scope, level: Level, key: StateKey, right: Right) -> bool:
        """Say whether a scope is about a state: by level, type and letter, and by what its filter asks of the Basic."""
        if scope.level is not level or scope.resource_type not in {ANY_TYPE, "Basic"}:
            return False
        if right.value not in scope.letters:
            return False
        return not scope.filter or self._meets(scope, key)

    def _meets(self, scope: Scope, key: StateKey) -> bool:
        binder = Binder(letter="f")
        tests = filter_tests(scope.criteria, binder)
        base = self.store.database.base_url
        subject = {"subject": {"reference": f"{base}/{key.subject}"}} if key.subject else {}
        code = {"coding": [{"system": key.system, "code": key.code}]}
        values = index_values({"resourceType": "Basic", "id": "state", "code": code, **subject}, base)
        return all(meets(test, values, binder.values) for test in tests)

    async def _reaches(self, patient: str, level: Level) -> bool:
        """Say whether whom the token speaks for may see a patient: by role, compartment and, of partners, agreement."""
        try:
            access = authorise(replace(self.caller, scope=f"{level}/Patient.r"))
            await self.store.read(ResourceKey("Patient", patient), access)
        except (NotAuthorised, InteractionForbidden, ResourceNotFound, ResourceGone):
            return False
        return True
