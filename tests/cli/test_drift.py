"""`fhir-server drift`: the database held against what the mappers declare."""

from __future__ import annotations

from tests.cli.conftest import Command
from tests.storage.test_migrations import WITHOUT_PHONE, run


def test_a_new_database_is_as_declared(installed: Command):
    outcome = installed("drift")
    assert (outcome.status, outcome.out) == (0, "")
    assert "as declared" in outcome.err
    assert installed("drift", "--json").json == {"findings": [], "stopped": [], "agrees": True}
    assert installed("drift", "--organization", "north").status == 1


def test_drift_names_table_column_and_remedy_and_ends_with_status_1(installed: Command, fresh_database_url: str):
    run(fresh_database_url, *WITHOUT_PHONE)
    outcome = installed("drift")
    assert outcome.status == 1
    assert "customer_profiles.phone_number" in outcome.out
    assert "Stopped: customer_profile." in outcome.err
    found = installed("drift", "--json", "--sample", "0")
    assert (found.status, found.json["stopped"], found.json["agrees"]) == (1, ["customer_profile"], False)
    (finding,) = found.json["findings"]
    assert finding == {
        "kind": "column gone",
        "table": "customer_profiles",
        "column": "phone_number",
        "detail": "the column is gone",
        "remedy": "ALTER TABLE customer_profiles ADD COLUMN phone_number TEXT, then `fhir-server reconcile --fix`",
        "mappers": ["customer_profile"],
        "stops": True,
        "organization": None,
        "rows": 0,
    }


def test_a_new_column_is_told_and_is_no_drift(installed: Command, fresh_database_url: str):
    run(fresh_database_url, "ALTER TABLE customer_profiles ADD COLUMN nickname text")
    outcome = installed("drift")
    assert outcome.status == 0
    assert "customer_profiles.nickname" in outcome.out


def test_other_commands_do_not_touch_what_is_stopped(installed: Command, fresh_database_url: str):
    run(
        fresh_database_url,
        "INSERT INTO customer_profiles (id, external_id, email) VALUES ('c1', 'user_1', 'ada@example.org')",
    )
    assert installed("reconcile", "--fix").status == 0
    run(fresh_database_url, *WITHOUT_PHONE)
    outcome = installed("reconcile", "--check", "--json")
    assert outcome.status == 1
    (failure,) = next(each["failures"] for each in outcome.json["organizations"] if each["failures"])
    assert failure["row"] == "customer_profiles/c1"
    assert failure["reason"].startswith("stopped: customer_profile: customer_profiles.phone_number")
