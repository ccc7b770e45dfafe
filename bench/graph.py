"""The patient graph API: reads, creations, readings in volume, and what the audit of reads costs.

python -m bench.graph [--profiles 10000] [--readings 1000000] [--seconds 5] [--rounds 5]

One installation on a PostgreSQL of its own, 2 workers, several clients whose requests are counted against a limit that
none reaches. Readings that were there before are rows that FHIR shows by day; those that are sent are shown each. Bare
reads (`bare.py`) are measured before and after. README.md says how to read the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.authorization import Costed, Running, cpu, median
from bench.goals import GRAPH_AUDITED, GRAPH_MILLISECONDS, GRAPH_READINGS
from bench.installation import WORKERS, Installation
from bench.postgres import postgres
from bench.processes import free_port, printed, service, wait_until_ok
from bench.wrk import ask, post_each, require_wrk
from bench.yardstick import yardstick

ROOT: Final = Path(__file__).resolve().parents[1]
ORGANIZATION: Final = "loop-health"
CLIENTS: Final = 4
"""Their requests are counted apart."""
LIMIT: Final = "10000000/60"
READERS: Final = 50
CREATORS: Final = 8
AUDITED_READERS: Final = 64
ASKED: Final = 100
"""Customers whom reads ask for, in turn; these have laboratory results."""
LABS: Final = 25
"""Of each of those; more than a page."""
LOADED_BIOMARKERS: Final = 10
BIOMARKERS: Final = 30
"""Of a laboratory result that is created."""
DAYS: Final = 4
"""Over which the readings of a customer are spread."""
SENDERS: Final = 4
BATCH: Final = 250
"""Readings of one request, all of one customer: most of a day of a sensor."""
BATCHES_A_SECOND: Final = 60
CREATIONS_A_SECOND: Final = 600
"""More than will be asked for: each is sent once."""
START: Final = datetime(2026, 1, 5, tzinfo=UTC)
PRELOADED: Final = "steps"
LOAD_AT_ONCE: Final = 20_000


def profile(number: int) -> dict[str, Any]:
    """Return a row of `customer_profiles`."""
    return {
        "id": f"c{number}", "externalId": f"user_{number}", "email": f"person{number}@example.org",
        "firstName": "Given", "lastName": f"Family{number % 1000}", "dateOfBirth": "1985-06-15",
        "biologicalSex": "female", "timezone": "UTC", "conditions": ["hypothyroidism"],
        "medications": ["levothyroxine 100mcg"],
    }  # fmt: skip


def biomarkers(number: int, many: int = BIOMARKERS) -> dict[str, Any]:
    """Return what a laboratory measured."""
    value = {"unit": "ng/mL", "referenceRange": {"min": 30, "max": 100}, "status": "normal"}
    return {f"marker_{at}": {"value": 20 + (number + at) % 90, **value} for at in range(many)}


def lab(number: int, at: int) -> dict[str, Any]:
    """Return a row of `lab_results`."""
    return {
        "id": f"l{number}-{at}", "customerId": f"c{number}", "labDate": (START.date() + timedelta(at)).isoformat(),
        "provider": "Quest Diagnostics", "status": "reviewed", "biomarkers": biomarkers(number + at, LOADED_BIOMARKERS),
    }  # fmt: skip


def stat(number: int, day: date, readings: int) -> dict[str, Any]:
    """Return a row of `patient_wearable_daily_stats`."""
    return {
        "id": f"s{number}-{day}", "customerId": f"c{number}", "date": day.isoformat(), "dataType": PRELOADED,
        "unit": "steps", "avgValue": 100, "minValue": 100, "maxValue": 100, "sumValue": 100 * readings,
        "count": readings, "closedAt": f"{day + timedelta(2)}T00:00:00Z",
    }  # fmt: skip


READINGS: Final = """
INSERT INTO patient_wearable_readings
  (organization_id, id, customer_id, data_type, value, unit, device_type, source, recorded_at)
SELECT %(organization)s, 'r' || customer || '-' || n, 'c' || customer, %(metric)s, 100, 'steps', 'oura', 'oura',
       %(start)s::timestamptz + make_interval(mins => n * 1440 * %(days)s::int / %(each)s::int)
FROM generate_series(%(first)s::int, %(last)s::int) customer, generate_series(0, %(each)s::int - 1) n
"""


class Population:
    """An installation with customers, laboratory results, readings and statistics of days."""

    def __init__(self, installation: Installation, database_pid: int, profiles: int, readings: int) -> None:
        self.installation = installation
        self.database_pid = database_pid
        self.profiles = profiles
        self.each = max(DAYS, readings // profiles)
        self.bearers: list[str] = []
        self._numbers = count()

    def prepare(self) -> None:
        """Load everything; raises BenchFailed."""
        installation = self.installation
        installation.initialise()
        for number in range(CLIENTS):
            installation.command(
                "client", "add", "--id", f"graph-{number}", "--type", "backend", "--scope", "system/*.cruds"
            )
        installation.command("organization", "telemetry", ORGANIZATION, "--metric", f"{PRELOADED}=daily")
        for start in range(0, self.profiles, LOAD_AT_ONCE):
            numbers = range(start, min(self.profiles, start + LOAD_AT_ONCE))
            self._load("customer_profiles", map(profile, numbers))
        asked = range(min(ASKED, self.profiles))
        self._load("lab_results", (lab(number, at) for number in asked for at in range(LABS)))
        days = [START.date() + timedelta(day) for day in range(DAYS)]
        readings = self.each // DAYS
        self._load(
            "patient_wearable_daily_stats", (stat(n, day, readings) for n in range(self.profiles) for day in days)
        )
        with psycopg.connect(installation.database_url) as connection:
            # As the server's own writes: FHIR shows these readings by day, and the days are there.
            connection.execute("SELECT set_config('fhir_server.writer', 'on', false)")
            for first in range(0, self.profiles, 1000):
                last = min(self.profiles, first + 1000) - 1
                values = {
                    "organization": ORGANIZATION, "metric": PRELOADED, "start": START, "days": DAYS,
                    "each": self.each, "first": first, "last": last,
                }  # fmt: skip
                connection.execute(READINGS, values)
        with psycopg.connect(installation.database_url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")

    def _load(self, table: str, rows: Iterator[dict[str, Any]] | map[dict[str, Any]]) -> None:
        file = self.installation.folder / f"{table}.json"
        file.write_text(json.dumps({table: list(rows)}))
        self.installation.command("load", "--strict", file)
        file.unlink()

    def take_tokens(self) -> None:
        """Fetch an access token of each client."""
        arguments = ("--scope", "system/*.cruds", "--ttl", "3600", "--json")
        found = (
            self.installation.command("token", "--client", f"graph-{number}", *arguments) for number in range(CLIENTS)
        )
        self.bearers = [str(json.loads(each)["access_token"]) for each in found]

    def lab_bodies(self, number: int) -> Sequence[str]:
        """Return as many bodies of POST /labs, each of an upload of its own."""
        return [json.dumps(self._new_lab(next(self._numbers))) for _ in range(number)]

    def _new_lab(self, number: int) -> dict[str, Any]:
        others = self.profiles - min(ASKED, self.profiles)  # whoever is read grows no longer
        customer = f"c{self.profiles - 1 - number % max(1, others)}"
        return {
            "customerId": customer, "uploadId": f"upload_{number}", "labDate": "2026-03-15",
            "provider": "Quest Diagnostics", "status": "pending", "biomarkers": biomarkers(number),
        }  # fmt: skip

    def ingestions(self, number: int) -> Sequence[str]:
        """Return as many bodies of POST /wearables/readings, of readings that are new."""
        return [json.dumps({"readings": list(self._readings(next(self._numbers)))}) for _ in range(number)]

    def _readings(self, number: int) -> Iterator[dict[str, Any]]:
        customer = f"c{number % self.profiles}"
        start = START + timedelta(days=10 + 2 * number // self.profiles)
        for at in range(BATCH):
            moment = start + timedelta(minutes=5 * at)
            yield {
                "customerId": customer, "dataType": "glucose", "value": 80 + (number + at) % 60, "unit": "mg/dL",
                "source": "dexcom_api", "deviceType": "dexcom", "deviceId": f"d{customer}",
                "recordedAt": moment.isoformat(),
            }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is asked, by how many at once."""

    name: str
    title: str
    paths: Sequence[str]
    connections: int


def reads(profiles: int) -> Sequence[Scenario]:
    """Return the reads of the API document's table of response times."""
    asked = [f"c{number}" for number in range(min(ASKED, profiles))]
    stats = f"&dataType={PRELOADED}&fromDate={START.date()}&toDate={START.date() + timedelta(DAYS)}"
    return (
        Scenario("profile", "profile by id", [f"/graph/profiles/{each}" for each in asked], READERS),
        Scenario("labs", "page of 20 labs", [f"/graph/labs?customerId={each}" for each in asked], READERS),
        Scenario(
            "daily-stats",
            "daily statistics, kept",
            [f"/graph/wearables/daily-stats?customerId={each}{stats}" for each in asked],
            READERS,
        ),
    )


@contextmanager
def serving(population: Population, name: str, *, silent: bool = False) -> Iterator[Running]:
    """Serve the installation on a port of its own, without the audit of reads when `silent`."""
    installation = population.installation
    port = free_port()
    log = installation.folder / f"{name}.log"
    command = [sys.executable, "-m", *(("bench.silent",) if silent else ("fhir_server", "serve")), "--port", str(port)]
    limits = {"FHIR_SERVER_GRAPH_USER_LIMIT": LIMIT, "FHIR_SERVER_GRAPH_ADDRESS_LIMIT": LIMIT}
    environment = {**installation.environment(), "PYTHONPATH": str(ROOT), **limits}
    with service([*command, "--workers", str(WORKERS)], environment, installation.folder, log) as process:
        wait_until_ok(process, port, "/readyz", log)
        yield Running(port, process.pid, population.database_pid)


def measure_scenarios(population: Population, running: Running, seconds: int, rounds: int, bare: float) -> list[str]:
    """Ask each scenario; return the lines of the report."""
    folder, origin = population.installation.folder, f"http://127.0.0.1:{running.port}"
    lines = [
        "| scenario | connections | req/s | p50 ms | p95 ms | p99 ms | cpu ms, server + database | ÷ bare | goal |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for scenario in reads(population.profiles):
        asking = partial(
            ask, origin, scenario.paths, connections=scenario.connections, bearers=population.bearers, folder=folder
        )
        asking(seconds=1)
        found = [running.costed(seconds, partial(asking, seconds=seconds)) for _ in range(rounds)]
        lines.append(line(scenario.title, scenario.connections, found, bare, GRAPH_MILLISECONDS[scenario.name]))
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {population.bearers[0]}"}

    def post(path: str, made: Sequence[str], connections: int) -> Costed:
        posting = partial(post_each, origin, path, made, seconds, folder, headers=headers, connections=connections)
        return running.costed(seconds, posting)

    labs = CREATIONS_A_SECOND * seconds
    found = [post("/graph/labs", population.lab_bodies(labs), CREATORS) for _ in range(rounds + 1)][1:]
    title = f"lab of {BIOMARKERS} biomarkers created"
    lines.append(line(title, CREATORS, found, bare, GRAPH_MILLISECONDS["lab-create"]))
    path, batches = "/graph/wearables/readings", BATCHES_A_SECOND * seconds
    found = [post(path, population.ingestions(batches), SENDERS) for _ in range(rounds + 1)][1:]
    lines.append(line(f"{BATCH} readings ingested", SENDERS, found, bare, None))
    readings = median(found, "rate") * BATCH
    return [*lines, "", f"Readings a second: {readings:,.0f} (goal: {at_least(readings, GRAPH_READINGS)})."]


def line(title: str, connections: int, rounds: Sequence[Costed], bare: float, goal: float | None) -> str:
    """Return a row of the table; `goal` is of p95, in milliseconds."""
    rate, p50, p95, p99 = (median(rounds, part) for part in ("rate", "p50", "p95", "p99"))
    told = "" if goal is None else f"{goal:g}" if p95 <= goal else f"{goal:g} FAIL"
    return (
        f"| {title} | {connections} | {rate:,.0f} | {p50:.1f} | {p95:.1f} | {p99:.1f} | {cpu(rounds)} |"
        f" {rate / bare:.2f} | {told} |"
    )


def at_least(value: float, goal: float) -> str:
    """Return the goal, and whether it is missed."""
    return f"{goal:,g}" if value >= goal else f"{goal:,g} FAIL"


def measure_audit(population: Population, audited: Running, silent: Running, seconds: int, rounds: int) -> list[str]:
    """Read points from both servers in turn; return the lines of the report."""
    lines = [
        "| point reads, 64 connections | with audit | cpu ms | without | cpu ms | share | goal |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    with psycopg.connect(population.installation.database_url) as connection:
        query = "SELECT id FROM fhir_resources WHERE resource_type = 'Patient' AND organization_id = %s LIMIT 100"
        patients = [f"/fhir/Patient/{row[0]}" for row in connection.execute(query, [ORGANIZATION])]
    profiles = reads(population.profiles)[0].paths
    for title, paths in (("profile by id", profiles), ("Patient by id", patients)):
        found: dict[Running, list[Costed]] = {audited: [], silent: []}
        for number in range(rounds + 1):
            for running in (audited, silent) if number % 2 else (silent, audited):
                asking = partial(
                    ask,
                    f"http://127.0.0.1:{running.port}",
                    paths,
                    seconds,
                    population.installation.folder,
                    connections=AUDITED_READERS,
                    bearers=population.bearers,
                )
                costed = running.costed(seconds, asking)
                if number:  # the first round opens connections and prepares statements
                    found[running].append(costed)
        with_audit, without = median(found[audited], "rate"), median(found[silent], "rate")
        share = with_audit / without
        lines.append(
            f"| {title} | {with_audit:,.0f} | {cpu(found[audited])} | {without:,.0f} | {cpu(found[silent])} |"
            f" {share:.2f} | {at_least(share, GRAPH_AUDITED)} |"
        )
    return lines


def measure(profiles: int, readings: int, seconds: int, rounds: int) -> list[str]:
    """Measure and return the lines of the report; raises BenchFailed."""
    require_wrk()
    with tempfile.TemporaryDirectory(prefix="fhir-graph-") as name, postgres() as cluster, ExitStack() as stack:
        population = Population(Installation(cluster.create("graph"), Path(name)), cluster.pid, profiles, readings)
        population.prepare()
        bare = stack.enter_context(yardstick(population.installation.database_url, population.installation.folder))
        before = bare.measure(seconds).reads.rate
        audited = stack.enter_context(serving(population, "audited"))
        population.take_tokens()
        lines = measure_scenarios(population, audited, seconds, rounds, before)
        silent = stack.enter_context(serving(population, "silent", silent=True))
        lines += ["", *measure_audit(population, audited, silent, seconds, rounds)]
        after = bare.measure(seconds).reads.rate
    return [
        f"{profiles:,} profiles, {population.each * profiles:,} readings, {WORKERS} workers, {os.cpu_count()} CPUs.",
        "",
        *lines,
        "",
        f"Bare reads/s: {before:,.0f} before, {after:,.0f} after; mean {statistics.mean((before, after)):,.0f}.",
    ]


def main() -> int:
    """Run with the command line's options; ends with 2 when measuring was not possible."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", type=int, default=10_000)
    parser.add_argument("--readings", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of one round")
    options = parser.parse_args()
    return printed(lambda: measure(options.profiles, options.readings, options.seconds, options.rounds))


if __name__ == "__main__":
    sys.exit(main())
