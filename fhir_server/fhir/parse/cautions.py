"""What a client should know of a search that is no error (FHIR R4 search.html#errors; us_core G19)."""

from __future__ import annotations

from functools import cache
from typing import Final

from capability.bindings import REQUIRED, Binding
from capability.search_parameters import SearchParameter
from storage.projection.coverage import element_paths
from storage.projection.paths import UnsupportedExpression
from storage.search.query import Criterion, Match, Modifier, Token

MOST_CODES: Final = 30
"""Codes that a caution lists."""
_BOOLEAN: Final = Binding("", {"": frozenset({"false", "true"})})
_BY_CODE: Final = frozenset({Modifier.NONE, Modifier.NOT})
"""Modifiers beside which the values are codes."""


def cautions_of(criterion: Criterion) -> list[str]:
    """Return what is odd about a criterion: a code that the element can never have. Names no value."""
    if not isinstance(criterion, Match) or criterion.modifier not in _BY_CODE:
        return []
    parameter = criterion.parameter
    binding = _binding(parameter)
    if binding is None or all(_allows(binding, each) for each in criterion.values if isinstance(each, Token)):
        return []
    return [f"A code of {parameter.code} is none that the element can have.{_known(binding)}"]


def _allows(binding: Binding, token: Token) -> bool:
    """Say whether a code is one of the value set, whatever its case: tokens are compared without it."""
    if token.code is None:
        return True
    asked = token.code.casefold()
    systems = binding.codes if token.system is None or "" in binding.codes else {token.system}
    return any(code.casefold() == asked for system in systems for code in binding.codes.get(system, ()))


def _known(binding: Binding) -> str:
    codes = sorted({code for codes in binding.codes.values() for code in codes})
    return f" Known are {', '.join(codes)}." if len(codes) <= MOST_CODES else ""


@cache
def _binding(parameter: SearchParameter) -> Binding | None:
    """Return the codes of the one element that a parameter reads, if they are required; None where there is no such."""
    try:
        paths = element_paths(parameter.resource_type, parameter.expression)
    except UnsupportedExpression:
        return None
    if len(paths) != 1:
        return None
    return _BOOLEAN if paths[0].datatype == "boolean" else REQUIRED.get(paths[0].element)
