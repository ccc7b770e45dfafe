"""What a client may keep for itself, at the command line; the commands of docs/authorization.md (`smart.md` ST5)."""

from __future__ import annotations

import shlex
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/authorization.md"


def documented() -> list[list[str]]:
    """Return the arguments of each command of the section."""
    section = PAGE.read_text("utf-8").split("\n## What apps keep for themselves\n")[1].split("\n## ")[0]
    block = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    lines = "\n".join(block).replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("fhir-server ")]


def test_smart_ST5_the_documented_commands_say_what_an_app_may_keep(installed):
    add, change = documented()
    made = installed(*add, "--json")
    assert made.status == 0, made.err
    assert made.json["app_states"] == [
        "https://app.example|keys:query,modify:patient",
        "https://app.example|config:query:global",
    ]
    changed = installed(*change, "--json")
    assert changed.status == 0, changed.err
    assert changed.json["app_states"] == ["https://app.example|keys:query:patient"]
    assert installed("client", "show", "my-app", "--json").json["app_states"] == changed.json["app_states"]
    assert installed("client", "app-state", "my-app", "--json").json["app_states"] == []


def test_smart_ST5_what_is_no_state_is_refused_with_the_form_of_one(installed):
    installed("client", "add", "--id", "app", "--type", "public", "--scope", "user/Basic.s")
    refused = installed("client", "app-state", "app", "--allow", "https://app.example|keys:read:patient")
    assert refused.status != 0
    assert "a client may query, modify or both" in refused.err
    assert installed("client", "show", "app", "--json").json["app_states"] == []
    unknown = installed("client", "app-state", "nobody")
    assert unknown.status != 0
    assert "There is no client nobody" in unknown.err
