"""The whole query string → a Search, or the criteria of a conditional interaction (FHIR R4 search.html).

What the client sent wrongly is named by parameter, never by value: values may tell about a patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Final
from urllib.parse import unquote

from capability.search_parameters import SearchType
from fhir_server.errors import (
    InvalidParameter,
    ParameterNotKnown,
    ParameterTooCostly,
    RequestError,
    UnsupportedParameter,
)
from fhir_server.fhir.negotiation import Pairs
from fhir_server.fhir.parse.cautions import cautions_of
from fhir_server.fhir.parse.criteria import CriterionParser, inner_searches
from fhir_server.fhir.parse.faults import MalformedValue, SearchTooLarge, UnknownParameter, UnsupportedSearch
from fhir_server.fhir.parse.results import CURSOR, GENERAL, NAMING, RESULT, ResultParameters
from fhir_server.fhir.parse.values import Ground
from fhir_server.fhir.subset import Subset
from storage.search.query import Criterion, Part, Search, SortKey, Total

MAX_PARAMETERS: Final = 50
MAX_INNER_SEARCHES: Final = 100
"""In all chains together: one of six steps that names no types may stand for hundreds."""

MAX_VALUES_OF_ALL: Final = 10_000
"""Values of a search over several types, each counted once for every type."""
TEXT_ALONE: Final = "Includes are not answered beside _summary=text and were left out."
_INCLUDING: Final = ("_include", "_revinclude")
_REFUSALS: Final = {
    MalformedValue: InvalidParameter,
    SearchTooLarge: ParameterTooCostly,
    UnsupportedSearch: UnsupportedParameter,
}


@dataclass(frozen=True, slots=True)
class ParsedSearch:
    """A search, and what besides its matches the answer is made of.

    `ignored` names parameters that were left out because nobody knows them (S4), `cautions` say what else the client
    should know. `subset` is the part of each match that is shown, None for all of it.
    """

    search: Search
    ignored: tuple[str, ...]
    cautions: tuple[str, ...] = ()
    subset: Subset | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a search is made that is not addressed to a type: over `types`, at `address` below the base.

    `within` gives for each type the criterion that puts it into the compartment; it is empty where there is none.
    `shown` are parameters that the scope follows from, for the self link.
    """

    types: tuple[str, ...]
    address: str
    within: Mapping[str, Criterion] = field(default_factory=dict)
    shown: Pairs = ()


def parse_pairs(query: str) -> Pairs:
    """Return the name-value pairs of a query string or form body, `+` and %20 as spaces (S5).

    Raises InvalidParameter for percent-encoded bytes that are not UTF-8, for NUL and for too many parameters.
    """
    try:
        pairs = tuple(
            (_decoded(name), _decoded(value)) for name, value in map(_parted, query.split("&")) if name or value
        )
    except UnicodeDecodeError as error:
        raise InvalidParameter("", "percent-encoded text must be UTF-8") from error
    if "%00" in query or "\x00" in query:
        for name, value in pairs:
            if "\x00" in name or "\x00" in value:
                raise InvalidParameter(_shown(name), "the character U+0000 is not allowed")
    return pairs


def _parted(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _decoded(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    return unquote(text, encoding="utf-8", errors="strict") if "%" in text else text


def parse_search(
    where: str | Scope,
    pairs: Iterable[tuple[str, str]],
    *,
    strict: bool,
    base_url: str,
    zone: tzinfo = UTC,
    default_count: int = 50,
    max_count: int = 1000,
) -> ParsedSearch:
    """Return the search that the pairs ask for, of one type or in a scope.

    With `strict` (`Prefer: handling=strict`) an unknown parameter is an error, else it is left out and named in
    `ignored`. Unknown modifiers and malformed values are always errors. Of several types a parameter is known when
    every one of them has it (S1). Times without an offset are of `zone`. Raises InvalidParameter and
    UnsupportedParameter.
    """
    scope = where if isinstance(where, Scope) else Scope((where,), "")
    results = ResultParameters(scope.types, default_count, max_count)
    asked = _Asked(scope, CriterionParser(Ground(base_url.rstrip("/"), zone)), results)
    used = list(scope.shown)
    ignored: list[str] = []
    cursor: str | None = None
    for name, value in _limited(pairs):
        if name in GENERAL or not value:
            continue
        if name == CURSOR:
            cursor = value
            continue
        try:
            asked.take(name, value)
        except UnknownParameter as error:
            if strict:
                raise _unknown(scope.types, name) from error
            ignored.append(_shown(name))
            continue
        except (MalformedValue, UnsupportedSearch, SearchTooLarge) as error:
            raise _invalid(name, error) from error
        if name != "_count":
            used.append((name, value))
    if results.includes and not results.shows_includes:
        if strict:
            raise InvalidParameter("_include", TEXT_ALONE)
        asked.cautions.append(TEXT_ALONE)
        results.includes.clear()
        used = [pair for pair in used if not pair[0].startswith(_INCLUDING)]
    if not results.counts_only:
        used.append(("_count", str(results.page_size())))
    search = asked.search(cursor, tuple(used))
    return ParsedSearch(search, tuple(dict.fromkeys(ignored)), tuple(dict.fromkeys(asked.cautions)), results.subset)


class _Asked:
    """What the parameters of a search have said so far, type by type."""

    def __init__(self, scope: Scope, parser: CriterionParser, results: ResultParameters) -> None:
        self.results = results
        self.cautions: list[str] = []
        self._scope = scope
        self._parser = parser
        self._criteria: dict[str, dict[Criterion, None]] = {
            each: dict.fromkeys([scope.within[each]] if scope.within else []) for each in scope.types
        }
        self._orders: dict[str, tuple[SortKey, ...]] = {}
        self._values = 0
        self._inner = 0

    def take(self, name: str, value: str) -> None:
        """Take one parameter; raises what the parsers raise, and then nothing of it is kept."""
        base, _, modifier = name.partition(":")
        if base in RESULT:
            if base == "_sort":
                self._order_others(modifier, value)
            self.results.add(base, modifier, value)
            return
        types = self._scope.types
        if len(types) > 1:
            self._values += len(types) * (1 + value.count(","))
            if self._values > MAX_VALUES_OF_ALL:
                raise SearchTooLarge("too many values for so many types: name fewer types in _type")
        for each, criterion in [(each, self._parser.parse(each, name, value)) for each in types]:
            if criterion is not None:
                self._criteria[each][criterion] = None
                self.cautions += cautions_of(criterion)
                self._inner += inner_searches(criterion)
        if self._inner > MAX_INNER_SEARCHES:
            raise _too_many_inner()

    def search(self, cursor: str | None, used: Pairs) -> Search:
        """Return the whole search; `used` are the pairs that were taken."""
        results, types = self.results, self._scope.types
        parts = [
            Part(each, tuple(self._criteria[each]), results.sort if at == 0 else self._orders.get(each, ()))
            for at, each in enumerate(types)
        ]
        count = results.page_size()
        only = parts[0] if len(parts) == 1 else Part("", (), ())
        return Search(
            resource_type=only.resource_type,
            criteria=only.criteria,
            sort=only.sort,
            count=count,
            includes=tuple(dict.fromkeys(results.includes)),
            total=results.total if count else Total.ACCURATE,
            cursor=cursor,
            parameters=used,
            several=tuple(parts) if len(parts) > 1 else (),
            address=self._scope.address,
        )

    def _order_others(self, modifier: str, value: str) -> None:
        """Order the types beside the first by the same keys; what is no key of the same kind for all is unknown."""
        first, *others = self._scope.types
        kinds: set[tuple[SearchType, ...]] = set()
        orders: dict[str, tuple[SortKey, ...]] = {}
        for each in (first, *others) if others else ():
            order = ResultParameters((each,), 0, 0)
            order.add("_sort", modifier, value)
            orders[each] = order.sort
            kinds.add(tuple(key.parameter.type for key in order.sort))
        if len(kinds) > 1:
            raise UnknownParameter("_sort")
        self._orders = orders


def parse_criteria(resource_type: str, query: str, *, base_url: str = "", zone: tzinfo = UTC) -> tuple[Criterion, ...]:
    """Return the criteria of a conditional interaction or conditional reference (http.html#cond-update).

    Every parameter must be known and at least one must have a value: never "match all". Raises InvalidParameter and
    UnsupportedParameter.
    """
    parser = CriterionParser(Ground(base_url.rstrip("/"), zone))
    criteria: dict[Criterion, None] = {}
    for name, value in _limited(parse_pairs(query)):
        if name in RESULT:
            raise InvalidParameter(name, "a condition holds search criteria only")
        try:
            criterion = parser.parse(resource_type, name, value)
            if criterion is not None:
                criteria[criterion] = None
            _require_bounded(criteria)
        except UnknownParameter as error:
            raise _unknown((resource_type,), name) from error
        except (MalformedValue, UnsupportedSearch, SearchTooLarge) as error:
            raise _invalid(name, error) from error
    if not criteria:
        raise InvalidParameter("", "a condition needs at least one search criterion with a value")
    return tuple(criteria)


def _take(
    parser: CriterionParser, results: ResultParameters, criteria: dict[Criterion, None], name: str, value: str
) -> None:
    base, _, modifier = name.partition(":")
    if base in RESULT:
        results.add(base, modifier, value)
        return
    criterion = parser.parse(results.resource_type, name, value)
    if criterion is not None:
        criteria[criterion] = None


def _require_bounded(criteria: Iterable[Criterion]) -> None:
    if sum(map(inner_searches, criteria)) > MAX_INNER_SEARCHES:
        raise _too_many_inner()


def _too_many_inner() -> SearchTooLarge:
    return SearchTooLarge(
        f"chains lead to more than {MAX_INNER_SEARCHES} searches: name the types, as in subject:Patient.name"
    )


def _limited(pairs: Iterable[tuple[str, str]]) -> Pairs:
    known = tuple(pairs)
    if len(known) > MAX_PARAMETERS:
        raise ParameterTooCostly("", f"more than {MAX_PARAMETERS} parameters; send fewer")
    return known


def _unknown(types: tuple[str, ...], name: str) -> ParameterNotKnown:
    if len(types) > 1:
        remedy = "not all types searched have this search parameter; name those that do in _type"
        return ParameterNotKnown(_shown(name), remedy)
    if name.partition(":")[0] in NAMING:
        return ParameterNotKnown(_shown(name), f"it names what {types[0]} does not have here; see /metadata")
    return ParameterNotKnown(_shown(name), f"{types[0]} has no such search parameter; see /metadata")


def _invalid(name: str, error: MalformedValue | UnsupportedSearch | SearchTooLarge) -> RequestError:
    return _REFUSALS[type(error)](_shown(name), str(error))


def _shown(name: str) -> str:
    """Return a parameter's name as it may be shown and logged: short and printable."""
    return "".join(character if character.isprintable() else "?" for character in name[:80])
