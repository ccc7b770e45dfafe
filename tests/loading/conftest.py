"""Loading of small files into a new database, once on each engine."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from fhir_server.loading.loader import Loader, Summary
from fhir_server.loading.sources import find_sources
from mappers import systems
from storage.access import Access, Right
from storage.audit import AuditKey
from storage.engine import Database
from storage.projection.flush import flush
from storage.projection.places import Places
from storage.resources import ResourceKey
from storage.store import ResourceStore
from tests.conftest import ORGANIZATION

KEY = AuditKey(b"tests' own key of audit records.")
ACCESS = Access(ORGANIZATION, "operator", "OPERATOR", "fhir-server", {}, everything=frozenset(Right))


class Loading:
    """Writes files and loads them; what was loaded can be read back."""

    def __init__(self, database: Database, folder: Path) -> None:
        database.flush = flush
        self.database = database
        self.store = ResourceStore(database, Places())
        self.folder = folder
        self.told: list[tuple[int, int]] = []

    def file(self, name: str, content: Any) -> Path:
        """Write a file; its name says how. A list is NDJSON, text and bytes are written as they are."""
        if isinstance(content, list):
            content = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in content)
        if isinstance(content, dict):
            content = json.dumps(content)
        data = content.encode() if isinstance(content, str) else content
        if name.endswith(".gz"):
            data = gzip.compress(data)
        if name.endswith(".zst"):
            data = zstandard.compress(data)
        path = self.folder / name
        path.write_bytes(data)
        return path

    async def load(self, *paths: Path) -> Summary:
        """Load files, or the whole folder."""
        loader = Loader(self.database, self.store, ACCESS, KEY, lambda count, read: self.told.append((count, read)))
        return await loader.load(find_sources(paths or (self.folder,)))

    async def load_twice(self, *paths: Path) -> Summary:
        """Load files and load them again, which has to change nothing; return what the first time did."""
        first = await self.load(*paths)
        before = await self.versions()
        again = await self.load(*paths)
        assert again.written == 0
        assert again.loaded == first.loaded
        assert await self.versions() == before
        return first

    async def read(self, name: str) -> dict[str, Any]:
        """Read a resource, `Type/id`."""
        version = await self.store.read(ResourceKey(*name.split("/")), ACCESS)
        return json.loads(version.body)

    async def versions(self) -> dict[str, int]:
        """Return the version of every resource."""
        rows = await self.sql("SELECT resource_type, id, version FROM fhir_resources")
        return {f"{kind}/{key}": version for kind, key, version in rows}

    async def homes(self) -> dict[str, str | None]:
        """Return the table that holds each resource, None for native ones."""
        rows = await self.sql("SELECT resource_type, id, home_table FROM fhir_resources")
        return {f"{kind}/{key}": home for kind, key, home in rows}

    async def sql(self, statement: str) -> list[tuple[Any, ...]]:
        async with self.database.read(ORGANIZATION) as driver:
            cursor = await driver.connection.execute(statement)  # type: ignore[attr-defined]
            return [tuple(row) for row in await cursor.fetchall()]


@pytest.fixture
def loading(fresh_database: Database, tmp_path: Path) -> Loading:
    folder = tmp_path / "files"
    folder.mkdir()
    return Loading(fresh_database, folder)


def patient(key: str = "p1", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": key, "name": [{"family": "Müller", "given": ["Ada"]}], **more}


def customer(key: str = "p1") -> dict[str, Any]:
    """A Patient that becomes a row of customer_profiles."""
    login = {"system": systems.LOGIN, "value": f"user_{key}"}
    return patient(key, identifier=[login], telecom=[{"system": "email", "value": f"{key}@example.org"}])


def plan(key: str = "cp1", subject: str = "Patient/p1") -> dict[str, Any]:
    """A CarePlan that becomes a row of protocols when its subject is a customer."""
    return {
        "resourceType": "CarePlan",
        "id": key,
        "status": "active",
        "intent": "plan",
        "title": "Sleep",
        "subject": {"reference": subject},
    }


def observation(key: str = "o1", subject: str = "Patient/p1", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": key,
        "status": "final",
        "code": {"text": "weight"},
        "subject": {"reference": subject},
        **more,
    }


def bundle(kind: str, *entries: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def post(resource: dict[str, Any], full_url: str | None = None, **request: Any) -> dict[str, Any]:
    entry = {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"], **request}}
    return entry if full_url is None else {"fullUrl": full_url, **entry}


CUSTOMER = {
    "id": "c1",
    "externalId": "user_1",
    "email": "Ada@Example.org",
    "firstName": "Ada",
    "lastName": "Müller",
    "dateOfBirth": "1985-06-15",
    "biologicalSex": "female",
    "conditions": ["hypothyroidism"],
    "createdAt": "2026-01-03T14:05:00Z",
    "updatedAt": "2026-02-12T14:05:00+01:00",
}
READING = {
    "id": "r1",
    "customerId": "c1",
    "dataType": "glucose",
    "value": "97.0",
    "unit": "mg/dL",
    "source": "dexcom_api",
    "recordedAt": "2026-03-20T04:00:00Z",
}
REPORT = {
    "id": "l1",
    "customerId": "c1",
    "uploadId": "upload_1",
    "labDate": "2026-03-15",
    "status": "reviewed",
    "biomarkers": {"tsh": {"value": 5.21, "unit": "uIU/mL", "code": "LOINC:3016-3"}},
}
