"""`fhir-server mapping`: which column feeds which element, from the mappers' declarations."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from fhir_server.cli.output import CommandFailed, JsonOption, print_json, print_rows

EXAMPLE: Final = "Example: fhir-server mapping Observation --markdown"
COLUMNS: Final = ("table", "column", "element", "direction", "note")


def mapping(
    resource: Annotated[str | None, typer.Argument(metavar="[RESOURCE]", help="A resource type. Default: all.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page of the documentation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print how rows and resources become each other, column by column."""
    from mappers.documentation import mapped_types, mapping_page

    types = mapped_types()
    if resource is not None and resource not in types:
        raise CommandFailed(f"No table holds resources of type {resource}; those with tables: {', '.join(types)}.")
    wanted = types if resource is None else (resource,)
    if markdown:
        typer.echo("\n".join(mapping_page(each) for each in wanted), nl=False)
        return
    rows = [row for each in wanted for row in _rows(each)]
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, COLUMNS, as_json=False)


def _rows(resource_type: str) -> list[dict[str, Any]]:
    from mappers.registry import mappers_of_type

    return [
        {
            "resource": resource_type,
            "table": mapper.table,
            "column": row.column.replace(f"{mapper.table}.", ""),
            "element": row.element,
            "direction": row.direction,
            "note": row.note,
        }
        for mapper in mappers_of_type(resource_type)
        for row in mapper.documentation()
    ]
