"""What stays of a resource of which only a part is asked for (FHIR R4 search.html#summary, #elements)."""

from collections.abc import Mapping
from typing import Final

from capability.data_files import read_data
from capability.elements import SUMMARY_ELEMENTS, elements_of

_DATA: Final[Mapping[str, Mapping[str, list[str]]]] = read_data("subsets.json")
_MODIFIERS: Final = {name: tuple(elements) for name, elements in _DATA["modifier"].items()}
_SUMMARIES: Final = {name: tuple(elements) for name, elements in _DATA["summary"].items()} | dict(SUMMARY_ELEMENTS)

USUAL_MODIFIERS: Final = ("active", "actuality", "doNotPerform", "intent", "participantStatus", "status")
"""Names that modifier elements have in R4; kept of types whose structure definition is not at hand."""


def summary_elements(resource_type: str) -> tuple[str, ...] | None:
    """Return the top-level summary elements of a type; None where its structure definition is not at hand."""
    return _SUMMARIES.get(resource_type)


def modifier_elements(resource_type: str) -> tuple[str, ...]:
    """Return the top-level elements that change the meaning of others."""
    known = _MODIFIERS.get(resource_type)
    if known is not None:
        return known
    return tuple(name for name in USUAL_MODIFIERS if name in elements_of(resource_type))
