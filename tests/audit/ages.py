"""Audit records of long ago, in the months that they would lie in."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from storage.audit import AuditRecord, column_names
from tests.audit.conftest import KEY

MONTHS = ("2017_01", "2017_02", "2017_03")
"""The months that `age` makes; what is later lies in the first partition."""


def instant(text: str) -> int:
    """Return an instant in microseconds since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


def age(url: str) -> None:
    """Give a new database on PostgreSQL the partitions of a server that ran in 2017."""
    if not url.startswith("postgresql"):
        return
    low = "MINVALUE"
    with psycopg.connect(url) as owner:
        ((bounds,),) = owner.execute(
            "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'rbac_logs_first'"
        ).fetchall()
        owner.execute("ALTER TABLE rbac_logs DETACH PARTITION rbac_logs_first")
        for month in MONTHS:
            high = instant(f"{month[:4]}-{int(month[5:]) + 1:02}-01")
            owner.execute(f"CREATE TABLE rbac_logs_{month} PARTITION OF rbac_logs FOR VALUES FROM ({low}) TO ({high})")
            low = str(high)
        first = str(bounds).replace("MINVALUE", low)
        owner.execute(f"ALTER TABLE rbac_logs ATTACH PARTITION rbac_logs_first {first}")


def write(path_or_url: str | Path, record: AuditRecord, record_id: int, at: str) -> None:
    """Insert a record of long ago."""
    row = KEY.row(record, record_id, instant(at))
    names = ", ".join(column_names())
    if isinstance(path_or_url, str) and path_or_url.startswith("postgresql"):
        with psycopg.connect(path_or_url) as owner:
            owner.execute(f"INSERT INTO rbac_logs ({names}) VALUES ({', '.join(['%s'] * len(row))})", row)
        return
    path = path_or_url if isinstance(path_or_url, Path) else make_url(path_or_url).database
    with sqlite3.connect(str(path)) as owner:
        owner.execute(f"INSERT INTO rbac_logs ({names}) VALUES ({', '.join('?' * len(row))})", row)
