"""`fhir-server audit`: verification, export and retention of the audit trail."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from fhir_server.cli import holds
from fhir_server.cli.output import JsonOption, OrganizationOption, note, print_json, print_rows

app = typer.Typer(help="The audit trail.", no_args_is_help=True)
app.add_typer(holds.app, name="hold")
COLUMNS: Final = ("organization", "trail", "records", "seals", "unsealed", "retired", "faults", "head")
FINDING_COLUMNS: Final = ("organization", "trail", "fault", "seal", "first_id", "last_id")
RETIRED_COLUMNS: Final = ("organization", "trail", "records", "before")
EVERY: Final = "Every organization."


class Form(StrEnum):
    """How records are written."""

    NDJSON = "ndjson"
    CSV = "csv"


@app.command("verify", epilog="Example: fhir-server audit verify --all --json")
def verify(
    organization: OrganizationOption = None,
    every: Annotated[bool, typer.Option("--all", help=EVERY)] = False,
    heads: Annotated[
        Path | None, typer.Option(help="File with heads of earlier hours. Default: FHIR_SERVER_AUDIT_HEADS.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check every record and seal: altered, removed, inserted, replaced; ends with status 1 when something is wrong.

    `head` is the newest seal: kept elsewhere, it shows later that nothing was cut off the end. The server keeps one an
    hour in the file that FHIR_SERVER_AUDIT_HEADS names, and they are compared here. What `audit retire` removed is not
    missed, and counted in `retired`.
    """
    from fhir_server.cli.auditing import verify_trails
    from fhir_server.cli.installation import run

    rows = run(lambda installation: verify_trails(installation, organization, every=every, heads=heads))
    findings = [finding for row in rows for finding in row["findings"]]
    if as_json:
        print_json({"trails": rows, "valid": not findings})
    else:
        print_rows(rows, COLUMNS, as_json=False)
        if findings:
            print_rows(findings, FINDING_COLUMNS, as_json=False)
    if findings:
        raise typer.Exit(1)


@app.command("export", epilog="Example: fhir-server audit export --since 2026-01-01 --patient p1 --out audit.ndjson")
def export(
    *,
    organization: OrganizationOption = None,
    since: Annotated[str | None, typer.Option(help="From this day or instant on (UTC): 2026-01-31.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this day or instant (UTC).")] = None,
    patient: Annotated[str | None, typer.Option(help="About this patient, alone or among others.")] = None,
    actor: Annotated[str | None, typer.Option(help="By this user or client.")] = None,
    action: Annotated[str | None, typer.Option(help="read, write, delete or export.")] = None,
    form: Annotated[Form, typer.Option("--format", help="How to write them.")] = Form.NDJSON,
    out: Annotated[
        Path | None,
        typer.Option("--out", "--output", help="File to write, readable by you only. Default: stdout."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the records of an organization, or some of them; the export itself is recorded too.

    A whole trail as NDJSON has all that verification needs but the seals; parts of it and CSV are for reading.
    """
    from fhir_server.cli.auditing import Asked, export_records
    from fhir_server.cli.installation import run

    asked = Asked(organization, since, until, patient, actor, action, form.value, out)
    count = run(lambda installation: export_records(installation, asked))
    if as_json and out is not None:
        print_json({"records": count, "file": str(out)})
    else:
        note(f"{count} records")


@app.command("retire", epilog="Example: fhir-server audit retire --before 2019-01-01 --dry-run")
def retire(
    *,
    before: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Months that ended before this day.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be removed, and remove nothing.")] = False,
    despite_faults: Annotated[
        bool, typer.Option("--despite-faults", help="Although verification finds something wrong with the trail.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove whole months of every organization's trail that are older than FHIR_SERVER_AUDIT_YEARS, 7 at least.

    Nothing younger, and nothing that a legal hold covers. Seals stay, so that what is left verifies as before. Needs
    the owner of the tables (FHIR_SERVER_MIGRATION_DATABASE_URL); the removal is recorded in each trail.
    """
    from fhir_server.cli.installation import run
    from fhir_server.cli.retiring import retire_months

    day = before.date()
    rows = run(lambda installation: retire_months(installation, day, dry_run=dry_run, despite_faults=despite_faults))
    if as_json:
        print_json({"retired": [] if dry_run else rows, "would_retire": rows if dry_run else []})
        return
    if rows:
        print_rows(rows, RETIRED_COLUMNS, as_json=False)
    note("Nothing was removed." if dry_run or not rows else f"{sum(row['records'] for row in rows)} records removed.")
