"""An index that another version of the server built is told of, with the remedy (settled §3.8, security DU-10)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage.projection import index_definition
from tests.cli.conftest import Command
from tests.cli.test_reconcile import sql

PATIENT = {"resourceType": "Patient", "id": "p1", "name": [{"family": "Müller"}]}
REMEDY = "fhir-server reconcile --fix"


@pytest.fixture
def other_version(installed: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Commands of a version with another definition, on an installation with data."""
    path = tmp_path / "patient.ndjson"
    path.write_text(json.dumps(PATIENT), "utf-8")
    assert installed("load", str(path)).status == 0
    assert installed("init", "--json").json["search_index"] == "current"
    monkeypatch.setattr(index_definition, "index_fingerprint", lambda: "another")
    return installed


def test_init_and_check_tell_of_an_index_of_another_definition(other_version: Command):
    assert REMEDY in other_version("init", "--json").json["search_index"]
    found = other_version("reconcile", "--check")
    assert found.status == 0  # every row is what this version would write
    assert f"loop-health: the search index was built by another definition than this version's: run `{REMEDY}`" in (
        found.err
    )
    told = other_version("reconcile", "--check", "--json").json["organizations"]
    assert [each["index_outdated"] for each in told] == [True, True]


def test_a_repair_notes_the_definition_of_one_organization_or_of_all(other_version: Command):
    assert other_version("reconcile", "--fix", "--organization", "loop-health").status == 0
    assert "for health-hub: run" in other_version("init", "--json").json["search_index"]
    assert other_version("reconcile", "--fix").status == 0
    assert other_version("organization", "add", "--id", "new-clinic", "--name", "New Clinic").status == 0
    assert other_version("init", "--json").json["search_index"] == "current"
    assert "definition" not in other_version("reconcile", "--check").err


def test_an_index_written_anew_is_of_this_versions_definition(other_version: Command, fresh_database_url: str):
    sql(fresh_database_url, "DELETE FROM fhir_index_strings")
    assert other_version("reconcile", "--fix").status == 0
    assert other_version("init", "--json").json["search_index"] == "current"
    assert other_version("reconcile", "--check").status == 0


def test_what_nobody_noted_counts_as_another_definition(installed: Command, fresh_database_url: str):
    sql(fresh_database_url, "DELETE FROM index_definitions")
    assert REMEDY in installed("init", "--json").json["search_index"]
    assert installed("reconcile", "--fix").status == 0
    assert installed("init", "--json").json["search_index"] == "current"
