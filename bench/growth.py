"""How searches about one patient grow with the table: 100,000 Observations beside a million, in one run.

python -m bench.growth [--patients 2000] [--rounds 5]

Two installations on one PostgreSQL, each served by two workers, are asked in turn; then transactions of 100 entries are
sent to the larger one. README.md says how to read the figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from bench.installation import Installation
from bench.population import LOINC, OBSERVATIONS, write_population
from bench.postgres import Cluster, postgres
from bench.processes import printed
from bench.searches import SEARCHES
from bench.wrk import Measured, ask, require_wrk
from bench.yardstick import yardstick

SHRINK: Final = 10
"""How many times smaller the small population is."""
SAMPLE: Final = 100
"""Patients asked about, spread over the population."""
CONNECTIONS: Final = 8
ENTRIES: Final = 100
"""Of one transaction."""
GOAL: Final = 1.3
"""At most so many times the time of the small population."""


@dataclass(frozen=True, slots=True)
class Served:
    """A population that is loaded and served."""

    patients: int
    installation: Installation
    token: str

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return self.installation.fhir_base.removesuffix("/fhir")

    @property
    def headers(self) -> Mapping[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.token}", "Content-Type": "application/fhir+json"}

    def sample(self) -> Sequence[int]:
        """Return the numbers of the patients asked about."""
        return range(0, self.patients, max(self.patients // SAMPLE, 1))

    def ask(self, title: str, seconds: int, folder: Path) -> Measured:
        """Ask one of SEARCHES about each patient of the sample in turn."""
        paths = [f"/fhir{SEARCHES[title](number)}" for number in self.sample()]
        return ask(self.origin, paths, seconds, folder, headers=self.headers, connections=CONNECTIONS)


@contextmanager
def served(cluster: Cluster, folder: Path, patients: int) -> Iterator[Served]:
    """Load a population into a database of its own and serve it."""
    home = folder / f"of-{patients}"
    home.mkdir()
    installation = Installation(cluster.create(f"growth{patients}"), home)
    installation.initialise()
    files = write_population(home / "files", patients)
    installation.command("load", "--strict", *files)
    for file in files:
        file.unlink()
    with psycopg.connect(installation.database_url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
    with installation.serving():
        yield Served(patients, installation, installation.token())


def transactions(target: Served, seconds: int, folder: Path) -> Measured:
    """Send transactions of ENTRIES new Observations of one patient."""
    resource = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "8867-4"}]},
        "subject": {"reference": "Patient/p0"},
        "effectiveDateTime": "2026-01-01T08:00:00Z",
        "valueQuantity": {"value": 60, "unit": "/min"},
    }
    entry = {"resource": resource, "request": {"method": "POST", "url": "Observation"}}
    body = folder / "transaction.json"
    body.write_text(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry] * ENTRIES}))
    headers = target.headers
    return ask(target.origin, ["/fhir"], seconds, folder, headers=headers, connections=CONNECTIONS, body=body)


def measure(patients: int, rounds: int, seconds: int) -> list[str]:
    """Measure and return the lines of the report; raises BenchFailed."""
    require_wrk()
    with tempfile.TemporaryDirectory(prefix="fhir-growth-") as name, ExitStack() as stack:
        folder = Path(name)
        cluster = stack.enter_context(postgres())
        sizes = (max(patients // SHRINK, 1), patients)
        small, large = (stack.enter_context(served(cluster, folder, size)) for size in sizes)
        bare = stack.enter_context(yardstick(large.installation.database_url, folder))
        before = bare.measure(seconds).reads.rate
        lines = [
            f"| search | {_head(small)} | {_head(large)} | p50 larger ÷ smaller |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for title in SEARCHES:
            lines.append(_row(title, small, large, rounds, seconds, folder))
            print(lines[-1], file=sys.stderr)
        written = statistics.median(transactions(large, seconds, folder).rate for _ in range(rounds)) * ENTRIES
        after = bare.measure(seconds).reads.rate
        return [
            *lines,
            "",
            f"Transactions of {ENTRIES} entries: {written:,.0f} resources/s.",
            f"Bare stack, reads/s: {before:,.0f} before, {after:,.0f} after.",
        ]


def _head(target: Served) -> str:
    return f"{target.patients * OBSERVATIONS:,}: req/s | p50 ms | p99 ms"


def _row(title: str, small: Served, large: Served, rounds: int, seconds: int, folder: Path) -> str:
    found: dict[int, list[Measured]] = {small.patients: [], large.patients: []}
    for target in (small, large):
        target.ask(title, 1, folder)  # connections, prepared statements, pages of the sample
    for number in range(rounds):
        for target in (small, large) if number % 2 else (large, small):
            found[target.patients].append(target.ask(title, seconds, folder))
    cells: list[str] = []
    medians: list[float] = []
    for target in (small, large):
        each = found[target.patients]
        rate, p50, p99 = (statistics.median(getattr(one, part) for one in each) for part in ("rate", "p50", "p99"))
        cells += [f"{rate:,.0f}", f"{p50:.2f}", f"{p99:.1f}"]
        medians.append(p50)
    growth = medians[1] / medians[0]
    return f"| {title} | {' | '.join(cells)} | {growth:.2f}{'' if growth <= GOAL else ' FAIL'} |"


def main() -> int:
    """Run with the command line's options; ends with 2 when measuring was not possible."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=2000, help="of the larger population; 500 Observations each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of one round")
    options = parser.parse_args()
    return printed(lambda: measure(options.patients, options.rounds, options.seconds))


if __name__ == "__main__":
    sys.exit(main())
