"""The order of a page: what each sort key is read from (FHIR R4 search.html#_sort)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from capability.search_parameters import SearchParameter, SearchType
from storage.projection.coverage import Answer, answer, variants
from storage.search.bodies import BodyPart, is_ordered_by_body
from storage.search.keys import parameter_key
from storage.search.predicates.body import source_of
from storage.search.query import SortKey
from storage.search.shape import Binder, BodySource, Name


class SortKind(Enum):
    """What a sort key is read from."""

    ID = auto()
    UPDATED = auto()
    CLINICAL_DATE = auto()
    STRINGS = auto()
    DATES = auto()
    QUANTITIES = auto()
    BODY = auto()


@dataclass(frozen=True, slots=True)
class SortShape:
    """One sort key.

    `key` names the index key of those that have rows, with `many` several of them. `source` is where bodies have the
    values of the others; `exact` minds their case.
    """

    kind: SortKind
    descending: bool
    key: Name | None = None
    many: bool = False
    source: BodySource | None = None
    exact: bool = False


_SORT_KINDS: Final = {
    SearchType.STRING: SortKind.STRINGS,
    SearchType.URI: SortKind.STRINGS,
    SearchType.DATE: SortKind.DATES,
    SearchType.NUMBER: SortKind.QUANTITIES,
    SearchType.QUANTITY: SortKind.QUANTITIES,
}


def is_sortable(parameter: SearchParameter) -> bool:
    """Say whether resources can be put in order by a parameter: composites and special ones have no order."""
    if parameter.code in {"_id", "_lastUpdated"}:
        return True
    return parameter.type in _SORT_KINDS or is_ordered_by_body(parameter)


def sort_shape(key: SortKey, binder: Binder) -> SortShape:
    """Return the shape of a sort key, its index keys bound."""
    parameter = key.parameter
    if parameter.code == "_id":
        return SortShape(SortKind.ID, key.descending)
    if parameter.code == "_lastUpdated":
        return SortShape(SortKind.UPDATED, key.descending)
    if answer(parameter.resource_type, parameter.code) is Answer.DATE_COLUMNS:
        return SortShape(SortKind.CLINICAL_DATE, key.descending)
    if is_ordered_by_body(parameter):
        source = source_of(parameter, BodyPart.ORDER)
        exact = parameter.exact or parameter.type is SearchType.REFERENCE
        return SortShape(SortKind.BODY, key.descending, source=source, exact=exact)
    codes = variants(parameter.resource_type, parameter.code)
    name, many = binder.bind_list(parameter_key(parameter.resource_type, code) for code in codes)
    return SortShape(_SORT_KINDS[parameter.type], key.descending, name, many)
