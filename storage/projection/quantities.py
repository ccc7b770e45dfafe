"""Rows of numbers and quantities (FHIR R4 search.html#number, #quantity)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

from capability.search_parameters import SearchParameter
from storage.projection.rows import Emit, Factory, Json, QuantityValue, Rows
from storage.search.keys import parameter_key, unit_key, unit_qualifier
from storage.search.ucum import UCUM, canonical_quantity
from storage.search.values import HIGHEST, LOWEST, after, encode_decimal


class Interval(NamedTuple):
    """Numbers from `low` to `high`, each None when open-ended; the flags say whether the bound itself is inside."""

    low: Decimal | None
    high: Decimal | None
    with_low: bool = True
    with_high: bool = True

    def encoded(self) -> tuple[bytes, bytes]:
        """Return the interval as [low, high) of encoded decimals."""
        low, high = LOWEST, HIGHEST
        if self.low is not None:
            low = encode_decimal(self.low) if self.with_low else after(encode_decimal(self.low))
        if self.high is not None:
            high = after(encode_decimal(self.high)) if self.with_high else encode_decimal(self.high)
        return low, high

    def canonical(self, code: str) -> tuple["Interval", str]:
        """Return the interval in the canonical unit of a UCUM code, and that unit."""
        unit = canonical_quantity(Decimal(0), code)[1]
        low = None if self.low is None else canonical_quantity(self.low, code)[0]
        high = None if self.high is None else canonical_quantity(self.high, code)[0]
        return Interval(low, high, self.with_low, self.with_high), unit


class Measured(NamedTuple):
    """An interval and its unit: human text, code and the code's system, each empty when absent."""

    interval: Interval
    unit: str
    code: str
    system: str

    def in_unit(self) -> tuple[tuple[bytes, bytes], str]:
        """Return the encoded interval and the unit under which `number|system|code` finds it."""
        if self.system == UCUM:
            interval, unit = self.interval.canonical(self.code)
            return interval.encoded(), unit
        return self.interval.encoded(), self.code


def _read_quantity(value: Json) -> Measured | None:
    number = value.get("value")
    if number is None:
        return None
    exact = Decimal(number)
    match value.get("comparator"):
        case "<":
            interval = Interval(None, exact, with_high=False)
        case "<=":
            interval = Interval(None, exact)
        case ">":
            interval = Interval(exact, None, with_low=False)
        case ">=":
            interval = Interval(exact, None)
        case _:
            interval = Interval(exact, exact)
    return Measured(interval, value.get("unit", ""), value.get("code", ""), value.get("system", ""))


def _read_range(value: Json) -> Measured | None:
    low, high = value.get("low", {}), value.get("high", {})
    least, most = (None if end.get("value") is None else Decimal(end["value"]) for end in (low, high))
    if least is None and most is None:
        return None
    unit = low or high
    return Measured(Interval(least, most), unit.get("unit", ""), unit.get("code", ""), unit.get("system", ""))


def _read_money(value: Json) -> Measured | None:
    if value.get("value") is None:
        return None
    exact, currency = Decimal(value["value"]), value.get("currency", "")
    return Measured(Interval(exact, exact), "", currency, CURRENCIES if currency else "")


CURRENCIES: Final = "urn:iso:std:iso:4217"
"""Code system of Money.currency."""

QUANTITY_READERS: Final[dict[str, Callable[[Json], Measured | None]]] = {
    "Quantity": _read_quantity,
    "Age": _read_quantity,
    "Duration": _read_quantity,
    "Distance": _read_quantity,
    "Count": _read_quantity,
    "Range": _read_range,
    "Money": _read_money,
}
"""Data types that a quantity parameter takes, and how each becomes an interval with a unit."""


def quantities(read: Callable[[Json], Measured | None]) -> Factory:
    """Rows as written, one per spelling of the unit, for `number` and `number||unit`; one in the unit of its system."""

    def factory(parameter: SearchParameter, _element: str) -> Emit:
        resource_type, code = parameter.resource_type, parameter.code
        key = parameter_key(resource_type, code)

        def emit(value: Json, rows: Rows) -> bool:
            measured = read(value)
            if measured is None:
                return False
            low, high = measured.interval.encoded()
            for unit in {measured.unit, measured.code} - {""} or {""}:
                rows.quantities.add(QuantityValue(key, low, high, unit_qualifier(unit)))
            if measured.system and measured.code:
                (low, high), unit = measured.in_unit()
                rows.quantities.add(QuantityValue(unit_key(resource_type, code, measured.system, unit), low, high, 0))
            return True

        return emit

    return factory


def number(parameter: SearchParameter, _element: str) -> Emit:
    """Return the emitter of a plain number (search.html#number)."""
    key = parameter_key(parameter.resource_type, parameter.code)

    def emit(value: Json, rows: Rows) -> bool:
        encoded = encode_decimal(Decimal(value))
        rows.quantities.add(QuantityValue(key, encoded, after(encoded), 0))
        return True

    return emit
