"""The whole query string → a Search, or the criteria of a conditional interaction (FHIR R4 search.html).

What the client sent wrongly is named by parameter, never by value: values may tell about a patient.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from fhir_server.errors import InvalidParameter, ParameterTooCostly, RequestError, UnsupportedParameter
from fhir_server.fhir.parse.criteria import CriterionParser, inner_searches
from fhir_server.fhir.parse.faults import MalformedValue, SearchTooLarge, UnknownParameter, UnsupportedSearch
from fhir_server.fhir.parse.results import CURSOR, GENERAL, RESULT, ResultParameters
from storage.search.query import Criterion, Search, Total

MAX_PARAMETERS: Final = 50
MAX_INNER_SEARCHES: Final = 100
"""In all chains together: one of six steps that names no types may stand for hundreds."""

_REFUSALS: Final = {
    MalformedValue: InvalidParameter,
    SearchTooLarge: ParameterTooCostly,
    UnsupportedSearch: UnsupportedParameter,
}

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ParsedSearch:
    """A search, and the names of parameters that were left out of it because nobody knows them (S4)."""

    search: Search
    ignored: tuple[str, ...]


def parse_pairs(query: str) -> Pairs:
    """Return the name-value pairs of a query string or form body, `+` and %20 as spaces (S5).

    Raises InvalidParameter for percent-encoded bytes that are not UTF-8, for NUL and for too many parameters.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, encoding="utf-8", errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidParameter("", "percent-encoded text must be UTF-8") from error
    for name, value in pairs:
        if "\x00" in name or "\x00" in value:
            raise InvalidParameter(_shown(name), "the character U+0000 is not allowed")
    return tuple(pairs)


def parse_search(
    resource_type: str,
    pairs: Iterable[tuple[str, str]],
    *,
    strict: bool,
    base_url: str,
    default_count: int = 50,
    max_count: int = 1000,
) -> ParsedSearch:
    """Return the search that the pairs ask for.

    With `strict` (`Prefer: handling=strict`) an unknown parameter is an error, else it is left out and named in
    `ignored`. Unknown modifiers and malformed values are always errors. Raises InvalidParameter and
    UnsupportedParameter.
    """
    parser = CriterionParser(base_url.rstrip("/"))
    results = ResultParameters(resource_type, default_count, max_count)
    criteria: dict[Criterion, None] = {}
    used: list[tuple[str, str]] = []
    ignored: list[str] = []
    cursor: str | None = None
    for name, value in _limited(pairs):
        if name in GENERAL or not value:
            continue
        if name == CURSOR:
            cursor = value
            continue
        try:
            _take(parser, results, criteria, name, value)
            _require_bounded(criteria)
        except UnknownParameter as error:
            if strict:
                raise _unknown(resource_type, name) from error
            ignored.append(_shown(name))
            continue
        except (MalformedValue, UnsupportedSearch, SearchTooLarge) as error:
            raise _invalid(name, error) from error
        if name != "_count":
            used.append((name, value))
    count = results.page_size()
    if not results.counts_only:
        used.append(("_count", str(count)))
    search = Search(
        resource_type=resource_type,
        criteria=tuple(criteria),
        sort=results.sort,
        count=count,
        includes=tuple(dict.fromkeys(results.includes)),
        total=results.total if count else Total.ACCURATE,
        cursor=cursor,
        parameters=tuple(used),
    )
    return ParsedSearch(search, tuple(dict.fromkeys(ignored)))


def parse_criteria(resource_type: str, query: str, *, base_url: str = "") -> tuple[Criterion, ...]:
    """Return the criteria of a conditional interaction or conditional reference (http.html#cond-update).

    Every parameter must be known and at least one must have a value: never "match all". Raises InvalidParameter and
    UnsupportedParameter.
    """
    parser = CriterionParser(base_url.rstrip("/"))
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
            raise _unknown(resource_type, name) from error
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
        raise SearchTooLarge(
            f"chains lead to more than {MAX_INNER_SEARCHES} searches: name the types, as in subject:Patient.name"
        )


def _limited(pairs: Iterable[tuple[str, str]]) -> Pairs:
    known = tuple(pairs)
    if len(known) > MAX_PARAMETERS:
        raise ParameterTooCostly("", f"more than {MAX_PARAMETERS} parameters; send fewer")
    return known


def _unknown(resource_type: str, name: str) -> InvalidParameter:
    return InvalidParameter(_shown(name), f"{resource_type} has no such search parameter; see /metadata")


def _invalid(name: str, error: MalformedValue | UnsupportedSearch | SearchTooLarge) -> RequestError:
    return _REFUSALS[type(error)](_shown(name), str(error))


def _shown(name: str) -> str:
    """Return a parameter's name as it may be shown and logged: short and printable."""
    return "".join(character if character.isprintable() else "?" for character in name[:80])
