"""Search values of every type: one grammar each, found by one table (FHIR R4 search.html#ptypes)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from capability.search_parameters import Component, SearchParameter, SearchType
from fhir_server.fhir.parse.escapes import split, unescape
from fhir_server.fhir.parse.faults import MalformedValue
from fhir_server.fhir.parse.ordered import parse_date, parse_number, parse_quantity
from fhir_server.fhir.parse.references import parse_reference_value
from fhir_server.fhir.parse.tokens import parse_token, parse_typed_identifier
from storage.search.query import Composite, Modifier, PlainValue, Text, Uri, Value


def parse_text(text: str) -> Text:
    """Return a string as written, escapes resolved."""
    return Text(unescape(text))


def parse_uri(text: str) -> Uri:
    """Return a uri as written, escapes resolved."""
    return Uri(unescape(text))


_GRAMMARS: Final[Mapping[SearchType, Callable[[str], PlainValue]]] = {
    SearchType.TOKEN: parse_token,
    SearchType.STRING: parse_text,
    SearchType.DATE: parse_date,
    SearchType.NUMBER: parse_number,
    SearchType.QUANTITY: parse_quantity,
    SearchType.URI: parse_uri,
}

MODIFIERS: Final[Mapping[SearchType, frozenset[Modifier]]] = {
    SearchType.TOKEN: frozenset({Modifier.NONE, Modifier.NOT, Modifier.OF_TYPE}),
    SearchType.STRING: frozenset({Modifier.NONE, Modifier.EXACT, Modifier.CONTAINS}),
    SearchType.URI: frozenset({Modifier.NONE, Modifier.BELOW}),
    SearchType.REFERENCE: frozenset({Modifier.NONE, Modifier.IDENTIFIER}),
    SearchType.DATE: frozenset({Modifier.NONE}),
    SearchType.NUMBER: frozenset({Modifier.NONE}),
    SearchType.QUANTITY: frozenset({Modifier.NONE}),
    SearchType.COMPOSITE: frozenset({Modifier.NONE}),
    SearchType.SPECIAL: frozenset(),
}
"""The modifiers served, `:missing` and `:Type` aside."""

KNOWN_MODIFIERS: Final[Mapping[SearchType, frozenset[str]]] = {
    SearchType.TOKEN: frozenset({"text", "in", "not-in", "above", "below"}),
    SearchType.URI: frozenset({"above"}),
    SearchType.REFERENCE: frozenset({"above", "below"}),
}
"""Modifiers that R4 defines and this server does not have (search.html#modifiers)."""


def parse_value(
    parameter: SearchParameter, modifier: Modifier, text: str, base_url: str, target_type: str | None
) -> Value:
    """Return one alternative of a parameter; raises MalformedValue."""
    if modifier is Modifier.OF_TYPE:
        return parse_typed_identifier(text)
    if modifier is Modifier.IDENTIFIER:
        return parse_token(text)
    if parameter.type is SearchType.COMPOSITE:
        return _parse_composite(parameter.components, text, base_url)
    return _parse_plain(parameter.type, text, base_url, target_type)


def _parse_plain(kind: SearchType, text: str, base_url: str, target_type: str | None) -> PlainValue:
    if kind is SearchType.REFERENCE:
        return parse_reference_value(text, base_url, target_type)
    return _GRAMMARS[kind](text)


def _parse_composite(components: tuple[Component, ...], text: str, base_url: str) -> Composite:
    pieces = split(text, "$")
    if len(pieces) != len(components) or not all(pieces):
        form = "$".join(component.code for component in components)
        raise MalformedValue(f"a composite has one value per component: {form}")
    pairs = zip(components, pieces, strict=True)
    return Composite(tuple(_parse_plain(component.type, piece, base_url, None) for component, piece in pairs))
