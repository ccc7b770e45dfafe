"""Strings and uris (FHIR R4 search.html#string, #uri): folded text, found by ranges so that the index is used."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import ColumnElement, and_

from capability.search_parameters import SearchParameter
from storage.search.keys import parameter_key
from storage.search.predicates.parameters import is_one_of, parameter_like
from storage.search.query import Modifier, Text, Uri, Value
from storage.search.shape import Binder, TextHas, TextIn, TextIs
from storage.search.values import exact_text, fold, indexed_uri

_SURROGATES: Final = range(0xD800, 0xE000)


def string_test(
    parameter: SearchParameter, modifier: Modifier, value: Value, binder: Binder
) -> TextIn | TextIs | TextHas:
    """Return the condition on string rows that one value asks for."""
    if not isinstance(value, Text):
        raise TypeError(f"{type(value).__name__} is no value of a string parameter")
    key = binder.bind(parameter_key(parameter.resource_type, parameter.code))
    folded = fold(value.text)
    match modifier:
        case Modifier.EXACT:
            return TextIs(key, binder.bind(folded), binder.bind(exact_text(value.text)))
        case Modifier.CONTAINS:
            return TextHas(key, binder.bind(f"%{_escaped(folded)}%"))
        case _:
            return _starting_with(key, folded, binder)


def uri_tests(
    parameter: SearchParameter, modifier: Modifier, value: Value, binder: Binder
) -> tuple[TextIn | TextIs, ...]:
    """Return the conditions on string rows that one uri asks for.

    `:below` is the uri itself or `uri/…`.
    """
    if not isinstance(value, Uri):
        raise TypeError(f"{type(value).__name__} is no value of a uri parameter")
    key = binder.bind(parameter_key(parameter.resource_type, parameter.code))
    itself = TextIs(key, binder.bind(indexed_uri(value.uri)), None)
    if modifier is Modifier.BELOW:
        return itself, _starting_with(key, value.uri.rstrip("/") + "/", binder)
    return (itself,)


def uris_above_test(parameter: SearchParameter, values: Iterable[Value], binder: Binder) -> TextIs:
    """Return the condition on string rows of `:above`: what one of the uris is, or lies below."""
    asked = [value.uri for value in values if isinstance(value, Uri)]
    known = [indexed_uri(each) for uri in asked for each in (uri, *uris_above(uri))]
    key = binder.bind(parameter_key(parameter.resource_type, parameter.code))
    name, many = binder.bind_list(known)
    return TextIs(key, name, None, many)


def uris_above(uri: str) -> list[str]:
    """Return the uris that another one lies below, longest first: up to each slash, with it and without."""
    found: dict[str, None] = {}
    for at in range(len(uri) - 1, 0, -1):
        if uri[at] == "/":
            found.update(dict.fromkeys((uri[: at + 1], uri[:at])))
    found.pop(uri, None)
    return list(found)


def prefix_end(prefix: str) -> str | None:
    """Return the smallest text greater than everything that starts with `prefix`, in order of code points.

    None when there is none: everything from `prefix` on starts with it.
    """
    for length in range(len(prefix), 0, -1):
        following = ord(prefix[length - 1]) + 1
        if following in _SURROGATES:
            following = _SURROGATES.stop
        if following <= sys.maxunicode:
            return prefix[: length - 1] + chr(following)
    return None


def string_condition(condition: TextIn | TextIs | TextHas, rows: Any) -> ColumnElement[bool]:
    """Return the condition on columns of fhir_index_strings."""
    key: ColumnElement[bool] = rows.key == parameter_like(rows.key, condition.key)
    match condition:
        case TextIn(_, low, high):
            found = and_(key, rows.value >= parameter_like(rows.value, low))
            return found if high is None else and_(found, rows.value < parameter_like(rows.value, high))
        case TextIs(_, value, exact, many):
            found = and_(key, is_one_of(rows.value, value, many))
            return found if exact is None else and_(found, rows.exact == parameter_like(rows.exact, exact))
        case TextHas(_, pattern):
            return and_(key, rows.value.like(parameter_like(rows.value, pattern), escape="\\"))


def _starting_with(key: str, prefix: str, binder: Binder) -> TextIn:
    end = prefix_end(prefix)
    return TextIn(key, binder.bind(prefix), None if end is None else binder.bind(end))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
