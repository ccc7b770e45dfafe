"""`fhir-server load`: status, summary and refusals as a user sees them; what loading means is in tests/loading."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from fhir_server.cli import loading
from storage.upkeep import refresh_statistics
from tests.cli.conftest import Command

PATIENT = {"resourceType": "Patient", "id": "p1", "name": [{"family": "Müller"}]}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "patients.ndjson"
    path.write_text(json.dumps(PATIENT), "utf-8")
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.ndjson"
    path.write_text('{"resourceType":"Patient","id":"p2","gender":"purple"}\n', "utf-8")
    return path


def test_the_summary_says_what_was_written_and_twice_changes_nothing(installed: Command, good: Path):
    first = installed("load", str(good), "--json").json
    assert (first["organization"], first["files"], first["loaded"], first["written"]) == ("loop-health", 1, 1, 1)
    assert first["resources"] == {"Patient": {"written": 1, "unchanged": 0, "refused": 0}}
    again = installed("load", str(good), "--json").json
    assert again["resources"] == {"Patient": {"written": 0, "unchanged": 1, "refused": 0}}


def test_what_is_refused_is_listed_and_the_rest_is_loaded(installed: Command, good: Path, bad: Path):
    outcome = installed("load", str(good), str(bad))
    assert outcome.status == 0
    assert f"refused: {bad}: line 1 (Patient/p2): Patient.gender" in outcome.out
    assert "1 loaded" in outcome.err
    refused = installed("load", str(good), str(bad), "--json").json["refused"]
    assert [(each["source"], each["what"]) for each in refused] == [(str(bad), "line 1 (Patient/p2)")]


def test_the_status_is_1_when_nothing_was_loaded_and_with_strict_when_anything_was_refused(
    installed: Command, good: Path, bad: Path
):
    assert installed("load", str(bad)).status == 1
    assert installed("load", str(good), str(bad), "--strict").status == 1
    assert installed("load", str(good), "--strict").status == 0


def test_a_folder_without_files_to_load_is_no_success(installed: Command, tmp_path: Path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "readme.txt").write_text("nothing here")
    outcome = installed("load", str(tmp_path / "export"))
    assert outcome.status == 1
    assert f"there is no .json, .ndjson or .jsonl file in {tmp_path / 'export'}" in outcome.err


def test_many_refusals_are_cut_on_the_screen_and_whole_in_json(installed: Command, bad: Path):
    bad.write_text("nonsense\n" * 60)
    outcome = installed("load", str(bad))
    assert outcome.out.count("refused: ") == 50
    assert "10 more were refused" in outcome.err
    assert len(installed("load", str(bad), "--json").json["refused"]) == 60


def test_paths_and_organizations_that_are_not_there_are_told(installed: Command, good: Path):
    for arguments, word in ((("gone.json",), "no file gone.json"), ((str(good), "--organization", "north"), "north")):
        outcome = installed("load", *arguments)
        assert (outcome.status, "Traceback" in outcome.err) == (1, False)
        assert word in outcome.err


def test_settled_3_7_another_organization_gets_its_own(installed: Command, good: Path, fresh_database_url: str):
    installed("load", str(good))
    assert installed("load", str(good), "--organization", "health-hub", "--json").json["written"] == 1
    url = make_url(fresh_database_url)
    engine = create_engine(url if url.get_backend_name() == "sqlite" else url.set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        found = connection.execute(text("SELECT organization_id FROM fhir_resources WHERE id = 'p1'")).scalars().all()
    engine.dispose()
    assert sorted(found) == ["health-hub", "loop-health"]


def test_security_AD2_a_load_is_on_record(installed: Command, good: Path):
    installed("load", str(good))
    last = json.loads(installed("audit", "export").out.splitlines()[-2])
    assert (last["actor_id"], last["resource"], last["interaction"]) == ("operator", "Patient", "load")
    assert installed("audit", "verify", "--json").json["valid"] is True


def test_after_many_rows_the_database_looks_at_its_tables_anew(
    installed: Command, good: Path, fresh_database_url: str, monkeypatch
):
    monkeypatch.setattr(loading, "MANY", 1)
    facts = installed("load", str(good), "--json").json
    assert facts["statistics_refreshed"] is fresh_database_url.startswith("postgresql")


def test_after_few_rows_it_looks_at_tables_that_it_never_looked_at(postgres, command: Command, good: Path, monkeypatch):
    url = make_url(postgres.fresh())
    looked_at = text("SELECT relname FROM pg_class WHERE relname IN ('fhir_resources', 'patients') AND reltuples >= 0")
    engine = create_engine(url.set(drivername="postgresql+psycopg"))
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    monkeypatch.setenv("FHIR_SERVER_DEV", "1")
    assert command("init").status == 0
    with engine.connect() as connection:
        assert connection.execute(looked_at).scalars().all() == []
    assert command("load", str(good), "--json").json["statistics_refreshed"] is True
    with engine.connect() as connection:
        assert connection.execute(looked_at).scalars().all() == ["fhir_resources"]
    engine.dispose()


async def test_who_does_not_own_the_tables_cannot_and_is_told_so(postgres):
    url = make_url(postgres.fresh())
    assert await refresh_statistics(url.render_as_string()) is True
    postgres_url = url.render_as_string()
    from tests.postgres import execute

    execute(postgres_url, "CREATE ROLE somebody LOGIN IN ROLE fhir_server_app")
    assert await refresh_statistics(url.set(username="somebody").render_as_string()) is False
