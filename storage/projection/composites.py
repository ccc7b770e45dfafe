"""Rows of composite parameters about a repeating element (FHIR R4 search.html#composite).

A composite of a token and another value is indexed per repetition of its element, so that both must come from the same
one. Its rows, under `composite_key(type, code, token's code, ...)`:

* quantity: as written, `qualifier` the token's system; with ("unit", system, canonical unit) in that unit, `qualifier`
  likewise; with ("text", unit) for each spelling of the unit, `qualifier` likewise (`number||unit`);
* token: with ("code", second code), `system` the second's system; with ("code", second code, first system) the same for
  a first token that names its system ("" for none);
* reference: target as usual; with ("system", first system) for a first token that names its system.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from capability.bindings import implied_system
from capability.search_parameters import Component, SearchParameter, SearchType
from storage.projection.coverage import element_paths
from storage.projection.paths import Path
from storage.projection.quantities import QUANTITY_READERS
from storage.projection.rows import Json, QuantityValue, ReferenceValue, Rows, TokenValue
from storage.search.keys import composite_key, reference_targets, system_key

Symbol = tuple[str, str]
"""A token's code and system, the system empty for none."""
EmitSecond = Callable[[Symbol, Json, Rows], None]
EmitComposite = Callable[[Mapping[str, Any], Rows], bool]


def composite_emitter(parameter: SearchParameter, datatype: str) -> EmitComposite:
    """Return the emitter of a composite for elements of one data type (`Observation.component`).

    The emitter returns whether an element had both parts. Raises ValueError for a pair of types without rules.
    """
    first, second = token_first(parameter)
    tokens = element_paths(datatype, first.expression)
    others = [
        (path, emit)
        for path in element_paths(datatype, second.expression)
        if (emit := _second_emitter(parameter, second, path)) is not None
    ]
    if not others:
        raise ValueError(f"{parameter.resource_type}.{parameter.code}: no rules for these parts")

    def emit_element(element: Mapping[str, Any], rows: Rows) -> bool:
        values = [(value, emit) for path, emit in others for value in path.values(element)]
        if not values:
            return False
        symbols = [symbol for path in tokens for value in path.values(element) for symbol in symbols_of(path, value)]
        for symbol in symbols:
            for value, emit in values:
                emit(symbol, value, rows)
        return bool(symbols)

    return emit_element


def token_first(parameter: SearchParameter) -> tuple[Component, Component]:
    """Return the component that leads the keys, the first token, and the other one."""
    left, right = parameter.components
    return (left, right) if left.type is SearchType.TOKEN else (right, left)


def symbols_of(path: Path, value: Json) -> Iterator[Symbol]:
    """Yield code and system of each token in a value; nothing for data types that are no tokens."""
    match path.datatype:
        case "CodeableConcept":
            for coding in value.get("coding", ()):
                if "code" in coding:
                    yield coding["code"], coding.get("system", "")
        case "Coding":
            if "code" in value:
                yield value["code"], value.get("system", "")
        case "code":
            yield value, implied_system(path.element) or ""
        case "boolean":
            yield ("true" if value else "false"), ""
        case _:
            return


_TOKENS: Final = frozenset({"CodeableConcept", "Coding", "code", "boolean"})


def _second_emitter(parameter: SearchParameter, component: Component, path: Path) -> EmitSecond | None:
    """Return the emitter of the second part; None for a data type that the component's kind cannot compare."""
    match component.type:
        case SearchType.QUANTITY if path.datatype in QUANTITY_READERS:
            return _quantity(parameter, path.datatype)
        case SearchType.TOKEN if path.datatype in _TOKENS:
            return _token(parameter, path)
        case SearchType.REFERENCE if path.datatype == "Reference":
            return _reference(parameter)
        case _:
            return None


def _quantity(parameter: SearchParameter, datatype: str) -> EmitSecond:
    resource_type, code = parameter.resource_type, parameter.code
    read = QUANTITY_READERS[datatype]

    def emit(symbol: Symbol, value: Json, rows: Rows) -> None:
        measured = read(value)
        if measured is None:
            return
        first, system = symbol[0], system_key(symbol[1])
        low, high = measured.interval.encoded()
        rows.quantities.add(QuantityValue(composite_key(resource_type, code, first), low, high, system))
        for unit in {measured.unit, measured.code} - {""}:
            key = composite_key(resource_type, code, first, "text", unit)
            rows.quantities.add(QuantityValue(key, low, high, system))
        if measured.system and measured.code:
            (low, high), unit = measured.in_unit()
            key = composite_key(resource_type, code, first, "unit", measured.system, unit)
            rows.quantities.add(QuantityValue(key, low, high, system))

    return emit


def _token(parameter: SearchParameter, path: Path) -> EmitSecond:
    resource_type, code = parameter.resource_type, parameter.code

    def emit(symbol: Symbol, value: Json, rows: Rows) -> None:
        first, first_system = symbol
        for second, second_system in symbols_of(path, value):
            folded, system = second.casefold(), system_key(second_system)
            rows.tokens.add(TokenValue(composite_key(resource_type, code, first, "code", folded), system))
            rows.tokens.add(TokenValue(composite_key(resource_type, code, first, "code", folded, first_system), system))

    return emit


def _reference(parameter: SearchParameter) -> EmitSecond:
    resource_type, code = parameter.resource_type, parameter.code

    def emit(symbol: Symbol, value: Json, rows: Rows) -> None:
        first, first_system = symbol
        for target in reference_targets(value.get("reference", ""), rows.base):
            rows.references.add(ReferenceValue(composite_key(resource_type, code, first), target))
            rows.references.add(
                ReferenceValue(composite_key(resource_type, code, first, "system", first_system), target)
            )

    return emit
