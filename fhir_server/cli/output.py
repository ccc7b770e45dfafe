"""How commands answer: tables for people, JSON with `--json`; mistakes on stderr with their remedy."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NoReturn

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OrganizationOption = Annotated[
    str | None, typer.Option("--organization", help="Id of the organization. Default: FHIR_SERVER_ORGANIZATION.")
]

FILE_WIDTH: Final = 160
"""Characters of a table's lines when they go to a file or another program."""
UNEXPLAINED_ROOTS: Final = ("sqlalchemy", "psycopg", "sqlite3")


class CommandFailed(Exception):
    """A command cannot do what it was asked; the message says why and the remedy."""


def print_json(data: Any) -> None:
    """Print a value as JSON, one line."""
    import msgspec

    sys.stdout.buffer.write(msgspec.json.encode(data) + b"\n")
    sys.stdout.flush()


def print_facts(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print named facts, one a line; empty ones are for JSON only."""
    if as_json:
        print_json(facts)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        if value not in (None, "", (), []):
            table.add_row(f"[bold]{name.replace('_', ' ')}[/bold]", _plain(value))
    Console(soft_wrap=True).print(table)


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows as a table with these columns; JSON has all of their facts."""
    if as_json:
        print_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*(name.replace("_", " ") for name in columns))
    for row in rows:
        table.add_row(*(_plain(row.get(name)) for name in columns))
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else FILE_WIDTH
    Console(width=wide).print(table)


def _plain(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return escape(" ".join(map(str, value)))
    return escape(str(value))


def note(text: str) -> None:
    """Tell the person at the terminal something beside the answer."""
    typer.echo(text, err=True)


def fail(message: str, *, as_json: bool) -> NoReturn:
    """Print what went wrong on stderr and end with status 1."""
    if as_json:
        import msgspec

        sys.stderr.write(msgspec.json.encode({"error": message}).decode() + "\n")
    else:
        typer.secho(f"Error: {message}", err=True, fg=typer.colors.RED)
    sys.exit(1)


def explain(error: Exception) -> str | None:
    """Return what to tell the user about an error; None for a fault of ours, which deserves its traceback."""
    from fhir_server.loading.errors import NotLoadable
    from fhir_server.oauth.clients import ClientRefused
    from fhir_server.oauth.keys import KeyUnreadable, NoSigningKey
    from fhir_server.oauth.operator import TokenRefused
    from fhir_server.oauth.passwords import PasswordRefused
    from fhir_server.settings import SettingsInvalid
    from storage.errors import AuditUnavailable, DatabaseUnavailable, SchemaOutOfDate

    if isinstance(error, CommandFailed | SettingsInvalid | ClientRefused | TokenRefused | PasswordRefused):
        return str(error)
    if isinstance(error, NotLoadable):
        return f"Cannot load: {error}."
    if isinstance(error, NoSigningKey | KeyUnreadable | SchemaOutOfDate | AuditUnavailable):
        return f"{str(error)[:1].upper()}{str(error)[1:]}."
    if isinstance(error, DatabaseUnavailable):
        return "The database cannot be reached. Check DATABASE_URL and that it runs."
    if type(error).__module__.partition(".")[0] in UNEXPLAINED_ROOTS:
        # Its text may quote values; the class says enough (InsufficientPrivilege, UndefinedTable, …).
        cause = getattr(error, "orig", None) or error
        return f"The database refused ({type(cause).__name__}). Check DATABASE_URL and the rights of its role."
    return None
