"""`fhir-server init`: the database, the standard organizations and the signing keys."""

from __future__ import annotations

from typing import Final

from fhir_server.cli.output import JsonOption, print_facts

EXAMPLE: Final = "Example: DATABASE_URL=postgresql://fhir@localhost/fhir fhir-server init"


def init(as_json: JsonOption = False) -> None:
    """Create or migrate the database, the standard organizations and the signing keys; doing it twice does no harm."""
    from fhir_server.cli.initialise import initialise
    from fhir_server.settings import load_settings

    print_facts(initialise(load_settings()), as_json=as_json)
