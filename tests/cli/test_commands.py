"""The commands of design.md 'Addresses and commands', as far as they are here."""

from __future__ import annotations

import asyncio
import json
import stat
from importlib.metadata import version
from pathlib import Path

import pytest
import typer.main
from sqlalchemy import create_engine, make_url, text

from fhir_server.cli.app import app
from fhir_server.errors import Unauthenticated
from fhir_server.oauth.authenticate import Authenticator
from fhir_server.oauth.keys import SIGNING_KEYS, KeyCipher, KeyRing
from fhir_server.oauth.passwords import CLIENT_SECRETS, client_secret_fits, verify_password
from fhir_server.oauth.revocations import Revocations
from fhir_server.settings import load_settings
from storage.access import Access, Reach, Right
from storage.engine import create_database
from storage.grants import load_keys, load_revocations
from storage.repositories.platform import ClientRepository, UserRepository
from storage.rls import ROLE
from tests.cli.conftest import Command, Outcome

PASSWORD = "correct horse 42x"


def refused(outcome: Outcome, *words: str) -> None:
    assert outcome.status == 1
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err


async def _bear(url: str, token: str) -> Access:
    """What a worker that starts now would let a token do."""
    settings = load_settings()
    database = create_database(url, pool_size=1, role=ROLE)
    await database.open()
    try:
        ring = KeyRing(KeyCipher(settings.derive(SIGNING_KEYS)), await load_keys(database))
        revocations = Revocations(lambda: load_revocations(database))
        authenticator = Authenticator(settings, ring, revocations, lambda: load_keys(database))
        return await authenticator.access([(b"authorization", f"Bearer {token}".encode())], b"")
    finally:
        await database.close()


def bear(url: str, token: str) -> Access:
    return asyncio.run(_bear(url, token))


async def _stored(url: str, repository: type, name: str, key: str):
    database = create_database(url, role=ROLE)
    async with database.platform() as connection:
        found = await getattr(repository(connection), name)(key)
    await database.close()
    return found


def leaves(command, path: tuple[str, ...] = ()):
    children = getattr(command, "commands", None)
    if children is None:
        return [(path, command)]
    return [leaf for name, child in children.items() for leaf in leaves(child, (*path, name))]


@pytest.mark.parametrize("path", [path for path, _ in leaves(typer.main.get_command(app))], ids=" ".join)
def test_every_command_has_help_with_an_example(command: Command, path: tuple[str, ...]):
    outcome = command(*path, "--help")
    assert outcome.status == 0
    assert "Example: " in outcome.out


@pytest.mark.parametrize("path", [path for path, _ in leaves(typer.main.get_command(app))], ids=" ".join)
def test_every_command_prints_json_on_demand(path: tuple[str, ...]):
    if path == ("serve",):
        pytest.skip("it does not end by itself")
    ((_, found),) = [leaf for leaf in leaves(typer.main.get_command(app)) if leaf[0] == path]
    assert "--json" in [name for parameter in found.params for name in parameter.opts]


def test_without_arguments_the_commands_are_listed(command: Command):
    assert "organization" in command().out + command().err


def test_security_KY3_without_a_secret_nothing_starts(command: Command, monkeypatch, tmp_path: Path):
    monkeypatch.delenv("FHIR_SERVER_SECRET")
    refused(command("init"), "FHIR_SERVER_SECRET", "openssl rand")
    assert not list(tmp_path.iterdir())


def test_init_makes_database_organizations_and_keys_and_twice_does_no_harm(command: Command):
    first = command("init", "--json").json
    assert first["organizations"] == ["health-hub", "loop-health"]
    assert command("init", "--json").json == first


def test_in_development_a_secret_is_made_for_the_owner_only(command: Command, monkeypatch, tmp_path: Path):
    monkeypatch.delenv("FHIR_SERVER_SECRET")
    monkeypatch.setenv("FHIR_SERVER_DEV", "1")
    assert command("init").status == 0
    assert stat.S_IMODE((tmp_path / "var/secret").stat().st_mode) == 0o600
    monkeypatch.delenv("FHIR_SERVER_DEV")
    assert command("organization", "list").status == 0


def test_commands_before_init_name_the_remedy(command: Command):
    refused(command("client", "list"), "fhir-server init")


def test_an_unreachable_database_is_told_without_traceback(command: Command, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone@127.0.0.1:1/nowhere")
    refused(command("init"), "DATABASE_URL")
    refused(command("user", "list"), "DATABASE_URL")


def test_a_database_of_another_kind_is_told_by_its_setting(command: Command, monkeypatch):
    for name in ("DATABASE_URL", "FHIR_SERVER_MIGRATION_DATABASE_URL"):
        with monkeypatch.context() as setting:
            setting.setenv(name, "mysql://someone:word@127.0.0.1/nowhere")
            outcome = command("init")
            refused(outcome, name, "postgresql:// or sqlite:///")
            assert "word" not in outcome.err


def test_the_version_is_that_of_the_package(command: Command):
    assert command("--version").out == f"fhir-server {version('fhir-server')}\n"


def test_with_json_mistakes_are_json_too(installed: Command):
    outcome = installed("client", "show", "nobody", "--json")
    assert outcome.status == 1
    assert "nobody" in json.loads(outcome.err)["error"]


def test_a_backend_client_gets_a_token_for_its_organization(installed: Command, fresh_database_url: str):
    assert installed("client", "add", "--id", "etl", "--type", "backend", "--scope", "system/*.cruds").status == 0
    token = installed("token", "--client", "etl", "--scope", "system/*.rs")
    assert token.out.count(".") == 2
    access = bear(fresh_database_url, token.out.strip())
    assert (access.organization_id, access.role, access.actor) == ("loop-health", "SERVICE", "etl")
    assert access.reach("Patient", Right.READ) is Reach.ORGANIZATION
    assert access.reach("Patient", Right.UPDATE) is Reach.NONE


def test_an_apps_token_sees_one_patient(installed: Command, fresh_database_url: str):
    installed("client", "add", "--id", "app", "--type", "public", "--scope", "patient/*.rs openid")
    answer = installed("token", "--client", "app", "--patient", "p1", "--scope", "patient/*.cruds openid", "--json")
    assert answer.json | {"access_token": ""} == {
        "access_token": "", "token_type": "Bearer", "expires_in": 900, "scope": "patient/*.rs openid", "patient": "p1",
    }  # fmt: skip
    assert "Granted: patient/*.rs openid" in answer.err
    access = bear(fresh_database_url, answer.json["access_token"])
    assert (access.patient, access.reach("Observation", Right.READ)) == ("p1", Reach.COMPARTMENT)


def test_a_patients_token_is_for_their_own_chart(installed: Command, fresh_database_url: str):
    add = ("user", "add", "--email", "Pat@Example.org", "--password", PASSWORD, "--role", "PATIENT")
    assert installed(*add, "--patient", "p1").status == 0
    answer = installed("token", "--user", "pat@example.org", "--scope", "user/*.rs patient/*.rs", "--json").json
    access = bear(fresh_database_url, answer["access_token"])
    assert (answer["patient"], access.patient, access.fhir_user) == ("p1", "p1", "Patient/p1")
    assert access.reach("Observation", Right.SEARCH) is Reach.COMPARTMENT
    refused(installed("token", "--user", "pat@example.org", "--patient", "p2", "--scope", "patient/*.rs"), "act for")


def test_a_users_token_has_the_rights_of_the_role(installed: Command, fresh_database_url: str):
    add = ("user", "add", "--email", "dr@example.org", "--password", PASSWORD, "--role", "NURSE")
    installed(*add, "--fhir-user", "Practitioner/dr-1")
    answer = installed("token", "--user", "dr@example.org", "--scope", "user/*.cruds fhirUser", "--ttl", "60", "--json")
    access = bear(fresh_database_url, answer.json["access_token"])
    assert (access.role, access.fhir_user, answer.json["expires_in"]) == ("NURSE", "Practitioner/dr-1", 60)
    assert access.reach("Observation", Right.UPDATE) is Reach.ORGANIZATION
    assert access.reach("Observation", Right.DELETE) is Reach.NONE


def test_tokens_that_cannot_be_made_say_why(installed: Command):
    installed("client", "add", "--id", "etl", "--type", "backend", "--scope", "system/*.cruds patient/*.rs user/*.rs")
    installed("user", "add", "--email", "u@example.org", "--password", PASSWORD, "--role", "STAFF")
    installed(
        "user", "add", "--email", "u@example.org", "--password", PASSWORD, "--role", "STAFF",
        "--organization", "health-hub",
    )  # fmt: skip
    etl = ("token", "--client", "etl")
    user = ("token", "--user", "u@example.org")
    refused(installed("token", "--scope", "user/*.rs"), "--client or --user")
    refused(installed("token", "--client", "nobody", "--scope", "system/*.rs"), "nobody", "client add")
    refused(installed("token", "--user", "no@example.org", "--scope", "user/*.rs"), "user add")
    refused(installed(*etl, "--scope", "nonsense"), "registered for")
    refused(installed(*etl, "--scope", "patient/*.rs"), "--patient")
    refused(installed(*etl, "--scope", "user/*.rs"), "--user")
    refused(installed(*etl, "--scope", "system/Observation.rs?code:in=1"), "registered for")
    refused(installed(*etl, "--scope", "system/*.rs", "--organization", "health-hub"), "belongs to loop-health")
    refused(installed(*etl, "--scope", "patient/*.rs", "--patient", "a/b"), "1 to 64")
    refused(installed(*user, "--scope", "user/*.rs"), "--organization")
    refused(installed(*user, "--scope", "user/*.rs", "--organization", "north"), "no role in north")
    refused(installed(*user, "--scope", "system/*.rs", "--organization", "health-hub"), "user/ scopes")
    assert installed(*etl, "--scope", "system/*.rs", "--ttl", "3601").status == 2


def test_a_secret_is_shown_once_and_stored_as_hmac(installed: Command, fresh_database_url: str):
    add = ("client", "add", "--id", "portal", "--type", "confidential", "--scope", "user/*.rs", "--json")
    secret = installed(*add).json["client_secret"]
    shown = installed("client", "show", "portal", "--json")
    assert secret not in shown.out
    assert shown.json["secret"] is True
    rotated = installed("client", "rotate", "portal", "--json").json["client_secret"]
    assert rotated != secret


def test_the_stored_hmac_fits_the_secret(installed: Command, fresh_database_url: str):
    add = ("client", "add", "--id", "portal", "--type", "confidential", "--scope", "user/*.rs", "--json")
    secret = installed(*add).json["client_secret"]
    stored = asyncio.run(_stored(fresh_database_url, ClientRepository, "get", "portal")).secret
    pepper = load_settings().derive(CLIENT_SECRETS)
    assert stored
    assert client_secret_fits(pepper, secret, stored)
    assert not client_secret_fits(pepper, secret + "x", stored)
    assert secret not in stored


def test_a_client_id_is_given_once(installed: Command):
    add = ("client", "add", "--id", "etl", "--type", "backend", "--scope", "system/*.rs")
    installed(*add)
    refused(installed(*add), "already")
    refused(installed("client", "rotate", "etl"), "no secret")
    refused(
        installed("client", "add", "--id", "x", "--type", "backend", "--scope", "system/*.rs", "--jwks", "gone"), "gone"
    )


def test_security_OA8_tokens_die_with_their_client(installed: Command, fresh_database_url: str):
    installed("client", "add", "--id", "etl", "--type", "backend", "--scope", "system/*.rs")
    token = installed("token", "--client", "etl", "--scope", "system/*.rs").out.strip()
    assert bear(fresh_database_url, token)
    assert installed("client", "remove", "etl").status == 0
    with pytest.raises(Unauthenticated):
        bear(fresh_database_url, token)
    refused(installed("client", "remove", "etl"), "no client etl")


def test_security_OA8_tokens_die_with_a_password_a_role_and_an_organization(
    installed: Command, fresh_database_url: str
):
    for n, end in enumerate(
        (
            ("user", "password", "u@example.org", "--password", PASSWORD + "!"),
            ("user", "remove", "u@example.org"),
            ("organization", "disable", "loop-health"),
        )
    ):
        email = f"u{n}@example.org"
        installed("user", "add", "--email", email, "--password", PASSWORD, "--role", "STAFF")
        token = installed("token", "--user", email, "--scope", "user/*.rs").out.strip()
        assert bear(fresh_database_url, token)
        assert installed(*(email if part == "u@example.org" else part for part in end)).status == 0
        with pytest.raises(Unauthenticated):
            bear(fresh_database_url, token)


def test_a_removed_user_stays_inactive_and_can_come_back(installed: Command, fresh_database_url: str):
    add = ("user", "add", "--email", "u@example.org", "--role", "STAFF", "--password")
    installed(*add, PASSWORD)
    refused(installed(*add, PASSWORD), "remove it first")
    installed("user", "remove", "u@example.org")
    refused(installed("token", "--user", "u@example.org", "--scope", "user/*.rs"), "not active")
    refused(installed("user", "remove", "u@example.org"), "no role")
    assert installed(*add, PASSWORD + "2").status == 0
    user = asyncio.run(_stored(fresh_database_url, UserRepository, "by_email", "U@example.org"))
    assert user is not None
    assert user.password_hash is not None
    assert user.password_hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert verify_password(user.password_hash, PASSWORD + "2")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"--email": "nobody"}, "e-mail"),
        ({"--role": "WIZARD"}, "ORG_ADMIN"),
        ({"--role": "SERVICE"}, "ORG_ADMIN"),
        ({"--password": "short"}, "12 to 128"),
        ({"--password": "passwordpassword"}, "guessed"),
        ({"--password": "u@example.org"}, "guessed"),
        ({"--patient": "p1"}, "PATIENT"),
        ({"--organization": "nowhere"}, "organization list"),
        ({"--fhir-user": "Dragon/1"}, "Practitioner/123"),
    ],
)
def test_users_that_cannot_be_added(installed: Command, changes: dict[str, str], word: str):
    options = {"--email": "u@example.org", "--role": "STAFF", "--password": PASSWORD} | changes
    refused(installed("user", "add", *(part for option in options.items() for part in option)), word)


def test_security_KY1_rotation_keeps_old_tokens_and_signs_with_the_next_key(
    installed: Command, fresh_database_url: str
):
    installed("client", "add", "--id", "etl", "--type", "backend", "--scope", "system/*.rs")
    old = installed("token", "--client", "etl", "--scope", "system/*.rs").out.strip()
    listed = installed("keys", "list", "--json").json
    assert {(key["signs"], key["state"]) for key in listed} == {
        (what, state) for what in ("access tokens", "identity tokens") for state in ("active", "next")
    }
    states = {key["state"]: key["kid"] for key in installed("keys", "rotate", "--json").json}
    new = installed("token", "--client", "etl", "--scope", "system/*.rs").out.strip()
    assert set(states) == {"active", "retiring", "next"}
    assert old.split(".")[0] != new.split(".")[0]
    assert bear(fresh_database_url, old)
    assert bear(fresh_database_url, new)


def test_security_KY1_init_makes_what_keys_an_older_installation_lacks(installed: Command, fresh_database_url: str):
    engine = create_engine(make_url(fresh_database_url))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM signing_keys WHERE alg = 'RS256'"))
    engine.dispose()
    assert {key["algorithm"] for key in installed("keys", "list", "--json").json} == {"RS384"}
    before = installed("keys", "list", "--json").json
    installed("init")
    after = installed("keys", "list", "--json").json
    assert {key["algorithm"] for key in after} == {"RS384", "RS256"}
    assert [key for key in after if key["algorithm"] == "RS384"] == before


def test_another_secret_cannot_read_the_keys(installed: Command, monkeypatch):
    installed("client", "add", "--id", "etl", "--type", "backend", "--scope", "system/*.rs")
    monkeypatch.setenv("FHIR_SERVER_SECRET", "another secret that is long enough, too")
    refused(installed("token", "--client", "etl", "--scope", "system/*.rs"), "FHIR_SERVER_SECRET")


def test_organizations_are_added_listed_and_disabled(installed: Command):
    assert installed("organization", "add", "--id", "north", "--name", "Clinic North").status == 0
    refused(installed("organization", "add", "--id", "north", "--name", "Again"), "already")
    refused(installed("organization", "add", "--id", "no/slash", "--name", "x"), "1 to 64")
    refused(installed("organization", "add", "--id", "x", "--name", "x", "--home-system", "moon"), "graph")
    installed("organization", "disable", "north")
    listed = {row["id"]: row["active"] for row in installed("organization", "list", "--json").json}
    assert listed == {"health-hub": True, "loop-health": True, "north": False}
    refused(installed("organization", "disable", "south"), "organization list")
    refused(
        installed(
            "client", "add", "--id", "c", "--type", "backend", "--scope", "system/*.r", "--organization", "north"
        ),
        "disabled",
    )


def test_security_AD2_what_the_operator_does_is_audited(installed: Command, tmp_path: Path):
    installed("client", "add", "--id", "etl", "--type", "backend", "--scope", "system/*.rs")
    installed("token", "--client", "etl", "--scope", "system/*.rs")
    lines = [json.loads(line) for line in installed("audit", "export").out.splitlines()]
    did = [(line["resource"], line["interaction"]) for line in lines]
    assert did == [
        ("signing_keys", "create"),
        ("clients", "create"),
        ("access_token", "token"),
        ("audit_log", "export"),
    ]
    assert lines[2]["client_id"] == "etl"
    assert lines[2]["grant_id"]
    target = tmp_path / "audit.ndjson"
    assert installed("audit", "export", "--out", str(target), "--json").json["records"] == 5
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_audit_verify_ends_with_status_1_when_a_record_was_altered(installed: Command, fresh_database_url: str):
    assert installed("audit", "verify", "--all", "--json").json["valid"] is True
    url = make_url(fresh_database_url)
    engine = create_engine(url.set(drivername="postgresql+psycopg") if url.get_backend_name() != "sqlite" else url)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET session_replication_role = replica"))
        else:
            for name in connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text("UPDATE rbac_logs SET actor_id = 'someone else'"))
    engine.dispose()
    outcome = installed("audit", "verify", "--json")
    assert outcome.status == 1
    assert outcome.json["trails"][0]["findings"][0]["fault"] == "altered"
    assert "altered" in installed("audit", "verify").out


def test_settings_hide_secrets(command: Command, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:hidden-password@db.example/fhir")
    outcome = command("settings", "--json")
    assert outcome.json["secret"] == "***"
    assert "hidden-password" not in outcome.out
    assert "long enough" not in outcome.out
