"""Commands about who is the same person, on both engines (issue 7, point 2)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.conftest import ORGANIZATION
from tests.identity.world import ADA
from tests.storage.people import People

TWO = ("customer_profiles/a", "customer_profiles/b")


@pytest.fixture
def people(installed: Command, fresh_database_url: str) -> People:
    """Two customers alike, one of whom has the other's login as a mapping, and somebody else."""
    made = People(fresh_database_url, ORGANIZATION)
    made.customer("a", created_at="2026-01-02T00:00:00.000000Z", **ADA)
    made.customer("b", created_at="2026-01-01T00:00:00.000000Z", **ADA)
    made.customer("z", first_name="Zoe", last_name="Zimmer")
    made.mapping("a", "clerk_user_id", "clerk", "login-b")
    return made


def found(command: Command, *arguments: str) -> Any:
    outcome = command("identity", *arguments, "--json")
    assert outcome.status == 0, outcome.err
    return outcome.json


def test_find_compares_all_records_and_list_shows_the_pairs(installed: Command, people: People):
    told = found(installed, "find")
    assert (told["records"], told["certain"], told["possible"], told["merged"]) == (3, 1, 0, 0)
    (pair,) = found(installed, "list")
    assert (pair["first"], pair["second"], pair["outcome"], pair["status"]) == (*TWO, "certain", "open")
    assert pair["evidence"]["identifiers"] == ["login"]
    assert found(installed, "find")["taken_back"] == 0
    people.sql("DELETE FROM identity_mappings", "UPDATE customer_profiles SET last_name = 'Other' WHERE id = 'a'",
               "UPDATE customer_profiles SET date_of_birth = '1940-01-01' WHERE id = 'a'")  # fmt: skip
    assert found(installed, "find")["taken_back"] == 1
    assert found(installed, "list") == []


def test_find_merges_nothing_unless_asked_and_then_into_the_older_record(installed: Command, people: People):
    assert people.count("identity_merges") == 0
    assert found(installed, "find", "--merge-certain")["merged"] == 1
    (merge,) = found(installed, "merges")
    assert (merge["survivor"], merge["merged"], merge["merged_by"]) == (TWO[1], TWO[0], "operator")
    ended = found(installed, "unmerge", merge["id"], "--reason", "a mistake")
    assert ended["unmerge_reason"] == "a mistake"
    assert found(installed, "find", "--merge-certain")["merged"] == 0, "what was unmerged is not merged again"


def test_merge_and_unmerge_say_what_they_did_and_why_not(installed: Command, people: People):
    merge = found(installed, "merge", *TWO, "--reason", "one person")
    assert (merge["survivor"], merge["merged"], merge["reason"]) == (*TWO, "one person")
    again = installed("identity", "merge", "customer_profiles/z", TWO[1], "--reason", "x")
    assert again.status == 1
    assert f"{TWO[1]} is merged into {TWO[0]}" in again.err
    for wrong in (["nobody", TWO[0]], ["customer_profiles/none", TWO[0]], ["subscriptions/a", TWO[0]]):
        assert installed("identity", "merge", *wrong, "--reason", "x").status == 1
    assert installed("identity", "unmerge", "none", "--reason", "x").status == 1
    found(installed, "unmerge", merge["id"], "--reason", "two")
    assert installed("identity", "unmerge", merge["id"], "--reason", "two").status == 1
    assert installed("identity", "list", "--status", "wrong").status == 1


def test_each_command_leaves_a_record(installed: Command, people: People):
    found(installed, "find")
    merge = found(installed, "merge", *TWO, "--reason", "one person")
    found(installed, "unmerge", merge["id"], "--reason", "two")
    found(installed, "list", "--status", "")
    assert people.count("rbac_logs", resource="profile", actor_id="operator") >= 4
