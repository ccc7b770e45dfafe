"""`fhir-server reconcile`: proof that FHIR shows what the tables hold, and repair."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from fhir_server.cli.output import CommandFailed, JsonOption, note, print_json, print_rows

EXAMPLE: Final = "Example: fhir-server reconcile --check --organization loop-health"
PROGRESS_COLUMNS: Final = ("organization", "table", "done", "total", "waiting", "undrained")
COLUMNS: Final = ("organization", "rows", "resources", "differing", "failures", "index", "agrees")


def reconcile(
    check: Annotated[bool, typer.Option("--check", help="Compare and change nothing.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Write what differs.")] = False,
    progress: Annotated[
        bool, typer.Option("--progress", help="Compare nothing: tell how far the server is with what it renders again.")
    ] = False,
    organization: Annotated[
        str | None, typer.Option("--organization", help="Id of the organization. Default: all of them.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare every row with the resource that shows it, and every resource with its search index.

    Rows that cannot be shown are listed with the reason; they keep their last good version. --check ends with status 1
    when anything differs, --fix when rows remain that cannot be shown.

    --progress: when a row changes that others show (a metric, a clinician, a program, an organization's name), the
    server renders those again in the background. `table` is whose changed rows it is at, `done` of `total` rows that
    show them are found, `undrained` of these wait to be rendered; `waiting` are changed rows that come after these.
    """
    if [check, fix, progress].count(True) != 1:
        raise CommandFailed("Give either --check or --fix, or --progress.")
    from fhir_server.cli.installation import run
    from fhir_server.cli.reconciling import reconcile_organizations, tell_progress

    if progress:
        print_rows(
            run(lambda installation: tell_progress(installation, organization)), PROGRESS_COLUMNS, as_json=as_json
        )
        return
    found = run(
        lambda installation: reconcile_organizations(installation, organization, fix=fix, show_progress=not as_json)
    )
    agrees = all(each["agrees"] for each in found)
    if as_json:
        print_json({"organizations": found, "agrees": agrees})
    else:
        _show(found, fixed=fix)
    if any(each["failures"] for each in found) or (check and not agrees):
        raise typer.Exit(1)


def _show(found: list[dict[str, Any]], *, fixed: bool) -> None:
    rows = [
        each
        | {
            "differing": sum(each["differences"].values()),
            "failures": len(each["failures"]),
            "index": len(each["index"]),
        }
        for each in found
    ]
    print_rows(rows, COLUMNS, as_json=False)
    for each in found:
        for example in each["examples"]:
            note(f"{each['organization']}: {example}{' (repaired)' if fixed else ''}")
        for index in each["index"]:
            note(f"{each['organization']}: {index['table']} has {index['found']} rows and not {index['expected']}")
        if each["index_outdated"]:
            what = "the search index was built by another definition than this version's"
            note(f"{each['organization']}: {what}{' (repaired)' if fixed else ': run `fhir-server reconcile --fix`'}")
        for failure in each["failures"]:
            note(f"{each['organization']}: {failure['row']} cannot be shown: {failure['reason']}")
