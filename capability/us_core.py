"""What US Core asks of a server beyond profiles (CapabilityStatement us-core-server 7.0.0 and 6.1.0; us_core.md §4)."""

from typing import Any, Final

from capability.data_files import read_data
from capability.profiles import profiles_of

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


UNCLAIMED: Final = frozenset({"vitalspanel"})
"""Profiles that no row and no sample of ours follows. Resources that claim them are stored and checked all the same."""


def claimed_profiles(resource_type: str) -> tuple[str, ...]:
    """Return the canonical URLs of the profiles of a type whose data this server shows."""
    return tuple(each for each in profiles_of(resource_type) if each.rpartition("/")[2] not in UNCLAIMED)
