"""`fhir-server homes`, `mapping` and `capability`: what lives where, and what feeds what."""

from __future__ import annotations

import json
from pathlib import Path

from capability.markdown import capability_markdown
from capability.registry import REGISTRY
from mappers.documentation import mapped_types, mapping_page
from tests.cli.conftest import Command


def test_homes_counts_resources_by_table_and_says_why_others_are_in_none(installed: Command, tmp_path: Path):
    path = tmp_path / "some.ndjson"
    path.write_text(
        "\n".join(
            json.dumps(each)
            for each in (
                {"resourceType": "Patient", "id": "p1"},
                {"resourceType": "Basic", "id": "b1", "code": {"text": "note"}},
            )
        ),
        "utf-8",
    )
    installed("load", str(path))
    found = installed("homes", "--json").json
    assert {row["organization"] for row in found} == {"health-hub", "loop-health"}
    rows = {(row["type"], row["home"]): row for row in found if row["organization"] == "loop-health"}
    assert [row for row in found if row in rows.values()] == installed(
        "homes", "--organization", "loop-health", "--json"
    ).json
    assert rows["Organization", "organizations"]["resources"] == 1
    assert rows["Basic", "native"] == {
        "organization": "loop-health", "type": "Basic", "home": "native",
        "resources": 1, "reason": "no table holds this type",
    }  # fmt: skip
    assert "external_id" in rows["Patient", "native"]["reason"]
    table = installed("homes").out
    assert "no table holds this type" in table
    assert installed("homes", "--organization", "north").status == 1


def test_mapping_prints_the_pages_of_the_documentation(command: Command):
    assert command("mapping", "Patient", "--markdown").out == mapping_page("Patient")
    whole = command("mapping", "--markdown").out
    assert all(mapping_page(resource_type) in whole for resource_type in mapped_types())


def test_mapping_names_columns_and_elements(command: Command):
    rows = command("mapping", "Patient", "--json").json
    assert {
        "resource": "Patient", "table": "customer_profiles", "column": "date_of_birth", "element": "birthDate",
    }.items() <= next(row for row in rows if row["column"] == "date_of_birth").items()  # fmt: skip
    assert "birthDate" in command("mapping", "Patient").out
    assert len(command("mapping", "--json").json) > len(rows)


def test_mapping_of_a_type_without_table_says_which_have_one(command: Command):
    outcome = command("mapping", "Basic")
    assert (outcome.status, "Patient" in outcome.err) == (1, True)


def test_capability_prints_what_is_served(command: Command):
    assert command("capability", "--markdown").out == capability_markdown()
    statement = command("capability", "--json").json
    assert statement["resourceType"] == "CapabilityStatement"
    assert {each["type"] for each in statement["rest"][0]["resource"]} == set(REGISTRY)
    assert "customer_profiles" in command("capability").out
