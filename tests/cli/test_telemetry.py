"""`fhir-server organization telemetry`: what FHIR shows of wearable readings (settled §3.2)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.test_reconcile import sql

CUSTOMER = {"id": "c1", "externalId": "u1", "email": "ada@example.org", "firstName": "Ada"}
READING = {
    "id": "r1", "customerId": "c1", "dataType": "weight", "value": 61.5, "unit": "kg", "source": "withings",
    "recordedAt": "2026-03-20T14:30:00Z",
}  # fmt: skip
SETTING = ("organization", "telemetry", "loop-health")


@pytest.fixture
def loaded(installed: Command, tmp_path: Path) -> Command:
    path = tmp_path / "graph.json"
    rows = {"customer_profiles": [CUSTOMER], "patient_wearable_readings": [READING]}
    path.write_text(json.dumps(rows), "utf-8")
    assert installed("load", str(path)).status == 0
    return installed


def observations(command: Command) -> int:
    found = command("homes", "--json").json
    return sum(row["resources"] for row in found if row["type"] == "Observation")


def test_each_reading_is_shown_until_the_operator_says_otherwise(loaded: Command):
    assert loaded(*SETTING, "--json").json == {"id": "loop-health", "default": "each", "metrics": []}
    assert observations(loaded) == 1
    outcome = loaded(*SETTING, "--metric", "weight=daily", "--metric", "steps=each", "--json")
    assert outcome.json == {"id": "loop-health", "default": "each", "metrics": ["steps=each", "weight=daily"]}
    assert loaded("reconcile", "--fix").status == 0
    assert observations(loaded) == 0
    assert loaded("reconcile", "--check").status == 0
    assert loaded(*SETTING, "--default", "daily", "--metric", "weight=each", "--json").status == 0
    assert loaded("reconcile", "--fix").status == 0
    assert observations(loaded) == 1
    assert loaded(*SETTING, "--metric", "weight=", "--json").json["metrics"] == ["steps=each"]
    assert "steps=each" in loaded(*SETTING).out


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("--default", "hourly"), "one of: each, daily"),
        (("--metric", "weight"), "NAME=daily"),
        (("--metric", "weight=never"), "one of: each, daily"),
        (("--metric", "mood=daily"), "may name: "),
    ],
)
def test_words_that_nobody_understands_are_refused(installed: Command, arguments: tuple[str, str], remedy: str):
    outcome = installed(*SETTING, *arguments)
    assert outcome.status == 1
    assert remedy in outcome.err
    assert installed(*SETTING, "--json").json == {"id": "loop-health", "default": "each", "metrics": []}


def test_an_organization_that_is_not_there_is_told(installed: Command):
    outcome = installed("organization", "telemetry", "nowhere", "--default", "daily")
    assert (outcome.status, "organization list" in outcome.err) == (1, True)


def test_what_another_program_wrote_there_is_told_and_can_be_mended(installed: Command, fresh_database_url: str):
    said = json.dumps({"telemetry": "off", "colour": "blue"}).replace(":", "\\:")
    sql(fresh_database_url, f"UPDATE organizations SET settings = '{said}' WHERE id = 'loop-health'")
    outcome = installed(*SETTING)
    assert (outcome.status, "telemetry has to be an object" in outcome.err) == (1, True)
    assert installed("reconcile", "--check").status == 1
    assert installed(*SETTING, "--default", "daily").status == 0
    assert installed("reconcile", "--fix").status == 0
    assert installed("reconcile", "--check").status == 0


def test_security_AD2_a_change_is_audited_and_a_look_is_not(installed: Command):
    installed(*SETTING, "--default", "daily")
    installed(*SETTING)
    lines = [json.loads(line) for line in installed("audit", "export").out.splitlines()]
    done = [(line["resource"], line["interaction"], line["resource_ids"]) for line in lines]
    assert [each for each in done if each[0] == "organizations"] == [("organizations", "telemetry", '["loop-health"]')]
