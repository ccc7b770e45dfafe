"""`fhir-server user`: people, their role in an organization and the patients they act for."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fhir_server.cli.output import JsonOption, OrganizationOption, print_facts, print_rows

app = typer.Typer(help="People and their roles.", no_args_is_help=True)
COLUMNS: Final = ("email", "organization", "role", "fhir_user", "patients", "active")
EmailArgument = Annotated[str, typer.Argument(metavar="EMAIL", help="E-mail address of the user.")]
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
    print_facts(run(lambda installation: add_user(installation, asked)), as_json=as_json)


@app.command("list", epilog="Example: fhir-server user list --organization loop-health")
def list_(organization: OrganizationOption = None, as_json: JsonOption = False) -> None:
    """List who has a role in an organization."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import list_users

    print_rows(run(lambda installation: list_users(installation, organization)), COLUMNS, as_json=as_json)


@app.command("password", epilog="Example: fhir-server user password pat@example.org")
def password(email: EmailArgument, password: PasswordOption, as_json: JsonOption = False) -> None:
    """Set a new password; access tokens made until now die within seconds."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import set_password

    print_facts(run(lambda installation: set_password(installation, email, password)), as_json=as_json)


@app.command("remove", epilog="Example: fhir-server user remove pat@example.org")
def remove(email: EmailArgument, organization: OrganizationOption = None, as_json: JsonOption = False) -> None:
    """Take a person's role in an organization away; access tokens die within seconds."""
    from fhir_server.cli.installation import run
    from fhir_server.cli.users import remove_user

    print_facts(run(lambda installation: remove_user(installation, email, organization)), as_json=as_json)
