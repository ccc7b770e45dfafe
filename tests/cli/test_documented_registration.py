"""The commands in docs/authorization.md 'Register an app' register those apps."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from joserfc.jwk import ECKey

PAGE = Path(__file__).parents[2] / "docs/authorization.md"


def documented() -> list[list[str]]:
    """Return the arguments of each command of the section."""
    section = PAGE.read_text("utf-8").split("\n## Register an app\n")[1].split("\n## ")[0]
    block = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    lines = "\n".join(block).replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("fhir-server ")]


def test_the_documented_commands_register_apps_of_every_kind(installed, tmp_path):
    public = ECKey.generate_key("P-384", auto_kid=True).as_dict(private=False)
    (tmp_path / "reports-public.json").write_text(json.dumps({"keys": [public]}), "utf-8")
    for arguments in documented():
        done = installed(*arguments, "--json")
        assert done.status == 0, done.err
    made = {facts["id"]: facts for facts in installed("client", "list", "--json").json}
    assert {name: facts["type"] for name, facts in made.items()} == {
        "growth-chart": "public",
        "portal": "confidential",
        "ward": "confidential",
        "reports": "backend",
    }
    assert made["portal"]["secret"]
    assert made["ward"]["jwks_uri"] == "https://ward.example/jwks.json"
    assert made["reports"]["keys"] == [public["kid"]]
