"""Resource ids as a function of the row (mapping.md law 5, settled §1.6)."""

from __future__ import annotations

import re
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from mappers.systems import BASE

_LEGAL_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_NAMESPACE: Final = uuid5(NAMESPACE_URL, BASE)


def is_legal_id(text: str) -> bool:
    """Whether the text may be a resource id (FHIR R4 datatypes.html#id)."""
    return _LEGAL_ID.fullmatch(text) is not None


def row_resource_id(table: str, key: str) -> str:
    """Return the id of a row's resource: the row's own id where FHIR allows it, else UUIDv5 of `table/id`."""
    return key if is_legal_id(key) else str(uuid5(_NAMESPACE, f"{table}/{key}"))


def part_resource_id(table: str, key: str, part: str) -> str:
    """Return the id of one of several resources of a row: UUIDv5(row id, part key).

    A row id that is no UUID is first made one, as UUIDv5 of `table/id`.
    """
    try:
        namespace = UUID(key)
    except ValueError:
        namespace = uuid5(_NAMESPACE, f"{table}/{key}")
    return str(uuid5(namespace, part))
