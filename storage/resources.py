"""The nouns of the FHIR store: keys, versions, and the writes that make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, Final

from storage.codec import decode
from storage.search.keys import self_key

ANY_VERSION: Final = 0
"""Expected version of a write that only demands that the resource exists (`If-Match: *`)."""


@dataclass(frozen=True, slots=True)
class ResourceKey:
    """Type and id: what a relative reference names."""

    resource_type: str
    id: str

    def __str__(self) -> str:
        return f"{self.resource_type}/{self.id}"

    @property
    def hash(self) -> int:
        """The self_key of the resource."""
        return self_key(self.resource_type, self.id)


class Creation(IntEnum):
    """Whether a version brought its resource into being, and how: a history tells (fhir_rest V4)."""

    NONE = 0
    POST = 1
    """Under an id that the server chose."""
    PUT = 2
    """Under an id that was there before: the client's choice, or that of a resource which was deleted."""


@dataclass(frozen=True, slots=True)
class Home:
    """The internal row, and the part of it, that holds a resource."""

    table: str
    key: str
    part: str


@dataclass(frozen=True)
class Stored:
    """A row of fhir_resources: the current version with what the store knows about it."""

    key: ResourceKey
    rid: int
    version: int
    last_updated: int
    deleted: bool
    patient: int
    date_low: int
    home: Home | None
    residual: bytes | None
    body: bytes

    def resource(self) -> Mapping[str, Any]:
        """Return the resource of the body; it is the same for everyone who asks, and nobody's to change."""
        return self._decoded

    @cached_property
    def _decoded(self) -> Mapping[str, Any]:
        resource: dict[str, Any] = decode(self.body)
        return resource


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a resource as it is answered: `body` is finished JSON, empty for a deletion."""

    key: ResourceKey
    version: int
    last_updated: int
    """Milliseconds since 1970 UTC."""
    deleted: bool
    body: bytes
    creation: Creation = Creation.NONE
    """Known in histories only."""
    superseded: bytes = b""
    """A body whose patients the audit names, too: of a version just written the one that it took the place of, of a
    Provenance that is made the one that it tells about."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a write did: the version that is current now; None where a deletion found nothing.

    `changed` is false when the content was the same, so that no version was made (U4).
    """

    version: Version | None
    created: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class Write:
    """One intended write: `resource` is a validated resource whose id is `key.id`, or None for a deletion.

    `expected_version` is that of If-Match (ANY_VERSION: whichever); `must_exist` refuses an id that never was;
    `must_not_exist` is a create with a new id, which skips the look-up of what is stored.
    """

    key: ResourceKey
    resource: Mapping[str, Any] | None
    expected_version: int | None = None
    must_exist: bool = False
    must_not_exist: bool = False
