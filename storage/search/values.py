"""Values as the index holds them: ranges of time, folded text, decimals as bytes (FHIR R4 search.html).

Everything here is pure. Both sides of a comparison, the stored value and the one asked for, go through these functions.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Any, Final

Range = tuple[int, int]

OPEN_LOW: Final = -(2**63)
"""Start of a range of time without a start (the smallest int8)."""
OPEN_HIGH: Final = 2**63 - 1
"""End of a range of time without an end (the largest int8)."""

LOWEST: Final = b""
"""Start of a range of numbers without a start: sorts before every encoded decimal."""
HIGHEST: Final = b"\xff"
"""End of a range of numbers without an end: sorts after every encoded decimal."""

LONGEST_TEXT: Final = 200
"""Characters of a string that are indexed; the rest of a longer one is neither matched nor sorted by."""

HARMLESS_TEXT: Final = 1000
"""Characters of a text that is normalised in no time, whatever it is."""
MOST_MARKS: Final = 32
"""No language writes more in a row (Unicode UAX #15, stream-safe text: 30)."""
_DECOMPOSED_TO_MARKS: Final = "\u0f73\u0f75\u0f81\uff9e\uff9f"
"""Characters that are no marks and are decomposed to marks alone."""

_EXACT: Final = Context(prec=2000, Emax=MAX_EMAX, Emin=MIN_EMIN)

# --- dates ------------------------------------------------------------------------------------------------------------

_DATE_TIME: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_SECOND: Final = 1_000_000
_MINUTE: Final = 60 * _SECOND
_DAY: Final = 86_400 * _SECOND


@lru_cache(maxsize=4096)
def date_range(text: str) -> Range:
    """Return what a date, dateTime or instant covers, as [low, high) in microseconds since 1970-01-01T00:00Z.

    A value without a zone is taken as UTC; digits beyond the microsecond are dropped; a leap second (`:60`) is the
    first second of the next minute. Raises ValueError for text that is none of these, or names no day or time there
    is (search.html#date).
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        raise ValueError("not a FHIR date, dateTime or instant")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if day is None:
        return _month_range(int(year), int(month)) if month else (_day(int(year), 1, 1), _new_year(int(year) + 1))
    start = _day(int(year), int(month), int(day))
    if hour is None:
        return start, start + _DAY
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
        raise ValueError("not a time of day")
    start += (int(hour) * 60 + int(minute)) * _MINUTE - _offset(zone)
    if second is None:
        return start, start + _MINUTE
    start += int(second) * _SECOND
    if fraction is None:
        return start, start + _SECOND
    digits = fraction[:6]
    width = 10 ** (6 - len(digits))
    start += int(digits) * width
    return start, start + width


def period_range(period: Mapping[str, Any]) -> Range | None:
    """Return what a Period covers; a missing start or end is open; None when both are missing.

    Raises ValueError as `date_range`.
    """
    start, end = period.get("start"), period.get("end")
    if start is None and end is None:
        return None
    return (date_range(start)[0] if start else OPEN_LOW, date_range(end)[1] if end else OPEN_HIGH)


def timing_range(timing: Mapping[str, Any]) -> Range | None:
    """Return the hull of a Timing's events and bounding period; None when it has neither.

    Raises ValueError as `date_range`.
    """
    ranges = [date_range(event) for event in timing.get("event", ()) if event is not None]
    bounds = timing.get("repeat", {}).get("boundsPeriod")
    bounding = period_range(bounds) if bounds else None
    if bounding is not None:
        ranges.append(bounding)
    return hull(ranges)


def hull(ranges: Iterable[Range]) -> Range | None:
    """Return the smallest range around all; None for none."""
    known = list(ranges)
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def _day(year: int, month: int, day: int) -> int:
    return (date(year, month, day).toordinal() - _EPOCH_DAY) * _DAY


def _new_year(year: int) -> int:
    """Return the start of a year, the one after 9999 included."""
    return _day(year - 1, 12, 31) + _DAY


def _month_range(year: int, month: int) -> Range:
    return _day(year, month, 1), _new_year(year + 1) if month == 12 else _day(year, month + 1, 1)


def _offset(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 14 or minutes > 59:
        raise ValueError("not a time zone")
    size = (hours * 60 + minutes) * _MINUTE
    return -size if zone[0] == "-" else size


# --- strings ----------------------------------------------------------------------------------------------------------

_LETTERS: Final = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ɨ": "i"}
)


def fold(text: str) -> str:
    """Return text without regard to case, accents and the amount of space, cut to LONGEST_TEXT (search.html#string).

    A value matches when its folded form starts with the folded form asked for. Punctuation counts. Of a text beyond
    ASCII the first HARMLESS_TEXT characters are looked at.
    """
    if text.isascii():
        return " ".join(text.lower().split())[:LONGEST_TEXT]
    bare = _without_marks(folded_letter(_without_marks(text[:HARMLESS_TEXT])))
    return " ".join(bare.split())[:LONGEST_TEXT].rstrip()


def folded_letter(text: str) -> str:
    """Return letters without regard to case, and without the strokes that Unicode does not take for marks."""
    return text.casefold().translate(_LETTERS)


def exact_text(text: str) -> str:
    """Return what `:exact` compares: the text in NFC; of a text longer than LONGEST_TEXT its start and a digest."""
    composed = text if _few_marks_in_a_row(text) is not text else unicodedata.normalize("NFC", text)
    if len(composed) <= LONGEST_TEXT:
        return composed
    return composed[:LONGEST_TEXT] + "…" + blake2b(composed.encode(), digest_size=16).hexdigest()


def indexed_uri(uri: str) -> str:
    """Return the form in which a uri is stored and asked for: as it is, a very long one as its start and a digest."""
    return exact_text(uri) if len(uri) > LONGEST_TEXT else uri


def _without_marks(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) != "Mn")


def _few_marks_in_a_row(text: str) -> str:
    """Return text with at most MOST_MARKS marks in a row; the very same where there are no more.

    Normalisation puts marks in order, which takes their number squared: a text of nothing else would stop the worker.
    """
    if len(text) <= HARMLESS_TEXT:
        return text
    shortened = _rows_of_marks().sub(r"\1", text)
    return shortened if len(shortened) < len(text) else text


@cache
def _rows_of_marks() -> re.Pattern[str]:
    marks = "".join(character for character in map(chr, range(sys.maxunicode + 1)) if unicodedata.combining(character))
    return re.compile(f"([{marks}{_DECOMPOSED_TO_MARKS}]{{{MOST_MARKS}}})[{marks}{_DECOMPOSED_TO_MARKS}]+")


# --- numbers ----------------------------------------------------------------------------------------------------------

_NEGATIVE, _ZERO, _POSITIVE = b"\x01", b"\x02", b"\x03"
_COMPLEMENT: Final = bytes(range(255, -1, -1))


@lru_cache(maxsize=4096)
def encode_decimal(value: Decimal) -> bytes:
    """Return bytes that compare as the numbers do; equal numbers (1.0 and 1.00) encode equal.

    Layout: sign, exponent of the first digit (one byte for -100 to 100, else nine), pairs of digits from 1 to 100, for
    negative numbers all complemented and closed by 0xFF. Raises ValueError for NaN and infinities.
    """
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError("not a finite number")  # noqa: TRY004  NaN and infinity are Decimals too
    text = "".join(map(str, digits))
    trimmed = text.rstrip("0")
    significant = trimmed.lstrip("0")
    if not significant:
        return _ZERO
    point = exponent + len(text) - (len(trimmed) - len(significant))
    pairs = significant if len(significant) % 2 == 0 else significant + "0"
    body = _encoded_exponent(point) + bytes(int(pairs[at : at + 2]) + 1 for at in range(0, len(pairs), 2))
    if sign:
        return _NEGATIVE + body.translate(_COMPLEMENT) + b"\xff"
    return _POSITIVE + body


def after(encoded: bytes) -> bytes:
    """Return the bytes right after an encoded decimal: no other decimal lies between."""
    return encoded + b"\x00"


def implied_range(value: Decimal) -> tuple[Decimal, Decimal]:
    """Return [low, high) of all numbers that round to `value` at the precision it is written with (search.html#number).

    100 is [99.5, 100.5), 100.00 is [99.995, 100.005), 1e2 is [95, 105): for a positive exponent the specification's
    example takes one digit more than is written.
    """
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError("not a finite number")  # noqa: TRY004  NaN and infinity are Decimals too
    half = Decimal((0, (5,), exponent - 1 if exponent <= 0 else exponent - 2))
    return _EXACT.subtract(value, half), _EXACT.add(value, half)


def _encoded_exponent(point: int) -> bytes:
    if -100 <= point <= 100:
        return bytes((point + 128,))
    return (b"\xe5" if point > 0 else b"\x00") + (point + 2**63).to_bytes(8, "big")
