"""What US Core asks of a server beyond profiles (CapabilityStatement us-core-server 7.0.0 and 6.1.0; us_core.md §4)."""

from typing import Any, Final

from capability.data_files import read_data

SERVER: Final = "http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server"
"""The requirements that this server is an instance of."""
GUIDE: Final = "http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core"
VERSIONS: Final = ("7.0.0", "6.1.0")
"""Versions of US Core that are claimed, the newest first."""

_ROWS: Final[dict[str, dict[str, list[Any]]]] = read_data("us_core_server.json")


def combinations(resource_type: str) -> tuple[tuple[str, ...], ...]:
    """Return the search parameters of a type that US Core asks for together."""
    return tuple(tuple(each) for each in _ROWS.get(resource_type, {}).get("combinations", ()))


def targeted_includes(resource_type: str) -> tuple[str, ...]:
    """Return the includes that US Core asks for with a type of target (`CareTeam:participant:Practitioner`)."""
    return tuple(each for each in _ROWS.get(resource_type, {}).get("includes", ()) if each.count(":") == 2)
