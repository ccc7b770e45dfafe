"""Servers whose clock and ids can be replayed, and questions to them whose answers can be compared (settled §4.8)."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url

from fhir_server.app import create_app
from fhir_server.settings import Settings
from storage.access import Access
from storage.clock import IdSource
from storage.rls import ROLE
from storage.search.cursor import CursorSealer
from storage.search.query import Search
from tests.acceptance.inside import Inside
from tests.conftest import ORGANIZATION
from tests.postgres import execute
from tests.site import FHIR_JSON, SECRET, Site, signing_ring

BASE = "http://fhir.example"
START = 1_600_000_000_000
"""2020-09-13T12:26:40Z in milliseconds."""


class Streams(IdSource):
    """A clock that stands until it is set, and ids from the visible or from the hidden stream."""

    def __init__(self) -> None:
        self._now = START
        self._random = {hidden: random.Random(hidden) for hidden in (False, True)}
        self._drawn = {False: 0, True: 2**20}
        self.hidden = False
        super().__init__(milliseconds=lambda: self._now, random_bits=self._bits)

    def _bits(self, count: int) -> int:
        return self._random[self.hidden].getrandbits(count)

    def surrogate(self) -> int:
        """Return the next number of the stream."""
        self._drawn[self.hidden] += 1
        return self._now << 21 | self._drawn[self.hidden]

    def set(self, tick: int, *, hidden: bool) -> None:
        """Go to a time: hidden rows are written between two visible ones."""
        self._now, self.hidden = START + tick * 1000 + (500 if hidden else 0), hidden


CLOCK_OF_POSTGRES = (
    "CREATE SCHEMA replay",
    "CREATE TABLE replay.clock (at timestamptz NOT NULL)",
    "INSERT INTO replay.clock VALUES (to_timestamp(0))",
    *(
        f"CREATE FUNCTION replay.{name}() RETURNS timestamptz LANGUAGE sql AS 'SELECT at FROM replay.clock'"
        for name in ("clock_timestamp", "now")
    ),
    f"GRANT USAGE ON SCHEMA replay TO {ROLE}",
    f"GRANT SELECT ON replay.clock TO {ROLE}",
)
"""A clock for tests, found before PostgreSQL's own: there the database's clock counts (settled §3.4)."""


@dataclass
class World:
    """One server, in this process."""

    url: str
    site: Site
    app: Any
    ids: Streams
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(self, scope: str, **claims: Any) -> httpx.AsyncClient:
        """Return a client with a token."""
        made = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app),
            base_url=f"{BASE}/fhir",
            headers={
                "Authorization": f"Bearer {self.site.token(scope, **claims)}",
                "Content-Type": FHIR_JSON,
                "Accept": FHIR_JSON,
                "X-Request-Id": "same",
            },
        )
        self.clients.append(made)
        return made

    def set(self, tick: int, *, hidden: bool) -> None:
        """Set the clock and the stream of ids."""
        self.ids.set(tick, hidden=hidden)
        if self.url.startswith("postgresql"):
            execute(self.url, f"UPDATE replay.clock SET at = to_timestamp({self.ids.milliseconds()} / 1000.0)")

    async def sql(self, statement: str) -> None:
        """Change rows as another program does, in the organization of tests."""
        await asyncio.to_thread(self._execute, statement)  # the server has to go on: it may hold a lock

    def _execute(self, statement: str) -> None:
        if self.url.startswith("postgresql"):
            execute(self.url, f"SET app.organization_id = '{ORGANIZATION}'", statement)
            return
        with closing(sqlite3.connect(make_url(self.url).database or "", timeout=30)) as file:
            file.execute(statement)
            file.commit()

    async def settle(self) -> None:
        """Return when nothing waits to be projected."""
        inside = Inside(self.url)
        await asyncio.to_thread(inside.settle)
        inside.close()


@asynccontextmanager
async def world(url: str) -> AsyncIterator[World]:
    """Run a server on an empty database, with a clock and ids that can be replayed."""
    if url.startswith("postgresql"):
        execute(url, *CLOCK_OF_POSTGRES)
        name = url.rpartition("/")[2]
        execute(url, f'ALTER DATABASE "{name}" SET search_path = replay, pg_catalog, public')
    settings = Settings(database_url=url, database_role=ROLE, base_url=BASE, secret=SECRET)
    ids = Streams()
    app = create_app(settings, ids)
    made = World(url, Site(settings, await signing_ring(settings)), app, ids)
    made.set(0, hidden=False)
    async with app.running():
        await made.settle()
        yield made
        for client in made.clients:
            await client.aclose()


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
Answer = tuple[str, int, dict[str, str], bytes]
CURSOR_IN = re.compile(r"(?<=_cursor=)[A-Za-z0-9_-]+")


def places_noted(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return what every cursor holds, save the mark, as the server makes them from now on."""
    made: dict[str, str] = {}
    make = CursorSealer.make

    def noted(self: CursorSealer, search: Search, access: Access, place: Sequence[Any], now: int) -> str:
        cursor = make(self, search, access, place, now)
        of_search = search.parameters[:1] and search.parameters[0][0] in {"$everything", "_history"}
        place = place if of_search or not isinstance(place[0], bool) else [place[0], *place[2:]]
        made[cursor] = repr((now, place, search.address, search.parameters)).replace('"', "'")
        return cursor

    monkeypatch.setattr(CursorSealer, "make", noted)
    return made


async def asked(
    fhir: httpx.AsyncClient, places: dict[str, str], method: str, path: str, body: Any = None, headers: Any = None
) -> tuple[Answer, httpx.Response]:
    """Return an answer with all its bytes, and as it came."""
    if isinstance(body, str):
        answer = await fhir.request(method, path, content=body, headers=FORM)
    else:
        answer = await fhir.request(method, path, json=body, headers=headers)
    text, cursors = CURSOR_IN.subn(lambda found: places.get(found[0], found[0]), answer.text)
    of_length = {"content-length", "content-encoding"} if cursors else set()
    shown = {name: value for name, value in answer.headers.items() if name not in of_length}
    named = CURSOR_IN.sub(lambda found: places.get(found[0], found[0]), path)
    return (f"{method} {named}", answer.status_code, shown, text.encode()), answer


async def all_pages(fhir: httpx.AsyncClient, places: dict[str, str], query: str) -> list[Answer]:
    """Return the pages of a search, and the one before the last once more."""
    page, answer = await asked(fhir, places, "GET", f"/{query}")
    pages = [page]
    back = None
    while answer.status_code == 200 and (links := links_of(answer)).get("next"):
        page, answer = await asked(fhir, places, "GET", links["next"])
        pages.append(page)
        back = links_of(answer).get("previous") if answer.status_code == 200 else None
    return pages if back is None else [*pages, (await asked(fhir, places, "GET", back))[0]]


def links_of(answer: httpx.Response) -> dict[str, str]:
    return {each["relation"]: each["url"] for each in answer.json().get("link", ())}
