"""The operations of this server as data: routes, `/metadata` and definitions follow (FHIR R4 operations.html)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Level(StrEnum):
    """Where an operation is called: at the base, on a type, or on one resource."""

    SYSTEM = "system"
    TYPE = "type"
    INSTANCE = "instance"


ANY_TYPE: Final = "*"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `types` are the resource types it belongs to, ANY_TYPE for all of them.

    `definition` is the canonical URL of its OperationDefinition. `by_get` says whether GET calls it too: only what
    changes nothing and takes primitive parameters (operations.html#executing).
    """

    name: str
    definition: str
    types: tuple[str, ...]
    levels: frozenset[Level]
    by_get: bool = True

    def belongs(self, resource_type: str) -> bool:
        """Say whether the operation is one of this type's."""
        return ANY_TYPE in self.types or resource_type in self.types


_DEFINED: Final = (
    Operation(
        "everything",
        "http://hl7.org/fhir/OperationDefinition/Patient-everything",
        ("Patient",),
        frozenset({Level.INSTANCE}),
    ),
    Operation(
        "lastn",
        "http://hl7.org/fhir/OperationDefinition/Observation-lastn",
        ("Observation",),
        frozenset({Level.TYPE}),
    ),
)

OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType({each.name: each for each in _DEFINED})
"""Every operation by its name, without the `$`."""


def operations_at(level: Level, resource_type: str = "") -> tuple[Operation, ...]:
    """Return the operations that can be called at a level, for one type or, at the base, for none."""
    return tuple(
        each
        for each in OPERATIONS.values()
        if level in each.levels and (level is Level.SYSTEM or each.belongs(resource_type))
    )
