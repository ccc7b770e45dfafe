"""A small interpreter of searches over plain resources: what is found, in which order, with what included.

It knows no index and no SQL, and has its own reading of dates, precision and units (fhir_rest.md §8). Only the elements
that a parameter means are found by the same compiled expressions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from capability.bindings import implied_system
from capability.search_parameters import SearchParameter, SearchType, search_parameters
from storage.projection.paths import compile_paths
from storage.search.query import (
    Chain,
    Composite,
    Criterion,
    Date,
    Has,
    Ids,
    Include,
    LastUpdated,
    Match,
    Missing,
    Modifier,
    Number,
    Prefix,
    Quantity,
    Reference,
    ReferenceUrl,
    Search,
    SortKey,
    Text,
    Token,
    TypedIdentifier,
    Uri,
    Value,
)
from storage.search.ucum import canonical_quantity

Resource = Mapping[str, Any]
UCUM = "http://unitsofmeasure.org"
INFINITY = float("inf")
End = tuple[Any, int]
"""An end of an interval: a number or time, and 1 for what lies just above it."""
Interval = tuple[End, End]
"""From the first end up to, not including, the second."""


@dataclass(frozen=True)
class World:
    """All current resources of an organization, in the order of their creation."""

    resources: Sequence[Resource]
    now: int
    """Microseconds since 1970 UTC."""
    updated: int = 0
    """When all of them were written, in milliseconds since 1970 UTC."""
    stored_sets: Sequence[Resource] = field(default=())
    """ValueSet and CodeSystem resources, where they are not among the resources."""

    def find(self, resource_type: str, criteria: Sequence[Criterion]) -> set[str]:
        """Return the ids of what meets all criteria."""
        return {each["id"] for each in self.matches(resource_type, criteria)}

    def matches(self, resource_type: str, criteria: Sequence[Criterion]) -> list[Resource]:
        """Return what meets all criteria, in the order of creation."""
        return [
            each
            for each in self.resources
            if each["resourceType"] == resource_type and all(self.meets(each, criterion) for criterion in criteria)
        ]

    def search(self, search: Search) -> list[str]:
        """Return the ids of all matches in the order asked for: newest first without any, which also settles ties."""
        found = self.matches(search.resource_type, search.criteria)
        falling = search.sort[-1].descending if search.sort else True
        if falling:
            found.reverse()
        for key in reversed(search.sort):
            found = in_order(found, key)
        return [each["id"] for each in found]

    def included(self, search: Search, page: Iterable[str]) -> set[str]:
        """Return what the includes bring to a page, as Type/id; no match of the page comes again."""
        starts = [each for each in self.resources if name_of(each) in set(page)]
        seen = {name_of(each) for each in starts}
        matches = set(seen)
        includes: Sequence[Include] = search.includes
        while includes and starts:
            reached = [other for include in includes for start in starts for other in self._along(include, start)]
            starts = [other for other in reached if name_of(other) not in seen]
            seen.update(map(name_of, starts))
            includes = [include for include in search.includes if include.iterate]
        return seen - matches

    def _along(self, include: Include, start: Resource) -> Iterator[Resource]:
        everything = search_parameters(include.source).values()
        parameters = [include.parameter] if include.parameter else list(everything)
        for parameter in parameters:
            if parameter.type is not SearchType.REFERENCE:
                continue
            if include.reverse:
                if include.target in {None, start["resourceType"]}:
                    yield from (other for other in self._referring(parameter) if self._refers(other, parameter, start))
            elif start["resourceType"] == include.source:
                for target in self._targets(start, parameter):
                    if include.target in {None, target["resourceType"]}:
                        yield target

    def _referring(self, parameter: SearchParameter) -> Iterator[Resource]:
        return (other for other in self.resources if other["resourceType"] == parameter.resource_type)

    def _refers(self, other: Resource, parameter: SearchParameter, target: Resource) -> bool:
        return any(each is target for each in self._targets(other, parameter))

    def meets(self, resource: Resource, criterion: Criterion) -> bool:
        match criterion:
            case Match(parameter, Modifier.NOT, values):
                return not any(self._has_value(resource, parameter, Modifier.NONE, value) for value in values)
            case Match(parameter, Modifier.NOT_IN, values):
                return not any(self._has_value(resource, parameter, Modifier.IN, value) for value in values)
            case Match(parameter, modifier, values):
                return any(self._has_value(resource, parameter, modifier, value) for value in values)
            case Missing(parameter, missing):
                return missing is not any(has_value(*each, parameter) for each in elements(resource, parameter))
            case Ids(_, ids):
                return resource["id"] in ids
            case Chain(parameter, targets):
                return any(
                    self.meets(other, target.criterion)
                    for target in targets
                    for other in self._targets(resource, parameter)
                    if other["resourceType"] == target.resource_type
                )
            case Has(parameter, inner):
                return any(
                    self._refers(other, parameter, resource) and self.meets(other, inner)
                    for other in self._referring(parameter)
                )
            case LastUpdated(dates):
                low = self.updated * 1000
                return any(_same_date(((low, 0), (low + 1000, 0)), date, self.now) for date in dates)
            case _:
                raise NotImplementedError("compartments are not of the oracle")

    def _targets(self, resource: Resource, parameter: SearchParameter) -> Iterator[Resource]:
        for value, datatype, _ in elements(resource, parameter):
            named = (value if datatype == "canonical" else value.get("reference", "")).partition("/_history/")[0]
            for other in self.resources:
                if name_of(other) == named:
                    yield other

    def _has_value(self, resource: Resource, parameter: SearchParameter, modifier: Modifier, value: Value) -> bool:
        if isinstance(value, Composite):
            return self._has_composite(resource, parameter, value)
        return any(
            self.compares(found, datatype, element, parameter, modifier, value)
            for found, datatype, element in elements(resource, parameter)
        )

    def _has_composite(self, resource: Resource, parameter: SearchParameter, value: Composite) -> bool:
        for base in compile_paths(parameter.resource_type, parameter.expression):
            for node in base.values(resource):
                parts = zip(parameter.components, value.parts, strict=True)
                if all(
                    any(
                        self.compares(found, path.datatype, path.element, parameter, Modifier.NONE, part)
                        for path in compile_paths(base.datatype, component.expression)
                        for found in path.values(node)
                    )
                    for component, part in parts
                ):
                    return True
        return False

    def compares(
        self, found: Any, datatype: str, element: str, parameter: SearchParameter, modifier: Modifier, value: Value
    ) -> bool:
        """Say whether one stored value meets one asked value."""
        match value:
            case TypedIdentifier(system, code, number):
                codings = found.get("type", {}).get("coding", [])
                return found.get("value") == number and any(
                    coding.get("system", "") == system and coding.get("code", "").casefold() == code.casefold()
                    for coding in codings
                )
            case Token() if modifier is Modifier.IDENTIFIER:
                identifier = found.get("identifier", {})
                return _same_token(identifier.get("value"), identifier.get("system", ""), value, exact=True)
            case Token() | Uri() if parameter.type is SearchType.TOKEN and modifier is not Modifier.NONE:
                known = list(tokens(found, datatype, element))
                return any(code is not None and self._stands(modifier, value, code, system) for code, system in known)
            case Token():
                return any(
                    _same_token(code, system, value, parameter.exact)
                    for code, system in tokens(found, datatype, element)
                )
            case Text(text) if modifier is Modifier.TEXT:
                return any(plain(each).startswith(plain(text)) for each in labels(found, datatype))
            case Text(text):
                return any(_same_text(each, text, modifier) for each in texts(found, datatype))
            case Uri(uri):
                return any(_same_uri(each, uri, modifier) for each in uris(found, datatype))
            case Date():
                stored = times(found, datatype)
                return stored is not None and _same_date(stored, value, self.now)
            case Number():
                exact = Fraction(found)
                return _same_number(((exact, 0), (exact, 1)), value, Fraction)
            case Quantity():
                return _same_quantity(found, datatype, value)
            case Reference() | ReferenceUrl():
                return _same_reference(found, datatype, parameter, value)
            case Composite():
                raise TypeError("a composite has no composite part")

    # --- value sets and hierarchies ---

    def _stands(self, modifier: Modifier, asked: Value, code: str, system: str) -> bool:
        """Say whether a code is a member of a value set, or stands above or below another code."""
        match asked:
            case Uri(url):
                return self._is_member(url, code, system)
            case Token(str(other_system), str(other)):
                if system != other_system:
                    return False
                lower, upper = (code, other) if modifier is Modifier.BELOW else (other, code)
                return self._is_below(system, lower, upper)
            case _:
                raise TypeError("not a code")

    def _stored(self, url: str) -> Resource:
        return next(each for each in (*self.stored_sets, *self.resources) if each.get("url") == url)

    def _is_member(self, url: str, code: str, system: str) -> bool:
        compose = self._stored(url)["compose"]
        out = any(self._is_selected(part, code, system) for part in compose.get("exclude", []))
        return not out and any(self._is_selected(part, code, system) for part in compose["include"])

    def _is_selected(self, part: Mapping[str, Any], code: str, system: str) -> bool:
        if "system" in part and part["system"] != system:
            return False
        listed = [each["code"].casefold() for each in part.get("concept", [])]
        if "concept" in part and code.casefold() not in listed:
            return False
        if not all(self._is_below(system, code, each["value"]) for each in part.get("filter", [])):
            return False
        return all(self._is_member(url, code, system) for url in part.get("valueSet", []))

    def _is_below(self, system: str, lower: str, upper: str) -> bool:
        if lower.casefold() == upper.casefold():
            return True
        concepts = _nested(self._stored(system)["concept"])
        return any(upper.casefold() in above for code, above in concepts if code == lower.casefold())


def _nested(concepts: Sequence[Mapping[str, Any]], above: frozenset[str] = frozenset()) -> Iterator[tuple[str, Any]]:
    for concept in concepts:
        code = concept["code"].casefold()
        yield code, above
        yield from _nested(concept.get("concept", []), above | {code})


def name_of(resource: Resource) -> str:
    """Return Type/id."""
    return f"{resource['resourceType']}/{resource['id']}"


def elements(resource: Resource, parameter: SearchParameter) -> Iterator[tuple[Any, str, str]]:
    """Yield the values of a parameter with their data types and elements."""
    for path in compile_paths(parameter.resource_type, parameter.expression):
        for value in path.values(resource):
            if (parameter.type, path.datatype) not in _NOT_COMPARED:
                yield value, path.datatype, path.element


def has_value(found: Any, datatype: str, _element: str, parameter: SearchParameter) -> bool:
    """Say whether an element has what its parameter compares: a Timing may be without any time."""
    return parameter.type is not SearchType.DATE or times(found, datatype) is not None


_NOT_COMPARED = {
    (SearchType.DATE, "string"),
    (SearchType.DATE, "Age"),
    (SearchType.DATE, "Range"),
    (SearchType.QUANTITY, "SampledData"),
}

# --- order ------------------------------------------------------------------------------------------------------------


def in_order(found: list[Resource], key: SortKey) -> list[Resource]:
    """Return resources by one key, equal ones as they were: rising by the lowest value, falling by the highest."""
    choose = max if key.descending else min
    with_value = [(each, list(sort_values(each, key.parameter))) for each in found]
    present = [(choose(values), each) for each, values in with_value if values]
    present.sort(key=lambda pair: pair[0], reverse=key.descending)
    return [each for _, each in present] + [each for each, values in with_value if not values]


def sort_values(resource: Resource, parameter: SearchParameter) -> Iterator[Any]:
    """Yield what a resource is sorted by; what begins nowhere has no place in the order."""
    if parameter.code == "_id":
        yield resource["id"]
    elif parameter.code != "_lastUpdated":  # all were written at once
        for found, datatype, element in elements(resource, parameter):
            yield from _ORDERED[parameter.type](found, datatype, element, parameter)


def _ordered_token(found: Any, datatype: str, element: str, parameter: SearchParameter) -> Iterator[str]:
    for code, _ in tokens(found, datatype, element):
        if code is not None:
            yield code if parameter.exact else "".join(c.lower() if c.isascii() else c for c in code)


def _ordered_reference(found: Any, datatype: str, _element: str, _parameter: SearchParameter) -> Iterator[str]:
    text = found if datatype == "canonical" else found.get("reference")
    if text is not None:
        yield text


def _ordered_interval(interval: Interval | None) -> Iterator[End]:
    if interval is not None and interval[0][0] != -INFINITY:
        yield interval[0]


_ORDERED: dict[SearchType, Callable[[Any, str, str, SearchParameter], Iterator[Any]]] = {
    SearchType.TOKEN: _ordered_token,
    SearchType.REFERENCE: _ordered_reference,
    SearchType.STRING: lambda found, datatype, *_: (plain(text) for text in texts(found, datatype)),
    SearchType.URI: lambda found, datatype, *_: iter(uris(found, datatype)),
    SearchType.DATE: lambda found, datatype, *_: _ordered_interval(times(found, datatype)),
    SearchType.NUMBER: lambda found, *_: iter([(Fraction(found), 0)]),
    SearchType.QUANTITY: lambda found, datatype, *_: _ordered_interval(amounts(found, datatype, Fraction)),
}

# --- tokens, texts, uris ----------------------------------------------------------------------------------------------


def tokens(found: Any, datatype: str, element: str) -> Iterator[tuple[str | None, str]]:
    """Yield code and system of each token in a value."""
    match datatype:
        case "CodeableConcept":
            for coding in found.get("coding", []):
                yield coding.get("code"), coding.get("system", "")
        case "Coding":
            yield found.get("code"), found.get("system", "")
        case "Identifier" | "ContactPoint":
            yield found.get("value"), found.get("system", "")
        case "boolean":
            yield str(found).lower(), ""
        case _:
            yield found, implied_system(element) or ""


def _same_token(code: str | None, system: str, asked: Token, exact: bool) -> bool:
    if asked.system is not None and asked.system != system:
        return False
    if asked.code is None:
        return True
    if code is None:
        return False
    return code == asked.code if exact else code.casefold() == asked.code.casefold()


def labels(found: Any, datatype: str) -> Iterator[str]:
    """Yield what people read of a token (search.html#token, `:text`)."""
    match datatype:
        case "CodeableConcept":
            yield from (coding["display"] for coding in found.get("coding", []) if "display" in coding)
            yield from [found["text"]] if "text" in found else []
        case "Coding":
            yield from [found["display"]] if "display" in found else []
        case "Identifier":
            yield from [found["type"]["text"]] if "text" in found.get("type", {}) else []


def texts(found: Any, datatype: str) -> Iterator[str]:
    """Yield the texts of a value."""
    if isinstance(found, str):
        yield found
        return
    names = {
        "HumanName": ("text", "family", "given", "prefix", "suffix"),
        "Address": ("text", "line", "city", "district", "state", "country", "postalCode"),
    }[datatype]
    for name in names:
        part = found.get(name, [])
        yield from [part] if isinstance(part, str) else part


def plain(text: str) -> str:
    """Return text without case, accents and superfluous space."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(bare.casefold().replace("ø", "o").split())


def _same_text(found: str, asked: str, modifier: Modifier) -> bool:
    match modifier:
        case Modifier.EXACT:
            return unicodedata.normalize("NFC", found) == unicodedata.normalize("NFC", asked)
        case Modifier.CONTAINS:
            return plain(asked) in plain(found)
        case _:
            return plain(found).startswith(plain(asked))


def uris(found: str, datatype: str) -> list[str]:
    """Return the forms that a uri is found by: a canonical with and without its version."""
    return [found, found.partition("|")[0]] if datatype == "canonical" and "|" in found else [found]


def _same_uri(found: str, asked: str, modifier: Modifier) -> bool:
    if found == asked:
        return True
    match modifier:
        case Modifier.BELOW:
            return found.startswith(asked.rstrip("/") + "/")
        case Modifier.ABOVE:
            return asked.startswith(found.rstrip("/") + "/")
        case _:
            return False


# --- dates ------------------------------------------------------------------------------------------------------------

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)?(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def span(text: str) -> tuple[int, int]:
    """Return the microseconds that a date covers, by the precision it is written with."""
    match [int(part) for part in text.split("T")[0].split("-")]:
        case [year]:
            return _micros(datetime(year, 1, 1, tzinfo=UTC)), _micros(datetime(year + 1, 1, 1, tzinfo=UTC))
        case [year, month]:
            end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
            return _micros(datetime(year, month, 1, tzinfo=UTC)), _micros(end)
        case [year, month, day] if "T" not in text:
            start = datetime(year, month, day, tzinfo=UTC)
            return _micros(start), _micros(start + timedelta(days=1))
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError(text)
    minute, second, fraction, zone = found.groups()
    start = datetime.fromisoformat(f"{minute}{second or ':00'}{(zone or 'Z').replace('Z', '+00:00')}")
    if second is None:
        return _micros(start), _micros(start + timedelta(minutes=1))
    width = 10 ** (6 - len(fraction[1:])) if fraction else 1_000_000
    low = _micros(start) + (int(fraction[1:]) * width if fraction else 0)
    return low, low + width


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def times(found: Any, datatype: str) -> Interval | None:
    """Return the interval of a stored date, Period or Timing."""
    match datatype:
        case "Period":
            low = span(found["start"])[0] if "start" in found else -INFINITY
            high = span(found["end"])[1] if "end" in found else INFINITY
        case "Timing":
            spans = [span(event) for event in found.get("event", [])]
            bounds = found.get("repeat", {}).get("boundsPeriod")
            if bounds:
                (start, _), (end, _) = times(bounds, "Period") or ((0, 0), (0, 0))
                spans.append((start, end))
            if not spans:
                return None
            low, high = min(start for start, _ in spans), max(end for _, end in spans)
        case _:
            low, high = span(found)
    return (low, 0), (high, 0)


def _same_date(stored: Interval, asked: Date, now: int) -> bool:
    start, end = asked.low, asked.high
    if asked.prefix is Prefix.AP:
        gap = start - now if start > now else max(now - end, 0)
        width = max(gap // 10, end - start)
        return _overlap(stored, ((start - width, 0), (end + width, 0)))
    return _compares_as(asked.prefix, stored, ((start, 0), (end, 0)))


def _overlap(stored: Interval, asked: Interval) -> bool:
    return stored[0] < asked[1] and stored[1] > asked[0]


def _compares_as(prefix: Prefix, stored: Interval, asked: Interval) -> bool:
    """The table of fhir_rest.md §8.1, word for word."""
    (low, high), (start, end) = stored, asked
    equal = start <= low and high <= end
    match prefix:
        case Prefix.EQ:
            return equal
        case Prefix.NE:
            return not equal
        case Prefix.GT:
            return high > end
        case Prefix.LT:
            return low < start
        case Prefix.GE:
            return high > end or equal
        case Prefix.LE:
            return low < start or equal
        case Prefix.SA:
            return low >= end
        case Prefix.EB:
            return high <= start
        case Prefix.AP:
            return _overlap(stored, asked)


# --- numbers and quantities -------------------------------------------------------------------------------------------

_UNITS: dict[str, tuple[str, Callable[[Fraction], Fraction]]] = {
    "mg": ("mass", lambda value: value / 1000),
    "g": ("mass", lambda value: value),
    "kg": ("mass", lambda value: value * 1000),
    "Cel": ("temperature", lambda value: value + Fraction("273.15")),
    "[degF]": ("temperature", lambda value: (value + Fraction("459.67")) * 5 / 9),
    "mm[Hg]": ("pressure", lambda value: value * Fraction("133.322")),
    "kPa": ("pressure", lambda value: value * 1000),
}


def in_base(code: str, other: str) -> tuple[str, Callable[[Fraction], Fraction]]:
    """Return the dimension of a unit and how values become base units, by a table that has `other` too."""
    if code in _UNITS and other in _UNITS:
        return _UNITS[code]
    return canonical_quantity(Decimal(0), code)[1], lambda value: Fraction(canonical_quantity(_decimal(value), code)[0])


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def amounts(found: Mapping[str, Any], datatype: str, convert: Callable[[Any], Any]) -> Interval | None:
    """Return the interval of a stored quantity or Range, its numbers converted."""
    if datatype == "Range":
        least, most = (found.get(end, {}).get("value") for end in ("low", "high"))
        if least is None and most is None:
            return None
        low: End = (-INFINITY, 0) if least is None else (convert(Fraction(least)), 0)
        return low, (INFINITY, 0) if most is None else (convert(Fraction(most)), 1)
    if "value" not in found:
        return None
    exact = convert(Fraction(found["value"]))
    match found.get("comparator"):
        case "<":
            return (-INFINITY, 0), (exact, 0)
        case "<=":
            return (-INFINITY, 0), (exact, 1)
        case ">":
            return (exact, 1), (INFINITY, 0)
        case ">=":
            return (exact, 0), (INFINITY, 0)
        case _:
            return (exact, 0), (exact, 1)


def _same_quantity(found: Mapping[str, Any], datatype: str, asked: Quantity) -> bool:
    unit = (found.get("low") or found.get("high") or {}) if datatype == "Range" else found
    own, wanted = unit.get("code", ""), asked.code or ""
    convert_own = convert_asked = lambda value: value
    if asked.system is not None:
        if unit.get("system") != asked.system or not own:
            return False
        if asked.system == UCUM:
            dimension, convert_own = in_base(own, wanted)
            other, convert_asked = in_base(wanted, own)
            if dimension != other:
                return False
        elif own != wanted:
            return False
    elif wanted and wanted not in (own, unit.get("unit")):
        return False
    stored = amounts(found, datatype, convert_own)
    return stored is not None and _same_number(stored, asked.number, convert_asked)


def _same_number(stored: Interval, asked: Number, convert: Callable[[Fraction], Fraction]) -> bool:
    """Compare by the digits written, for `ap` with a tenth to either side, else exactly (N1, N2, N3)."""
    value = Fraction(asked.value)
    match asked.prefix:
        case Prefix.EQ | Prefix.NE:
            exponent = asked.value.as_tuple().exponent
            assert isinstance(exponent, int)
            half = Fraction(10) ** (exponent if exponent <= 0 else exponent - 1) / 2
            between = ((convert(value - half), 0), (convert(value + half), 0))
        case Prefix.AP:
            between = ((convert(value - abs(value) / 10), 0), (convert(value + abs(value) / 10), 1))
        case _:
            between = ((convert(value), 0), (convert(value), 1))
    return _compares_as(asked.prefix, stored, between)


# --- references -------------------------------------------------------------------------------------------------------


def _same_reference(found: Any, datatype: str, parameter: SearchParameter, asked: Reference | ReferenceUrl) -> bool:
    text = found if datatype == "canonical" else found.get("reference", "")
    if isinstance(asked, ReferenceUrl):
        return text == asked.url or ("|" not in asked.url and text.partition("|")[0] == asked.url)
    name, _, version = text.partition("/_history/")
    if asked.version is not None and asked.version != version:
        return False
    if asked.resource_type is not None:
        return name == f"{asked.resource_type}/{asked.id}"
    kind, _, target_id = name.partition("/")
    return target_id == asked.id and parameter.permits(kind)
