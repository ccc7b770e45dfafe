"""Composites (FHIR R4 search.html#composite): both parts met by the same element.

A composite about the whole resource is the conjunction of its parts; one about a repeating element has rows of its own
(`storage/projection/composites.py`).
"""

from __future__ import annotations

from capability.search_parameters import Component, SearchParameter, find
from storage.projection.composites import token_first
from storage.search.keys import composite_key, system_key
from storage.search.predicates.quantity import bind_quantity, canonical_unit
from storage.search.predicates.reference import asked_targets
from storage.search.predicates.token import asked_system, bind_tokens
from storage.search.query import Composite, PlainValue, Quantity, Reference, ReferenceUrl, Token, Value
from storage.search.shape import Binder, IndexTest, QuantityIs, ReferenceIs
from storage.search.ucum import UCUM


def expect_composite(value: Value) -> Composite:
    """Return the value as a composite; raises TypeError for another kind."""
    if not isinstance(value, Composite):
        raise TypeError(f"{type(value).__name__} is no value of a composite parameter")
    return value


def composite_test(parameter: SearchParameter, value: Value, binder: Binder) -> IndexTest:
    """Return the condition on a composite's own rows."""
    first, second = _parts(parameter, expect_composite(value))
    if not isinstance(first, Token) or first.code is None:
        raise TypeError("the leading part of a composite is a token with a code")
    match second:
        case Quantity():
            return IndexTest((_quantity(parameter, first, first.code, second, binder),))
        case Token(system, str(code)):
            extra = () if first.system is None else (first.system,)
            key = composite_key(parameter.resource_type, parameter.code, first.code, "code", code.casefold(), *extra)
            return IndexTest(bind_tokens([(key, asked_system(system))], binder))
        case Reference() | ReferenceUrl():
            return IndexTest((_reference(parameter, first, first.code, second, binder),))
        case _:
            raise TypeError(f"{type(second).__name__} is no part of a composite that has rows")


def _parts(parameter: SearchParameter, value: Composite) -> tuple[PlainValue, PlainValue]:
    """Return the leading token and the other part, whichever order the parameter has them in."""
    by_component: dict[Component, PlainValue] = dict(zip(parameter.components, value.parts, strict=True))
    first, second = token_first(parameter)
    return by_component[first], by_component[second]


def _quantity(parameter: SearchParameter, first: Token, symbol: str, value: Quantity, binder: Binder) -> QuantityIs:
    kind: tuple[str, ...] = ()
    ucum = None
    match value:
        case Quantity(_, None, str(unit)):
            kind = ("text", unit)
        case Quantity(_, str(system), str(unit)):
            kind = ("unit", system, canonical_unit(system, unit))
            ucum = unit if system == UCUM else None
    key = composite_key(parameter.resource_type, parameter.code, symbol, *kind)
    qualifier = None if first.system is None else system_key(first.system)
    return bind_quantity(key, value.number, ucum, qualifier, binder)


def _reference(
    parameter: SearchParameter, first: Token, symbol: str, value: Reference | ReferenceUrl, binder: Binder
) -> ReferenceIs:
    extra = () if first.system is None else ("system", first.system)
    key = composite_key(parameter.resource_type, parameter.code, symbol, *extra)
    component = find(parameter.resource_type, token_first(parameter)[1].code)
    if component is None:
        raise LookupError(f"{parameter.resource_type}.{parameter.code} has a part that is no parameter")
    name, many = binder.bind_list(asked_targets(component, value)[0])
    return ReferenceIs(binder.bind(key), name, many)
