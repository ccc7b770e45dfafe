"""What is stopped because the database is not as the mappers declare (storage/drift finds it).

A stopped mapper renders and takes nothing: its resources keep their last versions, and its rows that change are listed
in `projection_failures`. Everything else goes on, also other mappers of the same table: columns that cannot be used are
neither read nor written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Column

from mappers.lens import ResourceMapper

UNUSABLE: Final = "unusable columns"
"""Under this name a connection knows `Stops.unusable`, for whoever loads and saves rows."""

STOPPED: Final = "stopped: "
"""How the reason of a failure begins whose row is projected again once its mapper runs."""


@dataclass(frozen=True, slots=True)
class Stops:
    """What the running server does without."""

    mappers: Mapping[str, str] = field(default_factory=dict)
    """Name of a mapper → why it is stopped; names table and column."""
    unusable: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Table → columns that are gone or hold another kind of value."""
    unfilled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Table → columns that are NOT NULL, have no default, and that no mapper knows: there are no new rows."""

    def running(self, mappers: Iterable[ResourceMapper]) -> tuple[ResourceMapper, ...]:
        """Return the mappers that are not stopped."""
        return tuple(mapper for mapper in mappers if mapper.name not in self.mappers)

    @property
    def lacking(self) -> frozenset[tuple[str, str]]:
        """Table and column of all that cannot be used."""
        return frozenset((table, column) for table, columns in self.unusable.items() for column in columns)

    def has(self, column: Column[Any]) -> bool:
        """Whether a column can be used."""
        return column.name not in self.unusable.get(column.table.name, _NONE)

    def lacks(self, columns: Mapping[str, Iterable[str]]) -> bool:
        """Whether one of some columns, given by table, cannot be used."""
        return bool(self.unusable) and any(
            not self.unusable.get(table, _NONE).isdisjoint(names) for table, names in columns.items()
        )

    def reason(self, mapper: ResourceMapper) -> str | None:
        """Return why a mapper is stopped, None when it runs."""
        return self.mappers.get(mapper.name)


NO_STOPS: Final = Stops()


def unusable_columns(connection: Any, table: str) -> frozenset[str]:
    """Return the columns of a table that are neither read nor written on a SQLAlchemy connection."""
    unusable: Mapping[str, frozenset[str]] = connection.info.get(UNUSABLE, {})
    return unusable.get(table, _NONE)


_NONE: Final[frozenset[str]] = frozenset()
