"""`fhir-server drift`: what mappers declare held against the database as it is."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from fhir_server.cli.output import JsonOption, note, print_json, print_rows

EXAMPLE: Final = "Example: fhir-server drift --sample 500"
COLUMNS: Final = ("place", "found", "organization", "rows", "mappers", "remedy")


def drift(
    sample: Annotated[
        int, typer.Option(min=0, help="Rows of each table and organization to look at: half first, half last.")
    ] = 100,
    organization: Annotated[
        str | None, typer.Option("--organization", help="Whose rows to look at. Default: all organizations.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare tables and columns, and a sample of rows, with what the mappers declare; nothing is changed.

    Told are columns that are gone, renamed, of another type, or new and required; states and JSON members that no
    mapper knows; and rows that do not survive being shown and written back. Mappers that need what is gone are stopped
    while it is: their resources keep their last versions. Ends with status 1 when something has to be done.
    """
    from fhir_server.cli.drifting import find_drift
    from fhir_server.cli.installation import run

    found = run(lambda installation: find_drift(installation, organization, sample))
    if as_json:
        print_json(found)
    else:
        _show(found)
    if not found["agrees"]:
        raise typer.Exit(1)


def _show(found: dict[str, Any]) -> None:
    rows = [
        {
            "place": each["table"] if each["column"] is None else f"{each['table']}.{each['column']}",
            "found": f"{each['kind']}: {each['detail']}",
            "organization": each["organization"],
            "rows": each["rows"] or None,
            "mappers": each["mappers"],
            "remedy": each["remedy"],
        }
        for each in found["findings"]
    ]
    if rows:
        print_rows(rows, COLUMNS, as_json=False)
    if found["stopped"]:
        note(f"Stopped: {', '.join(found['stopped'])}. Their resources keep their last versions.")
    if found["agrees"]:
        note("The database is as declared.")
