"""From method and path to interaction (FHIR R4 http.html#summary). Batch entries take the same way (security AZ-11)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from capability.operations import OPERATIONS, Level
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
ALL_TYPES: Final = "*"
"""In place of a type below a compartment: all of them."""


class Interaction(StrEnum):
    """The interactions of this server, in FHIR's words."""

    READ = "read"
    VREAD = "vread"
    HISTORY_INSTANCE = "history-instance"
    HISTORY_TYPE = "history-type"
    HISTORY_SYSTEM = "history-system"
    CREATE = "create"
    UPDATE = "update"
    """With a query in place of the id it is a conditional update; PATCH and DELETE likewise."""
    PATCH = "patch"
    DELETE = "delete"
    SEARCH_TYPE = "search-type"
    SEARCH_SYSTEM = "search-system"
    SEARCH_COMPARTMENT = "search-compartment"
    OPERATION = "operation"
    CAPABILITIES = "capabilities"
    BUNDLE = "bundle"
    """`POST` to the base: a batch or a transaction, as the body says."""


WRITES: Final = frozenset({Interaction.CREATE, Interaction.UPDATE, Interaction.PATCH, Interaction.DELETE})
"""Interactions that change one resource."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a request asks for. `template` is the path without ids: what logs and the audit name.

    `id` is empty for interactions with a type, conditional ones among them. `operation` is its name without `$`.
    `within` is the type that a search in a compartment looks for, ALL_TYPES for any; the compartment is that of `key`.
    """

    interaction: Interaction
    template: str
    resource_type: str = ""
    id: str = ""
    version: int = 0
    operation: str = ""
    within: str = ""

    @property
    def key(self) -> ResourceKey:
        """The resource that the path names."""
        return ResourceKey(self.resource_type, self.id)

    @property
    def level(self) -> Level:
        """Where the request is addressed: at the base, at a type, at one resource."""
        if self.id:
            return Level.INSTANCE
        return Level.TYPE if self.resource_type else Level.SYSTEM


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A path with what its methods mean; `GET` stands for HEAD as well."""

    template: str
    methods: Mapping[str, Interaction]


def _place_of(template: str, **methods: Interaction) -> _Place:
    return _Place(template, methods)


_ROOTS: Final = {
    "": _place_of("/", GET=Interaction.SEARCH_SYSTEM, POST=Interaction.BUNDLE),
    "metadata": _place_of("/metadata", GET=Interaction.CAPABILITIES),
    "_search": _place_of("/_search", POST=Interaction.SEARCH_SYSTEM),
    "_history": _place_of("/_history", GET=Interaction.HISTORY_SYSTEM),
}
_TYPE: Final = _place_of(
    "/[type]",
    GET=Interaction.SEARCH_TYPE,
    POST=Interaction.CREATE,
    PUT=Interaction.UPDATE,
    PATCH=Interaction.PATCH,
    DELETE=Interaction.DELETE,
)
_SEARCH: Final = _place_of("/[type]/_search", POST=Interaction.SEARCH_TYPE)
_TYPE_HISTORY: Final = _place_of("/[type]/_history", GET=Interaction.HISTORY_TYPE)
_INSTANCE: Final = _place_of(
    "/[type]/[id]",
    GET=Interaction.READ,
    PUT=Interaction.UPDATE,
    PATCH=Interaction.PATCH,
    DELETE=Interaction.DELETE,
)
_HISTORY: Final = _place_of("/[type]/[id]/_history", GET=Interaction.HISTORY_INSTANCE)
_VERSIONED: Final = _place_of("/[type]/[id]/_history/[vid]", GET=Interaction.VREAD)
_COMPARTMENT: Final = _place_of("/[type]/[id]/[type]", GET=Interaction.SEARCH_COMPARTMENT)
_COMPARTMENT_FORM: Final = _place_of("/[type]/[id]/[type]/_search", POST=Interaction.SEARCH_COMPARTMENT)
_WRITING: Final = frozenset({"PUT", "PATCH", "DELETE"})


def route(method: str, path: str) -> Route:
    """Return what a method means at a path below the base (without leading slash; a trailing one is tolerated).

    Raises UnknownResourceType, UnknownAddress, OperationNotSupported, InteractionNotSupported with what the address
    allows, and for an id that cannot be one InvalidId on writes and UnknownAddress on reads.
    """
    segments = path.removesuffix("/").split("/")
    place = _place(segments)
    interaction = place.methods.get("GET" if method == "HEAD" else method)
    if interaction is None:
        raise InteractionNotSupported(allow(place.methods))
    resource_type = segments[0] if segments[0] in REGISTRY else ""
    names_resource = len(segments) > 1 and place not in {_SEARCH, _TYPE_HISTORY} and segments[1][:1] != "$"
    resource_id = segments[1] if names_resource else ""
    if names_resource and not ID.match(resource_id):
        raise InvalidId() if method in _WRITING else UnknownAddress()
    last = segments[-1]
    return Route(
        interaction,
        place.template,
        resource_type,
        resource_id,
        version=_version(last) if place is _VERSIONED else 0,
        operation=last[1:] if interaction is Interaction.OPERATION else "",
        within=segments[2] if interaction is Interaction.SEARCH_COMPARTMENT else "",
    )


def _place(segments: list[str]) -> _Place:
    name, *rest = segments
    if not rest and name in _ROOTS:
        return _ROOTS[name]
    if not rest and name[:1] == "$":
        return _operation(Level.SYSTEM, "", name)
    if name not in REGISTRY:
        raise _unknown(name)
    return _below_type(name, rest)


def _below_type(resource_type: str, rest: list[str]) -> _Place:  # noqa: PLR0911 one case per address
    match rest:
        case []:
            return _TYPE
        case ["_search"]:
            return _SEARCH
        case ["_history"]:
            return _TYPE_HISTORY
        case [name] if name[:1] == "$":
            return _operation(Level.TYPE, resource_type, name)
        case [_]:
            return _INSTANCE
        case [_, "_history"]:
            return _HISTORY
        case [_, "_history", _]:
            return _VERSIONED
        case [_, name] if name[:1] == "$":
            return _operation(Level.INSTANCE, resource_type, name)
        case [_, name] if name in REGISTRY or name == ALL_TYPES:
            return _COMPARTMENT
        case [_, name, "_search"] if name in REGISTRY or name == ALL_TYPES:
            return _COMPARTMENT_FORM
        case [*_, last] if last[:1] == "$":
            raise OperationNotSupported
        case _:
            raise UnknownAddress


def _operation(level: Level, resource_type: str, name: str) -> _Place:
    """Return the place of an operation.

    Raises OperationNotSupported for one that the type does not have, and InteractionNotSupported where one that it has
    cannot be called (fhir_rest §13).
    """
    operation = OPERATIONS.get(name[1:])
    if operation is None or not (level is Level.SYSTEM or operation.belongs(resource_type)):
        raise OperationNotSupported
    if level not in operation.levels:
        raise InteractionNotSupported(allow({}))
    before = {Level.SYSTEM: "", Level.TYPE: "/[type]", Level.INSTANCE: "/[type]/[id]"}[level]
    methods = {"GET": Interaction.OPERATION} if operation.by_get else {}
    return _Place(f"{before}/{name}", methods | {"POST": Interaction.OPERATION})


def _unknown(name: str) -> Exception:
    """Return the error for a path that starts with no resource type."""
    if name[:1] == "$":
        return OperationNotSupported()
    return UnknownResourceType(name) if name[:1].isalpha() else UnknownAddress()


def _version(text: str) -> int:
    """Return the version of a path; one that no version can have is as unknown as any other (R3)."""
    if not _VERSION.match(text):
        raise UnknownAddress
    return int(text)


def allow(methods: Mapping[str, Interaction]) -> tuple[str, ...]:
    """Return the methods for the `Allow` header."""
    return (*(["GET", "HEAD"] if "GET" in methods else []), *(name for name in methods if name != "GET"), "OPTIONS")


def methods_at(path: str) -> tuple[str, ...]:
    """Return the methods that a path allows, for OPTIONS; raises as `route` does for a path that is none."""
    return allow(_place(path.removesuffix("/").split("/")).methods)
