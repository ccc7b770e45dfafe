"""What the `reconcile` command does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from fhir_server.cli.installation import Act, Installation
from storage.installation import organization_ids
from storage.projection.outbox import Projector
from storage.projection.reconcile import Findings, reconcile
from storage.projection.reconcile import Progress as Tell
from storage.projection.rerender import progress_of


async def reconcile_organizations(
    installation: Installation, organization_id: str | None, *, fix: bool, show_progress: bool
) -> list[dict[str, Any]]:
    """Compare, and with `fix` repair, one organization or all; return what was found in each.

    Raises CommandFailed and DatabaseUnavailable. A repair first shows what foreign writers left in the outbox.
    """
    organizations = await _named(installation, organization_id)
    if fix:
        await Projector(installation.database).drain()
    rows = []
    with _counting(visible=show_progress) as tell:
        for organization in organizations:
            findings = await reconcile(installation.database, organization, fix=fix, progress=tell)
            async with installation.acting(
                organization, Act("fhir_resources", "write" if fix else "read", "reconcile")
            ):
                pass  # the record is all there is to write
            rows.append(_facts(organization, findings))
    return rows


async def tell_progress(installation: Installation, organization_id: str | None) -> list[dict[str, Any]]:
    """Return how far re-rendering is in one organization or in all; raises CommandFailed and DatabaseUnavailable."""
    rows: list[dict[str, Any]] = []
    for organization in await _named(installation, organization_id):
        async with installation.acting(organization, Act("fhir_resources", "read", "reconcile")) as unit:
            rows.append({"organization": organization, **asdict(await progress_of(unit))})
    return rows


async def _named(installation: Installation, organization_id: str | None) -> list[str]:
    if organization_id is not None:
        return [(await installation.organization(organization_id)).id]
    return list(await organization_ids(installation.database))


@contextmanager
def _counting(*, visible: bool) -> Iterator[Tell]:
    columns = (SpinnerColumn(), TextColumn("{task.fields[table]}: {task.completed:,} rows compared"))
    with Progress(*columns, console=Console(stderr=True), disable=not visible, transient=True) as progress:
        task = progress.add_task("reconcile", total=None, table="")
        yield lambda table, count: progress.update(task, advance=count, table=table)


def _facts(organization: str, findings: Findings) -> dict[str, Any]:
    return {
        "organization": organization,
        "rows": findings.rows,
        "resources": findings.resources,
        "differences": dict(findings.differing),
        "failures": [{"row": row, "reason": reason} for row, reason in findings.failures.items()],
        "index": [
            {"table": str(table), "expected": expected, "found": found}
            for table, (expected, found) in findings.index.items()
        ],
        "index_outdated": findings.index_outdated,
        "examples": findings.examples,
        "agrees": findings.agrees,
    }
