"""Round trips of sample rows over HTTP, and the page that tells them: python -m tests.docs.round_trips writes it."""

from __future__ import annotations

import asyncio
import copy
import re
import tempfile
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy import NullPool, and_, create_engine, make_url, select
from sqlalchemy.engine import Engine

from fhir_server.loading.loader import Loader
from fhir_server.loading.sources import find_sources
from mappers.json_values import ABSENT
from mappers.residual import Residual, ResidualEntry
from storage import schema
from storage.access import Access, Right
from storage.audit import AuditKey
from storage.codec import content, decode, encode
from storage.engine import create_database
from storage.projection.flush import flush
from storage.projection.outbox import Projector
from storage.projection.places import Places
from storage.rls import ROLE
from storage.store import ResourceStore
from storage.tables import fhir
from storage.tables.metadata import metadata
from tests.docs.round_trip_cases import GRAPH, REMOVED, ROUND_TRIPS, SYSTEMS, RoundTrip
from tests.site import Site, running_site

PAGE: Final = Path(__file__).resolve().parents[2] / "docs/round-trips.md"
SAMPLES: Final = ("patient_graph.json", "care_platform.json", "health_hub.json")
STAMPS: Final = ("created_at", "updated_at")
WIDTH: Final = 112
PATIENCE: Final = 30
"""Seconds in which FHIR has to show what another program wrote."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What happened on one round trip: resources without what the store writes into `meta`, rows without stamps."""

    before: dict[str, Any]
    served: dict[str, Any]
    sent: dict[str, Any]
    after: dict[str, Any]
    residual: Residual
    read: dict[str, Any]
    later: dict[str, Any] | None
    """The resource after the statement of another program, where the round trip has one."""


def load_samples(url: str) -> None:
    """Load the demonstration's rows of all three systems."""
    asyncio.run(_load(url))


async def _load(url: str) -> None:
    database = create_database(url, role=ROLE)
    await database.open()
    database.flush = flush
    access = Access(GRAPH, "operator", "OPERATOR", "fhir-server", {}, everything=frozenset(Right))
    loader = Loader(database, ResourceStore(database, Places()), access, AuditKey(b"tests' own key of audit records."))
    try:
        for name in SAMPLES:
            summary = await loader.load(find_sources([Path(str(files("fhir_server.demo") / "data" / name))]))
            assert summary.refused == [], summary.refused
        while await Projector(database).drain():
            pass
    finally:
        await database.close()


class Recorder:
    """Makes round trips: over HTTP as a client with its token, and in SQL as a program that knows no FHIR."""

    def __init__(self, site: Site, url: str) -> None:
        self._site = site
        self._engine = _foreign_engine(url)

    def record(self, trip: RoundTrip) -> Recorded:
        """Read the row and its resource, send it unchanged and then changed, and read both again."""
        client = self._site.client(organization=trip.organization)
        whole = self._row(trip)
        served = self._sent_back(client, trip)
        assert encode(self._row(trip)) == encode(whole)
        before = _unstamped(whole)
        sent = changed(_resource(served), trip.changes)
        answer = client.put(trip.resource, content=encode(sent), headers={"If-Match": served.headers["ETag"]})
        assert answer.status_code == httpx.codes.OK, answer.text
        read = client.get(trip.resource)
        after, residual = _unstamped(self._row(trip)), self._residual(trip)
        assert encode(_resource(read)) == encode(_resource(answer))
        assert content(_resource(read)) == content(sent)
        later = self._changed_by_another(client, trip, read) if trip.statement else None
        return Recorded(before, _resource(served), sent, after, residual, _resource(read), later)

    def _sent_back(self, client: httpx.Client, trip: RoundTrip) -> httpx.Response:
        """Read the resource and send it back as it is, which has to change nothing."""
        served = client.get(trip.resource)
        assert served.status_code == httpx.codes.OK, served.text
        answer = client.put(trip.resource, content=served.content, headers={"If-Match": served.headers["ETag"]})
        assert answer.status_code == httpx.codes.OK, answer.text
        assert (answer.headers["ETag"], answer.content) == (served.headers["ETag"], served.content)
        assert not self._residual(trip)
        return served

    def _changed_by_another(self, client: httpx.Client, trip: RoundTrip, known: httpx.Response) -> dict[str, Any]:
        """Run the statement as a program would that knows nothing of this server, and wait until FHIR shows it."""
        with self._engine.begin() as connection:
            connection.exec_driver_sql(statement(trip))
        for _ in range(PATIENCE * 20):
            found = client.get(trip.resource)
            if found.headers["ETag"] != known.headers["ETag"]:
                return _resource(found)
            time.sleep(0.05)
        raise AssertionError(f"FHIR does not show it: {statement(trip)}")

    def _row(self, trip: RoundTrip) -> dict[str, Any]:
        table = metadata.tables[trip.table]
        where = and_(table.c.organization_id == trip.organization, table.c.id == trip.key)
        with self._engine.connect() as connection:
            row = connection.execute(select(table).where(where)).mappings().one()
        return {name: _ordered(value) for name, value in row.items()}

    def _residual(self, trip: RoundTrip) -> Residual:
        resource_type, resource_id = trip.resource.split("/")
        columns = fhir.resources.c
        where = and_(
            columns.organization_id == trip.organization,
            columns.resource_type == resource_type,
            columns.id == resource_id,
        )
        with self._engine.connect() as connection:
            home, key, residual = connection.execute(
                select(columns.home_table, columns.home_key, columns.residual).where(where)
            ).one()
        assert (home, key) == (trip.table, trip.key)
        return Residual.from_json(None if residual is None else decode(bytes(residual)))


def _unstamped(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in STAMPS}


def _ordered(value: Any) -> Any:
    """Return JSON with the members of objects in the order that PostgreSQL keeps; SQLite keeps them as written."""
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value, key=lambda name: (len(name.encode()), name))}
    return [_ordered(each) for each in value] if isinstance(value, list) else value


def statement(trip: RoundTrip) -> str:
    """Return the SQL of another program, for the row of a round trip."""
    return f"UPDATE {trip.table} SET {trip.statement} WHERE id = '{trip.key}'"


def _foreign_engine(url: str) -> Engine:
    parsed = make_url(url)
    driver = "postgresql+psycopg" if parsed.get_backend_name() == "postgresql" else "sqlite"
    return create_engine(parsed.set(drivername=driver), poolclass=NullPool)


def _resource(answer: httpx.Response) -> dict[str, Any]:
    """Return a resource without the members of `meta` that say when and how often it was written."""
    resource: dict[str, Any] = decode(answer.content)
    meta = {name: value for name, value in resource.pop("meta").items() if name not in ("versionId", "lastUpdated")}
    head = {"resourceType": resource.pop("resourceType"), "id": resource.pop("id")}
    return head | ({"meta": meta} if meta else {}) | resource


# ---- paths --------------------------------------------------------------------------------------------------------


def _steps(path: str) -> list[str | int]:
    return [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path)]


def changed(resource: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a resource with other values at some paths."""
    copied = copy.deepcopy(dict(resource))
    for path, value in changes.items():
        *way, last = _steps(path)
        node: Any = copied
        for step in way:
            node = node[step]
        if value is REMOVED:
            del node[last]
        else:
            node[last] = value
    return copied


def at(resource: Any, path: str) -> Any:
    """Return what stands at a path; ABSENT where nothing does."""
    for step in _steps(path):
        try:
            resource = resource[step]
        except (KeyError, IndexError):
            return ABSENT
    return resource


def differences(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (path, value, other value) of what differs in two JSON values; digits of numbers count."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in [*one, *(name for name in other if name not in one)]:
            place = f"{path}.{name}" if path else name
            yield from differences(one.get(name, ABSENT), other.get(name, ABSENT), place)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from differences(mine, theirs, f"{path}[{index}]")
    elif one is ABSENT or other is ABSENT or encode(one) != encode(other):
        yield path, one, other


# ---- the page -----------------------------------------------------------------------------------------------------

HEAD: Final = """\
# Round trips

A row of each source table of the three systems: how FHIR shows it, what a FHIR client changes of that, and what the
row, the residual and FHIR say afterwards. Some end with another program that changes the row with plain SQL.

The rows are those of `fhir-server demo`. This page is written by a program that runs the server, asks it over HTTP and
looks into the tables with SQL (`make docs`); the tests do the same on SQLite and on PostgreSQL, and compare. They check
of each round trip, too, that the resource sent back as it was served changes neither row nor version and leaves no
residual, and that what a client wrote is read back as it was sent, digit for digit. Of rows, the columns that matter
are shown, and every column that changed, save `created_at` and `updated_at`; of resources, all but `meta.versionId`,
`meta.lastUpdated` and what is named beside the `GET`. Every `PUT` carries `If-Match`.

The *residual* is what no column holds ([architecture](architecture.md#the-store)): what is shown at a place (— for an
element that the client left out) while the columns show there what they showed when it was written. Once another
program has changed that, the columns win. A place names slots of lists by what they are for: `name/official`, not
`name[0]`.

"""


def page(recorded: Mapping[str, Recorded]) -> str:
    """Return the page of all round trips, by resource."""
    lines = [HEAD + "| | system | row | resource | columns changed | kept in the residual |", "| --- " * 6 + "|"]
    for number, trip in enumerate(ROUND_TRIPS, 1):
        made = recorded[trip.resource]
        columns = ", ".join(dict.fromkeys(f"`{first(path)}`" for path, _, _ in _row_differences(made)))
        kept = ", ".join(f"`{_place(entry)}`" for entry in made.residual.entries) or "nothing"
        link = f"[{number}](#{number}-{trip.table}-and-{trip.resource_type.lower()})"
        lines.append(
            f"| {link} | {SYSTEMS[trip.organization]} | `{trip.table}` | {trip.resource_type} | {columns} | {kept} |"
        )
    for number, trip in enumerate(ROUND_TRIPS, 1):
        lines += ["", *_section(number, trip, recorded[trip.resource])][:-1]
    return "\n".join(lines) + "\n"


def _section(number: int, trip: RoundTrip, made: Recorded) -> Iterator[str]:
    yield f"## {number}. `{trip.table}` and {trip.resource_type}"
    yield ""
    yield from _words(f"{trip.why} ([Columns](mapping/{trip.resource_type}.md).)")
    yield from _table("column", "value", rows=((name, at(made.before, name)) for name in trip.columns))
    left_out = f" (without {', '.join(f'`{name}`' for name in trip.unshown)})" if trip.unshown else ""
    yield from _words(f"`GET {trip.resource}`{left_out}")
    yield "```json"
    yield _pretty({name: value for name, value in made.served.items() if name not in trip.unshown})
    yield "```"
    yield ""
    yield from _words(f"`PUT {trip.resource}`, the same but for:")
    sent = (
        (path, at(made.served, path), ABSENT if value is REMOVED else value) for path, value in trip.changes.items()
    )
    yield from _table("element", "served", "sent", rows=sent)
    yield "The row and the residual afterwards; a `GET` gives what was sent:"
    yield ""
    rows = [(name, was, NOW if name in trip.clock else now) for name, was, now in _row_differences(made)]
    yield from _table("column", "was", "is now", rows=rows)
    kept = [(_place(entry), entry.literal, _until(entry)) for entry in made.residual.entries]
    yield from _table("residual", "shown", "while the columns show", rows=kept) if kept else _words("No residual.")
    if made.later is not None:
        yield from _words("Another program changes the row:")
        yield "```sql"
        yield statement(trip)
        yield "```"
        yield ""
        yield from _table("element", "was", "is now", rows=differences(made.read, made.later))


def _words(paragraph: str) -> Iterator[str]:
    yield from textwrap.wrap(paragraph, 120, break_long_words=False, break_on_hyphens=False)
    yield ""


def _table(*titles: str, rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield "| --- " * len(titles) + "|"
    for name, *values in rows:
        yield f"| `{name}` | {' | '.join(map(_cell, values))} |"
    yield ""


def _row_differences(made: Recorded) -> Iterator[tuple[str, Any, Any]]:
    return differences(made.before, made.after)


def first(path: str) -> str:
    """Return the column or element that a path begins with."""
    return str(_steps(path)[0])


def _place(entry: ResidualEntry) -> str:
    return "/".join(entry.path)


def _until(entry: ResidualEntry) -> Words:
    """Return what the columns showed, in words: a guard is a hash where that is long."""
    if not entry.guard:
        return Words("nothing")
    return Words("what they show now") if entry.guard.startswith("#") else Words(f"`{entry.guard}`")


class Words(str):
    """Text that is no value."""

    __slots__ = ()


NOW: Final = Words("the time of the change")


def _cell(value: Any) -> str:
    if isinstance(value, Words):
        return value
    if value is ABSENT:
        return "—"
    if value is None:
        return "null"
    if isinstance(value, date):
        value = value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        value = format(value, "f")
    shown = value if isinstance(value, str) else _line(value)
    return f"`{shown}`".replace("|", "\\|")


def _line(value: Any) -> str:
    """Return JSON on one line, with a space after colons and commas."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_line(name)}: {_line(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_line, value)) + "]"
    return encode(value).decode()


def _pretty(value: Any, indent: str = "", before: int = 0) -> str:
    """Return JSON over as few lines as fit; `before` characters stand on the first line already."""
    line = _line(value)
    if not isinstance(value, dict | list) or (indent and len(indent) + before + len(line) <= WIDTH):
        return line
    deeper = indent + "  "
    if isinstance(value, dict):
        inner = [f"{_line(name)}: {_pretty(each, deeper, len(name) + 4)}" for name, each in value.items()]
    else:
        inner = [_pretty(each, deeper) for each in value]
    start, end = "{}" if isinstance(value, dict) else "[]"
    return f"{start}\n{deeper}" + f",\n{deeper}".join(inner) + f"\n{indent}{end}"


def record_all(url: str) -> dict[str, Recorded]:
    """Load the sample rows into a migrated database and make every round trip, by resource."""
    load_samples(url)
    with running_site(url) as site:
        recorder = Recorder(site, url)
        return {trip.resource: recorder.record(trip) for trip in ROUND_TRIPS}


def main() -> None:
    """Write the page from round trips on SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/fhir.sqlite"
        schema.upgrade(url)
        schema.create_standard_organizations(url)
        PAGE.write_text(page(record_all(url)), "utf-8")


if __name__ == "__main__":
    main()
