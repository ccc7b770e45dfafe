"""Audit trails on both engines, and records to put into them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url

from storage.audit import AuditKey, AuditRecord, AuditStore
from storage.audit_postgres import PostgresAuditStore
from storage.audit_seals import Trail, open_trails
from storage.audit_sqlite import SqliteAuditStore, audit_path
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


@pytest.fixture
async def store(fresh_database_url: str) -> AsyncIterator[AuditStore]:
    made = make_store(fresh_database_url)
    yield made
    await made.close()


@pytest.fixture
def trail(fresh_database_url: str, store: AuditStore) -> Trail:
    """The trail that the records of reads go to."""
    return open_trails(fresh_database_url, role=ROLE)[-1]
