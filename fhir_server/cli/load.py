"""`fhir-server load`: FHIR resources and tables of the internal systems from files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fhir_server.cli.output import JsonOption, OrganizationOption, note, print_json, print_rows

EXAMPLE: Final = "Example: fhir-server load export/ patients.ndjson.gz patient_graph.json"
COLUMNS: Final = ("what", "written", "unchanged", "refused")
SHOWN: Final = 50
"""Refusals on the screen; `--json` has all of them."""


def load(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, or folders that hold them.")],
    organization: OrganizationOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with status 1 if anything was refused.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Load FHIR Bundles, resources, NDJSON and tables of rows as JSON: plain, .gz or .zst.

    Resources keep their ids, so loading again changes nothing, and a load that was cut off goes on where it stopped.
    What cannot be loaded is listed with its reason, and the rest goes on; a transaction Bundle is loaded whole or not
    at all. Ends with status 1 when nothing could be loaded.
    """
    from fhir_server.cli.installation import run
    from fhir_server.cli.loading import MANY, POOL_SIZE, load_files

    facts = run(
        lambda installation: load_files(installation, organization, paths, show_progress=not as_json),
        pool_size=POOL_SIZE,
    )
    if as_json:
        print_json(facts)
    else:
        _show(facts)
        if facts["written"] >= MANY and not facts["statistics_refreshed"]:
            note("On PostgreSQL, let the owner of the tables run VACUUM ANALYZE now.")
    if facts["refused"] and (strict or not facts["loaded"]):
        raise typer.Exit(1)


def _show(facts: dict[str, Any]) -> None:
    rows = [{"what": name, **counts} for name, counts in (*facts["resources"].items(), *facts["rows"].items())]
    print_rows(rows, COLUMNS, as_json=False)
    refused = facts["refused"]
    for each in refused[:SHOWN]:
        typer.echo(f"refused: {each['source']}: {each['what']}: {each['reason']}")
    if len(refused) > SHOWN:
        note(f"{len(refused) - SHOWN} more were refused; --json lists them all.")
    for each in facts["ignored"]:
        note(f"{each} is a remark, not a table: it was not loaded.")
    note(f"{facts['loaded']:,} loaded in {facts['seconds']} s, {len(refused):,} refused.")
