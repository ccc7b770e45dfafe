"""What drift looks like: one finding per table, column and kind, with its remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from storage.stops import Stops
from storage.tables.metadata import metadata


class Kind(StrEnum):
    """In what a database differs from what is declared."""

    TABLE_GONE = "table gone"
    COLUMN_GONE = "column gone"
    TYPE_CHANGED = "type changed"
    TYPE_NARROWED = "type narrowed"
    COLUMN_REQUIRED = "column required"
    COLUMN_UNFILLED = "new required column"
    COLUMN_NEW = "new column"
    VALUES_CHANGED = "other values allowed"
    VALUE_NEW = "new value"
    MEMBER_NEW = "new JSON member"
    ROW_UNREADABLE = "row cannot be shown"
    ROW_NOT_KEPT = "row does not survive a round trip"
    RESOURCE_NOT_KEPT = "writing back changes the row"


STOPPING: Final = frozenset({Kind.TABLE_GONE, Kind.COLUMN_GONE, Kind.TYPE_CHANGED})
"""Kinds that stop the mappers that need the column."""
HARMLESS: Final = frozenset({Kind.COLUMN_NEW})
"""Kinds that are told of and are no drift: FHIR shows what it showed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `detail` and `remedy` name tables, columns, types and members, never a value of a row."""

    kind: Kind
    table: str
    column: str | None
    detail: str
    remedy: str
    mappers: tuple[str, ...] = ()
    """Names of the mappers concerned: stopped, where the kind is one of STOPPING."""
    organization: str | None = None
    """Whose rows show it, where rows were looked at."""
    rows: int = 0
    """How many of the rows that were looked at show it."""

    @property
    def place(self) -> str:
        """The table and the column."""
        return self.table if self.column is None else f"{self.table}.{self.column}"

    @property
    def stops(self) -> bool:
        """Whether the mappers concerned are stopped."""
        return self.kind in STOPPING

    @property
    def is_drift(self) -> bool:
        """Whether something has to be done."""
        return self.kind not in HARMLESS

    def to_json(self) -> dict[str, Any]:
        """Return the finding as facts for `--json`, the log and /readyz."""
        return {
            "kind": self.kind.value,
            "table": str(self.table),  # SQLAlchemy's names are no plain text
            "column": None if self.column is None else str(self.column),
            "detail": self.detail,
            "remedy": self.remedy,
            "mappers": list(self.mappers),
            "stops": self.stops,
            "organization": self.organization,
            "rows": self.rows,
        }


def stops_of(findings: Iterable[Finding]) -> Stops:
    """Return what is to be stopped because of the findings."""
    mappers: dict[str, str] = {}
    unusable: dict[str, frozenset[str]] = {}
    unfilled: dict[str, tuple[str, ...]] = {}
    for each in findings:
        if each.stops:
            for name in each.mappers:
                mappers.setdefault(name, f"{each.place}: {each.detail}")
            columns = metadata.tables[each.table].c.keys() if each.column is None else [each.column]
            unusable[each.table] = unusable.get(each.table, frozenset()) | frozenset(columns)
        if each.kind is Kind.COLUMN_UNFILLED and each.column is not None:
            unfilled[each.table] = (*unfilled.get(each.table, ()), each.column)
    return Stops(mappers, unusable, unfilled)


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings, those about rows that differ in nothing but how many rows there are as one."""
    found: dict[tuple[object, ...], Finding] = {}
    for each in findings:
        key = (each.kind, each.table, each.column, each.detail, each.organization)
        known = found.get(key)
        found[key] = each if known is None else replace(known, rows=known.rows + each.rows)
    return list(found.values())
