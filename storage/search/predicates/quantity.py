"""Numbers and quantities (FHIR R4 search.html#number, #quantity): ranges of decimals, encoded so that bytes compare."""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, and_

from capability.search_parameters import SearchParameter
from storage.search.keys import parameter_key, unit_key, unit_qualifier
from storage.search.predicates.parameters import parameter_like
from storage.search.predicates.ranges import RANGE_TESTS, range_of
from storage.search.query import Number, Prefix, Quantity, Value
from storage.search.shape import Binder, QuantityIs
from storage.search.ucum import UCUM, canonical_quantity
from storage.search.values import after, encode_decimal, implied_range

_EXACT: Final = Context(prec=2000, Emax=MAX_EMAX, Emin=MIN_EMIN)
_TENTH: Final = Decimal("0.1")
_BY_PRECISION: Final = frozenset({Prefix.EQ, Prefix.NE})


def quantity_test(parameter: SearchParameter, value: Value, binder: Binder) -> QuantityIs:
    """Return the condition on quantity rows that one value asks for, of a number or quantity parameter."""
    resource_type, code = parameter.resource_type, parameter.code
    match value:
        case Number() | Quantity(_, None, None):
            number = value if isinstance(value, Number) else value.number
            return bind_quantity(parameter_key(resource_type, code), number, None, None, binder)
        case Quantity(number, None, str(unit)):
            return bind_quantity(parameter_key(resource_type, code), number, None, unit_qualifier(unit), binder)
        case Quantity(number, str(system), str(unit)):
            canonical = canonical_unit(system, unit)
            key = unit_key(resource_type, code, system, canonical)
            return bind_quantity(key, number, unit if system == UCUM else None, None, binder)
        case _:
            raise TypeError(f"{type(value).__name__} is no value of a number or quantity parameter")


def canonical_unit(system: str, unit: str) -> str:
    """Return the unit that a row is kept in: the canonical one for UCUM, else the unit itself."""
    return canonical_quantity(Decimal(0), unit)[1] if system == UCUM else unit


def bind_quantity(key: int, number: Number, ucum: str | None, qualifier: int | None, binder: Binder) -> QuantityIs:
    """Return the condition for a number; `ucum` is the unit it is converted from, None to leave it as it is."""
    low, high = encoded_range(number, ucum)
    bound = None if qualifier is None else binder.bind(qualifier)
    return QuantityIs(binder.bind(key), number.prefix, binder.bind(low), binder.bind(high), bound)


def encoded_range(number: Number, ucum: str | None) -> tuple[bytes, bytes]:
    """Return the range asked for as [low, high) of encoded decimals.

    `eq` and `ne` go by the digits written, `ap` by a tenth of the value, the others by the exact value
    (search.html#number).
    """
    if number.prefix in _BY_PRECISION:
        low, high = implied_range(number.value)
        return encode_decimal(_converted(low, ucum)), encode_decimal(_converted(high, ucum))
    if number.prefix is Prefix.AP:
        margin = _EXACT.multiply(abs(number.value), _TENTH)
        low, high = _EXACT.subtract(number.value, margin), _EXACT.add(number.value, margin)
        return encode_decimal(_converted(low, ucum)), after(encode_decimal(_converted(high, ucum)))
    exact = encode_decimal(_converted(number.value, ucum))
    return exact, after(exact)


def _converted(value: Decimal, ucum: str | None) -> Decimal:
    return value if ucum is None else canonical_quantity(value, ucum)[0]


def quantity_condition(condition: QuantityIs, rows: Any) -> ColumnElement[bool]:
    """Return the condition on columns of fhir_index_quantities."""
    key = rows.key == parameter_like(rows.key, condition.key)
    start, end = parameter_like(rows.low, condition.low), parameter_like(rows.high, condition.high)
    found = and_(key, RANGE_TESTS[condition.prefix](range_of(rows.low, rows.high), start, end))
    if condition.qualifier is None:
        return found
    return and_(found, rows.qualifier == parameter_like(rows.qualifier, condition.qualifier))
