"""Commands about people: what they change, and what ends at once (`smart.md` V3, F8; security AU-4, AU-5, OA-8)."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.authorization.grants import Grant, add_grant, find_grants
from storage.authorization.sessions import Session, add_session, find_sessions
from storage.repositories.entities import Client
from storage.repositories.platform import ClientRepository, UserRepository
from tests.cli.conftest import Command, Outcome
from tests.pages.people import in_database

PASSWORD = "correct horse 42x"
EMAIL = "pat@example.org"


@pytest.fixture
def pat(installed: Command, fresh_database_url: str) -> str:
    """A patient user who acts for p1 and p2, is signed in, and granted something to an app for each; returns the id."""
    made = installed(
        "user", "add", "--email", EMAIL, "--password", PASSWORD, "--role", "PATIENT", "--patient", "p1",
        "--patient", "p2", "--json",
    )  # fmt: skip
    known: str = made.json["id"]
    now = int(time.time())

    async def fill(connection: AsyncConnection) -> None:
        users = UserRepository(connection)
        user = replace(await users.get(known), mfa_enabled=True, mfa_secret="sealed", backup_codes=("a",))
        await users.update(user)
        await ClientRepository(connection).insert(Client("diary", "public"))
        times = {"authenticated_at": now, "last_seen_at": now, "expires_at": now + 3600}
        await add_session(connection, Session(id="s1", browser="b1", user_id=known, **times))
        for patient, scope, session in (
            ("p1", "offline_access patient/*.rs", None),
            ("p2", "offline_access patient/*.rs", None),
            ("p2", "online_access patient/*.rs", "s1"),
        ):
            grant = Grant(
                id=uuid4().hex,
                client_id="diary",
                organization_id="loop-health",
                role="PATIENT",
                scope=scope,
                authenticated_at=now,
                created_at=now,
                last_used_at=now,
                expires_at=now + 3600,
                user_id=known,
                patient=patient,
                session_id=session,
            )
            await add_grant(connection, grant)

    in_database(fresh_database_url, fill)
    return known


def standing(url: str) -> set[tuple[str | None, str]]:
    """Return patient and kind of the grants that still stand."""

    async def found(connection: AsyncConnection) -> list[Grant]:
        return await find_grants(connection)

    return {(each.patient, each.scope.split("_")[0]) for each in in_database(url, found) if each.revoked_at is None}


def signed_in(url: str) -> bool:
    async def found(connection: AsyncConnection) -> list[Session]:
        return await find_sessions(connection)

    return any(each.ended_at is None for each in in_database(url, found))


def tokens_revoked(url: str, user_id: str) -> bool:
    async def found(connection: AsyncConnection) -> Any:
        asked = text("SELECT count(*) FROM revocations WHERE kind = 'user' AND value = :id")
        return await connection.scalar(asked, {"id": user_id})

    return bool(in_database(url, found))


def audited(installed: Command) -> list[str]:
    exported = installed("audit", "export").out
    return [line for line in exported.splitlines() if '"users"' in line]


def done(outcome: Outcome) -> Any:
    assert outcome.status == 0, outcome.err
    return outcome.json


EVERYTHING = {("p1", "offline"), ("p2", "offline"), ("p2", "online")}
OFFLINE = {("p1", "offline"), ("p2", "offline")}


@pytest.mark.parametrize(
    ("arguments", "left", "interaction"),
    [
        (("password", EMAIL, "--password", "a longer sentence"), OFFLINE, "password"),
        (("mfa", EMAIL, "--reset"), OFFLINE, "second-factor-off"),
        (("disable", EMAIL), set(), "disable"),
        (("remove", EMAIL), set(), "remove"),
        (("role", EMAIL, "NURSE"), set(), "role"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_smart_V3_what_ends_with_a_change_of_somebody(
    installed: Command, fresh_database_url: str, pat: str, arguments: tuple[str, ...], left: set, interaction: str
):
    assert standing(fresh_database_url) == EVERYTHING
    assert signed_in(fresh_database_url)
    done(installed("user", *arguments, "--json"))
    assert standing(fresh_database_url) == left
    assert not signed_in(fresh_database_url)
    assert tokens_revoked(fresh_database_url, pat)
    assert any(f'"{interaction}"' in line for line in audited(installed))


def test_smart_F8_a_proxy_taken_away_ends_what_concerned_that_patient(
    installed: Command, fresh_database_url: str, pat: str
):
    answer = done(installed("user", "patient", "remove", EMAIL, "p2", "--json"))
    assert answer["patients"] == ["p1"]
    assert standing(fresh_database_url) == {("p1", "offline")}
    assert tokens_revoked(fresh_database_url, pat)
    again = installed("user", "patient", "remove", EMAIL, "p2")
    assert again.status == 1
    assert "does not act for this patient" in again.err


def test_a_proxy_is_added_to_somebody_in_the_role_patient_alone(installed: Command, pat: str):
    assert done(installed("user", "patient", "add", EMAIL, "p3", "--json"))["patients"] == ["p1", "p2", "p3"]
    assert done(installed("user", "patient", "add", EMAIL, "p3", "--json"))["patients"] == ["p1", "p2", "p3"]
    for arguments, told in (
        ((EMAIL, "no id"), "id of a Patient"),
        (("nobody@example.org", "p1"), "There is no user"),
        ((EMAIL, "p1", "--organization", "health-hub"), "no role in health-hub"),
    ):
        refused = installed("user", "patient", "add", *arguments)
        assert refused.status == 1
        assert told in refused.err
    installed("user", "role", EMAIL, "NURSE")
    assert "NURSE" in installed("user", "patient", "add", EMAIL, "p1").err


def test_patients_who_are_not_there_are_told_for_ids_are_misspelt(installed: Command, pat: str, tmp_path: Path):
    told = installed("user", "patient", "add", EMAIL, "p3", "--json")
    assert told.status == 0
    assert all(f"There is no Patient {each} in loop-health yet" in told.err for each in ("p1", "p2", "p3"))
    assert told.json["patients"] == ["p1", "p2", "p3"]
    (tmp_path / "p3.ndjson").write_text('{"resourceType": "Patient", "id": "p3"}\n', "utf-8")
    assert installed("load", str(tmp_path / "p3.ndjson")).status == 0
    assert "Patient p3" not in installed("user", "patient", "add", EMAIL, "p3").err


def test_security_AU4_a_reset_takes_the_secret_and_the_codes(installed: Command, fresh_database_url: str, pat: str):
    assert "--reset" in installed("user", "mfa", EMAIL).err
    assert done(installed("user", "mfa", EMAIL, "--reset", "--json"))["changed"] is True
    assert done(installed("user", "mfa", EMAIL, "--reset", "--json"))["changed"] is False
    found = in_database(fresh_database_url, lambda connection: UserRepository(connection).get(pat))
    assert (found.mfa_enabled, found.mfa_secret, found.backup_codes) == (False, None, ())


def test_who_is_enabled_again_has_to_be_granted_everything_anew(installed: Command, fresh_database_url: str, pat: str):
    done(installed("user", "disable", EMAIL, "--json"))
    assert done(installed("user", "enable", EMAIL, "--json")) == {"email": EMAIL, "active": True}
    assert standing(fresh_database_url) == set()
    listed = done(installed("user", "list", "--json"))
    assert [(each["email"], each["active"]) for each in listed] == [(EMAIL, True)]


def test_security_AU5_a_role_that_changed_is_the_role_that_holds(installed: Command, pat: str):
    answer = done(installed("user", "role", EMAIL, "NURSE", "--json"))
    assert (answer["role"], answer["patients"]) == ("NURSE", [])
    assert "The role is one of" in installed("user", "role", EMAIL, "KING").err
    assert "no role in health-hub" in installed("user", "role", EMAIL, "NURSE", "--organization", "health-hub").err
