"""A small interpreter of search trees over plain resources: what a search should find, decided without any index."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from capability.bindings import implied_system
from capability.search_parameters import SearchParameter, SearchType
from storage.projection.paths import compile_paths
from storage.search.query import (
    Chain,
    Composite,
    Criterion,
    Date,
    Has,
    Ids,
    LastUpdated,
    Match,
    Missing,
    Modifier,
    Number,
    Prefix,
    Quantity,
    Reference,
    ReferenceUrl,
    Text,
    Token,
    TypedIdentifier,
    Uri,
    Value,
)
from storage.search.ucum import UCUM, canonical_quantity
from storage.search.values import date_range, implied_range, period_range

Resource = Mapping[str, Any]
INFINITY = Decimal("Infinity")


@dataclass(frozen=True)
class World:
    """All current resources of an organization."""

    resources: Sequence[Resource]
    now: int
    """Microseconds since 1970 UTC."""

    def find(self, resource_type: str, criteria: Sequence[Criterion]) -> set[str]:
        """Return the ids of what meets all criteria."""
        return {
            each["id"]
            for each in self.resources
            if each["resourceType"] == resource_type and all(self.meets(each, criterion) for criterion in criteria)
        }

    def meets(self, resource: Resource, criterion: Criterion) -> bool:
        match criterion:
            case Match(parameter, Modifier.NOT, values):
                return not any(self._has_value(resource, parameter, Modifier.NONE, value) for value in values)
            case Match(parameter, modifier, values):
                return any(self._has_value(resource, parameter, modifier, value) for value in values)
            case Missing(parameter, missing):
                return missing is not any(True for _ in elements(resource, parameter))
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
                    other["resourceType"] == parameter.resource_type
                    and any(target is resource for target in self._targets(other, parameter))
                    and self.meets(other, inner)
                    for other in self.resources
                )
            case LastUpdated():
                raise NotImplementedError("the oracle knows no versions")

    def _targets(self, resource: Resource, parameter: SearchParameter) -> Iterator[Resource]:
        for value, _, _ in elements(resource, parameter):
            named = value.get("reference", "").partition("/_history/")[0]
            for other in self.resources:
                if f"{other['resourceType']}/{other['id']}" == named:
                    yield other

    def _has_value(self, resource: Resource, parameter: SearchParameter, modifier: Modifier, value: Value) -> bool:
        if isinstance(value, Composite):
            return self._has_composite(resource, parameter, value)
        return any(
            compares(found, datatype, element, parameter, modifier, value, self.now)
            for found, datatype, element in elements(resource, parameter)
        )

    def _has_composite(self, resource: Resource, parameter: SearchParameter, value: Composite) -> bool:
        for base in compile_paths(parameter.resource_type, parameter.expression):
            for node in base.values(resource):
                parts = zip(parameter.components, value.parts, strict=True)
                if all(
                    any(
                        compares(found, path.datatype, path.element, parameter, Modifier.NONE, part, self.now)
                        for path in compile_paths(base.datatype, component.expression)
                        for found in path.values(node)
                    )
                    for component, part in parts
                ):
                    return True
        return False


def elements(resource: Resource, parameter: SearchParameter) -> Iterator[tuple[Any, str, str]]:
    """Yield the values of a parameter with their data types and elements."""
    for path in compile_paths(parameter.resource_type, parameter.expression):
        for value in path.values(resource):
            if (parameter.type, path.datatype) != (SearchType.DATE, "string"):
                yield value, path.datatype, path.element


def compares(
    found: Any, datatype: str, element: str, parameter: SearchParameter, modifier: Modifier, value: Value, now: int
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
        case Token():
            return any(
                _same_token(code, system, value, parameter.exact) for code, system in tokens(found, datatype, element)
            )
        case Text(text):
            return any(_same_text(each, text, modifier) for each in texts(found, datatype))
        case Uri(uri):
            under = modifier is Modifier.BELOW and found.startswith(uri.rstrip("/") + "/")
            return found == uri or under or (datatype == "canonical" and found.partition("|")[0] == uri)
        case Date():
            return _same_date(found, datatype, value, now)
        case Number():
            return _same_number(Decimal(found), Decimal(found), value, lambda number: number)
        case Quantity():
            return datatype == "Quantity" and _same_quantity(found, value)
        case Reference() | ReferenceUrl():
            return _same_reference(found, datatype, parameter, value)
        case Composite():
            raise TypeError("a composite has no composite part")


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


def _same_date(found: Any, datatype: str, asked: Date, now: int) -> bool:
    stored = period_range(found) if datatype == "Period" else date_range(found)
    if stored is None:
        return False
    low, high = stored
    start, end = asked.low, asked.high
    if asked.prefix is Prefix.AP:
        gap = start - now if start > now else max(now - end, 0)
        width = max(gap // 10, end - start)
        return low < end + width and high > start - width
    return _compares_as(asked.prefix, low, high, start, end)


def _compares_as(prefix: Prefix, low: Any, high: Any, start: Any, end: Any) -> bool:
    """The table of fhir_rest.md §8.1, word for word."""
    equal = start <= low and high <= end
    match prefix:
        case Prefix.EQ:
            return bool(equal)
        case Prefix.NE:
            return not equal
        case Prefix.GT:
            return bool(high > end)
        case Prefix.LT:
            return bool(low < start)
        case Prefix.GE:
            return bool(high > end or equal)
        case Prefix.LE:
            return bool(low < start or equal)
        case Prefix.SA:
            return bool(low >= end)
        case Prefix.EB:
            return bool(high <= start)
        case Prefix.AP:
            raise ValueError("ap has rules of its own")


def _same_quantity(found: Mapping[str, Any], asked: Quantity) -> bool:
    if "value" not in found:
        return False
    value = Decimal(found["value"])
    if asked.system is not None:
        if found.get("system") != asked.system:
            return False
        if asked.system == UCUM:
            if canonical_quantity(value, found.get("code", ""))[1] != canonical_quantity(value, asked.code or "")[1]:
                return False
        elif found.get("code") != asked.code:
            return False
    elif asked.code is not None and asked.code not in (found.get("code"), found.get("unit")):
        return False
    low = high = value
    match found.get("comparator"):
        case "<" | "<=":
            low = -INFINITY
        case ">" | ">=":
            high = INFINITY
    is_ucum = asked.system == UCUM

    def convert(number: Decimal, code: str) -> Decimal:
        return canonical_quantity(number, code)[0] if is_ucum and number.is_finite() else number

    stored = convert(low, found.get("code", "")), convert(high, found.get("code", ""))
    return _same_number(
        *stored, asked.number, lambda number: convert(number, asked.code or ""), found.get("comparator")
    )


def _same_number(low: Decimal, high: Decimal, asked: Number, convert: Any, comparator: str | None = None) -> bool:
    """Compare a stored number or open interval; an end that is excluded counts as a little inside."""
    value, tenth = asked.value, abs(asked.value) / 10
    above = (low, comparator == ">")
    below = (high, comparator != "<")  # (number, whether it is itself inside)
    match asked.prefix:
        case Prefix.EQ | Prefix.NE:
            start, end = (convert(each) for each in implied_range(value))
            equal = start <= low and (high < end or (high == end and comparator == "<"))
            return equal is (asked.prefix is Prefix.EQ)
        case Prefix.AP:
            start, end = convert(value - tenth), convert(value + tenth)
            begins = low < end or (low == end and not above[1])
            return begins and (high > start or (high == start and below[1]))
    exact = convert(value)
    greater = high > exact
    less = low < exact
    equal = low == high == exact and comparator is None
    match asked.prefix:
        case Prefix.GT:
            return bool(greater)
        case Prefix.LT:
            return bool(less)
        case Prefix.GE:
            return bool(greater or equal)
        case Prefix.LE:
            return bool(less or equal)
        case Prefix.SA:
            return bool(low > exact or (low == exact and above[1]))
        case _:
            return bool(high < exact or (high == exact and not below[1]))


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
