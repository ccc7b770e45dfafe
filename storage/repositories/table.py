"""What every repository of a unit of work can do with the rows of its table.

A repository belongs to one unit of work, or to a snapshot or glimpse, which it only reads; hence to one organization:
every statement names it, and row-level security is the second wall. Rows that are changed are touched, so that they
show in FHIR when the unit of work ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar, cast

from sqlalchemy import Column, ColumnElement, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.errors import ResourceNotFound, VersionConflict
from storage.projection.sources import owners_of_row
from storage.repositories.errors import ValueTaken
from storage.repositories.quick import COMPARISONS, Condition, Glimpse, find_page, find_row
from storage.repositories.saving import keep_row, remove_row
from storage.rows import Shape, confined, fetch_rows, load_rows, shape_of, taken_unique
from storage.tables.care_platform import CATALOGUE_TABLES
from storage.tables.types import is_same_value
from storage.transaction import Snapshot, UnitOfWork

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100


class Identified(Protocol):
    """A row with an id."""

    @property
    def id(self) -> str:
        """Key of the row within its organization."""
        ...


R = TypeVar("R", bound=Identified)
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows of a list are asked for; raises ValueError outside the limits of the API document."""

    limit: int = DEFAULT_LIMIT
    offset: int = 0
    most: int = MAX_LIMIT

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= self.most:
            raise ValueError(f"limit has to be between 1 and {self.most}")
        if self.offset < 0:
            raise ValueError("offset may not be negative")


FIRST: Final = Window()


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some rows of a list, and how many there are in all."""

    rows: tuple[Item, ...]
    total: int
    window: Window

    @property
    def page(self) -> int:
        """Number of the page, from 1."""
        return self.window.offset // self.window.limit + 1

    @property
    def has_more(self) -> bool:
        """Whether rows follow after this page."""
        return self.window.offset + len(self.rows) < self.total


class TableRepository(Generic[R]):
    """The rows of one table; subclasses name it and add what their aggregate is asked for."""

    table_name: ClassVar[str]

    def __init__(self, opened: UnitOfWork | Snapshot | Glimpse) -> None:
        self._opened = opened
        self.organization_id = opened.organization_id
        self.shape: Shape = shape_of(self.table_name)

    @property
    def connection(self) -> AsyncConnection:
        """The connection of the unit of work or snapshot; raises TypeError where there is none."""
        if isinstance(self._opened, Glimpse):
            raise TypeError("a repository of a glimpse finds rows by their ids, and pages of lists")
        return self._opened.connection

    @property
    def unit(self) -> UnitOfWork:
        """The unit of work that it writes in; raises TypeError for a repository that was opened to read."""
        if not isinstance(self._opened, UnitOfWork):
            raise TypeError("a repository that is no unit of work's only reads")
        return self._opened

    @property
    def table(self) -> Table:
        """The table itself."""
        return self.shape.table

    async def find(self, row_id: str) -> R | None:
        """Return the row with this id, None when the organization has none; of a glimpse without its child rows."""
        if isinstance(self._opened, Glimpse):
            return cast("R | None", await find_row(self._opened, self.table_name, row_id))
        found = await load_rows(self.connection, self.table_name, self.organization_id, [row_id])
        return found.get(row_id)

    async def get(self, row_id: str) -> R:
        """Return the row with this id; raises ResourceNotFound."""
        row = await self.find(row_id)
        if row is None:
            raise ResourceNotFound(self.table_name, row_id)
        return row

    async def insert(self, row: R) -> R:
        """Add a row and return it as stored.

        Raises ValueTaken when its id or another unique value is in use, and UnresolvedReference when a row that it
        refers to does not exist.
        """
        self._require_own(row)
        if await self.find(row.id) is not None:
            raise ValueTaken(self.table_name, row.id, "id")
        await self._require_free(row)
        await keep_row(self.unit, self.table_name, None, row)
        self.unit.touch(self.table_name, row.id, new=True)
        return await self.get(row.id)

    async def update(self, row_id: str, changes: Mapping[str, Any], *, expected: datetime | None = None) -> R:
        """Change columns of a row and return it as stored; what changes nothing writes nothing (mapping law 3).

        `expected` is the `updated_at` that the writer has seen. Raises ResourceNotFound, VersionConflict when the row
        is at another, ValueTaken, UnresolvedReference, and TransitionRefused.
        """
        before = await self._locked(row_id, expected)
        after: R = replace(before, **changes)  # type: ignore[type-var]
        if is_same_value(after, before):
            return before
        self._require_own(after)
        await self._require_free(after)
        await keep_row(self.unit, self.table_name, before, after)
        self.unit.touch(self.table_name, row_id)
        now = owners_of_row(self.table_name, after)
        for table, key in (each for each in owners_of_row(self.table_name, before) if each not in now):
            self.unit.touch(table, key)  # whoever showed the row until now shows it no longer
        return await self.get(row_id)

    async def delete(self, row_id: str, *, expected: datetime | None = None) -> None:
        """Delete a row; raises ResourceNotFound, VersionConflict, and ReferenceConflict while others refer to it."""
        row = await self._locked(row_id, expected)
        await remove_row(self.unit, self.table_name, row)
        for table, key in ((self.table_name, row_id), *owners_of_row(self.table_name, row)):
            self.unit.touch(table, key)

    async def _locked(self, row_id: str, expected: datetime | None) -> R:
        """Return the row, kept from other writers until the unit of work ends."""
        found: list[R] = await self._rows([self.table.c.id == row_id], lock=True)
        if not found:
            raise ResourceNotFound(self.table_name, row_id)
        if expected is not None and getattr(found[0], "updated_at", None) != expected:
            raise VersionConflict(self.table_name, row_id)
        return found[0]

    async def _rows(
        self, conditions: Sequence[ColumnElement[bool]], *, order: Sequence[ColumnElement[Any]] = (), lock: bool = False
    ) -> list[R]:
        own = (*confined(self.shape, self.organization_id), *conditions)
        return await fetch_rows(self.connection, self.shape, self.organization_id, own, order=order, lock=lock)

    async def _page(
        self,
        filters: Mapping[str, Any],
        window: Window,
        conditions: Sequence[ColumnElement[bool]] = (),
        newest: ColumnElement[Any] | None = None,
        within: Sequence[Condition] = (),
    ) -> Page[R]:
        """Return the newest rows whose columns equal the filters (None: any value) and that meet the conditions.

        `within` are conditions, too, by value (None: any), which a glimpse can ask; others it cannot.
        """
        asked = [Condition(name, "=", value) for name, value in filters.items()] + list(within)
        asked = [each for each in asked if each.value is not None]
        latest = self.table.c.created_at if newest is None else newest
        if isinstance(self._opened, Glimpse):
            by = self._plain(latest, conditions).name
            found, counted = await find_page(
                self._opened, self.table_name, asked, newest=by, limit=window.limit, offset=window.offset
            )
            return Page(tuple(found), counted, window)
        compared = (COMPARISONS[each.comparison](self.table.c[each.column], each.value) for each in asked)
        visible = (*self._visible(), *compared, *conditions)
        total = await self.connection.scalar(select(func.count()).select_from(self.table).where(*visible))
        rows: list[R] = await fetch_rows(
            self.connection,
            self.shape,
            self.organization_id,
            visible,
            order=(latest.desc(), self.table.c.id.desc()),
            limit=window.limit,
            offset=window.offset,
        )
        return Page(tuple(rows), total or 0, window)

    def _plain(self, latest: ColumnElement[Any], conditions: Sequence[ColumnElement[bool]]) -> Column[Any]:
        """Return the column of `latest`; raises TypeError for a list that a glimpse cannot give: other conditions.

        Nor does it give rows that all share, or an order by anything but a column.
        """
        if conditions or self.table in CATALOGUE_TABLES or not isinstance(latest, Column):
            raise TypeError("a glimpse compares columns with values, in the organization's own rows")
        return latest

    def _visible(self) -> tuple[ColumnElement[bool], ...]:
        """Return the condition that confines what is read; what is written is always the organization's own."""
        return confined(self.shape, self.organization_id)

    def _require_own(self, row: R) -> None:
        if getattr(row, "organization_id", self.organization_id) != self.organization_id:
            raise ValueError("the row belongs to another organization than the unit of work")

    async def _require_free(self, row: R) -> None:
        taken = await taken_unique(self.connection, self.table_name, row)
        if taken is not None:
            raise ValueTaken(self.table_name, row.id, taken)
