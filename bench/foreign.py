"""How long FHIR takes to agree after another program changed many rows in one statement, and what that costs.

python -m bench.foreign [--rows 100000]

The projector runs alone, in a process of its own, as it does beside each worker; its memory and processor time are read
from /proc. Times are the machine's; the processor time is what to compare.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import psycopg

from bench.postgres import Cluster, postgres
from storage import schema
from storage.clock import IdSource
from storage.engine import create_database
from storage.projection.flush import flush
from storage.projection.outbox import Projector
from storage.projection.reconcile import reconcile
from storage.rls import ROLE

ORGANIZATION: Final = "loop-health"
PATIENTS: Final = 1000
MIB: Final = 1024 * 1024
ROWS: Final = 100_000
PEOPLE: Final = (
    "INSERT INTO patients (organization_id, id, first_name, last_name, date_of_birth)"
    f" SELECT '{ORGANIZATION}', 'p' || n, 'Given', 'Family ' || n, '1980-01-01' FROM generate_series(1, {PATIENTS}) n"
)
METRIC: Final = (
    "INSERT INTO metric_definitions (organization_id, id, key, name, value_type, unit, category, code_system, code)"
    f" VALUES ('{ORGANIZATION}', 'm', 'heart_rate', 'Heart rate', 'number', 'bpm', 'VITALS', 'LOINC', '8867-4')"
)
INSERT: Final = (
    "INSERT INTO observations (organization_id, id, patient_id, metric_id, metric_organization_id, value, unit,"
    f" recorded_at) SELECT '{ORGANIZATION}', 'o' || n, 'p' || (n %% {PATIENTS} + 1), 'm', '{ORGANIZATION}',"
    " to_jsonb(60 + n %% 40), 'bpm', timestamptz '2026-01-01' + n * interval '1 minute' FROM generate_series(1, %s) n"
)
STEPS: Final = (
    ("UPDATE of every row", "UPDATE observations SET value = to_jsonb((value #>> '{}')::int + 1)"),
    ("UPDATE of a column that FHIR does not show", "UPDATE observations SET context = 'WELLNESS'"),
    ("a metric renamed", "UPDATE metric_definitions SET name = 'Pulse'"),
)
VERSIONS: Final = "SELECT count(*) + (SELECT count(*) FROM fhir_history) FROM fhir_resources"
BACKLOG: Final = (
    "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM rerenders)"
    " + (SELECT count(*) FROM shown_rows WHERE walk IS NOT NULL)"
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of the statement, until FHIR agrees, and of the projector's processor; its peak memory; new versions."""

    statement: float
    agrees: float
    processor: float
    peak: int
    versions: int


def _project(url: str, orders: Connection) -> None:
    """Drain whenever told to, and tell when it is done."""

    async def serve() -> None:
        database = create_database(url, ids=IdSource(), role=ROLE)
        await database.open()
        database.flush = flush
        while orders.recv():
            before = time.process_time()
            _forget_peak()
            await Projector(database).drain()
            orders.send((time.process_time() - before, _peak()))
        await database.close()

    asyncio.run(serve())


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@contextmanager
def projector(url: str) -> Iterator[Connection]:
    """Run a projector in a process of its own."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_project, args=(url, theirs))
    process.start()
    try:
        yield ours
    finally:
        ours.send(False)
        process.join(30)


def measure(url: str, orders: Connection, statement: str, *values: object) -> Cost:
    """Run a statement as another program and have the projector drain what it leaves."""
    with psycopg.connect(url, autocommit=True) as writer:
        before = _number(writer, VERSIONS)
        start = time.monotonic()
        writer.execute(statement, values or None)
        done = time.monotonic()
        orders.send(True)
        processor, peak = orders.recv()
        agrees = time.monotonic()
        if _number(writer, BACKLOG):
            raise SystemExit("the projector left something undone")
        return Cost(done - start, agrees - done, processor, peak, _number(writer, VERSIONS) - before)


def _number(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


async def _agree(url: str) -> bool:
    database = create_database(url, ids=IdSource(), role=ROLE)
    await database.open()
    try:
        return (await reconcile(database, ORGANIZATION, fix=False)).agrees
    finally:
        await database.close()


def run(server: Cluster, rows: int) -> None:
    """Measure and print."""
    url = server.create("foreign")
    schema.upgrade(url)
    schema.create_standard_organizations(url)
    with psycopg.connect(url, autocommit=True) as writer:
        for statement in (PEOPLE, METRIC):
            writer.execute(statement)
    with projector(url) as orders:
        orders.send(True)
        orders.recv()
        costs = [(f"INSERT of {rows:,} rows", measure(url, orders, INSERT, rows))]
        costs += [(name, measure(url, orders, statement)) for name, statement in STEPS]
    print(
        f"| {rows:,} rows of observations | statement, s | FHIR agrees after, s | processor, s | peak, MiB | versions |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for name, cost in costs:
        print(
            f"| {name} | {cost.statement:.1f} | {cost.agrees:.0f} | {cost.processor:.0f} | {cost.peak // MIB}"
            f" | {cost.versions:,} |"
        )
    print("reconcile --check:", "agrees" if asyncio.run(_agree(url)) else "differs")


def main() -> None:
    """Run with the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    arguments = parser.parse_args()
    with postgres() as server:
        run(server, arguments.rows)
    sys.exit(0)


if __name__ == "__main__":
    main()
