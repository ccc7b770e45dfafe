"""What the `load` command does."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from fhir_server.cli.installation import OPERATOR, ROLE, Installation
from fhir_server.loading.loader import AT_ONCE, Loader, Outcome, Summary
from fhir_server.loading.loader import Progress as Tell
from fhir_server.loading.sources import Source, find_sources
from fhir_server.oauth.operator import COMMAND_LINE
from fhir_server.settings import References
from storage.access import Access, Right
from storage.projection.places import Places
from storage.store import ResourceStore
from storage.upkeep import refresh_statistics

POOL_SIZE: Final = AT_ONCE + 1
MANY: Final = 10_000
"""From this number of written rows on, the database is told to look at all its tables anew, else at new ones alone."""
ALLOCATIONS: Final = 100_000
"""Between two collections: parsed resources are trees without cycles, looking through them finds nothing."""


async def load_files(
    installation: Installation, organization_id: str | None, paths: Sequence[Path], *, show_progress: bool
) -> dict[str, Any]:
    """Load files and return what became of them.

    Without an organization, rows of files of tables go to the organizations that they belong to.
    Raises CommandFailed, NotLoadable for a path that names nothing, and DatabaseUnavailable.
    """
    sources = find_sources(paths)
    organization = (await installation.organization(organization_id)).id
    access = Access(organization, OPERATOR, ROLE, COMMAND_LINE, {}, everything=frozenset(Right))
    enforce = installation.settings.references is References.ENFORCE
    store = ResourceStore(installation.database, Places(), enforce_references=enforce)
    gc.set_threshold(ALLOCATIONS)
    started = time.monotonic()
    with _progress_bar(sources, visible=show_progress) as tell:
        confined = organization_id is not None
        claimed = installation.settings.checks_claims
        key = installation.audit_key
        loader = Loader(installation.database, store, access, key, tell, confined=confined, claimed=claimed)
        summary = await loader.load(sources)
    seconds = time.monotonic() - started
    new_only = summary.written < MANY
    statistics = summary.written > 0 and await refresh_statistics(installation.settings.database_url, new_only=new_only)
    return _facts(organization, summary, seconds) | {"statistics_refreshed": statistics}


@contextmanager
def _progress_bar(sources: Sequence[Source], *, visible: bool) -> Iterator[Tell]:
    """Show how much of the files is read, at which rate, and how long the rest will take."""
    columns = (
        TextColumn("Loading"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[done]:,} done, {task.fields[rate]:,.0f}/s, left:"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    done = 0
    with Progress(*columns, console=Console(stderr=True), disable=not visible) as progress:
        task = progress.add_task("load", total=sum(source.size for source in sources), done=0, rate=0.0)

        def tell(count: int, read: int) -> None:
            nonlocal done
            done += count
            rate = done / max(time.monotonic() - started, 0.001)
            progress.update(task, advance=read, done=done, rate=rate)

        yield tell


def _facts(organization: str, summary: Summary, seconds: float) -> dict[str, Any]:
    handled = sum(each.written + each.unchanged for each in (*summary.resources.values(), *summary.rows.values()))
    return {
        "organization": organization,
        "files": summary.sources,
        "loaded": summary.loaded,
        "written": summary.written,
        "seconds": round(seconds, 2),
        "per_second": round(handled / seconds) if seconds else 0,
        "resources": _by_name(summary.resources),
        "rows": _by_name(summary.rows),
        "refused": [asdict(each) for each in summary.refused],
        "ignored": summary.ignored,
    }


def _by_name(outcomes: dict[str, Outcome]) -> dict[str, dict[str, int]]:
    return {name: asdict(outcomes[name]) for name in sorted(outcomes)}
