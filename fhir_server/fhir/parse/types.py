"""`_type` of searches over several types (FHIR R4 search.html#all)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from capability.elements import RESOURCE_TYPES
from fhir_server.errors import InvalidParameter, NotAuthorised
from fhir_server.fhir.negotiation import Pairs
from storage.access import Access, Reach, Right

TYPE: Final = "_type"
_KNOWN: Final = frozenset(RESOURCE_TYPES)


def named_types(values: Iterable[str], known: frozenset[str] = _KNOWN) -> tuple[str, ...]:
    """Return the types that the values of `_type` name, each once; raises InvalidParameter for what is none."""
    names = dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip())
    if not names.keys() <= known:
        raise InvalidParameter(TYPE, "give names of resource types that can be found here, separated by commas")
    return tuple(names)


def split_types(pairs: Pairs, known: frozenset[str] = _KNOWN) -> tuple[tuple[str, ...], Pairs, Pairs]:
    """Return the types that are named, the other parameters, and `_type` as the self link shows it.

    Raises InvalidParameter.
    """
    types = named_types((value for name, value in pairs if name == TYPE), known)
    others = tuple(pair for pair in pairs if pair[0] != TYPE)
    return types, others, ((TYPE, ",".join(types)),) if types else ()


def searchable_types(types: Iterable[str], access: Access) -> tuple[str, ...]:
    """Return the types that a caller may search; raises NotAuthorised when there is none."""
    found = tuple(each for each in types if access.reach(each, Right.SEARCH) is not Reach.NONE)
    if not found:
        raise NotAuthorised("The access token permits no search here.")
    return found
