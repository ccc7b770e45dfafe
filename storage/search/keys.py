"""The 64-bit keys under which index rows are stored and looked up.

A key is the first eight bytes of BLAKE2b over a kind and its parts, as a signed integer (int8 in both databases). Two
different meanings collide with a chance of about n²/2⁶⁵: less than one in a million for ten million distinct keys.

Tokens are folded to lower case before hashing, since for most code systems it is not known whether case matters;
identifiers and ids (parameters with `exact`) are hashed letter by letter.
"""

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from capability.elements import RESOURCE_TYPES
from capability.search_parameters import find

_TYPES: Final = frozenset(RESOURCE_TYPES)
_LOCAL: Final = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?")


class LocalReference(NamedTuple):
    """A literal reference to a resource of this server; `version` is None when it names none."""

    resource_type: str
    id: str
    version: str | None


def _key(kind: str, *parts: str) -> int:
    text = "\x1f".join((kind, *parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


# --- resources and references -----------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def self_key(resource_type: str, resource_id: str) -> int:
    """Return the key of a resource: its own, and the target of every reference to it."""
    return _key("r", f"{resource_type}/{resource_id}")


@lru_cache(maxsize=4096)
def url_key(url: str) -> int:
    """Return the target of a reference that is no local one: an absolute URL, a urn or a canonical."""
    return _key("u", url)


@lru_cache(maxsize=4096)
def parse_reference(text: str, base: str = "") -> LocalReference | None:
    """Return the parts of `Type/id`, `Type/id/_history/version` or the same under `base`; None for anything else.

    `base` is the server's own address without trailing slash; empty when absolute URLs are all foreign.
    """
    relative = text[len(base) + 1 :] if base and text.startswith(f"{base}/") else text
    match = _LOCAL.fullmatch(relative)
    if match is None or match[1] not in _TYPES:
        return None
    return LocalReference(match[1], match[2], match[3])


def reference_targets(text: str, base: str = "") -> tuple[int, ...]:
    """Return the targets a literal reference or canonical is found by, the unversioned one first.

    A reference with a version is found with and without it. Contained ones (`#x`) have no target.
    """
    if not text or text.startswith("#"):
        return ()
    local = parse_reference(text, base)
    if local is not None:
        plain = self_key(local.resource_type, local.id)
        if local.version is None:
            return (plain,)
        return plain, url_key(f"{local.resource_type}/{local.id}/_history/{local.version}")
    unversioned = text.partition("|")[0].partition("/_history/")[0]
    return (url_key(unversioned),) if unversioned == text else (url_key(unversioned), url_key(text))


# --- parameters -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def parameter_key(resource_type: str, code: str) -> int:
    """Return the key of a parameter's rows: strings, dates, literal quantities and numbers, references."""
    return _key("p", resource_type, code)


@lru_cache(maxsize=4096)
def token_key(resource_type: str, code: str, value: str) -> int:
    """Return the key of a token's row; its system stands beside it (`system_key`)."""
    parameter = find(resource_type, code)
    return _key("t", resource_type, code, value if parameter is not None and parameter.exact else value.casefold())


@lru_cache(maxsize=4096)
def system_key(system: str | None) -> int:
    """Return the key of a code system or identifier system; 0 for none."""
    return _key("s", system) if system else 0


@lru_cache(maxsize=1024)
def any_code_key(resource_type: str, code: str) -> int:
    """Return the token key that answers `system|` (any code of a system); only exact parameters have such rows."""
    return _key("a", resource_type, code)


@lru_cache(maxsize=4096)
def reference_identifier_key(resource_type: str, code: str, value: str) -> int:
    """Return the token key of a logical reference: `code:identifier=system|value`."""
    return _key("i", resource_type, code, value)


@lru_cache(maxsize=4096)
def of_type_key(resource_type: str, code: str, type_code: str, value: str) -> int:
    """Return the token key of `code:of-type=system|type_code|value`; the row's system is that of the type."""
    return _key("o", resource_type, code, type_code.casefold(), value)


@lru_cache(maxsize=2048)
def unit_qualifier(unit: str) -> int:
    """Return what a literal quantity row carries for its unit or code (`number||unit`); 0 for none."""
    return _key("q", unit) if unit else 0


@lru_cache(maxsize=4096)
def unit_key(resource_type: str, code: str, system: str, unit: str) -> int:
    """Return the key of a quantity's row in one unit (`number|system|code`).

    `unit` is the canonical one for UCUM (`canonical_quantity`), else the code as written.
    """
    return _key("n", resource_type, code, system, unit)


# --- composites -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8192)
def composite_key(resource_type: str, code: str, first: str, *more: str) -> int:
    """Return the key of a composite's row; `first` is the code of its token part, folded here.

    `more` tells the kinds of row of one composite apart (see `storage.projection.composites`).
    """
    return _key("c", resource_type, code, first.casefold(), *more)
