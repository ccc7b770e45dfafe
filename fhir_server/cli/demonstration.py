"""What the `demo` command does: an installation with sample data, users and apps, and a token to try it with."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import typer

from fhir_server.cli.clients import Asked, add_client, list_clients
from fhir_server.cli.initialise import initialise
from fhir_server.cli.installation import Installation, open_installation
from fhir_server.cli.issuing import Wanted, issue_token
from fhir_server.cli.loading import POOL_SIZE, load_files
from fhir_server.cli.output import CommandFailed
from fhir_server.cli.users import NewUser, add_user, list_users
from fhir_server.demo.cast import CLIENTS, PASSWORD, SAMPLE_PATIENT, USERS, DemoClient
from fhir_server.settings import PREFIX, Settings, load_settings
from storage.addresses import without_password

HOST: Final = "127.0.0.1"
PROGRAM: Final = "fhir-server"
TOKEN_SECONDS: Final = 3600
SAMPLES: Final = ("patient_graph.json", "visit.json", "us_core.json", "care_platform.json", "health_hub.json")


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What to tell the person who started it."""

    address: str
    base: str
    database: str
    token: str

    @property
    def facts(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "fhir_base": self.base,
            "metadata": f"{self.base}/metadata",
            "database": self.database,
            "users": [user.email for user in USERS],
            "password": PASSWORD,
            "clients": [client.id for client in CLIENTS],
            "access_token": self.token,
            "expires_in": TOKEN_SECONDS,
        }


def prepare(port: int) -> tuple[Settings, Demonstration]:
    """Make the installation ready and return its settings and what to tell.

    Raises CommandFailed when the port is taken, SettingsInvalid and StorageError.
    """
    _require_free(port)
    settings = _settings(port)
    initialise(settings)
    return settings, asyncio.run(_furnish(settings))


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            raise CommandFailed(f"Port {port} cannot be listened on; choose another with --port.") from None


def _settings(port: int) -> Settings:
    """Put what the demonstration needs into the environment, where the workers read it, and read it."""
    chosen = {"DEV": "true", "HOST": HOST, "PORT": str(port), "BASE_URL": f"http://{HOST}:{port}"}
    os.environ.update({PREFIX + name: value for name, value in chosen.items()})
    return load_settings()


async def _furnish(settings: Settings) -> Demonstration:
    async with open_installation(settings, pool_size=POOL_SIZE) as installation:
        await _load_samples(installation)
        await _add_people(installation)
        await _add_apps(installation)
        wanted = Wanted("system/*.cruds", client="demo-service", lifetime=TOKEN_SECONDS)
        token = (await issue_token(installation, wanted))["access_token"]
    return Demonstration(settings.base_url, settings.fhir_base, without_password(settings.database_url), token)


async def _load_samples(installation: Installation) -> None:
    """Load the sample data, unless a demonstration was here before: what was done to it since stays."""
    if {facts["id"] for facts in await list_clients(installation)} & {client.id for client in CLIENTS}:
        return  # the apps came last
    folder = files("fhir_server.demo") / "data"
    facts = await load_files(installation, None, [Path(str(folder / name)) for name in SAMPLES], show_progress=False)
    if facts["refused"]:
        raise CommandFailed(f"The sample data was not loaded: {facts['refused'][0]['reason']}.")


async def _add_people(installation: Installation) -> None:
    known = {facts["email"] for facts in await list_users(installation, None)}
    for user in USERS:
        if user.email not in known:
            await add_user(installation, NewUser(user.email, PASSWORD, user.role, None, user.patients, user.name))


async def _add_apps(installation: Installation) -> None:
    known = {facts["id"] for facts in await list_clients(installation)}
    for client in CLIENTS:
        if client.id not in known:
            await add_client(installation, _asked(client))


def _asked(client: DemoClient) -> Asked:
    return Asked(
        client.id, client.type, client.scope, client.name, client.organization, client.redirect_uris, (), (), None
    )


def _program() -> str:
    """Return what to type for this program: its path, if it was called by that and its name alone is not found."""
    called = Path(sys.argv[0])
    return str(called) if called.name == PROGRAM and shutil.which(PROGRAM) is None else PROGRAM


def tell(made: Demonstration) -> None:
    """Say where to look, who may sign in, and print a token that works at once."""
    facts = made.facts
    lines = {
        "FHIR base": made.base,
        "Capabilities": facts["metadata"],
        "Database": made.database,
        "Users": f"{', '.join(facts['users'])} (password {PASSWORD})",
        "Apps": ", ".join(facts["clients"]),
    }
    for name, value in lines.items():
        typer.echo(f"{name + ':':14}{value}")
    command = f"FHIR_SERVER_BASE_URL={made.address} {_program()} token --scope 'system/*.cruds' --client"
    record = f"{made.base}/Observation?patient={SAMPLE_PATIENT}&category=laboratory&_sort=-date"
    typer.echo(f"\nA token for an hour; another one: {command} demo-service\n")
    typer.echo(f"  export TOKEN={made.token}\n")
    for address in (f"{made.base}/Patient?name=doe", record):
        typer.echo(f'  curl -H "Authorization: Bearer $TOKEN" "{address}"')
    typer.echo("\nThe care platform and the health hub are organizations of their own; tokens for them:\n")
    for client in ("demo-care", "demo-hub"):
        typer.echo(f"  {command} {client}")
    typer.echo("\nStop with Ctrl-C.")
