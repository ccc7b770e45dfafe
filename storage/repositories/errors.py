"""What repositories refuse, beside what all of storage does (`storage/errors.py`).

ResourceExists
└── ValueTaken            another row has a value that must be unique
StorageError
└── NoRow                 JSON that cannot become a row of a table
MappingRefused
├── UnknownValue          a column takes only the members of an enumeration
└── TransitionRefused     the state machine has no such move; `allowed` are the next states
"""

from __future__ import annotations

from collections.abc import Iterable

from storage.errors import MappingRefused, ResourceExists, StorageError


class NoRow(StorageError):
    """JSON names no table, or is no row of the one it names; the message says which field does not fit."""


class ValueTaken(ResourceExists):
    """Another row of the organization has the value of `column`, which must be unique."""

    def __init__(self, table: str, row_id: str, column: str) -> None:
        super().__init__(table, row_id)
        self.column = column


class UnknownValue(MappingRefused):
    """`column` takes only members of an enumeration; `allowed` are these."""

    def __init__(self, table: str, row_id: str, column: str, allowed: Iterable[str]) -> None:
        self.column = column
        self.allowed = tuple(allowed)
        super().__init__(table, row_id, f"{table}.{column} has to be one of: {', '.join(self.allowed)}")


class TransitionRefused(MappingRefused):
    """A status may not follow the current one; `allowed` are those that may."""

    def __init__(self, table: str, row_id: str, before: str, after: str, allowed: Iterable[str]) -> None:
        self.before = before
        self.after = after
        self.allowed = tuple(sorted(allowed))
        remedy = f"allowed are: {', '.join(self.allowed)}" if self.allowed else f"{before} is final"
        super().__init__(table, row_id, f"{table}.status may not go from {before} to {after}; {remedy}")
