"""Every command that changes something, or shows somebody's data, leaves a record (security AD-2)."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Final

import pytest

from fhir_server.cli.reference import commands
from tests.audit import ages
from tests.audit.conftest import a_record
from tests.cli.conftest import Command
from tests.cli.test_audit import KEY
from tests.cli.test_outside import CLERK

NOTHING: Final = {
    "demo": "what it makes is recorded by the parts that make it",
    "serve": "its requests are recorded",
    "mapping": "documentation",
    "capability": "documentation",
    "settings": "shows settings without secrets",
    "client list": "shows registrations without secrets",
    "client show": "shows a registration without secrets",
    "user list": "shows who has which role; nothing of any patient",
    "organization list": "shows organizations",
    "keys list": "shows public parts",
    "webhook list": "shows registrations without secrets",
    "webhook send": "the server that it asks records it",
    "audit verify": "shows counts and where faults are",
    "audit hold list": "shows holds",
}
"""Commands that leave no record of their own, and why."""

MADE: Final = {"audit hold add": "hold", "identity merge": "merge"}
"""Commands whose answer has an id that later ones name."""
CHANGES: Final = (
    # (command, further arguments, resource and interaction of the record)
    ("init", "", ("installation", "upgrade")),
    ("load", "patient.json", ("Patient", "load")),
    ("reconcile", "--check", ("fhir_resources", "reconcile")),
    ("drift", "", ("fhir_resources", "drift")),
    ("homes", "", ("fhir_resources", "homes")),
    ("client add", "--id etl --type backend --scope system/*.rs", ("clients", "create")),
    (
        "client add",
        "--id web --type confidential --redirect-uri https://app.example/cb --scope patient/*.rs",
        ("clients", "create"),
    ),
    ("client rotate", "web", ("clients", "rotate")),
    ("client app-state", "web --allow https://app.example|preferences:query,modify:user", ("clients", "app-state")),
    ("client rate-limit", "etl --requests 600", ("clients", "rate-limit")),
    ("token", "--client etl --scope system/*.rs", ("access_token", "token")),
    ("client disable", "etl", ("clients", "disable")),
    ("client enable", "etl", ("clients", "enable")),
    ("client remove", "etl", ("clients", "remove")),
    ("client registration-token", "", ("clients", "registration-token")),
    ("user add", "--email a@b.example --role PATIENT --patient p1 --password {password}", ("users", "create")),
    ("user patient add", "a@b.example p2", ("users", "patient-add")),
    ("user patient remove", "a@b.example p2", ("users", "patient-remove")),
    ("user account add", "a@b.example --provider clerk --subject u1", ("users", "account-add")),
    ("user account remove", "a@b.example --provider clerk", ("users", "account-remove")),
    ("user password", "a@b.example --password {password}2", ("users", "password")),
    ("user mfa", "a@b.example --reset", ("users", "second-factor-off")),
    ("user role", "a@b.example NURSE", ("users", "role")),
    ("user disable", "a@b.example", ("users", "disable")),
    ("user enable", "a@b.example", ("users", "enable")),
    ("user remove", "a@b.example", ("users", "remove")),
    ("organization add", "--id north --name North", ("organizations", "create")),
    ("organization telemetry", "loop-health --metric glucose=daily", ("organizations", "telemetry")),
    ("organization persons", "", ("person_links", "persons")),
    ("organization disable", "north", ("organizations", "disable")),
    ("keys rotate", "", ("signing_keys", "rotate")),
    ("webhook add", "--provider rimo --organization loop-health", ("webhook_secrets", "add")),
    ("webhook rotate", "--provider rimo --organization loop-health", ("webhook_secrets", "rotate")),
    ("webhook remove", "--provider rimo --organization loop-health", ("webhook_secrets", "remove")),
    ("audit hold add", "--reason Lawsuit --patient p7", ("legal_holds", "create")),
    ("audit hold release", "{hold} --reason Settled", ("legal_holds", "release")),
    ("identity find", "", ("profile", "identity-find")),
    ("identity list", "", ("profile", "identity-list")),
    ("identity merge", "customer_profiles/c1 customer_profiles/c2 --reason Same", ("profile", "identity-merge")),
    ("identity merges", "", ("profile", "identity-merges")),
    ("identity unmerge", "{merge} --reason Two", ("profile", "identity-unmerge")),
    ("audit disclosures", "--patient p1", ("audit_log", "disclosures")),
    ("audit export", "--out trail.ndjson", ("audit_log", "export")),
    ("audit retire", "--before 2017-02-01", ("audit_log", "retire")),
)


def test_security_AD2_of_every_command_it_is_said_what_it_records():
    recorded = {command for command, _, _ in CHANGES}
    assert recorded | NOTHING.keys() == set(commands())
    assert not recorded & NOTHING.keys()


def test_security_AD2_every_command_that_changes_something_leaves_its_record(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    database = tmp_path / "fhir.sqlite"
    _surroundings(tmp_path, monkeypatch)
    words = {"password": "correct-horse-battery"}
    for name, arguments, expected in CHANGES:
        before = _records(database) if name != "init" else []
        _prepare(name, database, monkeypatch)
        made = MADE.get(name)
        done = command(*name.split(), *arguments.format_map(words).split(), *(["--json"] if made else []))
        assert done.status == 0, (name, done.err)
        if made:
            words[made] = done.json["id"]
        assert expected in _records(database)[len(before) :], name


def _surroundings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what the commands take from the environment."""
    (folder / "providers.json").write_text(json.dumps([CLERK]))
    (folder / "patient.json").write_text('{"resourceType": "Patient", "id": "p1"}')
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{folder / 'fhir.sqlite'}")
    monkeypatch.setenv("FHIR_SERVER_IDENTITY_PROVIDERS", str(folder / "providers.json"))
    monkeypatch.setenv("FHIR_SERVER_REGISTRATION", "token")
    monkeypatch.setenv("FHIR_SERVER_PASSWORD_HASHING", "floor")


def _prepare(name: str, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put into the database what a command needs."""
    if name == "identity find":
        with sqlite3.connect(database) as connection:
            for each in ("c1", "c2"):
                values = f"('loop-health', '{each}', '{each}', '{each}@b.example')"
                connection.execute(
                    f"INSERT INTO customer_profiles (organization_id, id, external_id, email) VALUES {values}"
                )
    if name == "audit retire":
        monkeypatch.setattr(ages, "KEY", KEY)
        ages.write(database, a_record(1), 1, "2017-01-05")


def _records(database: Path) -> list[tuple[str, str]]:
    """Return resource and interaction of all that is on record, in order; commands write to the first file alone."""
    with sqlite3.connect(database) as connection:
        return connection.execute("SELECT resource, interaction FROM rbac_logs ORDER BY id").fetchall()
