"""What of the store one caller may see and change.

Every call of storage takes an `Access`; there is no default, so forgetting it does not type-check. It is decided in
`fhir_server/access.py` and applied to every statement here (security AZ-1, AZ-2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from storage.errors import InteractionForbidden


class Right(StrEnum):
    """The letters of SMART v2 scopes (scopes-and-launch-context)."""

    CREATE = "c"
    READ = "r"
    UPDATE = "u"
    DELETE = "d"
    SEARCH = "s"


class Reach(IntEnum):
    """How far a right goes for one resource type; a higher one includes the lower."""

    NONE = 0
    COMPARTMENT = 1
    """Only what lies in the compartment of `Access.patient`."""
    ORGANIZATION = 2
    """All of the organization."""


@dataclass(frozen=True, slots=True)
class Access:
    """The rights of one caller in one organization.

    `rights` maps a resource type to the reach of each right, already the intersection of scopes, role, tenancy and
    ownership (AZ-5); a type or right that is missing is NONE. `patient` is the id of the Patient whose compartment
    COMPARTMENT means; without one, COMPARTMENT reaches nothing (AZ-3). `actor`, `role` and `client_id` are who is
    named in the audit; `grant` is the access token's jti.
    """

    organization_id: str
    actor: str
    role: str
    client_id: str
    rights: Mapping[str, Mapping[Right, Reach]]
    patient: str | None = None
    fhir_user: str | None = None
    purpose: str | None = None
    grant: str | None = None
    everything: frozenset[Right] = field(default_factory=frozenset)
    """Rights that reach the whole organization for every type (system and administrative callers)."""

    def reach(self, resource_type: str, right: Right) -> Reach:
        """Return how far `right` goes for the type."""
        if right in self.everything:
            return Reach.ORGANIZATION
        reach = self.rights.get(resource_type, {}).get(right, Reach.NONE)
        if reach is Reach.COMPARTMENT and self.patient is None:
            return Reach.NONE
        return reach

    def require(self, resource_type: str, right: Right) -> Reach:
        """Return the reach of `right`; raises InteractionForbidden when it is NONE."""
        reach = self.reach(resource_type, right)
        if reach is Reach.NONE:
            raise InteractionForbidden(resource_type, right.name.lower())
        return reach


def system_access(organization_id: str, actor: str) -> Access:
    """Return the access of the server itself (projector, loader): everything in one organization."""
    return Access(organization_id, actor, "SYSTEM", "fhir-server", {}, everything=frozenset(Right))
