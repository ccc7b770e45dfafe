"""The FHIR store: current and superseded versions as finished bytes, and the writing of both.

Reads touch nothing but the store. Rows outside the caller's access are as absent (settled §4.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ResourceKey:
    """Type and id: what a relative reference names."""

    resource_type: str
    id: str

    def __str__(self) -> str:
        return f"{self.resource_type}/{self.id}"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a resource as it is answered: `body` is finished JSON, empty for a deletion."""

    key: ResourceKey
    version: int
    last_updated: int
    """Milliseconds since 1970 UTC."""
    deleted: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class Write:
    """One intended write: `resource` is a validated resource whose id is `key.id`, or None for a deletion.

    `expected_version` is that of If-Match; `must_exist` refuses update-as-create; `must_not_exist` is a create with a
    new id.
    """

    key: ResourceKey
    resource: Mapping[str, Any] | None
    expected_version: int | None = None
    must_exist: bool = False
    must_not_exist: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What a write did: the version that is current now. `changed` is false when the content was the same (U4)."""

    version: Version
    created: bool
    changed: bool
