"""What a mapper's declaration is made of: fields, each a set of columns and the elements that show them.

- `field("date_of_birth", "birthDate", isos.day)`: one column, one element
- `reference("customer_id", "subject", "Patient", "customer_profiles")`: a foreign key
- `status("status", "status", TABLE)`: many row statuses, one code
- `lens(("value", "unit"), ("valueQuantity",), show, take)`: several columns or elements, own functions
- `derived(("data_type",), "category", show)`: to FHIR only
- `constant("active", True)`: the same for every row
- `fixed("intent", "order")`: the same for every row, and asked of a written resource
- `enrich(("first_name",), "text", show)`: left out once FHIR wrote the resource
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any, TypeAlias

from mappers.errors import MappingError, Refusal
from mappers.isos import Iso, StatusTable, text
from mappers.json_values import ABSENT, Absent, Json
from mappers.lookups import NO_LOOKUPS, REFERENCE, Lookups, Need
from mappers.nodes import Node, Slot, Whole, contains
from mappers.systems import EXACT_STATUS, data_absent


@dataclass(frozen=True, slots=True)
class Context:
    """What the functions of a field may consult.

    `view` is the row (or part) being rendered, or the current one of an update (None for a create). `bare` says that
    extra codings and other enrichment are to be left out. `written` is the whole written resource when absorbing.
    """

    lookups: Lookups = NO_LOOKUPS
    part: str = ""
    bare: bool = False
    view: Any = None
    written: Json = None


Show: TypeAlias = Callable[[tuple[Any, ...], Context], tuple[Node, ...]]
"""Column values → one node (or ABSENT) per path; for a `many` slot a list of nodes, or a dict by stable keys."""
Take: TypeAlias = Callable[[tuple[Json, ...], Context], tuple[Any, ...]]
"""What was written at each path (or ABSENT, but not everywhere) → one value per column; may raise Refusal."""


@dataclass(frozen=True, slots=True)
class Field:
    """Columns and the elements that show them; made by the functions of this module."""

    columns: tuple[str, ...]
    paths: tuple[str, ...]
    show: Show
    take: Take | None = None
    needed: bool = False
    empty: tuple[Any, ...] = ()
    enrichment: bool = False
    needs: Callable[[tuple[Json, ...]], Iterable[Need]] | None = None
    slots: Mapping[str, tuple[Slot, ...]] = attribute(default_factory=dict)
    note: str = ""
    always: bool = False
    """Whether `take` decides even where nothing was written."""
    sources: tuple[tuple[str, ...], ...] = ()
    """The columns behind each path, where they are not all of them."""

    def behind(self, index: int) -> tuple[str, ...]:
        """Return the columns that the path of that index shows."""
        return self.sources[index] if self.sources else self.columns


def field(column: str, path: str, iso: Iso = text, *, needed: bool = False, empty: Any = None, note: str = "") -> Field:
    """Return a field of one column and one element.

    `needed` marks a NOT NULL column: without the element a resource is not claimed, and an update that drops it keeps
    the column. `empty` is the column's value when the element is missing.
    """

    def show(values: tuple[Any, ...], _: Context) -> tuple[Node]:
        return (ABSENT if values[0] is None else iso.forwards(values[0]),)

    def take(found: tuple[Json, ...], _: Context) -> tuple[Any]:
        return (iso.backwards(found[0]),)

    return Field((column,), (path,), show, take, needed, (empty,), note=note or iso.note)


def lens(
    columns: tuple[str, ...],
    paths: tuple[str, ...],
    show: Show,
    take: Take,
    *,
    needed: bool = False,
    empty: tuple[Any, ...] | None = None,
    needs: Callable[[tuple[Json, ...]], Iterable[Need]] | None = None,
    note: str = "",
    always: bool = False,
    sources: tuple[tuple[str, ...], ...] = (),
) -> Field:
    """Return a field with its own two functions; see `Show`, `Take` and the attributes of `Field`."""
    nothing = empty or (None,) * len(columns)
    return Field(columns, paths, show, take, needed, nothing, needs=needs, note=note, always=always, sources=sources)


def derived(
    columns: tuple[str, ...],
    path: str,
    show: Callable[[tuple[Any, ...], Context], Node],
    *,
    note: str = "",
    also: tuple[str, ...] = (),
) -> Field:
    """Return a field that is only rendered; a differing element that is written stays in the residual.

    `also` are columns that `show` looks up in the view: lineage names them as well.
    """
    sources = ((*columns, *also),) if also else ()
    return Field(columns, (path,), lambda values, context: (show(values, context),), note=note, sources=sources)


def constant(path: str, value: Node, *, note: str = "") -> Field:
    """Return an element that is the same for every row."""
    return Field((), (path,), lambda _values, _context: (value,), note=note)


def fixed(path: str, value: Json, *, note: str = "") -> Field:
    """Return an element that a resource must have with this value for the mapper to claim it."""

    def take(found: tuple[Json, ...], _: Context) -> tuple[()]:
        if not contains(found[0], value):
            raise Refusal(f"is not {value}", final=True)
        return ()

    return Field((), (path,), lambda _values, _context: (value,), take, needed=True, note=note)


def enrich(
    columns: tuple[str, ...],
    path: str,
    show: Callable[[tuple[Any, ...], Context], Node],
    *,
    note: str = "",
    also: tuple[str, ...] = (),
) -> Field:
    """Return an element that is added for readers, and only where the last writer was not FHIR (settled §1.1).

    `also` is as in `derived`.
    """
    described = f"enrichment: {note}" if note else "enrichment"
    return dataclasses.replace(derived(columns, path, show, note=described, also=also), enrichment=True)


def profile(url: str) -> Field:
    """Return the claim of a profile in `meta.profile`, as enrichment."""
    return enrich((), "meta.profile", lambda _values, _context: [url])


def unknown_without(column: str, path: str) -> Field:
    """Return why an element that profiles want has no value, where its column is NULL (us_core.md M3)."""

    def show(values: tuple[Any, ...], _: Context) -> Node:
        return [data_absent()] if values[0] is None else ABSENT

    return enrich((column,), f"{path}.extension", show, note="data-absent-reason")


def reference_needs(found: tuple[Json, ...]) -> Iterable[Need]:
    """Yield the need of the home of each literal reference."""
    for value in found:
        if isinstance(value, dict) and isinstance(value.get("reference"), str):
            yield Need(REFERENCE, value["reference"])


def reference(
    column: str,
    path: str,
    resource_type: str,
    table: str,
    *,
    needed: bool = False,
    display: Callable[[str, Lookups], str | None] | None = None,
    note: str = "",
) -> Field:
    """Return a foreign key: the column holds the key of a row of `table`, the element a Reference to its resource.

    A written reference whose home is not that table is refused.
    """

    def show(values: tuple[Any, ...], context: Context) -> tuple[Node]:
        if values[0] is None:
            return (ABSENT,)
        literal = context.lookups.reference(resource_type, table, values[0])
        shown = display(values[0], context.lookups) if display is not None else None
        return (Whole({"reference": literal, "display": shown} if shown else {"reference": literal}, literal),)

    def take(found: tuple[Json, ...], context: Context) -> tuple[Any]:
        value = found[0]
        home = context.lookups.homes.get(value.get("reference", "")) if isinstance(value, dict) else None
        if home is None or home.table != table:
            raise Refusal(f"refers to nothing in {table}")
        return (home.key,)

    described = note or f"{resource_type} of {table}"
    return Field((column,), (path,), show, take, needed, (None,), needs=reference_needs, note=described)


def status(column: str, path: str, table: StatusTable, *, note: str = "") -> Field:
    """Return a status: the code, and the exact row status in an extension where the code alone does not say it.

    A written code keeps the current row status if that has this code, unless the extension names another. `path` goes
    through no slot.
    """
    owner, _, element = path.rpartition(".")
    primitive = f"{owner}._{element}" if owner else f"_{element}"
    slot = Slot("exact", {"url": EXACT_STATUS})

    def show(values: tuple[Any, ...], _: Context) -> tuple[Node, ...]:
        code = table.codes.get(values[0])
        if code is None:
            raise MappingError("is a status without a code", column)
        return (code,) if alone else (code, ABSENT if table.is_default(values[0]) else values[0])

    def take(found: tuple[Json, ...], context: Context) -> tuple[str]:
        current: str | Absent | None = getattr(context.view, column, None)
        exact = ABSENT if alone else found[1]
        return (table.status(found[0], exact, current if isinstance(current, str) else None),)

    listed = ", ".join(row if row == code else f"{row} → {code}" for row, code in table.codes.items())
    alone = all(map(table.is_default, table.codes))
    return Field(
        (column,),
        (path,) if alone else (path, f"{primitive}.extension[exact].valueCode"),
        show,
        take,
        needed=True,
        empty=(None,),
        slots={f"{primitive}.extension": (slot,)},
        note=note or (listed if alone else f"{listed}; the exact value in an extension where the code does not say it"),
    )
