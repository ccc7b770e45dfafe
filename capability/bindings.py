"""Required value sets of coded elements (FHIR R4 terminologies.html#required)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from capability.data_files import read_data


@dataclass(frozen=True, slots=True)
class Binding:
    """A required binding: the canonical URL of the value set (empty when not at hand) and its codes.

    `codes` maps a code system to its codes; the empty system stands for codes whose system is not at hand.
    """

    value_set: str
    codes: Mapping[str, frozenset[str]]

    def allows(self, code: str, system: str | None = None) -> bool:
        """Say whether the value set has this code; without a system, in any of its systems."""
        if system is None or "" in self.codes:
            return any(code in codes for codes in self.codes.values())
        return code in self.codes.get(system, frozenset())


REQUIRED: Final[Mapping[str, Binding]] = {
    path: Binding(row["valueSet"], {system: frozenset(codes) for system, codes in row["codes"].items()})
    for path, row in read_data("bindings.json").items()
}
"""Element path (`Observation.status`, `HumanName.use`) to its required binding; open value sets are left out."""


@cache
def implied_system(path: str) -> str | None:
    """Return the code system that a `code` element's value belongs to; None when unknown or not one system."""
    binding = REQUIRED.get(path)
    if binding is None or len(binding.codes) != 1:
        return None
    return next(iter(binding.codes)) or None
