"""From method and path to interaction (FHIR R4 http.html#summary). Batch entries take the same way (security AZ-11)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from capability.registry import REGISTRY
from fhir_server.errors import (
    InteractionNotSupported,
    InvalidId,
    OperationNotSupported,
    UnknownAddress,
    UnknownResourceType,
)
from storage.resources import ResourceKey

ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}\Z")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}\Z")
_UNSUPPORTED: Final = frozenset({"_history", "_search"}) | frozenset(REGISTRY) | {"*"}
"""Last segments of what comes later: histories of types and of all, searches over types and in compartments."""
_WRITING: Final = frozenset({"PUT", "PATCH", "DELETE"})


class Interaction(StrEnum):
    """The interactions of this server, in FHIR's words."""

    READ = "read"
    VREAD = "vread"
    HISTORY_INSTANCE = "history-instance"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    SEARCH_TYPE = "search-type"
    EVERYTHING = "everything"
    """The operation `Patient/[id]/$everything`."""
    CAPABILITIES = "capabilities"
    BUNDLE = "bundle"
    """`POST` to the base: a batch or a transaction, as the body says."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a request asks for. `template` is the path without ids: what logs and the audit name."""

    interaction: Interaction
    template: str
    resource_type: str = ""
    id: str = ""
    version: int = 0

    @property
    def key(self) -> ResourceKey:
        """The resource that the path names."""
        return ResourceKey(self.resource_type, self.id)


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A path with what its methods mean; `GET` stands for HEAD as well."""

    template: str
    methods: dict[str, Interaction]


_BASE: Final = _Place("/", {"POST": Interaction.BUNDLE})
_METADATA: Final = _Place("/metadata", {"GET": Interaction.CAPABILITIES})
_ROOTS: Final = {"": _BASE, "metadata": _METADATA}
_TYPE: Final = _Place("/[type]", {"GET": Interaction.SEARCH_TYPE, "POST": Interaction.CREATE})
_SEARCH: Final = _Place("/[type]/_search", {"POST": Interaction.SEARCH_TYPE})
_INSTANCE: Final = _Place(
    "/[type]/[id]", {"GET": Interaction.READ, "PUT": Interaction.UPDATE, "DELETE": Interaction.DELETE}
)
_HISTORY: Final = _Place("/[type]/[id]/_history", {"GET": Interaction.HISTORY_INSTANCE})
_EVERYTHING: Final = _Place("/Patient/[id]/$everything", {"GET": Interaction.EVERYTHING})
_VERSIONED: Final = _Place("/[type]/[id]/_history/[vid]", {"GET": Interaction.VREAD})


def route(method: str, path: str) -> Route:
    """Return what a method means at a path below the base (without leading slash; a trailing one is tolerated).

    Raises UnknownResourceType, UnknownAddress, InteractionNotSupported with what the address allows, and for an id that
    cannot be one InvalidId on writes and UnknownAddress on reads.
    """
    segments = path.removesuffix("/").split("/")
    place = _place(segments)
    interaction = place.methods.get("GET" if method == "HEAD" else method)
    if interaction is None:
        raise InteractionNotSupported(allow(place.methods))
    resource_type = segments[0] if place not in _ROOTS.values() else ""
    names_instance = len(segments) > 1 and place is not _SEARCH
    if names_instance and not ID.match(segments[1]):
        raise InvalidId() if method in _WRITING else UnknownAddress()
    resource_id = segments[1] if names_instance else ""
    return Route(interaction, place.template, resource_type, resource_id, _version(segments))


def _place(segments: list[str]) -> _Place:
    name, *rest = segments
    if not rest and name in _ROOTS:
        return _ROOTS[name]
    if name not in REGISTRY:
        raise _unknown(name)
    match rest:
        case []:
            place = _TYPE
        case ["_search"]:
            place = _SEARCH
        case [_, "_history"]:
            place = _HISTORY
        case [_, "_history", _]:
            place = _VERSIONED
        case [_, "$everything"] if name == "Patient":
            place = _EVERYTHING
        case [*_, last] if last[:1] == "$" or last in _UNSUPPORTED:
            raise OperationNotSupported
        case [_]:
            place = _INSTANCE
        case _:
            raise UnknownAddress
    return place


def _unknown(name: str) -> Exception:
    """Return the error for a path that starts with no resource type."""
    if name[:1] == "$" or name in _UNSUPPORTED:
        return OperationNotSupported()
    return UnknownResourceType(name) if name[:1].isalpha() else UnknownAddress()


def _version(segments: list[str]) -> int:
    """Return the version of a path; one that no version can have is as unknown as any other (R3)."""
    if len(segments) < 4:
        return 0
    if not _VERSION.match(segments[3]):
        raise UnknownAddress
    return int(segments[3])


def allow(methods: dict[str, Interaction]) -> tuple[str, ...]:
    """Return the methods for the `Allow` header."""
    return (*(["GET", "HEAD"] if "GET" in methods else []), *(name for name in methods if name != "GET"), "OPTIONS")


def methods_at(path: str) -> tuple[str, ...]:
    """Return the methods that a path allows, for OPTIONS; raises as `route` does for a path that is none."""
    return allow(_place(path.removesuffix("/").split("/")).methods)
