"""What of the store one caller may see and change.

Every call of storage takes an `Access`; there is no default, so forgetting it does not type-check. It is decided in
`fhir_server/access.py` and applied to every statement here (security AZ-1, AZ-2).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from storage.errors import InteractionForbidden

if TYPE_CHECKING:  # a test may hold a search within a search, which has a reach
    from storage.search.shape import Test


class Right(StrEnum):
    """The letters of SMART v2 scopes (scopes-and-launch-context)."""

    CREATE = "c"
    READ = "r"
    UPDATE = "u"
    DELETE = "d"
    SEARCH = "s"


class Extent(IntEnum):
    """Whose resources a way of seeing leads to; a higher one includes the lower.

    Each has its condition in `storage/visibility.py`, in SQL and in Python.
    """

    COMPARTMENT = 1
    """Only what lies in the compartment of `Access.patient`."""
    ORGANIZATION = 2
    """All of the organization."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of seeing resources of a type: what meets all tests within an extent.

    The tests are those of a granular scope; the names in them are parameters, whose values `Access.filters` holds.
    """

    extent: Extent
    tests: tuple[Test, ...] = ()

    def covers(self, other: Way) -> bool:
        """Say whether whatever is seen the other way is seen this way, too."""
        return other.extent <= self.extent and set(self.tests) <= set(other.tests)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a right goes for one resource type: to what is seen one of these ways.

    Made by `Reach.by` alone: then no way covers another, and NONE, COMPARTMENT and ORGANIZATION are one object each.
    """

    ways: tuple[Way, ...]
    _hash: int = field(init=False, repr=False, compare=False)

    NONE: ClassVar[Reach]
    COMPARTMENT: ClassVar[Reach]
    """The compartment of `Access.patient`, all of the type."""
    ORGANIZATION: ClassVar[Reach]
    """The organization, all of the type."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash(self.ways))

    def __hash__(self) -> int:
        return self._hash  # it is part of the key of every statement

    @classmethod
    def by(cls, ways: Iterable[Way]) -> Reach:
        """Return the reach of some ways; those that another one covers say nothing more (smart.md C6)."""
        kept: list[Way] = []
        for way in ways:
            if not any(other.covers(way) for other in kept):
                kept = [other for other in kept if not way.covers(other)] + [way]
        found = cls(tuple(kept))
        return _SIMPLE.get(found, found)

    def __or__(self, other: Reach) -> Reach:
        return self if self == other else Reach.by((*self.ways, *other.ways))  # each way is held against all others

    def __le__(self, other: Reach) -> bool:
        """Say whether the other one reaches everything that this one does."""
        return all(any(wide.covers(way) for wide in other.ways) for way in self.ways)

    def __ge__(self, other: Reach) -> bool:
        return other <= self

    @property
    def is_bound(self) -> bool:
        """Whether it goes nowhere beyond the compartment of one patient."""
        return all(way.extent is Extent.COMPARTMENT for way in self.ways)

    @property
    def is_granular(self) -> bool:
        """Whether the contents of a resource decide: a filter of a granular scope."""
        return any(way.tests for way in self.ways)

    @property
    def is_unfiltered(self) -> bool:
        """Whether one way sees the type as a whole within its extent."""
        return any(not way.tests for way in self.ways)

    def within(self, extents: Container[Extent]) -> Reach:
        """Return what of it lies within some extents."""
        kept = tuple(way for way in self.ways if way.extent in extents)
        return self if len(kept) == len(self.ways) else Reach.by(kept)


Reach.NONE = Reach(())
Reach.COMPARTMENT = Reach((Way(Extent.COMPARTMENT),))
Reach.ORGANIZATION = Reach((Way(Extent.ORGANIZATION),))
_SIMPLE: Final = {each: each for each in (Reach.NONE, Reach.COMPARTMENT, Reach.ORGANIZATION)}
_WITHOUT_PATIENT: Final = frozenset(Extent) - {Extent.COMPARTMENT}


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
    filters: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """The values of the parameters that tests in `rights` name."""

    def reach(self, resource_type: str, right: Right) -> Reach:
        """Return how far `right` goes for the type."""
        if right in self.everything:
            return Reach.ORGANIZATION
        reach = self.rights.get(resource_type, {}).get(right, Reach.NONE)
        return reach if self.patient is not None else reach.within(_WITHOUT_PATIENT)

    def require(self, resource_type: str, right: Right) -> Reach:
        """Return the reach of `right`; raises InteractionForbidden when it is NONE."""
        reach = self.reach(resource_type, right)
        if reach is Reach.NONE:
            raise InteractionForbidden(resource_type, right.name.lower())
        return reach


def system_access(organization_id: str, actor: str) -> Access:
    """Return the access of the server itself (projector, loader): everything in one organization."""
    return Access(organization_id, actor, "SYSTEM", "fhir-server", {}, everything=frozenset(Right))
