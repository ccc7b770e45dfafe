"""Measures this server on PostgreSQL beside the bare stack, in one run: `make bench`, or `python -m bench.run`.

Starts a PostgreSQL and a server of its own and ends both. Prints a Markdown report; goals that are missed do not fail
the process. README.md says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench import goals
from bench.driver import FULL, QUICK, TARGET, Driver, Pace
from bench.footprint import audit_bytes, processes_memory
from bench.installation import WORKERS, Installation, Server
from bench.loading import bundles, time_load
from bench.postgres import Cluster, postgres
from bench.processes import BenchFailed, ended_by_signals
from bench.report import Report, Row, limit_row, scaled_row
from bench.wrk import require_wrk
from bench.yardstick import Bare, Yardstick, yardstick

SHARED: Final = Path(__file__).resolve().parents[2] / "shared"
LOAD_COMMAND: Final = "load-command"
"""Beside the scenarios of the driver: `fhir-server load` on both engines."""
GROUP: Final = 5
"""Scenarios between two measurements of the bare stack."""


class Run:
    """One run, from an empty database to the report."""

    def __init__(self, shared: Path, pace: Pace, only: frozenset[str]) -> None:
        self._tool = shared / "bench" / "fhir_bench.py"
        self._data = shared / "data" / "synthea"
        self._pace = pace
        self._only = only
        self.report = Report()
        self.raw: dict[str, Any] = {}

    def measure(self) -> None:
        """Measure everything asked for; raises BenchFailed when the tools or the data are missing."""
        require_wrk()
        for needed in (self._tool, self._data):
            if not needed.exists():
                raise BenchFailed(f"There is no {needed}: the driver and its data are not here. See --shared.")
        with tempfile.TemporaryDirectory(prefix="fhir-bench-") as name, postgres() as cluster:
            folder = Path(name)
            self._note_environment(cluster)
            self._measure_server(cluster, folder)
            if LOAD_COMMAND in self._only:
                self._measure_load(cluster, folder)

    def _note_environment(self, cluster: Cluster) -> None:
        pace = self._pace
        python = platform.python_version()
        self.report.environment = [
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Python {python}, PostgreSQL {cluster.version}",
            f"{os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f} before the start",
            f"a durable commit takes {cluster.commit_milliseconds():.2f} ms",
            f"{WORKERS} workers; {pace.repeat} × {pace.seconds} s a scenario; data of {pace.patients} patients at most",
        ]

    def _measure_server(self, cluster: Cluster, folder: Path) -> None:
        installation = Installation(cluster.create("bench"), folder / "server")
        installation.folder.mkdir()
        installation.initialise()
        starts = []
        for _ in range(self._pace.starts - 1):
            with installation.serving() as server:
                starts.append(server.ready_seconds)
        with installation.serving() as server:
            starts.append(server.ready_seconds)
            driver = Driver(self._tool, self._data, installation, (server.process.pid, cluster.pid), self._pace)
            loading, disk = self._load(driver, installation)
            with yardstick(installation.database_url, folder) as bare:
                self._alternate(driver, bare, loading)
            self._note_memory(server)
        self.report.rows += [disk, limit_row("`serve` ready", goals.READY, statistics.median(starts), " s")]

    def _load(self, driver: Driver, installation: Installation) -> tuple[dict[str, Any], Row]:
        """Load over HTTP; return the rates, and the row of the disk taken, without what the audit took."""
        audit_before = audit_bytes(installation.database_url)
        results = driver.load()
        self._keep("loading", results)
        target = results["targets"].get(TARGET, {})
        if "disk_bytes_per_resource" not in target:
            raise BenchFailed(f"The data was not loaded: {'; '.join(results['failures'])[:1500]}")
        audit = audit_bytes(installation.database_url) - audit_before
        resources = results["dataset"]["resources"]
        grown = target["disk_bytes_after_load"] - target["disk_bytes_before_load"]
        self.report.environment.append(
            f"{resources:,} resources; audit of loading {audit / resources:,.0f} bytes a resource beside the others"
        )
        disk = limit_row("disk, audit apart", goals.DISK, (grown - audit) / resources, " bytes a resource")
        return target["load"], disk

    def _alternate(self, driver: Driver, bare: Yardstick, loading: dict[str, Any]) -> None:
        """Measure scenarios in groups, the bare stack before and after each: noise then is in both."""
        before = self._measure_bare(bare)
        self.report.environment.append(f"the bare stack reads bodies of {bare.body_bytes:,} bytes")
        for part, goal in goals.LOADING.items():
            rate = loading.get(part, {}).get("resources_per_second")
            title = f"loading over HTTP, {part}"
            self.report.rows.append(scaled_row(title, goal, before.reads.rate, rate, " resources/s"))
        wanted = [name for name in goals.SCENARIOS if name in self._only]
        for start in range(0, len(wanted), GROUP):
            group = wanted[start : start + GROUP]
            results = driver.measure(group)
            self._keep(",".join(group), results)
            after = self._measure_bare(bare)
            self._note_scenarios(group, results, (before.reads.rate + after.reads.rate) / 2)
            before = after

    def _measure_bare(self, bare: Yardstick) -> Bare:
        measured = bare.measure(self._pace.seconds)
        self.report.bare.append(measured)
        return measured

    def _note_scenarios(self, names: list[str], results: dict[str, Any], bare_reads: float) -> None:
        for name in names:
            found = results["scenarios"].get(name, {})
            figures = found.get("targets", {}).get(TARGET, {"status": "not run", "reason": "the driver left it out"})
            self.report.rows.append(_scenario_row(found.get("title", name), goals.SCENARIOS[name], bare_reads, figures))

    def _note_memory(self, server: Server) -> None:
        memory = processes_memory(server.process.pid)
        worker, pss = memory[0], sum(each.pss for each in memory)
        self.report.rows += [
            limit_row("memory of the largest worker (RSS)", goals.WORKER_MEMORY, worker.rss / goals.MEGABYTE, " MB"),
            limit_row("memory of all server processes (PSS)", goals.SERVER_MEMORY, pss / goals.MEGABYTE, " MB"),
        ]
        self.raw["memory"] = [asdict(each) for each in memory]

    def _measure_load(self, cluster: Cluster, folder: Path) -> None:
        files = bundles(self._data, self._pace.patients)
        urls = {"PostgreSQL": cluster.create("load"), "SQLite": f"sqlite:///{folder}/load.sqlite"}
        for engine, url in urls.items():
            title = f"`fhir-server load`, {engine}"
            try:
                rate, note = time_load(url, folder / engine, files).rate, ""
            except BenchFailed as failure:
                rate, note = None, "failed, see below"
                self.report.notes.append(f"{title}: {failure}")
            self.report.rows.append(limit_row(title, goals.LOAD_COMMAND, rate, " resources/s", note=note))

    def _keep(self, name: str, results: dict[str, Any]) -> None:
        """Keep the driver's results, and say what was wrong with answers or content."""
        self.raw[name] = results
        self.report.notes += [f"error: {failure}" for failure in results["failures"]]
        self.report.notes += [
            f"stored otherwise than given: {each['type']}.{each['element']} {each['what']} {each['times']} times"
            for each in results["content_differences"]
        ]


def _scenario_row(title: str, goal: goals.Goal, bare_reads: float, figures: dict[str, Any]) -> Row:
    if figures["status"] != "measured":
        return scaled_row(title, goal, bare_reads, None, note=f"{figures['status']}: {figures['reason'][:80]}")
    cpu = " + ".join(f"{figures[part]:.2f}" for part in ("server_cpu_ms", "database_cpu_ms") if part in figures)
    rate, p50 = figures["requests_per_second"], figures["p50_ms"]
    errors = f"; {figures['errors']} errors" if figures["errors"] else ""
    return scaled_row(title + errors, goal, bare_reads, rate, p50=p50, cpu=cpu)


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options; `pace` and `only` are ready for use."""
    known = [*goals.SCENARIOS, LOAD_COMMAND]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="measure these only, comma-separated: " + ", ".join(known))
    parser.add_argument("--quick", action="store_true", help="prove that it works: a second each, a few patients")
    for name in ("seconds", "repeat", "patients", "starts"):
        parser.add_argument(f"--{name}", type=int, help=f"instead of {getattr(FULL, name)}")
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder with bench/ and data/ (default: ../shared)")
    parser.add_argument("--markdown", type=Path, help="write the report here too")
    parser.add_argument("--json", type=Path, help="write everything measured here")
    options = parser.parse_args(arguments)
    options.only = frozenset(options.only.split(",") if options.only else known)
    if unknown := options.only - set(known):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    given = {name: getattr(options, name) for name in ("seconds", "repeat", "patients", "starts")}
    options.pace = replace(
        QUICK if options.quick else FULL, **{name: value for name, value in given.items() if value is not None}
    )
    return options


def main() -> int:
    """Run, print the report, and return the exit status: 2 when measuring was not possible."""
    options = parse_options()
    run = Run(options.shared.resolve(), options.pace, options.only)
    with ended_by_signals():
        try:
            run.measure()
        except BenchFailed as failure:
            print(f"bench: {failure}", file=sys.stderr)
            return 2
    print(run.report.markdown())
    if options.markdown:
        options.markdown.write_text(run.report.markdown(), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(run.raw | {"report": asdict(run.report)}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
