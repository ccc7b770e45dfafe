"""From a value of a FHIR data type to the index rows of one search parameter (FHIR R4 search.html, type by type).

`EMITTERS` says for each kind of parameter which data types it takes, and how; `IGNORED` which it passes over.
"""

from collections.abc import Callable
from typing import Final

from capability.bindings import implied_system
from capability.search_parameters import SearchParameter, SearchType
from storage.projection.quantities import QUANTITY_READERS, number, quantities
from storage.projection.rows import DateValue, Emit, Factory, Json, ReferenceValue, Rows, StringValue, TokenValue
from storage.search.keys import (
    any_code_key,
    of_type_key,
    parameter_key,
    reference_identifier_key,
    reference_targets,
    system_key,
    token_key,
)
from storage.search.values import (
    Range,
    date_range,
    exact_text,
    fold,
    indexed_uri,
    period_range,
    timing_range,
)

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


def _parts(names: tuple[str, ...]) -> Factory:
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


def _dates(read: Callable[[Json], Range | None]) -> Factory:
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
    **{(SearchType.QUANTITY, datatype): quantities(read) for datatype, read in QUANTITY_READERS.items()},
    (SearchType.NUMBER, "decimal"): number,
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
