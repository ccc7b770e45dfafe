"""Tokens (FHIR R4 search.html#token): one row per coding, its key made of type, parameter and code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, and_

from capability.search_parameters import SearchParameter
from storage.search.keys import any_code_key, of_type_key, reference_identifier_key, system_key, token_key
from storage.search.predicates.parameters import is_one_of, parameter_like
from storage.search.query import Modifier, Token, TypedIdentifier, Value
from storage.search.shape import Binder, TokenIs


def token_test(
    parameter: SearchParameter, modifier: Modifier, values: Iterable[Value], binder: Binder
) -> tuple[TokenIs, ...]:
    """Return the conditions on token rows that one of the values asks for."""
    return bind_tokens((_row(parameter, modifier, value) for value in values), binder)


def bind_tokens(rows: Iterable[tuple[int, int | None]], binder: Binder) -> tuple[TokenIs, ...]:
    """Return one condition per system for (key, system) pairs; a system of None stands for any."""
    by_system: dict[int | None, list[int]] = {}
    for key, system in rows:
        by_system.setdefault(system, []).append(key)
    found: list[TokenIs] = []
    for system, keys in by_system.items():
        name, many = binder.bind_list(keys)
        found.append(TokenIs(name, many, None if system is None else binder.bind(system)))
    return tuple(found)


def _row(parameter: SearchParameter, modifier: Modifier, value: Value) -> tuple[int, int | None]:
    resource_type, code = parameter.resource_type, parameter.code
    match value:
        case TypedIdentifier(system, type_code, number):
            return of_type_key(resource_type, code, type_code, number), system_key(system)
        case Token(system, None):
            return any_code_key(resource_type, code), asked_system(system)
        case Token(system, str(symbol)) if modifier is Modifier.IDENTIFIER:
            return reference_identifier_key(resource_type, code, symbol), asked_system(system)
        case Token(system, str(symbol)):
            return token_key(resource_type, code, symbol), asked_system(system)
        case _:
            raise TypeError(f"{type(value).__name__} is no value of a token parameter")


def asked_system(system: str | None) -> int | None:
    """Return the key of a system that was asked for: None for any, 0 for none."""
    return None if system is None else system_key(system)


def token_condition(condition: TokenIs, rows: Any) -> ColumnElement[bool]:
    """Return the condition on columns of fhir_index_tokens."""
    keys = is_one_of(rows.key, condition.keys, condition.many)
    if condition.system is None:
        return keys
    return and_(keys, rows.system == parameter_like(rows.system, condition.system))
