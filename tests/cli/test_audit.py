"""`fhir-server audit`: parts of the trail, months that are retired, holds and heads (security AD-4, AD-5)."""

from __future__ import annotations

import csv
import io
import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fhir_server.settings import Settings
from storage.audit import AuditKey
from storage.audit_heads import Head, append_heads
from tests.audit import ages
from tests.audit.conftest import a_record
from tests.cli.conftest import SECRET, Command, Outcome

KEY = AuditKey(Settings(secret=SECRET).derive("audit"))


@pytest.fixture
def aged(command: Command, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Commands on a database with records of two months of 2017, unsealed."""
    monkeypatch.setattr(ages, "KEY", KEY)
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    ages.age(fresh_database_url)
    for n, at in enumerate(("2017-01-05", "2017-01-20", "2017-02-01"), 1):
        ages.write(fresh_database_url, a_record(n, customer_id=f"p{n}"), n, at)
    assert command("init").status == 0
    return command


def refused(outcome: Outcome, *words: str) -> None:
    assert outcome.status == 1
    for word in words:
        assert word in outcome.err


def exported(command: Command, *options: str) -> list[dict]:
    return [json.loads(line) for line in command("audit", "export", *options).out.splitlines()]


def test_security_AD5_retiring_tells_removes_records_and_leaves_a_sound_trail(aged: Command):
    told = aged("audit", "retire", "--before", "2017-02-28", "--dry-run", "--json").json
    assert told == {
        "retired": [],
        "would_retire": [{"organization": "loop-health", "trail": "main", "records": 2, "before": "2017-02-01"}],
    }
    assert len(exported(aged, "--until", "2018-01-01")) == 3
    done = aged("audit", "retire", "--before", "2017-02-28", "--json").json
    assert done == {"retired": told["would_retire"], "would_retire": []}
    assert [row["actor_id"] for row in exported(aged, "--until", "2018-01-01")] == ["user-3"]
    (own,) = exported(aged, "--action", "delete")
    assert (own["actor_id"], own["interaction"], own["resource"], own["count"]) == (
        "operator",
        "retire",
        "audit_log",
        2,
    )
    verified = aged("audit", "verify", "--json").json
    assert verified["valid"] is True
    assert verified["trails"][0]["retired"] == 2
    again = aged("audit", "retire", "--before", "2017-02-28")
    assert (again.status, "Nothing was removed" in again.err) == (0, True)


def test_security_AD5_nothing_younger_than_seven_years_is_removed(aged: Command, monkeypatch):
    year = datetime.now(UTC).year
    refused(aged("audit", "retire", "--before", f"{year - 6}-01-01"), "kept for 7 years", "Nothing was removed")
    monkeypatch.setenv("FHIR_SERVER_AUDIT_YEARS", "30")
    refused(aged("audit", "retire", "--before", "2017-02-28"), "kept for 30 years")
    monkeypatch.setenv("FHIR_SERVER_AUDIT_YEARS", "6")
    refused(aged("audit", "retire", "--before", "2017-02-28"), "FHIR_SERVER_AUDIT_YEARS")
    monkeypatch.delenv("FHIR_SERVER_AUDIT_YEARS")
    assert len(exported(aged, "--until", "2018-01-01")) == 3


def test_security_AD5_a_trail_with_faults_is_retired_on_express_wish_only(aged: Command, fresh_database_url: str):
    key = AuditKey(b"of somebody else")
    old, ages.KEY = ages.KEY, key
    ages.write(fresh_database_url, a_record(9), 9, "2017-02-05")
    ages.KEY = old
    refused(aged("audit", "retire", "--before", "2017-02-01"), "something is wrong", "audit verify")
    assert aged("audit", "retire", "--before", "2017-02-01", "--despite-faults").status == 0


def test_security_AD5_a_hold_keeps_months_and_is_on_record(aged: Command):
    hold = aged("audit", "hold", "add", "--patient", "p2", "--reason", "Case 12/34", "--json").json
    refused(aged("audit", "retire", "--before", "2017-02-01"), hold["id"], "loop-health", "p2")
    refused(aged("audit", "retire", "--before", "2017-02-01", "--dry-run"), hold["id"])
    refused(aged("audit", "hold", "release", "h-none", "--reason", "Over"), "h-none", "audit hold list")
    refused(aged("audit", "hold", "release", hold["id"], "--reason", "x"), "3 to 500")
    refused(aged("audit", "hold", "add", "--organization", "nowhere", "--reason", "Case"), "nowhere")
    assert aged("audit", "hold", "release", hold["id"], "--reason", "Case closed").status == 0
    (listed,) = aged("audit", "hold", "list", "--json").json
    assert (listed["patient"], listed["release_reason"], listed["released"] is not None) == ("p2", "Case closed", True)
    assert aged("audit", "retire", "--before", "2017-02-01").status == 0
    did = [
        (row["interaction"], row["customer_id"], json.loads(row["resource_ids"]))
        for row in exported(aged)
        if row["resource"] == "legal_holds"
    ]
    assert did == [("create", "p2", [hold["id"]]), ("release", None, [hold["id"]])]


@pytest.mark.parametrize(
    ("options", "actors"),
    [
        (["--since", "2017-01-20", "--until", "2017-02-01"], ["user-2"]),
        (["--since", "2017-01-20T00:00:01Z", "--until", "2017-02-01T00:00:01+00:00"], ["user-3"]),
        (["--patient", "p1"], ["user-1", "operator"]),  # the export itself names the patient
        (["--actor", "user-2"], ["user-2"]),
        (["--action", "read", "--until", "2017-01-10"], ["user-1"]),
    ],
)
def test_parts_of_the_trail_are_exported(aged: Command, options: list[str], actors: list[str]):
    assert [row["actor_id"] for row in exported(aged, *options)] == actors


def test_what_is_no_instant_or_action_is_refused(aged: Command):
    refused(aged("audit", "export", "--since", "yesterday"), "yesterday", "2026-01-31")
    refused(aged("audit", "export", "--action", "look"), "look", "read, write, delete, export")


def test_the_trail_as_csv_is_no_trap_for_spreadsheets(aged: Command, fresh_database_url: str, tmp_path: Path):
    ages.write(fresh_database_url, a_record(4, user_agent='=HYPERLINK("x")', actor_id="a,b"), 4, "2017-02-02")
    target = tmp_path / "audit.csv"
    target.touch(0o644)
    assert aged("audit", "export", "--format", "csv", "--until", "2018-01-01", "--output", str(target)).status == 0
    rows = list(csv.DictReader(io.StringIO(target.read_text(), newline="")))
    assert [row["actor_id"] for row in rows] == ["user-1", "user-2", "user-3", "a,b"]
    assert rows[3]["user_agent"] == '\'=HYPERLINK("x")'
    assert rows[0]["trail"] == "main"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_security_AD4_verification_compares_the_heads_that_were_kept(aged: Command, tmp_path: Path, monkeypatch):
    path = tmp_path / "heads.ndjson"
    assert aged("audit", "verify", "--json").json["valid"] is True
    append_heads(path, [Head("loop-health", "main", 41, "ab" * 32)], KEY, datetime.now(UTC))
    found = aged("audit", "verify", "--heads", str(path), "--json")
    assert (found.status, found.json["trails"][0]["findings"][0]["fault"]) == (1, "cut off")
    monkeypatch.setenv("FHIR_SERVER_AUDIT_HEADS", str(path))
    assert "cut off" in aged("audit", "verify").out
    path.write_text("nothing of ours\n")
    refused(aged("audit", "verify"), "line 1")
    refused(aged("audit", "verify", "--heads", str(tmp_path / "none")), "cannot be read")
    monkeypatch.setenv("FHIR_SERVER_AUDIT_HEADS", str(tmp_path / "not yet"))
    assert aged("audit", "verify").status == 0
