"""An organization of its own with resources to search, for one test."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.fhir.parse.search import parse_pairs, parse_search
from storage.access import Access, Reach, Right, system_access
from storage.engine import Database
from storage.resources import ResourceKey
from storage.search.page import Page
from storage.search.query import Search
from storage.search.searcher import Searcher
from storage.transaction import Change
from storage.versions import Pending, load_current, write_versions

BASE = "https://fhir.example.org/fhir"
SECRET = b"a secret for tests"
NOW = 1_700_000_000_000
"""The clock of searches in tests: 2023-11-14T22:13:20Z in milliseconds."""

Resource = Mapping[str, Any]
_numbers = itertools.count(1)


@dataclass
class Library:
    """Resources of one organization, and searches among them."""

    database: Database
    organization: str = field(default_factory=lambda: f"organization-{next(_numbers)}")
    now: int = NOW

    def __post_init__(self) -> None:
        self.searcher = Searcher(self.database, SECRET, lambda: self.now)
        self.access = system_access(self.organization, "tester")

    async def add(self, *resources: Resource) -> None:
        """Write resources as one batch; those without an id get one."""
        found = [each if "id" in each else {**each, "id": f"r{next(_numbers)}"} for each in resources]
        async with self.database.begin(self.organization, Change("tester", "tests", "test")) as unit:
            keys = [ResourceKey(each["resourceType"], each["id"]) for each in found]
            stored = await load_current(unit, keys)
            await write_versions(
                unit, [Pending(key, each, stored.get(key)) for key, each in zip(keys, found, strict=True)]
            )

    async def delete(self, *names: str) -> None:
        """Delete resources named Type/id."""
        keys = [ResourceKey(*name.split("/")) for name in names]
        async with self.database.begin(self.organization, Change("tester", "tests", "test")) as unit:
            stored = await load_current(unit, keys)
            await write_versions(unit, [Pending(key, None, stored[key]) for key in keys])

    def parse(self, query: str, cursor: str | None = None) -> Search:
        """Return the search of `Type?query`."""
        resource_type, _, rest = query.partition("?")
        pairs = parse_pairs(rest) + ((("_cursor", cursor),) if cursor else ())
        return parse_search(resource_type, pairs, strict=True, base_url=BASE).search

    async def page(self, query: str, access: Access | None = None, cursor: str | None = None) -> Page:
        """Return one page of `Type?query`."""
        return await self.searcher.search(self.parse(query, cursor), access or self.access)

    async def ids(self, query: str, access: Access | None = None) -> list[str]:
        """Return the ids of one page of matches, in order."""
        return [version.key.id for version in (await self.page(query, access)).matches]

    async def included(self, query: str, access: Access | None = None) -> set[str]:
        """Return what a page includes, as Type/id."""
        return {str(version.key) for version in (await self.page(query, access)).includes}

    async def everything(self, query: str, access: Access | None = None) -> list[str]:
        """Return the ids of all pages, in order."""
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await self.page(query, access, cursor)
            found.extend(version.key.id for version in page.matches)
            cursor = page.next_cursor
            if cursor is None:
                return found

    def patient_access(self, patient: str, directory: Sequence[str] = ()) -> Access:
        """Return the access of a patient's app: the compartment, and all of the directory types."""
        own = dict.fromkeys(Right, Reach.COMPARTMENT)
        public = dict.fromkeys(Right, Reach.ORGANIZATION)
        types = (
            "Patient", "Observation", "Encounter", "CarePlan", "MedicationRequest", "Condition", "Group",
            "ServiceRequest", "ChargeItem",
        )  # fmt: skip
        rights = dict.fromkeys(types, own) | dict.fromkeys(directory, public)
        return Access(self.organization, "user", "PATIENT", "app", rights, patient=patient)
