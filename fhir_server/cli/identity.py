"""`fhir-server identity`: who is the same person within an organization."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fhir_server.cli.output import JsonOption, OrganizationOption, print_facts, print_rows

app = typer.Typer(help="Who is the same person: pairs to review, merges.", no_args_is_help=True)
PAIRS: Final = ("id", "first", "second", "outcome", "score", "status", "because")
MERGES: Final = ("id", "survivor", "merged", "merged_at", "merged_by", "reason", "unmerged_at")
RecordArgument = Annotated[str, typer.Argument(metavar="TABLE/ID", help="A record: customer_profiles/cust_1.")]
ReasonOption = Annotated[str, typer.Option(help="Why, for who looks at it later.")]
LimitOption = Annotated[int, typer.Option(help="How many at most.", min=1, max=100)]


@app.command("find", epilog="Example: fhir-server identity find")
def find(
    organization: OrganizationOption = None,
    *,
    merge_certain: Annotated[
        bool,
        typer.Option(
            "--merge-certain", help="Merge records of one system that an exact identifier says are one person's."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare all records of an organization, and bring the pairs to review up to date.

    Records that change are compared by themselves; this also finds what is written in an unusual way, and what was
    there before. Nothing is merged unless asked for, and never because of names, birth dates or telephones.
    """
    from fhir_server.cli.identifying import find_pairs
    from fhir_server.cli.installation import run

    facts = run(lambda installation: find_pairs(installation, organization, merge_certain=merge_certain))
    print_facts(facts, as_json=as_json)


@app.command("list", epilog="Example: fhir-server identity list --outcome certain")
def list_(
    organization: OrganizationOption = None,
    status: Annotated[str, typer.Option(help="open, merged, rejected or unmerged; empty: all.")] = "open",
    outcome: Annotated[str, typer.Option(help="certain or possible; empty: both.")] = "",
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """List pairs of records that may be the same person's, the oldest first."""
    from fhir_server.cli.identifying import list_pairs
    from fhir_server.cli.installation import run

    found = run(lambda installation: list_pairs(installation, organization, status, outcome, limit))
    print_rows(found, PAIRS, as_json=as_json)


@app.command("merges", epilog="Example: fhir-server identity merges")
def merges(organization: OrganizationOption = None, limit: LimitOption = 100, as_json: JsonOption = False) -> None:
    """List merges, the newest first."""
    from fhir_server.cli.identifying import list_merges
    from fhir_server.cli.installation import run

    print_rows(run(lambda installation: list_merges(installation, organization, limit)), MERGES, as_json=as_json)


@app.command(
    "merge",
    epilog="Example: fhir-server identity merge customer_profiles/cust_1 patients/p1 --reason 'Shown their passport'",
)
def merge(
    survivor: RecordArgument,
    merged: RecordArgument,
    reason: ReasonOption,
    organization: OrganizationOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the first record stand for the second as well. Nothing is moved; `unmerge` ends it."""
    from fhir_server.cli.identifying import merge_two
    from fhir_server.cli.installation import run

    facts = run(lambda installation: merge_two(installation, organization, survivor, merged, reason))
    print_facts(facts, as_json=as_json)


@app.command("unmerge", epilog="Example: fhir-server identity unmerge 0d5c3a52 --reason 'Two persons'")
def unmerge(
    merge_id: Annotated[str, typer.Argument(metavar="MERGE", help="Id of the merge: `identity merges` lists them.")],
    reason: ReasonOption,
    organization: OrganizationOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a merge: both records are again what they were."""
    from fhir_server.cli.identifying import end_merge
    from fhir_server.cli.installation import run

    print_facts(run(lambda installation: end_merge(installation, organization, merge_id, reason)), as_json=as_json)
