"""`fhir-server audit`: verification and export of the audit trail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from fhir_server.cli.output import JsonOption, OrganizationOption, note, print_json, print_rows

app = typer.Typer(help="The audit trail.", no_args_is_help=True)
COLUMNS: Final = ("organization", "trail", "records", "seals", "unsealed", "faults", "head")
FINDING_COLUMNS: Final = ("organization", "trail", "fault", "seal", "first_id", "last_id")
EVERY: Final = "Every organization."


@app.command("verify", epilog="Example: fhir-server audit verify --all --json")
def verify(
    organization: OrganizationOption = None,
    every: Annotated[bool, typer.Option("--all", help=EVERY)] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every record and seal: altered, removed, inserted, replaced; ends with status 1 when something is wrong.

    `head` is the newest seal: kept elsewhere, it shows later that nothing was cut off the end.
    """
    from fhir_server.cli.auditing import verify_trails
    from fhir_server.cli.installation import run

    rows = run(lambda installation: verify_trails(installation, organization, every=every))
    findings = [finding for row in rows for finding in row["findings"]]
    if as_json:
        print_json({"trails": rows, "valid": not findings})
    else:
        print_rows(rows, COLUMNS, as_json=False)
        if findings:
            print_rows(findings, FINDING_COLUMNS, as_json=False)
    if findings:
        raise typer.Exit(1)


@app.command("export", epilog="Example: fhir-server audit export --out audit.ndjson")
def export(
    organization: OrganizationOption = None,
    out: Annotated[Path | None, typer.Option(help="File to write, readable by you only. Default: stdout.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the records of an organization as NDJSON; the export itself is recorded too."""
    from fhir_server.cli.auditing import export_records
    from fhir_server.cli.installation import run

    count = run(lambda installation: export_records(installation, organization, out))
    if as_json and out is not None:
        print_json({"records": count, "file": str(out)})
    else:
        note(f"{count} records")
