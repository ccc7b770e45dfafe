"""The commands in docs/authorization.md 'Register an app' register those apps."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey

PAGE = Path(__file__).parents[2] / "docs/authorization.md"


def blocks(heading: str) -> str:
    """Return the indented text of a section."""
    section = PAGE.read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))


def documented(heading: str = "Register an app") -> list[list[str]]:
    """Return the arguments of each command of a section."""
    lines = blocks(heading).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("fhir-server ")]


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


def test_the_documented_commands_of_every_day_work(installed):
    client = ("client", "add", "--id", "portal", "--type", "confidential", "--scope", "patient/*.rs")
    assert installed(*client, "--redirect-uri", "https://portal.example/callback").status == 0
    for name, role in (("pat", "PATIENT"), ("mara", "PATIENT"), ("doc", "CLINICIAN")):
        person = ("user", "add", "--email", f"{name}@example.org", "--role", role)
        assert installed(*person, "--password", "correct horse battery 42").status == 0
    commands = documented("Day to day")
    assert len(commands) == 9
    for arguments in commands:
        done = installed(*arguments, "--json")
        assert done.status == 0, (arguments, done.err)


def test_the_documented_key_is_made_of_one_in_pem(installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    key = ec.generate_private_key(ec.SECP384R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    Path("reports.pem").write_bytes(pem)
    refused = installed(
        "client", "add", "--id", "r", "--type", "backend", "--jwks", "reports.pem", "--scope", "system/*.rs"
    )
    assert refused.status == 1
    assert "Clients that sign" in refused.err
    program = blocks("Clients that sign").split("<<'PY'\n")[1].split("\nPY\n")[0]
    exec(compile(program, str(PAGE), "exec"), {})
    (add, _) = documented("Clients that sign")
    done = installed(*add, "--json")
    assert done.status == 0, done.err
    assert done.json["keys"] == [json.loads(Path("reports.jwk").read_text("utf-8"))["kid"]]
