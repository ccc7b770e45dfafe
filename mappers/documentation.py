"""The mapping tables of `docs/mapping/`, written from the declarations (`fhir-server mapping --markdown`)."""

from __future__ import annotations

from datetime import timedelta

from mappers.lens import ResourceMapper, Shows
from mappers.registry import MAPPERS, mappers_of_table, mappers_of_type
from mappers.telemetry import OPEN_DAY_PACE

_ARROWS = {"both ways": "⇄", "to FHIR": "→", "internal only": ""}


def mapping_markdown(mapper: ResourceMapper) -> str:
    """Return the Markdown section of one mapper: what it is, and one table row per element or internal column."""
    lines = [f"## {mapper.resource_type} ⇄ `{mapper.table}`", ""]
    lines += [*_facts(mapper), "", "| column | | element | note |", "| --- | --- | --- | --- |"]
    internal: list[str] = []
    for row in mapper.documentation():
        if not row.element:
            internal.append(row.column.rpartition(".")[2])
            continue
        column = ", ".join(_code(name.rpartition(".")[2]) for name in row.column.split(", "))
        lines.append(f"| {column} | {_ARROWS[row.direction]} | `{row.element}` | {_cell(row.note)} |")
    elsewhere: dict[str, list[str]] = {}
    for name in internal:
        for resource_type in _shown_elsewhere(mapper, name):
            elsewhere.setdefault(resource_type, []).append(name)
    if elsewhere:
        shown = (f"{resource_type} shows {', '.join(map(_code, names))}" for resource_type, names in elsewhere.items())
        lines += ["", "In other resources: " + "; ".join(shown) + "."]
    hidden = [name for name in internal if not any(name in names for names in elsewhere.values())]
    if hidden:
        lines += ["", "Never in FHIR: " + ", ".join(map(_code, hidden)) + "."]
    return "\n".join(lines) + "\n"


def _shown_elsewhere(mapper: ResourceMapper, name: str) -> tuple[str, ...]:
    """Return the types of other resources that show a column of the mapper's table, or the rows of a child table."""
    own = {
        other.resource_type: None
        for other in mappers_of_table(mapper.table)
        if any(line.element and f"{mapper.table}.{name}" in line.column.split(", ") for line in other.documentation())
    }
    return tuple({**own, **{other.resource_type: None for other in mappers_of_table(name)}})


def _facts(mapper: ResourceMapper) -> list[str]:
    """Return what is true of all rows of a mapper, one sentence each."""
    endpoint = f" Written at `{mapper.internal_endpoint}`." if mapper.internal_endpoint else ""
    if mapper.read_only:
        written = f"Read-only through FHIR.{endpoint}"
    elif mapper.creatable:
        written = "Created and updated through FHIR."
    else:
        written = f"Updated through FHIR, not created.{endpoint}"
    facts = [mapper.about, written]
    if mapper.split is not None:
        facts.append("One row gives several resources; their ids are UUIDv5(row id, part key).")
    if mapper.children:
        facts.append(f"Rendered again when its {', '.join(map(_code, mapper.children))} change.")
    if mapper.lookups:
        facts.append(f"Looks up: {', '.join(mapper.lookups)}.")
    if mapper.shows:
        shown = dict.fromkeys(_shown(each) for each in mapper.shows)
        facts.append(f"Rendered again in the background when what it shows changes: {', '.join(shown)}.")
    if mapper.home_system:
        facts.append(f"New ones only where the organization's home system is {_code(mapper.home_system)}.")
    if mapper.telemetry:
        facts.append("Telemetry: superseded versions are not kept.")
    if mapper.metric:
        facts.append(f"Shown unless the organization has the metric ({_code(mapper.metric)}) by day only.")
    if mapper.pace:
        facts.append(
            f"While its day is open, a new version at most every {OPEN_DAY_PACE // timedelta(minutes=1)} minutes."
        )
    for group in mapper.together:
        names = ", ".join(f"`{name}…`" for name in group)
        facts.append(f"Guarded as one: {names}.")
    return [f"- {fact}" for fact in facts if fact]


def _shown(edge: Shows) -> str:
    named = f" ({', '.join(map(_code, edge.uses))})" if edge.uses else ""
    return _code(edge.table) + named


def _code(text: str) -> str:
    return text if text == "constant" else f"`{text}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def mapping_page(resource_type: str) -> str:
    """Return the page of a resource type: every mapper of it, or "" for a type without one."""
    sections = [mapping_markdown(mapper) for mapper in mappers_of_type(resource_type)]
    return f"# {resource_type}\n\n" + "\n".join(sections) if sections else ""


def mapped_types() -> tuple[str, ...]:
    """Return the resource types that have mappers, in the order of the registry."""
    return tuple(dict.fromkeys(mapper.resource_type for mapper in MAPPERS))
