"""What this server does with each resource type: one entry a type, from which routes and `/metadata` follow."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from capability.elements import RESOURCE_TYPES
from capability.search_parameters import SearchParameter, SearchType, search_parameters
from capability.us_core import claimed_profiles
from mappers.registry import mappers_of_type

TYPE_INTERACTIONS: Final = (
    "read",
    "vread",
    "history-instance",
    "history-type",
    "create",
    "update",
    "patch",
    "delete",
    "search-type",
)
"""Interactions with one type (valueset-type-restful-interaction), the same for all of them."""

SYSTEM_INTERACTIONS: Final = ("batch", "transaction", "history-system", "search-system")
"""Interactions at the base (valueset-system-restful-interaction)."""

CONDITIONAL_INTERACTIONS: Final[tuple[str, ...]] = ("create", "update", "patch", "delete")
"""Interactions that also take a query in place of an id (http.html#cond-update)."""

PATCH_FORMATS: Final = ("application/json-patch+json", "application/fhir+json")
"""Kinds of body that PATCH takes, where it is served."""


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One resource type as served."""

    name: str
    interactions: tuple[str, ...] = TYPE_INTERACTIONS

    @property
    def profiles(self) -> tuple[str, ...]:
        """Canonical URLs of the profiles that its resources follow, or some of them."""
        return claimed_profiles(self.name)

    @property
    def search_parameters(self) -> Mapping[str, SearchParameter]:
        """The search parameters by code, common ones included."""
        return search_parameters(self.name)

    @property
    def includes(self) -> tuple[SearchParameter, ...]:
        """The reference parameters, which `_include` can follow."""
        return tuple(each for each in self.search_parameters.values() if each.type is SearchType.REFERENCE)

    @property
    def mappers(self) -> tuple[str, ...]:
        """Names of the mappers that give this type a home in tables; without one every resource is native."""
        return tuple(mapper.name for mapper in mappers_of_type(self.name))


WRITING: Final = frozenset({"create", "update", "patch", "delete"})
READ_ONLY_TYPES: Final = frozenset({"AuditEvent"})
"""Types that no role may write through FHIR (`roles.json`)."""


def _served(name: str) -> ResourceType:
    if name in READ_ONLY_TYPES:
        return ResourceType(name, tuple(each for each in TYPE_INTERACTIONS if each not in WRITING))
    return ResourceType(name)


REGISTRY: Final[Mapping[str, ResourceType]] = MappingProxyType({name: _served(name) for name in RESOURCE_TYPES})
"""Every served type: all of R4 (settled §3.6). A type served otherwise than the rest is told apart here."""
