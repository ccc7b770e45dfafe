"""Ordered values with a prefix: dates, numbers, quantities (FHIR R4 search.html#prefix, #date, #number, #quantity)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

from fhir_server.fhir.parse.escapes import split, unescape
from fhir_server.fhir.parse.faults import MalformedValue
from storage.search.query import Date, Number, Prefix, Quantity
from storage.search.values import date_range

_PREFIXES: Final = {prefix.value: prefix for prefix in Prefix}
_NUMBER: Final = re.compile(r"[+-]?\d{1,100}(\.\d{1,100})?([eE][+-]?\d{1,3})?", re.ASCII)
_WITHOUT_ZONE: Final = re.compile(r"[\d-]+T[\d:.]+", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 a time of some zone
_MICROSECOND: Final = timedelta(microseconds=1)
_ZONE_WITH_SPACE: Final = re.compile(r"(T[\d:.]+) (\d\d:\d\d)$", re.ASCII)


def _split_prefix(text: str) -> tuple[Prefix, str]:
    prefix = _PREFIXES.get(text[:2])
    if prefix is not None:
        return prefix, text[2:]
    if text[:1].isalpha():
        raise MalformedValue("the prefix is not one of eq, ne, gt, lt, ge, le, sa, eb, ap")
    return Prefix.EQ, text


def parse_date(text: str, zone: tzinfo = UTC) -> Date:
    """Return the range of a date, dateTime or instant; a space for an unescaped `+` of the offset is taken as that.

    A time without offset is one of `zone`. Dates are those of UTC, as stored ones are: they have no zone.
    """
    prefix, moment = _split_prefix(unescape(text))
    try:
        low, high = date_range(_ZONE_WITH_SPACE.sub(r"\1+\2", moment))
    except ValueError as error:
        raise MalformedValue("not a date: write 2013, 2013-01, 2013-01-14 or 2013-01-14T10:00:00Z") from error
    ahead = _offset(low, zone) if _WITHOUT_ZONE.fullmatch(moment) else 0
    return Date(prefix, low - ahead, high - ahead)


def _offset(local: int, zone: tzinfo) -> int:
    """Return by how many microseconds a zone is ahead of UTC at a local time, given as if it were UTC."""
    if zone is UTC:
        return 0
    offset = (_EPOCH + local * _MICROSECOND).replace(tzinfo=zone).utcoffset()
    return 0 if offset is None else offset // _MICROSECOND


def parse_number(text: str) -> Number:
    """Return the number with the digits it is written with."""
    prefix, digits = _split_prefix(unescape(text))
    if _NUMBER.fullmatch(digits) is None:
        raise MalformedValue("not a number: write it as 100, 5.40 or 5e-3")
    return Number(prefix, Decimal(digits))


def parse_quantity(text: str) -> Quantity:
    """Return `number`, `number|system|code` or `number||code`."""
    parts = split(text, "|")
    number = parse_number(parts[0])
    if len(parts) == 1:
        return Quantity(number, None, None)
    if len(parts) != 3:
        raise MalformedValue("a quantity is number, number|system|code or number||code")
    system, code = unescape(parts[1]), unescape(parts[2])
    if system and not code:
        raise MalformedValue("a quantity with a system needs a code: number|system|code")
    return Quantity(number, system or None, code or None)
