"""`fhir-server capability`: what the server can do, from the registry."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from fhir_server.cli.output import JsonOption, print_rows

EXAMPLE: Final = "Example: fhir-server capability --markdown"
COLUMNS: Final = ("type", "tables", "search_parameters")


def capability(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page of the documentation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the resource types with their tables and search parameters; --json gives the CapabilityStatement."""
    if markdown:
        from capability.markdown import capability_markdown

        typer.echo(capability_markdown(), nl=False)
    elif as_json:
        _print_statement()
    else:
        print_rows(_rows(), COLUMNS, as_json=False)


def _print_statement() -> None:
    import sys

    from fhir_server.fhir.interactions.capabilities import capabilities
    from fhir_server.search_parameters import take_up_search_parameters
    from fhir_server.settings import load_settings

    settings = load_settings()
    take_up_search_parameters(settings)
    sys.stdout.buffer.write(capabilities(settings).body + b"\n")
    sys.stdout.flush()


def _rows() -> list[dict[str, Any]]:
    from capability.registry import REGISTRY
    from capability.search_parameters import COMMON
    from mappers.registry import mappers_of_type

    return [
        {
            "type": served.name,
            "tables": [mapper.table for mapper in mappers_of_type(served.name)],
            "search_parameters": [code for code in served.search_parameters if code not in COMMON],
        }
        for served in REGISTRY.values()
    ]
