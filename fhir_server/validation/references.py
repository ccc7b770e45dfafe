"""Forms of literal references (FHIR R4 references.html#literal; settled §3.5): shape and type, not existence."""

from __future__ import annotations

import re
from typing import Final

from capability.elements import RESOURCE_TYPES

_TYPES: Final = frozenset(RESOURCE_TYPES)
_RELATIVE: Final = re.compile(r"([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?\Z")
_RESTFUL_END: Final = re.compile(r"/([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?\Z")
_UUID: Final = re.compile(r"urn:uuid:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_OID: Final = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+\Z")
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{1,31}:[^\s]+\Z")
_CONDITIONAL: Final = re.compile(r"([A-Z][A-Za-z]+)\?[^\s]+\Z")

MALFORMED: Final = (
    "A reference is Type/id, an absolute URL, urn:uuid: with a UUID, urn:oid: with an OID, or # and the id of a "
    "contained resource."
)


class MalformedReference(Exception):
    """A literal reference has none of the forms there are; the message names them."""


def target_type(literal: str, *, conditional: bool = False) -> str:
    """Return the type that a literal reference names, "" when its text does not tell.

    `#id` references are the caller's: contained resources know their types. `Type?criteria` is a reference only where
    `conditional` is set, in a transaction. Raises MalformedReference.
    """
    match = _RELATIVE.match(literal)
    if match and match[1] in _TYPES:
        return match[1]
    if literal.startswith("urn:"):
        if _UUID.match(literal) or _OID.match(literal) or not literal.startswith(("urn:uuid:", "urn:oid:")):
            return ""
    elif _ABSOLUTE.match(literal):
        match = _RESTFUL_END.search(literal)
        return match[1] if match and match[1] in _TYPES else ""
    elif conditional:
        match = _CONDITIONAL.match(literal)
        if match and match[1] in _TYPES:
            return match[1]
    raise MalformedReference(MALFORMED)
