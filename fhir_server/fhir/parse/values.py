"""Search values of every type: one grammar each, found by one table (FHIR R4 search.html#ptypes)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Final

from capability.search_parameters import Component, SearchParameter, SearchType
from fhir_server.fhir.parse.escapes import split, unescape
from fhir_server.fhir.parse.faults import MalformedValue
from fhir_server.fhir.parse.ordered import parse_date, parse_number, parse_quantity
from fhir_server.fhir.parse.references import parse_reference_value
from fhir_server.fhir.parse.tokens import parse_coded_token, parse_token, parse_typed_identifier
from storage.search.query import Composite, Modifier, PlainValue, Text, Uri, Value


@dataclass(frozen=True, slots=True)
class Ground:
    """What values are read against: this server's base URL without trailing slash, the zone of times without offset."""

    base_url: str
    zone: tzinfo = UTC


def parse_text(text: str) -> Text:
    """Return a string as written, escapes resolved."""
    return Text(unescape(text))


def parse_uri(text: str) -> Uri:
    """Return a uri as written, escapes resolved."""
    return Uri(unescape(text))


MAX_URI_STEPS: Final = 50


def parse_deep_uri(text: str) -> Uri:
    """Return a uri to look above of; raises MalformedValue for one with very many steps."""
    uri = parse_uri(text)
    if uri.uri.count("/") > MAX_URI_STEPS:
        raise MalformedValue(f":above takes a uri of at most {MAX_URI_STEPS} steps")
    return uri


_GRAMMARS: Final[Mapping[SearchType, Callable[[str], PlainValue]]] = {
    SearchType.TOKEN: parse_token,
    SearchType.STRING: parse_text,
    SearchType.NUMBER: parse_number,
    SearchType.QUANTITY: parse_quantity,
    SearchType.URI: parse_uri,
}

_BY_MODIFIER: Final[Mapping[tuple[SearchType, Modifier], Callable[[str], PlainValue]]] = {
    (SearchType.TOKEN, Modifier.OF_TYPE): parse_typed_identifier,
    (SearchType.TOKEN, Modifier.TEXT): parse_text,
    (SearchType.TOKEN, Modifier.IN): parse_uri,
    (SearchType.TOKEN, Modifier.NOT_IN): parse_uri,
    (SearchType.TOKEN, Modifier.ABOVE): parse_coded_token,
    (SearchType.TOKEN, Modifier.BELOW): parse_coded_token,
    (SearchType.REFERENCE, Modifier.IDENTIFIER): parse_token,
    (SearchType.URI, Modifier.ABOVE): parse_deep_uri,
}
"""The grammars of modifiers whose values are not those of the parameter alone."""

MODIFIERS: Final[Mapping[SearchType, frozenset[Modifier]]] = {
    SearchType.TOKEN: frozenset(
        {
            Modifier.NONE,
            Modifier.NOT,
            Modifier.OF_TYPE,
            Modifier.TEXT,
            Modifier.IN,
            Modifier.NOT_IN,
            Modifier.ABOVE,
            Modifier.BELOW,
        }
    ),
    SearchType.STRING: frozenset({Modifier.NONE, Modifier.EXACT, Modifier.CONTAINS}),
    SearchType.URI: frozenset({Modifier.NONE, Modifier.BELOW, Modifier.ABOVE}),
    SearchType.REFERENCE: frozenset({Modifier.NONE, Modifier.IDENTIFIER}),
    SearchType.DATE: frozenset({Modifier.NONE}),
    SearchType.NUMBER: frozenset({Modifier.NONE}),
    SearchType.QUANTITY: frozenset({Modifier.NONE}),
    SearchType.COMPOSITE: frozenset({Modifier.NONE}),
    SearchType.SPECIAL: frozenset(),
}
"""The modifiers served, `:missing` and `:Type` aside."""

KNOWN_MODIFIERS: Final[Mapping[SearchType, frozenset[str]]] = {
    SearchType.REFERENCE: frozenset({"above", "below"}),
}
"""Modifiers that R4 defines and this server does not have (search.html#modifiers)."""


def parse_value(
    parameter: SearchParameter, modifier: Modifier, text: str, ground: Ground, target_type: str | None
) -> Value:
    """Return one alternative of a parameter; raises MalformedValue."""
    parse = _BY_MODIFIER.get((parameter.type, modifier))
    if parse is not None:
        return parse(text)
    if parameter.type is SearchType.COMPOSITE:
        return _parse_composite(parameter.components, text, ground)
    return _parse_plain(parameter.type, text, ground, target_type)


def _parse_plain(kind: SearchType, text: str, ground: Ground, target_type: str | None) -> PlainValue:
    if kind is SearchType.REFERENCE:
        return parse_reference_value(text, ground.base_url, target_type)
    if kind is SearchType.DATE:
        return parse_date(text, ground.zone)
    return _GRAMMARS[kind](text)


def _parse_composite(components: tuple[Component, ...], text: str, ground: Ground) -> Composite:
    pieces = split(text, "$")
    if len(pieces) != len(components) or not all(pieces):
        form = "$".join(component.code for component in components)
        raise MalformedValue(f"a composite has one value per component: {form}")
    pairs = zip(components, pieces, strict=True)
    return Composite(tuple(_parse_plain(component.type, piece, ground, None) for component, piece in pairs))
