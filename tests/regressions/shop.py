"""A store, a search and their short cuts, for tests of what once went wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fhir_server.fhir.parse.search import parse_pairs, parse_search
from storage.access import Access, Reach, Right, system_access
from storage.codec import decode
from storage.engine import Database
from storage.history.instance import HistoryQuery
from storage.resources import ResourceKey, Write, Written
from storage.search.searcher import Searcher
from storage.store import ResourceStore
from storage.transaction import Change, UnitOfWork
from tests.conftest import ORGANIZATION

BASE = "https://fhir.example.org/fhir"
CHANGE = Change(actor="tester", client_id="tests", api="test")
SYSTEM = system_access(ORGANIZATION, "tester")
OWN = dict.fromkeys(Right, Reach.COMPARTMENT)
Resource = dict[str, Any]


def bound(patient: str, *types: str) -> Access:
    """A caller bound to one patient."""
    rights = dict.fromkeys(types or ("Patient", "Observation", "Group", "Provenance"), OWN)
    return Access(ORGANIZATION, "someone", "PATIENT", "app", rights, patient=patient)


def person(family: str = "Doe", **more: Any) -> Resource:
    return {"resourceType": "Patient", "name": [{"family": family}], **more}


def observed(subject: str | None, **more: Any) -> Resource:
    about = {} if subject is None else {"subject": {"reference": subject}}
    code = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
    return {"resourceType": "Observation", "status": "final", "code": code, **about, **more}


@dataclass
class Shop:
    """A store and its short cuts."""

    database: Database
    store: ResourceStore

    async def write(self, *writes: Write, access: Access = SYSTEM) -> list[Written]:
        return await self.database.transact(
            access.organization_id, CHANGE, lambda unit: self.store.write(unit, writes, access)
        )

    async def put(self, name: str, resource: Resource, access: Access = SYSTEM, **how: Any) -> Written:
        key = ResourceKey(*name.split("/"))
        return (await self.write(Write(key, resource | {"id": key.id}, **how), access=access))[0]

    async def create(self, name: str, resource: Resource, access: Access) -> Written:
        return await self.put(name, resource, access, must_not_exist=True)

    async def delete(self, *names: str, access: Access = SYSTEM) -> list[Written]:
        return await self.write(*(Write(ResourceKey(*name.split("/")), None) for name in names), access=access)

    async def put_versions_of_many_owners(self) -> list[Resource]:
        """Write seven versions of Observation/o, each in other compartments, and return the performers of the first."""
        for name in ("a", "b", "c"):
            await self.put(f"Patient/{name}", person())
        shared = [{"reference": "Patient/b"}, {"reference": "Patient/c"}]
        with_own = [{"reference": "Patient/a"}, {"reference": "Patient/b"}]
        await self.put("Observation/o", observed(None, performer=shared))  # 1: of b and c
        await self.delete("Observation/o")  # 2
        await self.put("Observation/o", observed(None))  # 3: of nobody
        await self.put("Observation/o", observed("Patient/b"))  # 4: of b
        await self.put("Observation/o", observed(None, performer=with_own))  # 5: of a and b
        await self.delete("Observation/o")  # 6
        await self.put("Observation/o", observed("Patient/a"))  # 7
        return shared

    async def read(self, name: str, access: Access = SYSTEM) -> Resource:
        return decode((await self.store.read(ResourceKey(*name.split("/")), access)).body)

    async def versions(self, name: str, access: Access = SYSTEM) -> list[int]:
        page = await self.store.history(ResourceKey(*name.split("/")), HistoryQuery(count=100), access)
        return [version.version for version in page.versions]

    async def ids(self, query: str, access: Access = SYSTEM) -> list[str]:
        """Return the ids of one page of matches of `Type?query`."""
        resource_type, _, rest = query.partition("?")
        search = parse_search(resource_type, parse_pairs(rest), strict=True, base_url=BASE).search
        searcher = Searcher(self.database, b"a secret for tests", self.database.ids.milliseconds)
        return [version.key.id for version in (await searcher.search(search, access)).matches]

    async def execute(self, statement: Any, organization: str = ORGANIZATION) -> list[Any]:
        """Run a statement as the server's role in an organization."""

        async def work(unit: UnitOfWork) -> list[Any]:
            done = await unit.connection.execute(statement)
            return list(done.all()) if done.returns_rows else []

        return await self.database.transact(organization, CHANGE, work)


def named(versions: Iterable[Written]) -> list[int | None]:
    """Return the version numbers of what was written."""
    return [each.version.version if each.version else None for each in versions]
