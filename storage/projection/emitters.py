"""From a value of a FHIR data type to the index rows of one search parameter (FHIR R4 search.html, type by type).

`EMITTERS` says for each kind of parameter which data types it takes, and how; `IGNORED` which it passes over.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

from capability.bindings import implied_system
from capability.search_parameters import SearchParameter, SearchType
from storage.search.keys import (
    any_code_key,
    of_type_key,
    parameter_key,
    reference_identifier_key,
    reference_targets,
    system_key,
    token_key,
    unit_key,
    unit_qualifier,
)
from storage.search.ucum import UCUM, canonical_quantity
from storage.search.values import (
    HIGHEST,
    LOWEST,
    OPEN_HIGH,
    OPEN_LOW,
    Range,
    after,
    date_range,
    encode_decimal,
    exact_text,
    fold,
    indexed_uri,
    period_range,
    timing_range,
)

Json = Any


class TokenValue(NamedTuple):
    """A token row: `key` holds type, parameter and code, `system` the code system (0 for none)."""

    key: int
    system: int


class StringValue(NamedTuple):
    """A string or uri row: `value` folded (of a uri: as it is), `exact` for `:exact` (of a uri: empty)."""

    key: int
    value: str
    exact: str


class DateValue(NamedTuple):
    """A row of time: [low, high) in microseconds since 1970 UTC."""

    key: int
    low: int
    high: int


class QuantityValue(NamedTuple):
    """A row of numbers: [low, high) of encoded decimals, the single number n being [n, after(n))."""

    key: int
    low: bytes
    high: bytes
    qualifier: int


class ReferenceValue(NamedTuple):
    """A reference row: `key` is the parameter's, 0 for a reference that no parameter covers."""

    key: int
    target: int


class Rows:
    """The rows of one resource while they are gathered."""

    __slots__ = ("base", "date_high", "date_low", "dates", "own", "quantities", "references", "strings", "tokens")

    def __init__(self, base: str, own: int) -> None:
        self.tokens: set[TokenValue] = set()
        self.strings: set[StringValue] = set()
        self.dates: set[DateValue] = set()
        self.quantities: set[QuantityValue] = set()
        self.references: set[ReferenceValue] = set()
        self.base = base
        """The server's own address: references below it are local."""
        self.own = own
        """Target that the `patient` column answers for the element that names the patient; 0 for none."""
        self.date_low = OPEN_LOW
        self.date_high = OPEN_HIGH


Emit = Callable[[Json, Rows], bool]
"""Adds the rows of one value; returns whether there was something to compare with."""


# --- token ------------------------------------------------------------------------------------------------------------


def _coding(parameter: SearchParameter, _element: str) -> Emit:
    resource_type, code = parameter.resource_type, parameter.code

    def emit(value: Json, rows: Rows) -> bool:
        symbol = value.get("code")
        if symbol is not None:
            rows.tokens.add(TokenValue(token_key(resource_type, code, symbol), system_key(value.get("system"))))
        return True

    return emit


def _codeable_concept(parameter: SearchParameter, element: str) -> Emit:
    emit_coding = _coding(parameter, element)

    def emit(value: Json, rows: Rows) -> bool:
        for coding in value.get("coding", ()):
            emit_coding(coding, rows)
        return True

    return emit


def _code(parameter: SearchParameter, element: str) -> Emit:
    """The system of a `code` is that of its required binding (search.html#token)."""
    resource_type, code = parameter.resource_type, parameter.code
    system = system_key(implied_system(element))

    def emit(value: Json, rows: Rows) -> bool:
        rows.tokens.add(TokenValue(token_key(resource_type, code, value), system))
        return True

    return emit


def _boolean(parameter: SearchParameter, _element: str) -> Emit:
    yes = TokenValue(token_key(parameter.resource_type, parameter.code, "true"), 0)
    no = TokenValue(token_key(parameter.resource_type, parameter.code, "false"), 0)

    def emit(value: Json, rows: Rows) -> bool:
        rows.tokens.add(yes if value else no)
        return True

    return emit


def _identifier(parameter: SearchParameter, _element: str) -> Emit:
    resource_type, code = parameter.resource_type, parameter.code

    def emit(value: Json, rows: Rows) -> bool:
        number = value.get("value")
        system = system_key(value.get("system"))
        if system:
            rows.tokens.add(TokenValue(any_code_key(resource_type, code), system))
        if number is not None:
            rows.tokens.add(TokenValue(token_key(resource_type, code, number), system))
            for coding in value.get("type", {}).get("coding", ()):
                key = of_type_key(resource_type, code, coding.get("code", ""), number)
                rows.tokens.add(TokenValue(key, system_key(coding.get("system"))))
        return True

    return emit


def _contact_point(parameter: SearchParameter, _element: str) -> Emit:
    """The system of a contact point is what it is for: `phone|555`."""
    resource_type, code = parameter.resource_type, parameter.code

    def emit(value: Json, rows: Rows) -> bool:
        number = value.get("value")
        if number is not None:
            rows.tokens.add(TokenValue(token_key(resource_type, code, number), system_key(value.get("system"))))
        return True

    return emit


# --- string and uri ---------------------------------------------------------------------------------------------------

_NAME_PARTS: Final = ("text", "family", "given", "prefix", "suffix")
_ADDRESS_PARTS: Final = ("text", "line", "city", "district", "state", "country", "postalCode")


def _string(parameter: SearchParameter, _element: str) -> Emit:
    key = parameter_key(parameter.resource_type, parameter.code)

    def emit(value: Json, rows: Rows) -> bool:
        rows.strings.add(StringValue(key, fold(value), exact_text(value)))
        return True

    return emit


def _parts(names: tuple[str, ...]) -> "Factory":
    def factory(parameter: SearchParameter, element: str) -> Emit:
        emit_text = _string(parameter, element)

        def emit(value: Json, rows: Rows) -> bool:
            for name in names:
                part = value.get(name)
                for text in part if isinstance(part, list) else (part,):
                    if text is not None:
                        emit_text(text, rows)
            return True

        return emit

    return factory


def _uri(parameter: SearchParameter, _element: str) -> Emit:
    key = parameter_key(parameter.resource_type, parameter.code)

    def emit(value: Json, rows: Rows) -> bool:
        rows.strings.add(StringValue(key, indexed_uri(value), ""))
        return True

    return emit


def _canonical(parameter: SearchParameter, element: str) -> Emit:
    """A canonical with a version is found with and without it."""
    emit_uri = _uri(parameter, element)

    def emit(value: Json, rows: Rows) -> bool:
        if "|" in value:
            emit_uri(value.partition("|")[0], rows)
        return emit_uri(value, rows)

    return emit


# --- date -------------------------------------------------------------------------------------------------------------


def _dates(read: Callable[[Json], Range | None]) -> "Factory":
    def factory(parameter: SearchParameter, _element: str) -> Emit:
        key = parameter_key(parameter.resource_type, parameter.code)

        def emit(value: Json, rows: Rows) -> bool:
            found = read(value)
            if found is None:
                return False
            rows.dates.add(DateValue(key, *found))
            return True

        return emit

    return factory


DATE_READERS: Final[dict[str, Callable[[Json], Range | None]]] = {
    "date": date_range,
    "dateTime": date_range,
    "instant": date_range,
    "Period": period_range,
    "Timing": timing_range,
}
"""Data types that a date parameter takes, and how each becomes a range."""


def clinical_date(datatype: str) -> Emit:
    """Return the emitter of the clinical date: it fills the resource's own columns instead of a row."""
    read = DATE_READERS[datatype]

    def emit(value: Json, rows: Rows) -> bool:
        found = read(value)
        if found is None:
            return False
        rows.date_low, rows.date_high = found
        return True

    return emit


# --- number and quantity ----------------------------------------------------------------------------------------------


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


def _quantities(read: Callable[[Json], Measured | None]) -> "Factory":
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


def _number(parameter: SearchParameter, _element: str) -> Emit:
    key = parameter_key(parameter.resource_type, parameter.code)

    def emit(value: Json, rows: Rows) -> bool:
        encoded = encode_decimal(Decimal(value))
        rows.quantities.add(QuantityValue(key, encoded, after(encoded), 0))
        return True

    return emit


# --- reference --------------------------------------------------------------------------------------------------------


def reference(parameter: SearchParameter, *, by_patient_column: bool) -> Emit:
    """Return the emitter of a reference; with `by_patient_column` the resource's own patient needs no row."""
    resource_type, code = parameter.resource_type, parameter.code
    key = parameter_key(resource_type, code)

    def emit(value: Json, rows: Rows) -> bool:
        text = value.get("reference")
        if text is not None:
            targets = reference_targets(text, rows.base)
            if not (by_patient_column and targets == (rows.own,)):
                rows.references.update(ReferenceValue(key, target) for target in targets)
        identifier = value.get("identifier")
        if identifier is not None and identifier.get("value") is not None:
            logical = reference_identifier_key(resource_type, code, identifier["value"])
            rows.tokens.add(TokenValue(logical, system_key(identifier.get("system"))))
        return True

    return emit


def _plain_reference(parameter: SearchParameter, _element: str) -> Emit:
    return reference(parameter, by_patient_column=False)


def _canonical_reference(parameter: SearchParameter, _element: str) -> Emit:
    key = parameter_key(parameter.resource_type, parameter.code)

    def emit(value: Json, rows: Rows) -> bool:
        rows.references.update(ReferenceValue(key, target) for target in reference_targets(value, rows.base))
        return True

    return emit


# --- which is which ---------------------------------------------------------------------------------------------------

Factory = Callable[[SearchParameter, str], Emit]
"""Makes the emitter of a parameter for values found at an element (`Observation.status`)."""

EMITTERS: Final[dict[tuple[SearchType, str], Factory]] = {
    (SearchType.TOKEN, "CodeableConcept"): _codeable_concept,
    (SearchType.TOKEN, "Coding"): _coding,
    (SearchType.TOKEN, "Identifier"): _identifier,
    (SearchType.TOKEN, "ContactPoint"): _contact_point,
    (SearchType.TOKEN, "code"): _code,
    (SearchType.TOKEN, "string"): _code,
    (SearchType.TOKEN, "boolean"): _boolean,
    (SearchType.STRING, "string"): _string,
    (SearchType.STRING, "HumanName"): _parts(_NAME_PARTS),
    (SearchType.STRING, "Address"): _parts(_ADDRESS_PARTS),
    (SearchType.URI, "uri"): _uri,
    (SearchType.URI, "url"): _uri,
    (SearchType.URI, "canonical"): _canonical,
    **{(SearchType.DATE, datatype): _dates(read) for datatype, read in DATE_READERS.items()},
    **{(SearchType.QUANTITY, datatype): _quantities(read) for datatype, read in QUANTITY_READERS.items()},
    (SearchType.NUMBER, "decimal"): _number,
    (SearchType.REFERENCE, "Reference"): _plain_reference,
    (SearchType.REFERENCE, "canonical"): _canonical_reference,
}

IGNORED: Final = frozenset(
    {
        (SearchType.DATE, "string"),  # free text about a time
        (SearchType.DATE, "Age"),  # not on the calendar
        (SearchType.DATE, "Range"),  # an age, too
        (SearchType.QUANTITY, "SampledData"),  # a series of values (fhir_rest.md N6: later)
    }
)
"""Alternatives of a choice element that its parameter cannot compare."""
