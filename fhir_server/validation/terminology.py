"""Whether coded values belong to value sets (FHIR R4 terminologies.html#4.1), as far as the codes are at hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from capability.value_sets import ValueSet, find_value_set
from fhir_server.validation.instances import Item


def is_member(item: Item, value_set: str, version: str) -> bool | None:
    """Say whether a coded value is in a value set; None when that is not known.

    Of a CodeableConcept one coding has to be. `version` is that of the package that asks.
    """
    found = find_value_set(value_set, version)
    if found is None:
        return None
    value = item.value
    if isinstance(value, str):
        return found.has(None, value)
    if not isinstance(value, dict):
        return None
    if item.datatype == "CodeableConcept":
        return _any(found, value.get("coding", ()))
    return _any(found, [value])


def _any(value_set: ValueSet, codings: Iterable[dict[str, Any]]) -> bool | None:
    answers = {value_set.has(each.get("system", ""), each.get("code", "")) for each in codings}
    if True in answers:
        return True
    return None if None in answers else False
