"""Write the pages of `docs/` that are generated from the code; `tests/docs` checks that they are up to date.

python scripts/generate_docs.py
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from capability.markdown import capability_markdown
from capability.roles import roles_markdown
from fhir_server.cli.reference import cli_markdown
from fhir_server.graph.reference import graph_markdown
from fhir_server.settings import settings_markdown
from mappers.documentation import mapped_types, mapping_page
from mappers.registry import mappers_of_type

DOCS = Path(__file__).resolve().parent.parent / "docs"


def pages() -> Mapping[str, str]:
    """Return every generated page by its path in `docs/`."""
    return {
        "settings.md": settings_markdown(),
        "cli.md": cli_markdown(),
        "capability.md": capability_markdown(),
        "roles.md": roles_markdown(),
        "graph-api.md": graph_markdown(),
        "mapping.md": mapping_index(),
        **{f"mapping/{resource_type}.md": mapping_page(resource_type) for resource_type in mapped_types()},
    }


def mapping_index() -> str:
    """Return the page that leads to the mapping tables."""
    lines = [
        "# Rows and resources",
        "",
        "Each page shows which column feeds which element, both ways; `fhir-server mapping TYPE` prints the same. What",
        "no table can hold lives in the FHIR store alone, and `fhir-server homes` counts what lives where.",
        "[Round trips](round-trips.md) shows a row of each source table on its way to a client and back.",
        "",
        "| resource type | tables | through FHIR |",
        "| --- | --- | --- |",
    ]
    for resource_type in mapped_types():
        mappers = mappers_of_type(resource_type)
        tables = ", ".join(f"`{mapper.table}`" for mapper in mappers)
        written = {
            "read-only" if mapper.read_only else "created and updated" if mapper.creatable else "updated"
            for mapper in mappers
        }
        lines.append(f"| [{resource_type}](mapping/{resource_type}.md) | {tables} | {', '.join(sorted(written))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write all pages, and take away mapping pages of types that have no mapper any more."""
    (DOCS / "mapping").mkdir(parents=True, exist_ok=True)
    for page in (DOCS / "mapping").glob("*.md"):
        page.unlink()
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
