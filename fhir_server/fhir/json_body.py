"""Bodies of requests as JSON values, and back: nothing is lost, nothing is guessed (fhir_rest H5, H12; security IN-2).

Values are dict, list, str, bool, None, int, and Decimal for every number with a fraction or an exponent, and for `-0`.
So the digits of a number are kept: `1.10` is not `1.1`, `1E2` is not `100`. Only its spelling may change (`1e2` to
`1E+2`), which no reader can tell that keeps digits.

The quick way is msgspec, and a few looks at the bytes for what it does not see. Whoever needs the slow way has sent
something odd.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from typing import Any, Final, NoReturn

import msgspec

from capability.elements import RESOURCE_TYPES
from fhir_server.errors import BodyTooComplex, MalformedBody, NumberOutOfRange

Json = Any

MAX_NUMBER_CHARACTERS: Final = 400
MAX_EXPONENT: Final = 308
"""Largest power of ten of a double: most readers take what lies above for infinity."""
MIN_EXPONENT: Final = -323
"""Smallest power of ten of a double: most readers take what lies below for zero."""

_BOM: Final = b"\xef\xbb\xbf"
# Groups are possessive: a body is scanned once, whatever it holds (security IN-7).
_STRINGS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_NUL: Final = re.compile("\0")
_ESCAPED_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")
_DIGITS_AS_ZERO: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_INTEGER: Final = b"0" * MAX_EXPONENT
_POSITION: Final = re.compile(r"\(byte (\d+)\)")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """How much JSON one body may hold (settled §5): values within values, and values in all."""

    depth: int = 64
    nodes: int = 2_000_000


DEFAULT_LIMITS: Final = JsonLimits()


def parse_json(data: bytes, limits: JsonLimits = DEFAULT_LIMITS) -> Json:
    """Return the value of a JSON body in UTF-8; a byte order mark is tolerated.

    Raises MalformedBody for what is no JSON (syntax, encoding, NaN, trailing data) and for JSON that cannot be kept
    (duplicate keys, U+0000, lone surrogates), NumberOutOfRange, and BodyTooComplex beyond `limits`.
    """
    data = data.removeprefix(_BOM)
    if not data or data.isspace():
        raise MalformedBody("The body is missing; send JSON.")
    _check_nodes(data, limits.nodes)
    value = _decode(data, limits)
    if data.count(b"[") + data.count(b"{") > limits.depth and _is_deeper(value, limits.depth):
        raise BodyTooComplex("levels of nesting", limits.depth)
    if b"\\" in data and b"\\u0000" in data and _ESCAPED_NUL.search(data):
        _refuse_places("U+0000 cannot be stored; leave it out.", value, _holds(_NUL))
    if _is_odd(data, value):
        value = _decode_slowly(data)
    return value


def encode_json(value: Json) -> bytes:
    """Return compact JSON in UTF-8; Decimals are numbers and keep their digits."""
    return _encoder.encode(value)


# --- the quick way ----------------------------------------------------------------------------------------------------


def _number(text: str) -> Decimal:
    """Return a number with fraction or exponent; raises NumberOutOfRange."""
    if len(text) > MAX_NUMBER_CHARACTERS:
        _refuse_number()
    try:
        number = Decimal(text)
    except DecimalException:
        _refuse_number()
    if not MIN_EXPONENT <= number.adjusted() <= MAX_EXPONENT:
        _refuse_number()
    return number


def _refuse_number() -> NoReturn:
    raise NumberOutOfRange(
        f"A number has more than {MAX_NUMBER_CHARACTERS} characters or an exponent outside "
        f"{MIN_EXPONENT} to {MAX_EXPONENT}; round it."
    ) from None


_decoder: Final = msgspec.json.Decoder(float_hook=_number)
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def _decode(data: bytes, limits: JsonLimits) -> Json:
    try:
        return _decoder.decode(data)
    except RecursionError:
        raise BodyTooComplex("levels of nesting", limits.depth) from None
    except UnicodeDecodeError:
        raise MalformedBody("The body is not UTF-8; send it in UTF-8.") from None
    except msgspec.DecodeError as error:
        if "out of range" in str(error):  # an integer of thousands of digits
            _refuse_number()
        _refuse_what_others_take(data, limits)
        raise MalformedBody(_explain(data, str(error))) from None


def _explain(data: bytes, message: str) -> str:
    """Say where a body stops being JSON; the parser's own words hold no part of it."""
    if _is_not_utf8(data):
        return "The body is not UTF-8; send it in UTF-8."
    found = _POSITION.search(message)
    if found is None:
        return "The body is no complete JSON: it ends early, or a \\u escape is half of a surrogate pair."
    before = data[: int(found[1])]
    line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
    fault = message.removeprefix("JSON is malformed: ").partition(" (byte")[0]
    return f"The body is no JSON: {fault} at line {line}, column {column}."


def _holds(characters: re.Pattern[str]) -> Callable[[Json], bool]:
    """Return whether a text, or a key of an object, has one of some characters."""

    def test(value: Json) -> bool:
        texts = value if isinstance(value, dict) else (value,) if isinstance(value, str) else ()
        return any(map(characters.search, texts))

    return test


class _NotANumber:
    """Stands for NaN and Infinity, which JavaScript has and JSON has not."""


_NOT_A_NUMBER: Final = _NotANumber()
_READ_TWICE: Final = 2**18
_TAKEN_BY_OTHERS: Final[tuple[tuple[str, Callable[[Json], bool]], ...]] = (
    ("The body is no JSON: it has NaN or Infinity; leave the element out.", lambda value: value is _NOT_A_NUMBER),
    ("Half of a surrogate pair is no character; send both halves, or none.", _holds(re.compile("[\ud800-\udfff]"))),
    (
        "The body is no JSON: control characters in texts are escaped, and U+0000 is left out.",
        _holds(re.compile("[\0-\x1f]")),
    ),
)


def _refuse_what_others_take(data: bytes, limits: JsonLimits) -> None:
    """Name the elements with what lenient parsers take and JSON has not; return when that is not what is wrong.

    Large bodies are not looked at twice: for them line and column have to do.
    """
    if len(data) > _READ_TWICE:
        return
    try:
        value = json.loads(data, strict=False, parse_constant=lambda _: _NOT_A_NUMBER, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return
    if not _is_deeper(value, limits.depth):
        for message, is_at_fault in _TAKEN_BY_OTHERS:
            _refuse_places(message, value, is_at_fault)


def _is_not_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def _check_nodes(data: bytes, limit: int) -> None:
    """Refuse too many values before memory is spent on them; a value takes at least two bytes."""
    if len(data) <= 2 * limit or _node_bound(data) <= limit:
        return
    if _node_bound(_STRINGS.sub(b"0", data)) > limit:
        raise BodyTooComplex("JSON values", limit)


def _node_bound(data: bytes) -> int:
    """Return at least the number of values: each but the first follows a comma or opens its container."""
    return data.count(b",") + data.count(b"[") + data.count(b"{") + 1


def _is_deeper(value: Json, depth: int) -> bool:
    """Say whether containers lie within each other more than `depth` times."""
    level = [value]
    for _ in range(depth):
        level = [each for parent in level for each in _members(parent) if type(each) is dict or type(each) is list]
        if not level:
            return False
    return True


def _members(container: Json) -> Any:
    return container.values() if type(container) is dict else container if type(container) is list else ()


# --- what the quick way does not see ----------------------------------------------------------------------------------


def _is_odd(data: bytes, value: Json) -> bool:
    """Say whether there may be what msgspec loses or lets pass: repeated keys, `-0`, long integers. False is certain.

    The value encoded again lacks the colon of a repeated key, and the sign of `-0`. Within strings these characters are
    as frequent in both, unless they were escaped (all are from U+0020 to U+003F).
    """
    if b"\\" in data and (b"\\u002" in data or b"\\u003" in data):
        return True
    again = _encoder.encode(value)
    if len(again) > MAX_EXPONENT and _LONG_INTEGER in again.translate(_DIGITS_AS_ZERO):
        return True
    return data.count(b":") != again.count(b":") or data.count(b"-0") != again.count(b"-0")


class _Repeated(dict[str, Json]):
    """An object with a key that was there before; `name` is the key."""

    name: str


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    seen: set[str] = set()
    repeated = _Repeated(value)
    repeated.name = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return repeated


def _integer(text: str) -> int | Decimal:
    if len(text) > MAX_EXPONENT:
        _refuse_number()
    return Decimal(text) if text == "-0" else int(text)


def _decode_slowly(data: bytes) -> Json:
    """Return the value of a body that is known to be JSON; raises MalformedBody that names the keys that repeat."""
    value = json.loads(data, object_pairs_hook=_object, parse_float=_number, parse_int=_integer)
    places = [
        f"{path}.{_shown(found.name)}"
        for path, found in walk_json(value, root_name(value))
        if isinstance(found, _Repeated)
    ]
    if places:
        raise MalformedBody("A key appears more than once in an object; send each once.", places[:20])
    return value


def _refuse_places(message: str, value: Json, is_at_fault: Callable[[Json], bool]) -> None:
    """Raise MalformedBody with the places in a value that are at fault, if there are any."""
    places = [path for path, found in walk_json(value, root_name(value)) if is_at_fault(found)]
    if places:
        raise MalformedBody(message, places[:20])


# --- places -----------------------------------------------------------------------------------------------------------


def root_name(value: Json) -> str:
    """Return what a path into a value starts with: the name of its resource type, `$` for other JSON.

    What is no resource type of R4 may be anything, so it is not shown.
    """
    name = value.get("resourceType") if isinstance(value, dict) else None
    return name if isinstance(name, str) and name in RESOURCE_TYPES else "$"


def walk_json(value: Json, path: str) -> Iterator[tuple[str, Json]]:
    """Yield every value within a value together with its path (`Patient.name[0].given[1]`), itself first."""
    yield path, value
    if isinstance(value, dict):
        for name, member in value.items():
            yield from walk_json(member, f"{path}.{_shown(name)}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from walk_json(member, f"{path}[{index}]")


def _shown(name: str) -> str:
    """Return a key as it may be shown: what is no element name may be anything, so it is left out."""
    return name if _NAME.match(name) else "?"
