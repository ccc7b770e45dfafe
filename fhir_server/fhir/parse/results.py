"""Parameters that shape the result, not the matches: `_sort`, `_count`, `_total`, `_include` … (search.html#return)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from capability.elements import RESOURCE_TYPES
from capability.search_parameters import SearchType, find
from fhir_server.fhir.parse.escapes import split
from fhir_server.fhir.parse.faults import MalformedValue, SearchTooLarge, UnknownParameter
from fhir_server.fhir.subset import Subset, Summary, elements_asked, joined, summary_of
from storage.search.order import is_sortable
from storage.search.query import Include, SortKey, Total

MAX_INCLUDES: Final = 20
MAX_SORT_KEYS: Final = 5
GENERAL: Final = frozenset({"_format", "_pretty", "fhirVersion"})
"""Parameters of every interaction, read by negotiation (http.html#parameters)."""
CURSOR: Final = "_cursor"
"""The parameter of `next` links that holds the page's place."""
RESULT: Final = frozenset(
    {"_sort", "_count", "_total", "_summary", "_elements", "_include", "_revinclude", "_contained", "_containedType"}
)
NAMING: Final = frozenset({"_sort", "_include", "_revinclude"})
"""Those whose values name search parameters: unknown may be what they name."""

_TYPES: Final = frozenset(RESOURCE_TYPES)
_ITERATING: Final = frozenset({"iterate", "recurse"})


@dataclass(slots=True)
class ResultParameters:
    """What the result parameters of one search said so far; `types` are those that it looks for."""

    types: tuple[str, ...]
    default_count: int
    max_count: int
    count: int | None = None
    sort: tuple[SortKey, ...] = ()
    total: Total = Total.DEFAULT
    includes: list[Include] = field(default_factory=list)
    include_parameters: int = 0
    counts_only: bool = False
    subset: Subset | None = None
    """The part of each match that is asked for, None for whole resources."""

    @property
    def resource_type(self) -> str:
        """The type that the search looks for, the first of several."""
        return self.types[0]

    @property
    def shows_includes(self) -> bool:
        """Whether includes are answered: not beside texts only (search.html#summary)."""
        return self.subset is None or self.subset.summary is not Summary.TEXT

    def page_size(self) -> int:
        """Return the page size; 0 when only the total is wanted (search.html#count, #summary)."""
        if self.counts_only:
            return 0
        return min(self.default_count if self.count is None else self.count, self.max_count)

    def add(self, name: str, modifier: str, value: str) -> None:
        """Take one parameter of RESULT.

        Raises UnknownParameter for a sort key or include that does not exist, MalformedValue, UnsupportedSearch and
        SearchTooLarge.
        """
        if name in ("_include", "_revinclude"):
            self._add_include(name, modifier, value)
            return
        if modifier:
            raise MalformedValue(f"{name} has no modifier")
        match name:
            case "_count":
                self._set_count(value)
            case "_sort":
                self._set_sort(value)
            case "_total":
                self._set_total(value)
            case "_summary":
                self._set_summary(value)
            case "_elements":
                self._set_subset(elements_asked(value))
            case _:  # contained resources are not searched: what asks for them is ignored, and said to be (Q10)
                if (name, value) != ("_contained", "false"):
                    raise UnknownParameter(name)

    def _set_count(self, value: str) -> None:
        if self.count is not None:
            raise MalformedValue("give _count once")
        if not value.isascii() or not value.isdigit() or len(value) > 9:
            raise MalformedValue("_count is a whole number, 0 or more")
        self.count = int(value)

    def _set_sort(self, value: str) -> None:
        if self.sort:
            raise MalformedValue("give _sort once, its keys separated by commas")
        keys: dict[str, SortKey] = {}
        for piece in filter(None, split(value, ",")):
            code = piece.removeprefix("-")
            parameter = find(self.resource_type, code)
            if parameter is None or not is_sortable(parameter):
                raise UnknownParameter("_sort")
            keys.setdefault(code, SortKey(parameter, descending=piece.startswith("-")))
        if len(keys) > MAX_SORT_KEYS:
            raise SearchTooLarge(f"more than {MAX_SORT_KEYS} sort keys")
        self.sort = tuple(keys.values())

    def _set_total(self, value: str) -> None:
        if value not in {"none", "estimate", "accurate"}:
            raise MalformedValue("_total is none, estimate or accurate")
        self.total = Total(value)

    def _set_summary(self, value: str) -> None:
        if value == "count":
            self.counts_only = True
            return
        try:
            asked = summary_of(value)
        except ValueError:
            raise MalformedValue("_summary is true, text, data, count or false") from None
        self._set_subset(asked)

    def _set_subset(self, asked: Subset | None) -> None:
        try:
            self.subset = joined(self.subset, asked)
        except ValueError as error:
            raise MalformedValue(str(error)) from error

    def _add_include(self, name: str, modifier: str, value: str) -> None:
        if modifier and modifier not in _ITERATING:
            raise MalformedValue(f"{name} has the modifier :iterate only")
        self.include_parameters += 1
        if self.include_parameters > MAX_INCLUDES:
            raise SearchTooLarge(f"more than {MAX_INCLUDES} includes")
        reverse = name == "_revinclude"
        parts = value.split(":")
        if value == "*" and not reverse:
            self.includes += [Include(each, None, None, reverse, iterate=bool(modifier)) for each in self.types]
            return
        if not 2 <= len(parts) <= 3 or not all(parts):
            raise MalformedValue(f"{name} is Type:parameter, Type:parameter:Target or Type:*")
        source, code = parts[:2]
        target = parts[2] if len(parts) == 3 else None
        if source not in _TYPES or (target is not None and target not in _TYPES):
            raise MalformedValue(f"{name} names what is not a resource type")
        parameter = None if code == "*" else find(source, code)
        if code != "*" and (parameter is None or parameter.type is not SearchType.REFERENCE):
            raise UnknownParameter(name)
        if target is not None and parameter is not None and not parameter.permits(target):
            raise MalformedValue(f"{source}:{code} does not refer to {target}")
        if not modifier and (target if reverse else source) not in {None, *self.types}:
            raise UnknownParameter(name)  # it starts from what no match is, and would silently bring nothing
        self.includes.append(Include(source, parameter, target, reverse, iterate=bool(modifier)))
