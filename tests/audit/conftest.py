"""Audit trails on both engines, and records to put into them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from storage.audit import AuditKey, AuditRecord, AuditStore
from storage.audit_postgres import PostgresAuditStore
from storage.audit_seals import Trail, open_trails
from storage.audit_sqlite import SqliteAuditStore, audit_path
from storage.audit_verify import Fault, verify
from storage.rls import ROLE
from storage.schema import create_audit_file

KEY = AuditKey(b"audit" * 7)


def a_record(n: int = 0, organization: str = "loop-health", **changes) -> AuditRecord:
    facts = {
        "organization_id": organization, "actor_id": f"user-{n}", "actor_role": "CLINICIAN", "client_id": "an-app",
        "resource": "Observation", "resource_ids": [f"o-{n}"], "action": "read", "interaction": "read",
        "customer_id": "p1", "status": 200, "request_id": f"r-{n}", "method": "GET", "path": "/fhir/{type}/{id}",
        "ip_address": "127.0.0.1", "user_agent": 'curl/8 "quoted" {braced} \\ back', "grant_id": "jti",
    }  # fmt: skip
    return AuditRecord(**(facts | changes))


def make_store(url: str, key: AuditKey = KEY) -> AuditStore:
    if make_url(url).get_backend_name() == "sqlite":
        create_audit_file(audit_path(url))
        return SqliteAuditStore(audit_path(url), key)
    return PostgresAuditStore(url, key, role=ROLE)


def faults(trail: Trail, heads: Mapping[int, str] | None = None) -> set[Fault]:
    """Return what verification finds."""
    return {finding.fault for finding in verify(trail, "loop-health", KEY, heads or {}).findings}


def intrude(url: str, file: str | Path | None, *statements: str) -> None:
    """Run SQL past triggers and row-level security, as an intruder with the owner's rights; on SQLite in a file."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg") if file is None else f"sqlite:///{file}")
    with engine.begin() as connection:
        if file is None:
            connection.execute(text("SET session_replication_role = replica"))
        else:
            for name in connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                connection.execute(text(f"DROP TRIGGER {name}"))
        for statement in statements:
            assert connection.execute(text(statement)).rowcount > 0
    engine.dispose()


@pytest.fixture
def tamper(fresh_database_url: str) -> Callable[..., None]:
    """Alters the trail that the records of reads go to."""
    is_file = make_url(fresh_database_url).get_backend_name() == "sqlite"
    return partial(intrude, fresh_database_url, audit_path(fresh_database_url) if is_file else None)


@pytest.fixture
async def store(fresh_database_url: str) -> AsyncIterator[AuditStore]:
    made = make_store(fresh_database_url)
    yield made
    await made.close()


@pytest.fixture
def trail(fresh_database_url: str, store: AuditStore) -> Trail:
    """The trail that the records of reads go to."""
    return open_trails(fresh_database_url, role=ROLE)[-1]
