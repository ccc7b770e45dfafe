"""One two-way conversion per datatype: column value ⇄ FHIR JSON (FHIR R4 datatypes.html).

`forwards` renders a column that is not None; it answers ABSENT for what FHIR cannot say (an empty string). `backwards`
gives the column value, or raises Refusal for what the column cannot hold without loss of meaning (a partial date).
Digits and zones that a column drops are no loss: the residual keeps the literal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from mappers.errors import MappingError, Refusal
from mappers.json_values import ABSENT, Json, is_number
from mappers.nodes import Node


@dataclass(frozen=True, slots=True)
class Iso:
    """A conversion between a column's value and FHIR JSON; `note` describes it in the documentation."""

    forwards: Callable[[Any], Node]
    backwards: Callable[[Json], Any]
    note: str = ""


_CONTROLS: Final = {code: "\ufffd" for code in range(32) if chr(code) not in "\t\n\r"}
_CODE: Final = re.compile(r"[^\s\x00-\x1f]+( [^\s\x00-\x1f]+)*")
_URI: Final = re.compile(r"[^\s\x00-\x1f]+")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_INSTANT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")
_ZONE: Final = r"(?:Z|[+-](?:0\d|1[0-3]):[0-5]\d|[+-]14:00)"
_DATE_TIME: Final = re.compile(rf"\d{{4}}(-\d\d(-\d\d(T\d\d:\d\d:\d\d(\.\d+)?{_ZONE})?)?)?")
_LARGEST_EXPONENT: Final = 1000


def fhir_text(value: str) -> Node:
    """Return a FHIR string (datatypes.html#string): ABSENT when blank; control characters become U+FFFD."""
    if not value or value.isspace():
        return ABSENT
    return value if value.isprintable() else value.translate(_CONTROLS)


def column_text(value: Json) -> str:
    """Return a text column's value."""
    if not isinstance(value, str):
        raise Refusal("is not text")
    return value


def is_code(value: Json) -> bool:
    """Whether the value may be a code (datatypes.html#code)."""
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


def is_uri(value: Json) -> bool:
    """Whether the value may be a uri (datatypes.html#uri)."""
    return isinstance(value, str) and _URI.fullmatch(value) is not None


def is_date_time(value: Json) -> bool:
    """Whether the value is a dateTime of any precision, on a day that exists (datatypes.html#dateTime)."""
    if not isinstance(value, str) or _DATE_TIME.fullmatch(value) is None:
        return False
    try:
        datetime.fromisoformat((value + "-01-01"[len(value) - 4 :])[:10] if len(value) < 10 else value)
    except ValueError:
        return False
    return True


def instant_text(value: datetime) -> str:
    """Return a timestamp in UTC with `Z`: seconds, and milliseconds or microseconds where there are any."""
    part = value.microsecond
    timespec = "seconds" if not part else "microseconds" if part % 1000 else "milliseconds"
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def column_instant(value: Json) -> datetime:
    """Return the UTC timestamp of a dateTime or instant; digits past the microsecond are cut.

    Raises Refusal for a dateTime without time and zone, and for one outside the calendar of a timestamp column.
    """
    match = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise Refusal("has no time and zone")
    whole, fraction, zone = match.groups()
    digits = f".{fraction[:6]:0<6}" if fraction else ""
    try:
        return datetime.fromisoformat(f"{whole}{digits}{zone}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Refusal("is no time a timestamp column can hold") from error


def column_date(value: Json) -> date:
    """Return the day of a date; raises Refusal for a partial one."""
    if not isinstance(value, str) or _DATE.fullmatch(value) is None:
        raise Refusal("is not a whole date")
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise Refusal("is no day of the calendar") from error


def column_day_of(value: Json) -> date:
    """Return the day of a date or dateTime, in the zone it was written in; raises Refusal for a partial date."""
    return column_date(value[:10] if is_date_time(value) else value)


def number(value: Decimal | int) -> Json:
    """Return a JSON number with the column's digits: an integer when there are no decimals."""
    if isinstance(value, int):
        return value
    _, _, exponent = value.as_tuple()
    return int(value) if exponent == 0 else value


def column_number(value: Json) -> Decimal:
    """Return a number as a numeric column keeps it: its digits, without exponent and without a negative zero."""
    if not is_number(value):
        raise Refusal("is not a number")
    if isinstance(value, int):
        return Decimal(value)
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or abs(exponent) + len(digits) > _LARGEST_EXPONENT:
        raise Refusal("has too many digits")
    written_out = Decimal(format(value, "f"))
    return abs(written_out) if written_out.is_zero() else written_out


def _checked(test: Callable[[Json], bool], what: str) -> Callable[[Json], str]:
    def backwards(value: Json) -> str:
        if not test(value):
            raise Refusal(f"is not a {what}")
        return str(value)

    return backwards


text: Final = Iso(fhir_text, column_text)
code: Final = Iso(lambda value: value if is_code(value) else ABSENT, _checked(is_code, "code"))
uri: Final = Iso(lambda value: value if is_uri(value) else ABSENT, _checked(is_uri, "uri"))
day: Final = Iso(date.isoformat, column_date, "a partial date stays in the residual")
day_of: Final = Iso(
    date.isoformat, column_day_of, "of a dateTime the day as written; a partial date stays in the residual"
)
instant: Final = Iso(instant_text, column_instant, "in UTC; a dateTime without time stays in the residual")


def code_table(members: Mapping[str, str]) -> Iso:
    """Return the conversion of a one-to-one vocabulary: column value → code.

    A value or code outside the table is left out or refused, never replaced by the nearest one. Raises MappingError
    for a table that is not one-to-one.
    """
    inverse = {right: left for left, right in members.items()}
    if len(inverse) != len(members):
        raise MappingError("a code table must be one-to-one", str(dict(members)))

    def backwards(value: Json) -> str:
        if not isinstance(value, str) or value not in inverse:
            raise Refusal("is a code without a column value", final=True)
        return inverse[value]

    return Iso(lambda value: members.get(value, ABSENT), backwards, ", ".join(f"{a} ⇄ {b}" for a, b in members.items()))


@dataclass(frozen=True, slots=True)
class StatusTable:
    """A many-to-one vocabulary: row statuses → FHIR codes, with the status that a code alone stands for.

    The exact status of a non-default member travels in an extension (settled §1.7). Raises MappingError for a code
    whose default is missing or maps elsewhere.
    """

    codes: Mapping[str, str]
    defaults: Mapping[str, str]

    def __post_init__(self) -> None:
        for member in set(self.codes.values()):
            if self.codes.get(self.defaults.get(member, "")) != member:
                raise MappingError(f"no default status for code {member}", str(dict(self.codes)))

    def is_default(self, status: str) -> bool:
        """Whether the code alone says the status."""
        return self.defaults[self.codes[status]] == status

    def status(self, code: Json, exact: Json, current: str | None) -> str:
        """Return the row status of a written code: the exact one named, else the current one, else the default.

        Raises Refusal for a code outside the table.
        """
        if not isinstance(code, str) or code not in self.defaults:
            raise Refusal("is a code without a row status", final=True)
        for candidate in (exact, current):
            if isinstance(candidate, str) and self.codes.get(candidate) == code:
                return candidate
        return self.defaults[code]


def status_table(codes: Mapping[str, str], defaults: Mapping[str, str] | None = None) -> StatusTable:
    """Return a status table; a code with one status needs no default."""
    members = list(codes.values())
    single = {code: status for status, code in codes.items() if members.count(code) == 1}
    return StatusTable(codes, {**single, **(defaults or {})})
