"""`fhir-server settings`: what can be set, and what is."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from fhir_server.cli.output import JsonOption, print_facts

EXAMPLE: Final = "Example: fhir-server settings --markdown"


def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page that documents them all.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the settings in force; secrets are shown as ***."""
    from fhir_server.settings import load_settings, settings_markdown

    if markdown:
        typer.echo(settings_markdown(), nl=False)
        return
    print_facts(_shown(load_settings()), as_json=as_json)


def _shown(values: Any) -> dict[str, Any]:
    from storage.addresses import without_password

    facts: dict[str, Any] = values.model_dump(mode="json")
    for name in ("database_url", "migration_database_url"):
        if facts[name] is not None:
            facts[name] = without_password(facts[name])
    facts["secret"] = None if values.secret is None else "***"
    return facts
