"""What the client can read and how it likes its answers (FHIR R4 http.html#mime-type, #ops; RFC 9110 §12; RFC 7240).

Answers are JSON, whatever of the acceptable kinds was asked for: `application/fhir+json; charset=utf-8`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from fhir_server.errors import InvalidParameter, NotAcceptable, UnsupportedMediaType, UnsupportedPatch

JSON_TYPES: Final = frozenset({"application/fhir+json", "application/json", "text/json"})
READABLE_AS_JSON: Final = JSON_TYPES | {"text/html", "application/xhtml+xml"}
"""Browsers ask for HTML and get JSON (fhir_rest H4)."""
WILDCARDS: Final = frozenset({"*/*", "application/*", "text/*"})
FHIR_JSON: Final = "application/fhir+json"
FHIR_VERSIONS: Final = frozenset({"4.0", "4.0.1"})
FORM: Final = "application/x-www-form-urlencoded"
ENCODINGS: Final = frozenset({"", "identity", "gzip", "x-gzip"})
"""How a body may be packed (fhir_rest H14)."""
JSON_PATCH: Final = "application/json-patch+json"
ACCEPT_PATCH: Final = f"{JSON_PATCH}, {FHIR_JSON}"
"""The kinds of patch, as the header of this name lists them (RFC 5789 §3.1)."""

Pairs = tuple[tuple[str, str], ...]
"""Parameters of a query or form, decoded, in their order."""


class Return(StrEnum):
    """What the body of the answer to a write shall hold."""

    REPRESENTATION = "representation"
    MINIMAL = "minimal"
    OPERATION_OUTCOME = "OperationOutcome"


@dataclass(frozen=True, slots=True)
class Preferences:
    """The `Prefer` headers, all of them together; what this server does not know is ignored (RFC 7240 §2)."""

    returns: Return = Return.REPRESENTATION
    strict: bool = False
    """`handling=strict`: search parameters that are not known are errors."""


@dataclass(frozen=True, slots=True)
class _MediaRange:
    media_type: str
    quality: float
    fhir_version: str | None

    @property
    def wanted(self) -> bool:
        return self.quality > 0 and self.fhir_version in {None, *FHIR_VERSIONS}


@lru_cache(maxsize=512)
def require_json_acceptable(accept: str, format_parameter: str | None) -> None:
    """Check that the client takes JSON; `_format` wins over `Accept`, and none of either means anything.

    Raises NotAcceptable.
    """
    if format_parameter:
        asked = _media_range(format_parameter.replace("fhir json", "fhir+json"))
        if asked.media_type in JSON_TYPES | {"json"} and asked.wanted:
            return
        raise NotAcceptable("Only JSON of FHIR 4.0 is served: use _format=json.")
    ranges = {each.media_type: each for each in map(_media_range, _split(accept, ",")) if each.media_type}
    if ranges and not _takes_json(ranges):
        raise NotAcceptable("Only JSON of FHIR 4.0 is served: send Accept: application/fhir+json.")


def check_version(fhir_version: str | None) -> None:
    """Check a `fhirVersion` parameter (H3); raises NotAcceptable for a version that is not served."""
    if fhir_version and fhir_version not in FHIR_VERSIONS:
        raise NotAcceptable("Only FHIR 4.0 is served: use fhirVersion=4.0.")


def _takes_json(ranges: dict[str, _MediaRange]) -> bool:
    named = [ranges[name] for name in READABLE_AS_JSON if name in ranges]
    if any(each.wanted for each in named):
        return True
    if FHIR_JSON in ranges:  # named and refused: a wildcard beside it does not mean it
        return False
    return any(ranges[name].wanted for name in WILDCARDS if name in ranges)


def _media_range(text: str) -> _MediaRange:
    media_type, *parameters = _split(text, ";")
    quality, version = 1.0, None
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        match name.strip().lower():
            case "q":
                quality = _quality(value.strip())
            case "fhirversion":
                version = value.strip().strip('"')
            case _:
                pass
    return _MediaRange(media_type.strip().lower(), quality, version)


def _quality(text: str) -> float:
    """A quality that cannot be read counts as 1, as if it had not been sent."""
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 1.0


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator that stands outside quotes."""
    if '"' not in text:
        return text.split(separator)
    return list(_split_quoted(text, separator))


def _split_quoted(text: str, separator: str) -> Iterator[str]:
    start, quoted = 0, False
    for position, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            yield text[start:position]
            start = position + 1
    yield text[start:]


@lru_cache(maxsize=512)
def preferences(prefer: str) -> Preferences:
    """Return what the `Prefer` headers, joined by commas, ask for; the first of a kind counts (RFC 7240 §2)."""
    known: dict[str, str] = {}
    for preference in _split(prefer, ","):
        name, _, value = preference.partition(";")[0].partition("=")
        known.setdefault(name.strip().lower(), value.strip().strip('"'))
    returns = next((each for each in Return if each == known.get("return")), Return.REPRESENTATION)
    return Preferences(returns, strict=known.get("handling") == "strict")


@lru_cache(maxsize=512)
def require_json_body(content_type: str, content_encoding: str) -> None:
    """Check the kind of a body that shall hold a resource; raises UnsupportedMediaType."""
    kind = _media_range(content_type)
    if kind.media_type not in JSON_TYPES or kind.fhir_version not in {None, *FHIR_VERSIONS}:
        raise UnsupportedMediaType("Send the resource as JSON of FHIR 4.0: Content-Type: application/fhir+json.")
    _require_plain_utf8(content_type, content_encoding)


@lru_cache(maxsize=512)
def require_patch_body(content_type: str, content_encoding: str) -> None:
    """Check the kind of a body that shall hold a patch; raises UnsupportedPatch and UnsupportedMediaType."""
    kind = _media_range(content_type)
    if kind.media_type not in {JSON_PATCH, *JSON_TYPES} or kind.fhir_version not in {None, *FHIR_VERSIONS}:
        raise UnsupportedPatch
    _require_plain_utf8(content_type, content_encoding)


def is_json_patch(content_type: str) -> bool:
    """Say whether a media type is that of JSON Patch; the other kind of patch is a resource (Parameters)."""
    return _media_range(content_type).media_type == JSON_PATCH


@lru_cache(maxsize=512)
def require_form_body(content_type: str, content_encoding: str) -> None:
    """Check the kind of the body of a search by POST; raises UnsupportedMediaType."""
    if _media_range(content_type).media_type != FORM:
        raise UnsupportedMediaType(f"Send the search parameters as a form: Content-Type: {FORM}.")
    _require_plain_utf8(content_type, content_encoding)


def _require_plain_utf8(content_type: str, content_encoding: str) -> None:
    for parameter in _split(content_type, ";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType("Send the body in UTF-8.")
    if content_encoding.strip().lower() not in ENCODINGS:
        raise UnsupportedMediaType("Send the body as it is or as gzip: no other Content-Encoding is read.")


@lru_cache(maxsize=256)
def takes_gzip(accept_encoding: str) -> bool:
    """Say whether `Accept-Encoding` lets an answer be packed (RFC 9110 §12.5.3)."""
    wanted = {each.media_type: each.quality > 0 for each in map(_media_range, accept_encoding.split(","))}
    named = [wanted[name] for name in ("gzip", "x-gzip") if name in wanted]
    return any(named) if named else wanted.get("*", False)


def pretty(pairs: Pairs) -> bool:
    """Say whether `_pretty` asks for indented JSON; raises InvalidParameter for anything but true and false."""
    value = first(pairs, "_pretty")
    if value in {None, "", "false"}:
        return False
    if value == "true":
        return True
    raise InvalidParameter("_pretty", "_pretty is true or false.")


def first(pairs: Pairs, name: str) -> str | None:
    """Return the first value of a query parameter, None when there is none."""
    return next((value for each, value in pairs if each == name), None)
