"""The page `docs/cli.md`, written from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer.main

from fhir_server.cli.app import app

Command = Any
"""A command or group of commands as typer builds it."""


def commands() -> dict[str, Command]:
    """Return every command by its name as typed: `client add`."""
    return dict(_leaves(typer.main.get_command(app), ""))


def _leaves(command: Command, name: str) -> Iterator[tuple[str, Command]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
        return
    for child_name, child in children.items():
        yield from _leaves(child, f"{name} {child_name}".strip())


def cli_markdown() -> str:
    """Return the page that documents every command with its arguments and options."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "`fhir-server COMMAND --help` says the same. With `--json` the answer is JSON on stdout; mistakes go to"
    yield "stderr with their remedy, and the status is 0 only on success. Settings come from the environment"
    yield "([list](settings.md))."
    for name, command in commands().items():
        yield from _section(name, command)


def _section(name: str, command: Command) -> Iterator[str]:
    yield ""
    yield f"## fhir-server {name}"
    yield ""
    yield inspect.cleandoc(command.help or "")
    yield ""
    yield f"    {(command.epilog or '').removeprefix('Example: ')}"
    yield ""
    yield "| argument or option | meaning |"
    yield "| --- | --- |"
    for parameter in command.params:
        needed = " (required)" if parameter.required else ""
        repeated = " (repeatable)" if parameter.multiple else ""
        meaning = (parameter.help or "").replace("|", "\\|").removesuffix(".") + repeated + needed
        yield f"| {_name(parameter)} | {meaning} |"


def _name(parameter: Command) -> str:
    is_argument = parameter.param_type_name == "argument"
    return (
        f"`{parameter.metavar or parameter.name}`" if is_argument else ", ".join(f"`{opt}`" for opt in parameter.opts)
    )
