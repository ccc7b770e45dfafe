"""The lens: one declaration of a row and a resource type that reads both ways (mapping.md, style.md §2).

A `ResourceMapper` is a tuple of fields. Each field says which columns show which elements and how; rendering, claiming,
the residual, the needs, the lineage and the documentation all follow from that one list.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

from mappers.errors import MappingError, Refusal
from mappers.fields import Context, Field
from mappers.identity import part_resource_id, row_resource_id
from mappers.json_values import ABSENT, Json, same
from mappers.leaves import fhirpath, leaf_places
from mappers.lookups import NO_LOOKUPS, Lookups, Need
from mappers.nodes import Node, Slot
from mappers.paths import Steps, is_open, put, shown_at, steps, take
from mappers.residual import NOTHING, Groups, Origin, Path, Residual, difference, difference_below, merged

Row: TypeAlias = Any
"""A row: one of the frozen dataclasses of `mappers.rows`."""

View: TypeAlias = Any
"""What the fields of a mapper see: the row itself, or one part of it."""

SERVER_META = ("versionId", "lastUpdated")
"""Members of `meta` that the store writes; no mapper sees them."""


@dataclass(frozen=True, slots=True)
class Absorbed:
    """A claimed resource: the row that holds it, and what the row cannot hold."""

    row: Row
    residual: Residual


@dataclass(frozen=True, slots=True)
class NotClaimed:
    """The resource does not fit the table; `reason` names the element or column, never its value."""

    reason: str


@dataclass(frozen=True, slots=True)
class Split:
    """How a row falls into several resources: its part keys, the view of one part, and the view put back.

    The rows that the mapper shows may say into which parts a row falls. `columns` names the real column behind an
    attribute of the view, where the names differ. Without `put` the parts are read-only.
    """

    parts: Callable[[Row, Lookups], tuple[str, ...]]
    view: Callable[[Row, str], View]
    put: Callable[[Row, str, View], Row] | None = None
    drop: Callable[[Row, str], Row] | None = None
    """The row without one part, for a resource that is deleted."""
    columns: Mapping[str, str] = attribute(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shows:
    """A row whose contents are shown in another's resources: the one of `table` that `column` names.

    `column` belongs to the mapper's own table, or to `of`: a table that another edge leads to, or a child table of
    either. `uses` are the columns of `table` that are shown: a change of others re-renders nothing; () stands for all
    but its stamps. Where the referring row has `<ref>_organization_id`, that says whose row it is. `by` is the kind of
    look-up that answers instead of the row itself (a constant of `mappers.lookups`).
    """

    column: str
    table: str
    of: str = ""
    uses: tuple[str, ...] = ()
    by: str = ""

    @property
    def whose(self) -> str:
        """The column that says whose the row is, where shared ones are among them (settled §2.1)."""
        return f"{self.column.removesuffix('_id')}_organization_id"


@dataclass(frozen=True, slots=True)
class Alike:
    """How the resources of many rows differ that are alike: in `elements` only, and in their ids.

    `kind` tells of a row which others it is like, None: it is to be rendered by itself. `vary` returns what a row gives
    from what another one of its kind gave, where nothing was there before; it is exactly what `render` returns.
    """

    elements: frozenset[str]
    kind: Callable[[Row], Hashable | None]
    vary: Callable[[Mapping[str, Json], Row], dict[str, Json]]


@dataclass(frozen=True, eq=False, repr=False)
class ResourceMapper:
    """Rows of `table` ⇄ resources of `resource_type`.

    `name` is unique among all mappers. `children` are tables whose rows belong to the row and re-render it, `lookups`
    the kinds of facts (see `mappers.lookups`) that a rendering uses. `together` lists prefixes of elements guarded as
    one, such as `("value", "dataAbsentReason")`. `refuses` returns a reason not to claim a resource, or None.
    """

    resource_type: str
    table: str
    name: str
    row_type: type
    fields: tuple[Field, ...]
    slots: Mapping[str, tuple[Slot, ...]] = attribute(default_factory=dict)
    split: Split | None = None
    together: tuple[tuple[str, ...], ...] = ()
    refuses: Callable[[Json, Lookups], str | None] | None = None
    read_only: bool = False
    creatable: bool = True
    internal_endpoint: str | None = None
    telemetry: bool = False
    metric: str | None = None
    """The column that names a reading's metric: an organization may have some shown by day only (settled §3.2)."""
    pace: Callable[[Row], timedelta | None] | None = None
    """How long a version stands at least before a changed row makes the next one; None, or no pace: no time at all."""
    children: tuple[str, ...] = ()
    lookups: tuple[str, ...] = ()
    type_of: Callable[[Row], str] | None = None
    """For a table whose rows are resources of any type: the type of a row; `resource_type` is then `Resource`."""
    shows: tuple[Shows, ...] = ()
    """Rows of other tables that a rendering uses (`Lookups.row`); a change of theirs re-renders, in the background."""
    home_system: str | None = None
    """A new resource is taken only in organizations with this home system (settled §1.4); None: wherever it fits."""
    applies: Callable[[Row], bool] | None = None
    """Whether a row is such a resource at all (a prescription that was never shipped is no dispense)."""
    id_of: Callable[[Row], str] | None = None
    """The resource id, where it is not the row's own (a device known by several columns)."""
    adopts: Callable[[Json, Lookups], Mapping[str, str] | None] | None = None
    """Which other resources of its transaction a new resource brings into its row: reference → part key."""
    reads: tuple[str, ...] = ()
    """Columns that its functions read beside those that the fields name; without any other one it goes on."""
    alike: Alike | None = None
    """For rows in volume: how the resource of one follows from that of another."""
    about: str = ""

    def __post_init__(self) -> None:
        """Raise MappingError for columns or slots that do not exist, or for a required column nobody fills."""
        known = self._columns
        for item in self.fields:
            for column in item.columns:
                if self.split is None and column not in known:
                    raise MappingError("no such column", f"{self.table}.{column}")
        for column in self.reads:
            if column not in known:
                raise MappingError("no such column", f"{self.table}.{column}")
        if self.metric is not None and self.metric not in known:
            raise MappingError("no such column", f"{self.table}.{self.metric}")
        self._check_edges()
        if self._places and not self.read_only and self.creatable and self.split is None:
            filled = {"id", "organization_id"}
            filled |= {column for item in self.fields if item.take for column in item.columns}
            for own in dataclasses.fields(self.row_type):
                required = own.default is dataclasses.MISSING and own.default_factory is dataclasses.MISSING
                if required and own.name not in filled:
                    raise MappingError("is NOT NULL and no field fills it", f"{self.table}.{own.name}")

    def _check_edges(self) -> None:
        for shown in self.shows:
            if shown.of in {"", self.table} and shown.column not in self._columns:
                raise MappingError("no such column", f"{self.table}.{shown.column}")
            if shown.table == self.table:
                raise MappingError("shows rows of its own table", f"{self.table}.{shown.column}")

    def __repr__(self) -> str:
        return f"ResourceMapper({self.name})"

    @cached_property
    def _columns(self) -> frozenset[str]:
        return frozenset(item.name for item in dataclasses.fields(self.row_type))

    @cached_property
    def _places(self) -> tuple[tuple[Field, tuple[Steps, ...]], ...]:
        table = dict(self.slots)
        for item in self.fields:
            for owner, own in item.slots.items():
                table[owner] = (*table.get(owner, ()), *own)
        return tuple((item, tuple(steps(path, table) for path in item.paths)) for item in self.fields)

    @cached_property
    def _groups(self) -> Groups:
        return Groups(self.together)

    def of(self, row: Row) -> ResourceMapper:
        """Return the mapper of the row's own resource type: this one, unless rows are resources of any type.

        Raises what `type_of` raises of a row that has no type.
        """
        return self if self.type_of is None else _of_type(self, self.type_of(row))

    # ---- row → resource -------------------------------------------------------------------------------------------

    def parts(self, row: Row, lookups: Lookups = NO_LOOKUPS) -> tuple[str, ...]:
        """Return the keys of the resources that a row gives: ("",) for one, () for none."""
        if self.applies is not None and not self.applies(row):
            return ()
        return ("",) if self.split is None else self.split.parts(row, lookups)

    def resource_id(self, row: Row, part: str = "") -> str:
        """Return the id of a part's resource, a function of the row (mapping.md law 5)."""
        if self.id_of is not None:
            return self.id_of(row)
        if self.split is None:
            return row_resource_id(self.table, row.id)
        return part_resource_id(self.table, row.id, part)

    def render(
        self, row: Row, part: str = "", lookups: Lookups = NO_LOOKUPS, residual: Residual = NOTHING
    ) -> dict[str, Json]:
        """Return the complete resource, without `meta.versionId` and `meta.lastUpdated`."""
        return self._resource(row, part, lookups, residual, None)

    def _resource(
        self, row: Row, part: str, lookups: Lookups, residual: Residual, origin: Origin | None
    ) -> dict[str, Json]:
        base = self._base(self._view(row, part), part, lookups, residual.bare)
        body = merged(base, residual, self._groups, origin)
        head: dict[str, Json] = {"resourceType": self.resource_type, "id": self.resource_id(row, part)}
        if "meta" in body:
            head["meta"] = body["meta"]
        return {**head, **body}

    def _view(self, row: Row, part: str) -> View:
        return row if self.split is None else self.split.view(row, part)

    def _base(
        self, view: View, part: str, lookups: Lookups, bare: bool, trace: dict[Path, str] | None = None
    ) -> dict[str, Node]:
        """Return the rendering of the columns alone; `trace` is filled with the source of each place."""
        context = Context(lookups, part, bare, view)
        base: dict[str, Node] = {}
        for item, places in self._places:
            if item.enrichment and bare:
                continue
            nodes = item.show(tuple([getattr(view, column) for column in item.columns]), context)
            for index, (place, node) in enumerate(zip(places, nodes, strict=True)):
                if node is ABSENT and not is_open(place):
                    continue
                for path in put(base, place, [] if node is ABSENT else node):
                    if trace is not None:
                        trace[path] = self.source(item.behind(index))
        return base

    def source(self, columns: tuple[str, ...]) -> str:
        """Return the name of a source: `table.column`, several of them, or `constant`."""
        names = (self.split.columns.get(column, column) if self.split else column for column in columns)
        return ", ".join(dict.fromkeys(f"{self.table}.{name}" for name in names)) or "constant"

    # ---- resource → row -------------------------------------------------------------------------------------------

    def needs(self, resource: Json) -> frozenset[Need]:
        """Return what must be looked up before `absorb` can decide on the resource."""
        if self.read_only:
            return frozenset()
        return frozenset(
            need
            for item, places in self._places
            if item.needs is not None
            for need in item.needs(tuple(take(resource, place) for place in places))
        )

    def absorb(
        self, resource: Json, lookups: Lookups, current: Row | None = None, part: str | None = None
    ) -> Absorbed | NotClaimed:
        """Return the row and residual that hold a validated resource, or why the table cannot hold it.

        `current` is the row as it is, for an update: columns that FHIR does not show come from it, and a column whose
        element is as the row renders it stays as it is. `part` defaults to the part of `current` with the resource's
        id.
        """
        reason = self._unclaimed(resource, lookups, current)
        if reason is not None:
            return NotClaimed(reason)
        if part is None:
            part = self._part(resource, lookups, current)
            if part is None:
                return NotClaimed(f"{resource.get('id')} is no part of the row")
        written = _without_server_elements(resource)
        before = None if current is None else self._view(current, part)
        try:
            values = self._values(written, lookups, part, before)
        except Refusal as refusal:
            return NotClaimed(refusal.reason)
        row = self._new_row(resource, lookups, values) if current is None else self._changed_row(current, part, values)
        return Absorbed(row, self._residual(row, part, lookups, written))

    def _unclaimed(self, resource: Json, lookups: Lookups, current: Row | None) -> str | None:
        if self.read_only:
            remedy = f"; use {self.internal_endpoint}" if self.internal_endpoint else ""
            return f"{self.table} is read-only through FHIR{remedy}"
        if resource.get("resourceType") != self.resource_type:
            return f"{self.table} holds {self.resource_type} only"
        if current is None and not self.creatable:
            return f"{self.table} rows are not created through FHIR"
        for element in ("modifierExtension", "implicitRules"):
            if element in resource:
                return f"{self.resource_type}.{element} may change the meaning of what columns can say"
        return self.refuses(resource, lookups) if self.refuses is not None else None

    def _part(self, resource: Json, lookups: Lookups, current: Row | None) -> str | None:
        if self.split is None:
            return ""
        if current is None:
            return None
        parts = self.parts(current, lookups)
        return next((key for key in parts if self.resource_id(current, key) == resource.get("id")), None)

    def _values(self, written: Json, lookups: Lookups, part: str, before: View | None) -> dict[str, Any]:
        """Return the columns that the written resource fills; raises Refusal when one that is needed cannot be."""
        context = Context(lookups, part, False, before, written)
        renderings = [] if before is None else [self._base(before, part, lookups, bare) for bare in (False, True)]
        shown = renderings[0] if renderings else ABSENT
        values: dict[str, Any] = {}
        for item, places in self._places:
            if item.take is None:
                continue
            found = tuple(take(written, place, shown) for place in places)
            if any(all(map(same, found, (shown_at(base, p) for p in places))) for base in renderings):
                continue
            values.update(self._taken(item, found, context, before))
        return values

    def _taken(self, item: Field, found: tuple[Json, ...], context: Context, before: View | None) -> dict[str, Any]:
        if not item.always and all(value is ABSENT for value in found):
            if item.needed and before is None:
                unfilled = self.source(item.columns) if item.columns else self.table
                raise Refusal(f"{self.resource_type}.{item.paths[0]} is needed for {unfilled}", final=True)
            return {} if item.needed else dict(zip(item.columns, item.empty, strict=True))
        try:
            taken = item.take(found, context) if item.take else ()
        except Refusal as refusal:
            if item.needed or refusal.final:
                unfit = f": {self.source(item.columns)} cannot hold it" if item.columns else ""
                raise Refusal(f"{self.resource_type}.{item.paths[0]} {refusal.reason}{unfit}") from None
            taken = item.empty
        return dict(zip(item.columns, taken, strict=True))

    def _new_row(self, resource: Json, lookups: Lookups, values: dict[str, Any]) -> Row:
        own = {"id": resource["id"]}
        if "organization_id" in self._columns:
            own["organization_id"] = lookups.organization_id
        return self.row_type(**own, **values)

    def _changed_row(self, current: Row, part: str, values: dict[str, Any]) -> Row:
        if not values:
            return current
        if self.split is None:
            return dataclasses.replace(current, **values)
        if self.split.put is None:
            raise MappingError("its parts cannot be written", self.table)
        return self.split.put(current, part, dataclasses.replace(self.split.view(current, part), **values))

    def residual(self, row: Row, part: str, lookups: Lookups, resource: Json) -> Residual:
        """Return what a row does not say of a written resource: for a row that a rule changed after `absorb`."""
        return self._residual(row, part, lookups, _without_server_elements(resource))

    def _residual(self, row: Row, part: str, lookups: Lookups, written: Json) -> Residual:
        """Return the shorter of two residuals: against the rendering with enrichment, and without (settled §1.1).

        Of two that are as long the one without: what a lookup adds later is not shown where FHIR wrote last.
        """
        view = self._view(row, part)
        full = difference(self._base(view, part, lookups, bare=False), written, self._groups)
        if not full:
            return NOTHING
        bare = difference(self._base(view, part, lookups, bare=True), written, self._groups)
        return Residual(bare, bare=True) if len(bare) <= len(full) else Residual(full)

    def with_meta(self, row: Row, part: str, lookups: Lookups, residual: Residual, meta: Json) -> Residual:
        """Return the residual with which the row shows this `meta`, and everything else as before."""
        base = self._base(self._view(row, part), part, lookups, residual.bare)
        entries = difference_below(base.get("meta", {}), meta, ("meta",), self._groups)
        kept = tuple(entry for entry in residual.entries if entry.path[0] != "meta")
        return Residual((*kept, *entries), residual.bare)

    def without(self, row: Row, part: str) -> Row:
        """Return the row without one part; raises MappingError where its parts cannot be taken out."""
        if self.split is None or self.split.drop is None:
            raise MappingError("its parts cannot be taken out", self.table)
        return self.split.drop(row, part)

    # ---- about the mapping ----------------------------------------------------------------------------------------

    def lineage(self, row: Row, part: str, lookups: Lookups, residual: Residual) -> Mapping[str, str]:
        """Return the source of every leaf: FHIRPath → `table.column`, `residual` or `constant` (law 6)."""
        trace: dict[Path, str] = {}
        self._base(self._view(row, part), part, lookups, residual.bare, trace)
        origins: dict[tuple[str | int, ...], Path | None] = {}
        resource = self._resource(row, part, lookups, residual, origins.__setitem__)
        out = {f"{self.resource_type}.id": f"{self.table}.id"}
        rest = {key: value for key, value in resource.items() if key not in {"resourceType", "id"}}
        for place, _ in leaf_places(rest):
            prefix = next(place[:n] for n in range(len(place), -1, -1) if place[:n] in origins)
            origin = origins[prefix]
            path = fhirpath(self.resource_type, place)
            out[path] = "residual" if origin is None else _traced(trace, origin)
        return out

    def documentation(self) -> tuple[Documented, ...]:
        """Return one row per element (or column that FHIR never shows) for the mapping tables of `docs/`."""
        rows = [
            Documented(
                self.source(item.behind(i)),
                path,
                "both ways" if item.take and not self.read_only else "to FHIR",
                "" if i else item.note,
            )
            for item in self.fields
            for i, path in enumerate(item.paths)
        ]
        seen = {self.split.columns.get(c, c) if self.split else c for item in self.fields for c in item.columns}
        rows += [
            Documented(f"{self.table}.{item.name}", "", "internal only", "")
            for item in dataclasses.fields(self.row_type)
            if item.name not in {*seen, "id", "organization_id", *self.children}
        ]
        return tuple(rows)


@lru_cache
def _of_type(mapper: ResourceMapper, resource_type: str) -> ResourceMapper:
    return dataclasses.replace(mapper, resource_type=resource_type, type_of=None)


@dataclass(frozen=True, slots=True)
class Documented:
    """One line of a mapping table."""

    column: str
    element: str
    direction: str
    note: str


def _without_server_elements(resource: Json) -> dict[str, Json]:
    """Return the resource without its type, id, and what the store writes into `meta` (settled §1.1)."""
    written = {key: value for key, value in resource.items() if key not in {"resourceType", "id"}}
    if "meta" in written:
        meta = {key: value for key, value in written["meta"].items() if key not in SERVER_META}
        if meta:
            written["meta"] = meta
        else:
            del written["meta"]
    return written


def _traced(trace: Mapping[Path, str], path: Path) -> str:
    return next((trace[path[:n]] for n in range(len(path), 0, -1) if path[:n] in trace), "constant")
