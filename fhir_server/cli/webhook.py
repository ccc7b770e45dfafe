"""`fhir-server webhook`: secrets that senders of webhooks sign with (docs/webhooks.md)."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fhir_server.cli.output import CommandFailed, JsonOption, OrganizationOption, print_facts, print_rows

app = typer.Typer(help="Webhooks that are taken: the secrets of who sends them, and one to try.", no_args_is_help=True)
COLUMNS: Final = ("provider", "organization", "created", "until")
ProviderOption = Annotated[str, typer.Option(help="Who sends: rimo.")]
SecretOption = Annotated[
    str | None,
    typer.Option(
        envvar="WEBHOOK_SECRET", help="The sender's secret, whsec_…; without it one is made, and shown this once."
    ),
]


@app.command("add", epilog="Example: fhir-server webhook add --provider rimo --organization loop-health")
def add(
    *,
    provider: ProviderOption = "rimo",
    organization: OrganizationOption = None,
    secret: SecretOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take webhooks of a provider for an organization: what fits the secret is believed, and is the organization's."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.webhooks import add_secret

    print_facts(run(lambda installation: add_secret(installation, provider, organization, secret)), as_json=as_json)


@app.command("list", epilog="Example: fhir-server webhook list")
def list_(as_json: JsonOption = False) -> None:
    """List who may send webhooks to which organization; never the secrets themselves."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.webhooks import list_secrets

    print_rows(run(list_secrets), COLUMNS, as_json=as_json)


@app.command("rotate", epilog="Example: fhir-server webhook rotate --provider rimo --hours 24")
def rotate(
    *,
    provider: ProviderOption = "rimo",
    organization: OrganizationOption = None,
    secret: SecretOption = None,
    hours: Annotated[int, typer.Option(min=0, max=720, help="How long the one before stays good.")] = 24,
    as_json: JsonOption = False,
) -> None:
    """Take a new secret; the one before stays good for a while, until the sender has the new one."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.webhooks import rotate_secret

    facts = run(lambda installation: rotate_secret(installation, provider, organization, secret, hours))
    print_facts(facts, as_json=as_json)


@app.command("remove", epilog="Example: fhir-server webhook remove --provider rimo --organization loop-health")
def remove(
    *, provider: ProviderOption = "rimo", organization: OrganizationOption = None, as_json: JsonOption = False
) -> None:
    """Take no more webhooks of a provider for an organization; events that came in stay."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.webhooks import remove_secrets

    print_facts(run(lambda installation: remove_secrets(installation, provider, organization)), as_json=as_json)


@app.command(
    "send", epilog="Example: fhir-server webhook send order.shipped --treatment rimo_456 --order rimo_order_555"
)
def send(
    *,
    event: Annotated[str, typer.Argument(help="Type of the event.", metavar="TYPE")],
    treatment: Annotated[str, typer.Option(help="rimoTreatmentId of the treatment.")],
    order: Annotated[str, typer.Option(help="Number of the order: one prescription.")],
    secret: Annotated[str | None, typer.Option(envvar="WEBHOOK_SECRET", help="Secret to sign with, whsec_….")] = None,
    medication: Annotated[str | None, typer.Option(help="What is ordered.")] = None,
    dosage: Annotated[str | None, typer.Option(help="How it is taken.")] = None,
    at: Annotated[str | None, typer.Option(help="When it happened, an instant. Default: now.")] = None,
    event_id: Annotated[str | None, typer.Option("--id", help="webhook-id. Default: a new one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Sign and send an event to the running server as the pharmacy does, to try webhooks; the rest is a sample."""
    from fhir_server.cli.webhook_sending import Sample, send_event
    from fhir_server.settings import load_settings

    if secret is None:
        raise CommandFailed("Give the secret with WEBHOOK_SECRET; `fhir-server webhook add` shows a new one.")
    sample = Sample(event, order, treatment, medication, dosage, at, event_id)
    print_facts(send_event(load_settings().base_url, secret, sample), as_json=as_json)
