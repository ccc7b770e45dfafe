"""Heads of the trail outside the database: what is cut off the end is found (security AD-4)."""

from __future__ import annotations

import asyncio
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import make_url

from fhir_server.audit_upkeep import running_audit_upkeep
from fhir_server.settings import Settings
from storage.audit import AuditKey
from storage.audit_heads import Head, HeadsUnreadable, append_heads, read_heads
from storage.audit_seals import Trail, newest_seal, seal
from storage.audit_verify import Fault
from storage.engine import Database
from tests.audit.conftest import KEY, a_record, faults

TEN = datetime(2026, 11, 22, 10, 0, 1, tzinfo=UTC)
ELEVEN = TEN.replace(hour=11)
HEAD = Head("loop-health", "main", 7, "ab" * 32)
OTHER = Head("health-hub", "main", 2, "cd" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "heads.ndjson"


def test_security_AD4_each_trail_has_one_line_an_hour(path: Path):
    assert append_heads(path, [HEAD, OTHER], KEY, TEN) == 2
    later = Head("loop-health", "main", 8, "ef" * 32)
    assert append_heads(path, [later], KEY, TEN.replace(minute=59)) == 0  # another worker was faster
    assert append_heads(path, [later], KEY, ELEVEN) == 1
    assert read_heads(path, KEY) == {
        ("loop-health", "main"): {7: "ab" * 32, 8: "ef" * 32},
        ("health-hub", "main"): {2: "cd" * 32},
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("said", "instead"), [("loop-health", "loop-healer"), (":7,", ":6,"), ("abab", "baba"), ("T10:00", "T09:00")]
)
def test_security_AD4_a_line_that_was_altered_is_refused(path: Path, said: str, instead: str):
    append_heads(path, [OTHER], KEY, TEN)
    append_heads(path, [HEAD], KEY, TEN)
    lines = path.read_text().splitlines()
    path.write_text(f"{lines[0]}\n{lines[1].replace(said, instead, 1)}\n")
    with pytest.raises(HeadsUnreadable, match="line 2"):
        read_heads(path, KEY)
    path.write_text(f"{lines[0]}\n")
    with pytest.raises(HeadsUnreadable, match="line 1"):
        read_heads(path, AuditKey(b"another"))


def test_two_heads_of_one_seal_that_differ_are_told(path: Path):
    append_heads(path, [HEAD], KEY, TEN)
    append_heads(path, [Head("loop-health", "main", 7, "00" * 32)], KEY, ELEVEN)
    with pytest.raises(HeadsUnreadable, match=r"line 2 .* contradicts"):
        read_heads(path, KEY)


def test_half_a_line_that_a_crash_left_is_cut_off(path: Path):
    append_heads(path, [HEAD], KEY, TEN)
    with path.open("ab") as file:
        file.write(b'{"at":"2026-11-22T10:0')
    assert append_heads(path, [HEAD, OTHER], KEY, TEN) == 1
    assert len(read_heads(path, KEY)) == 2


def test_a_long_file_is_looked_at_from_its_end(path: Path, monkeypatch):
    monkeypatch.setattr("storage.audit_heads.TAIL_BYTES", 700)
    for hour in range(20):
        assert append_heads(path, [HEAD], KEY, TEN.replace(hour=hour)) == 1
    assert append_heads(path, [HEAD], KEY, TEN.replace(hour=19, minute=5)) == 0
    assert len(path.read_text().splitlines()) == 20


@pytest.fixture
async def heads(store, trail: Trail) -> dict[int, str]:
    """The heads that were kept of two seals."""
    kept = {}
    for n in range(2):
        await store.append([a_record(n)])
        seal(trail, "loop-health", KEY)
        sequence, digest = newest_seal(trail, "loop-health")
        kept[sequence] = digest
    return kept


async def test_security_AD4_what_was_cut_off_the_end_with_its_seal_is_found_by_a_head(
    trail: Trail, heads: dict[int, str], tamper
):
    assert faults(trail, heads) == set()
    tamper("DELETE FROM rbac_logs WHERE actor_id = 'user-1'", "DELETE FROM audit_seals WHERE sequence = 2")
    assert faults(trail, {}) == set()  # nothing in the database tells of it
    assert faults(trail, heads) == {Fault.CUT_OFF}


async def test_security_AD4_another_seal_than_was_kept_is_found(trail: Trail, heads: dict[int, str]):
    assert faults(trail, {1: heads[2]}) == {Fault.HEAD_DIFFERS}


async def test_the_server_keeps_heads_of_every_trail_hour_by_hour(
    fresh_database: Database, fresh_database_url: str, path: Path, trail: Trail, heads: dict[int, str]
):
    settings = Settings(database_url=fresh_database_url, audit_heads=path)
    clock = [TEN.timestamp()]
    async with running_audit_upkeep(fresh_database, settings, KEY, lambda: clock[0], every=0.01):
        await _until(lambda: path.exists() and path.read_text().count("\n") == 1)
        clock[0] += 3600
        await _until(lambda: path.read_text().count("\n") == 2)
    reads = "main" if make_url(fresh_database_url).get_backend_name() == "postgresql" else "reads"
    assert read_heads(path, KEY) == {("loop-health", reads): {2: heads[2]}}


async def test_a_file_that_cannot_be_written_does_not_stop_the_server(
    fresh_database: Database, fresh_database_url: str, tmp_path: Path, trail: Trail, heads: dict[int, str]
):
    target = tmp_path / "gone" / "heads.ndjson"
    settings = Settings(database_url=fresh_database_url, audit_heads=target)
    clock = [TEN.timestamp()]
    async with running_audit_upkeep(fresh_database, settings, KEY, lambda: clock[0], every=0.01):
        await asyncio.sleep(0.1)
        target.parent.mkdir()
        clock[0] += 3600
        await _until(target.exists)


async def _until(holds) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)
