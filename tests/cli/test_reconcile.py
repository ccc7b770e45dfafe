"""`fhir-server reconcile`: what foreign writers changed is found, and repaired (settled §3.8)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.cli.conftest import Command

CUSTOMER = {"id": "c1", "externalId": "u1", "email": "ada@example.org", "firstName": "Ada", "lastName": "Müller"}


@pytest.fixture
def loaded(installed: Command, tmp_path: Path) -> Command:
    path = tmp_path / "graph.json"
    path.write_text(json.dumps({"customer_profiles": [CUSTOMER]}), "utf-8")
    assert installed("load", str(path)).status == 0
    return installed


def sql(url: str, *statements: str) -> None:
    parsed = make_url(url)
    engine = create_engine(
        parsed if parsed.get_backend_name() == "sqlite" else parsed.set(drivername="postgresql+psycopg")
    )
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def test_everything_agrees_after_init_and_load(loaded: Command):
    outcome = loaded("reconcile", "--check", "--json")
    assert outcome.status == 0
    assert outcome.json["agrees"] is True
    assert {each["organization"] for each in outcome.json["organizations"]} == {"health-hub", "loop-health"}


def test_a_row_that_another_program_changed_is_found_and_repaired(loaded: Command, fresh_database_url: str):
    sql(fresh_database_url, "UPDATE customer_profiles SET last_name = 'Mueller'")
    found = loaded("reconcile", "--check", "--organization", "loop-health", "--json")
    assert found.status == 1
    (organization,) = found.json["organizations"]
    assert organization["differences"] == {"outdated": 1}
    assert organization["examples"] == ["outdated: Patient/c1"]
    assert "outdated: Patient/c1" in loaded("reconcile", "--check").err
    assert loaded("reconcile", "--fix").status == 0
    assert loaded("reconcile", "--check").status == 0


def test_index_rows_that_are_missing_are_found_and_written(loaded: Command, fresh_database_url: str):
    sql(fresh_database_url, "DELETE FROM fhir_index_strings")
    found = loaded("reconcile", "--check", "--organization", "loop-health", "--json")
    assert found.status == 1
    assert [each["table"] for each in found.json["organizations"][0]["index"]] == ["fhir_index_strings"]
    assert "fhir_index_strings has 0 rows" in loaded("reconcile", "--check").err
    assert loaded("reconcile", "--fix").status == 0
    assert loaded("reconcile", "--check").status == 0


def test_a_row_that_cannot_be_shown_is_listed_and_keeps_the_status_at_1(loaded: Command, fresh_database_url: str):
    column = "tags = '{nonsense'" if fresh_database_url.startswith("sqlite") else "date_of_birth = 'infinity'"
    sql(fresh_database_url, f"UPDATE customer_profiles SET {column}")
    outcome = loaded("reconcile", "--fix", "--organization", "loop-health", "--json")
    assert outcome.status == 1
    assert [each["row"] for each in outcome.json["organizations"][0]["failures"]] == ["customer_profiles/c1"]
    assert "customer_profiles/c1 cannot be shown" in loaded("reconcile", "--check").err
    sql(fresh_database_url, "UPDATE customer_profiles SET tags = '[]', date_of_birth = NULL")
    assert loaded("reconcile", "--fix").status == 0


def test_either_check_or_fix_is_asked_for(loaded: Command):
    for arguments in ((), ("--check", "--fix"), ("--check", "--progress")):
        outcome = loaded("reconcile", *arguments)
        assert (outcome.status, "--check or --fix" in outcome.err) == (1, True)


def test_security_AD2_a_reconciliation_is_on_record(loaded: Command):
    loaded("reconcile", "--check", "--organization", "loop-health")
    last = json.loads(loaded("audit", "export").out.splitlines()[-2])
    assert (last["resource"], last["action"], last["interaction"]) == ("fhir_resources", "read", "reconcile")


def test_progress_tells_how_far_the_server_is_with_what_it_renders_again(loaded: Command, fresh_database_url: str):
    idle = {"table": None, "done": 0, "total": None, "waiting": 0, "undrained": 0}
    loaded("reconcile", "--fix")
    assert {"organization": "loop-health", **idle} in loaded("reconcile", "--progress", "--json").json
    sql(
        fresh_database_url,
        "UPDATE shown_rows SET walk = 0 WHERE organization_id = 'loop-health' AND table_name = 'organizations'",
    )
    (found,) = loaded("reconcile", "--progress", "--organization", "loop-health", "--json").json
    assert found == {"organization": "loop-health", **idle, "waiting": 1}
    assert "waiting" in loaded("reconcile", "--progress").out
