"""References: `id`, `Type/id`, this server's own URL, foreign URLs, urns (FHIR R4 search.html#reference)."""

from __future__ import annotations

import re
from typing import Final

from fhir_server.fhir.parse.escapes import unescape
from fhir_server.fhir.parse.faults import MalformedValue
from storage.search.keys import parse_reference
from storage.search.query import Reference, ReferenceUrl

_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_RELATIVE: Final = re.compile(r"([A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?", re.ASCII)
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:.+", re.DOTALL)


def parse_id(text: str) -> str:
    """Return the id; raises MalformedValue for what cannot be one."""
    plain = unescape(text)
    if _ID.fullmatch(plain) is None:
        raise MalformedValue("not an id: letters, digits, - and . only, at most 64")
    return plain


def parse_reference_value(text: str, base_url: str, resource_type: str | None) -> Reference | ReferenceUrl:
    """Return the reference; `resource_type` is that of the modifier (`subject:Patient`), which a bare id takes."""
    plain = unescape(text)
    local = parse_reference(plain, base_url)
    if local is not None:
        _require_type(local.resource_type, resource_type)
        return Reference(local.resource_type, local.id, local.version)
    if _ID.fullmatch(plain):
        return Reference(resource_type, plain)
    relative = _RELATIVE.fullmatch(plain)
    if relative is not None:
        return Reference(relative[1], relative[2], relative[3])
    if _ABSOLUTE.fullmatch(plain) is None:
        raise MalformedValue("not a reference: write id, Type/id or an absolute URL")
    return ReferenceUrl(plain)


def _require_type(found: str, asked: str | None) -> None:
    if asked is not None and found != asked:
        raise MalformedValue("the type of the reference differs from the type in the parameter's name")
