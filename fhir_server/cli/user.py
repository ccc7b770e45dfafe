"""`fhir-server user`: people, their role in an organization and the patients they act for."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from fhir_server.cli.output import JsonOption, OrganizationOption, note, print_facts, print_rows

app = typer.Typer(help="People and their roles.", no_args_is_help=True)
patient_app = typer.Typer(help="Patients whom a user acts for.", no_args_is_help=True)
app.add_typer(patient_app, name="patient")
account_app = typer.Typer(help="Accounts at trusted issuers that a user signs in with.", no_args_is_help=True)
app.add_typer(account_app, name="account")
COLUMNS: Final = ("email", "organization", "role", "fhir_user", "patients", "active")
EmailArgument = Annotated[str, typer.Argument(metavar="EMAIL", help="E-mail address of the user.")]
PatientArgument = Annotated[str, typer.Argument(metavar="PATIENT", help="Id of the Patient resource.")]
ProviderOption = Annotated[str, typer.Option(help="Name of the issuer in FHIR_SERVER_IDENTITY_PROVIDERS.")]
PasswordOption = Annotated[
    str, typer.Option(help="12 to 128 characters; asked for when not given.", prompt=True, hide_input=True)
]


@app.command(
    "add",
    epilog="Example: fhir-server user add --email pat@example.org --role PATIENT --patient p1",
)
def add(
    *,
    email: Annotated[str, typer.Option(help="E-mail address.")],
    role: Annotated[str, typer.Option(help="ORG_ADMIN, CLINICIAN, NURSE, BILLING, STAFF, SUPPORT, AUDITOR, PATIENT.")],
    password: PasswordOption,
    organization: OrganizationOption = None,
    patient: Annotated[list[str] | None, typer.Option(help="Patient they act for (PATIENT); repeatable.")] = None,
    name: Annotated[str | None, typer.Option(help="Name.")] = None,
    fhir_user: Annotated[str | None, typer.Option(help="Resource that stands for them: Practitioner/123.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Give a person a role in an organization; someone known from another one keeps the password."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import NewUser, add_user

    asked = NewUser(email, password, role, organization, tuple(patient or ()), name, fhir_user)
    _print_person(run(lambda installation: add_user(installation, asked)), as_json=as_json)


@app.command("list", epilog="Example: fhir-server user list --organization loop-health")
def list_(organization: OrganizationOption = None, as_json: JsonOption = False) -> None:
    """List who has a role in an organization."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import list_users

    print_rows(run(lambda installation: list_users(installation, organization)), COLUMNS, as_json=as_json)


@app.command("password", epilog="Example: fhir-server user password pat@example.org")
def password(email: EmailArgument, password: PasswordOption, as_json: JsonOption = False) -> None:
    """Set a new password; sessions end, and access tokens made until now die within seconds."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import set_password

    print_facts(run(lambda installation: set_password(installation, email, password)), as_json=as_json)


@app.command("remove", epilog="Example: fhir-server user remove pat@example.org")
def remove(email: EmailArgument, organization: OrganizationOption = None, as_json: JsonOption = False) -> None:
    """Take a person's role in an organization away, with what was granted there; tokens die within seconds."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import remove_user

    print_facts(run(lambda installation: remove_user(installation, email, organization)), as_json=as_json)


@app.command("disable", epilog="Example: fhir-server user disable pat@example.org")
def disable(email: EmailArgument, as_json: JsonOption = False) -> None:
    """Let a person in no more; sessions, grants and tokens end within seconds."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import set_active

    print_facts(run(lambda installation: set_active(installation, email, active=False)), as_json=as_json)


@app.command("enable", epilog="Example: fhir-server user enable pat@example.org")
def enable(email: EmailArgument, as_json: JsonOption = False) -> None:
    """Let a disabled person sign in again; what had been granted stays ended."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import set_active

    print_facts(run(lambda installation: set_active(installation, email, active=True)), as_json=as_json)


@app.command("role", epilog="Example: fhir-server user role pat@example.org NURSE")
def role(
    email: EmailArgument,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="The new role; `user add --help` names them.")],
    organization: OrganizationOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a person another role in an organization; sessions and what was granted there end."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import set_role

    print_facts(run(lambda installation: set_role(installation, email, role, organization)), as_json=as_json)


@app.command("mfa", epilog="Example: fhir-server user mfa pat@example.org --reset")
def mfa(
    email: EmailArgument,
    *,
    reset: Annotated[bool, typer.Option("--reset", help="Turn it off.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Turn the second factor of a person off who lost it; sessions end. Make sure who asks for it."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.output import CommandFailed
    from fhir_server.cli.users import reset_second_factor

    if not reset:
        raise CommandFailed("Say --reset to turn the second factor off; people turn it on by themselves.")
    print_facts(run(lambda installation: reset_second_factor(installation, email)), as_json=as_json)


@patient_app.command("add", epilog="Example: fhir-server user patient add pat@example.org p2")
def add_patient(
    email: EmailArgument,
    patient: PatientArgument,
    organization: OrganizationOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a person in the role PATIENT act for one more patient."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import add_patient as add

    _print_person(run(lambda installation: add(installation, email, patient, organization)), as_json=as_json)


@patient_app.command("remove", epilog="Example: fhir-server user patient remove pat@example.org p2")
def remove_patient(
    email: EmailArgument,
    patient: PatientArgument,
    organization: OrganizationOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a person act for a patient no more; what was granted that concerns the patient ends."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import remove_patient as remove

    print_facts(run(lambda installation: remove(installation, email, patient, organization)), as_json=as_json)


@account_app.command(
    "add", epilog="Example: fhir-server user account add pat@example.org --provider clerk --subject u1"
)
def add_account(
    email: EmailArgument,
    *,
    provider: ProviderOption,
    subject: Annotated[str, typer.Option(help="Id of the account there: what its tokens have as `sub`.")],
    as_json: JsonOption = False,
) -> None:
    """Let a person sign in by an account at a trusted issuer."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import add_account as add

    print_facts(run(lambda installation: add(installation, email, provider, subject)), as_json=as_json)


@account_app.command("remove", epilog="Example: fhir-server user account remove pat@example.org --provider clerk")
def remove_account(email: EmailArgument, *, provider: ProviderOption, as_json: JsonOption = False) -> None:
    """Let a person sign in by an issuer no more; sessions end, and access tokens die within seconds."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import remove_account as remove

    print_facts(run(lambda installation: remove(installation, email, provider)), as_json=as_json)


def _print_person(facts: dict[str, Any], *, as_json: bool) -> None:
    """Print a person, and say which of their patients are not there: most often an id is misspelt."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import unknown_patients

    print_facts(facts, as_json=as_json)
    for patient in run(lambda installation: unknown_patients(installation, facts)) if facts["patients"] else ():
        note(f"There is no Patient {patient} in {facts['organization']} yet; if it is misspelt: user patient remove.")
