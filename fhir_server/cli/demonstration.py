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

from fhir_server.cli.clients import list_clients
from fhir_server.cli.demo_apps import Credentials, add_apps
from fhir_server.cli.demo_webhooks import take_webhooks
from fhir_server.cli.initialise import initialise
from fhir_server.cli.installation import Installation, open_installation
from fhir_server.cli.issuing import Wanted, issue_token
from fhir_server.cli.loading import POOL_SIZE, load_files
from fhir_server.cli.output import CommandFailed
from fhir_server.cli.users import NewUser, add_user, list_users
from fhir_server.demo.cast import CLIENTS, CUSTOMER, PASSWORD, SAMPLE_PATIENT, TREATMENT, USERS
from fhir_server.demo.pages import DEMO_APP
from fhir_server.graph.application import GRAPH_PATH
from fhir_server.settings import PREFIX, Settings, load_settings
from storage.addresses import without_password

HOST: Final = "127.0.0.1"
PROGRAM: Final = "fhir-server"
TOKEN_SECONDS: Final = 3600
SAMPLES: Final = ("patient_graph.json", "visit.json", "us_core.json", "care_platform.json", "health_hub.json")


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What to tell the person who started it; `key_file` holds the private key of the backend client `demo-backend`.

    `token` is the service's, `customer_token` the sample patient's own; the pharmacy signs with `webhook_secret`.
    """

    address: str
    base: str
    database: str
    token: str
    customer_token: str
    webhook_secret: str
    portal_secret: str
    key_file: str

    @property
    def graph(self) -> str:
        """The address of the patient graph API."""
        return self.address + GRAPH_PATH

    @property
    def facts(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "fhir_base": self.base,
            "graph_base": self.graph,
            "metadata": f"{self.base}/metadata",
            "database": self.database,
            "sample_app": self.address + DEMO_APP,
            "ehr_launch": f"{self.address}/launch",
            "users": [user.email for user in USERS],
            "password": PASSWORD,
            "clients": [client.id for client in CLIENTS],
            "client_secrets": {"demo-portal": self.portal_secret},
            "client_keys": {"demo-backend": self.key_file},
            "webhook_secrets": {"rimo": self.webhook_secret},
            "access_token": self.token,
            "customer_access_token": self.customer_token,
            "expires_in": TOKEN_SECONDS,
        }


def prepare(port: int) -> tuple[Settings, Demonstration]:
    """Make the installation ready and return its settings and what to tell.

    Raises CommandFailed when the port is taken, SettingsInvalid and StorageError.
    """
    _require_free(port)
    settings = _settings(port)
    initialise(settings)
    return settings, asyncio.run(furnish(settings))


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            raise CommandFailed(f"Port {port} cannot be listened on; choose another with --port.") from None


def _settings(port: int) -> Settings:
    """Put what the demonstration needs into the environment, where the workers read it, and read it."""
    address = f"http://{HOST}:{port}"
    chosen = {"DEV": "true", "HOST": HOST, "PORT": str(port), "BASE_URL": address, "DEMO_APP": "true"}
    os.environ.update({PREFIX + name: value for name, value in chosen.items()})
    return load_settings()


async def furnish(settings: Settings) -> Demonstration:
    """Fill an installation with sample data, people and apps, as far as they are not there; return what to tell.

    Raises CommandFailed and StorageError.
    """
    async with open_installation(settings, pool_size=POOL_SIZE) as installation:
        await _load_samples(installation)
        await _add_people(installation)
        await add_apps(installation)
        service = Wanted("system/*.cruds", client="demo-service", lifetime=TOKEN_SECONDS)
        customer = Wanted("patient/*.cruds", user=CUSTOMER, lifetime=TOKEN_SECONDS)
        tokens = [(await issue_token(installation, wanted))["access_token"] for wanted in (service, customer)]
        webhook_secret = await take_webhooks(installation)
    kept = Credentials.of(settings)
    return Demonstration(
        address=settings.base_url,
        base=settings.fhir_base,
        database=without_password(settings.database_url),
        token=tokens[0],
        customer_token=tokens[1],
        webhook_secret=webhook_secret,
        portal_secret=kept.secret("demo-portal"),
        key_file=str(kept.key_file("demo-backend")),
    )


async def _load_samples(installation: Installation) -> None:
    """Load the sample data, unless a demonstration was here before: what was done to it since stays."""
    if CLIENTS[0].id in {facts["id"] for facts in await list_clients(installation)}:
        return  # apps come after the data
    folder = files("fhir_server.demo") / "data"
    facts = await load_files(installation, None, [Path(str(folder / name)) for name in SAMPLES], show_progress=False)
    if facts["refused"]:
        raise CommandFailed(f"The sample data was not loaded: {facts['refused'][0]['reason']}.")


async def _add_people(installation: Installation) -> None:
    known = {facts["email"] for facts in await list_users(installation, None)}
    for user in USERS:
        if user.email not in known:
            await add_user(
                installation,
                NewUser(user.email, PASSWORD, user.role, None, user.patients, user.name, user.fhir_user),
            )


def _program() -> str:
    """Return what to type for this program: its path, if it was called by that and its name alone is not found."""
    called = Path(sys.argv[0])
    return str(called) if called.name == PROGRAM and shutil.which(PROGRAM) is None else PROGRAM


def tell(made: Demonstration) -> None:
    """Say where to look, who may sign in, and print a token that works at once."""
    facts = made.facts
    typer.echo(f"A SMART app for a start: open {facts['sample_app']} and sign in as one of")
    for user in USERS:
        typer.echo(f"  {user.email:26}{user.role:13}{user.name}")
    typer.echo(f"The password of all is {PASSWORD}. A launch from the EHR: {facts['ehr_launch']}, as the clinician.\n")
    for name, value in {"FHIR base": made.base, "Capabilities": facts["metadata"], "Database": made.database}.items():
        typer.echo(f"{name + ':':14}{value}")
    typer.echo(f"{'Apps:':14}{', '.join(facts['clients'])}; the secret of demo-portal is {made.portal_secret}")
    _tell_of_tokens(made)
    typer.echo("\nStop with Ctrl-C.")


def _tell_of_tokens(made: Demonstration) -> None:
    command = f"{_own(made)}{_program()} token"
    record = f"{made.base}/Observation?patient={SAMPLE_PATIENT}&category=laboratory&_sort=-date"
    typer.echo(f"\nA token for an hour; another one: {command} --scope 'system/*.cruds' --client demo-service\n")
    typer.echo(f"  export TOKEN={made.token}\n")
    for address in (f"{made.base}/Patient?name=doe", record):
        typer.echo(_asked("TOKEN", address))
    _tell_of_graph(made)
    typer.echo("\nThe care platform and the health hub are organizations of their own; tokens for them:\n")
    for client in ("demo-care", "demo-hub"):
        typer.echo(f"  {command} --scope 'system/*.cruds' --client {client}")
    typer.echo("\nAs a backend service gets it, with its key from the running server (SMART Backend Services):\n")
    typer.echo(f"  {command} --scope 'system/*.rs' --client demo-backend --key {made.key_file}")


def _tell_of_graph(made: Demonstration) -> None:
    """Say how the same record is used at /graph: by the service, by the customer, and by the pharmacy."""
    own = f"customerId={SAMPLE_PATIENT}"
    typer.echo("\nThe same record by the patient graph API, for the service, and for Jane, who sees her own alone:\n")
    typer.echo(f"  export JANE_TOKEN={made.customer_token}\n")
    typer.echo(_asked("TOKEN", f"{made.graph}/labs?{own}&limit=1"))
    typer.echo(_asked("JANE_TOKEN", f"{made.graph}/wearables/daily-stats?{own}&limit=3"))
    typer.echo("\nThe pharmacy ships an order of Jane's: a prescription there, and a MedicationRequest in FHIR:\n")
    typer.echo(f"  export WEBHOOK_SECRET={made.webhook_secret}")
    typer.echo(
        f"  {_own(made)}{_program()} webhook send order.shipped --treatment {TREATMENT} --order my-order"
        " --medication Levothyroxine --dosage 112mcg"
    )
    typer.echo(_asked("JANE_TOKEN", f"{made.graph}/prescriptions?{own}"))
    typer.echo(_asked("TOKEN", f"{made.base}/MedicationRequest?patient={SAMPLE_PATIENT}&_sort=-_lastUpdated&_count=1"))


def _asked(token: str, address: str) -> str:
    return f'  curl -H "Authorization: Bearer ${token}" "{address}"'


def _own(made: Demonstration) -> str:
    """Return what has to stand before a command that is to find this server, when it is not where it is by default."""
    is_default = made.address == Settings.model_fields["base_url"].default
    return "" if is_default else f"FHIR_SERVER_BASE_URL={made.address} "
