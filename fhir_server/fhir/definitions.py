"""Definitions of this server's operations as resources: made of data, stored nowhere (fhir_rest §13).

`/metadata` refers to them; they are read by id and found by `url`, `_id`, `name`, `code` and other plain parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from capability.operation_definitions import operation_definitions
from fhir_server.fhir.interactions.capabilities import changed_at
from fhir_server.fhir.json_body import encode_json
from fhir_server.fhir.service import Service
from storage.access import Access
from storage.codec import instant
from storage.projection.paths import compile_expression
from storage.resources import ResourceKey, Version
from storage.search.page import Page
from storage.search.query import Criterion, Ids, Match, Modifier, Search, Text, Token, Uri, Value

TYPE = "OperationDefinition"


@lru_cache(maxsize=4)
def _definitions(base_url: str) -> Mapping[str, Mapping[str, Any]]:
    """Return every definition by id, as it is shown."""
    changed = changed_at()
    meta = {"versionId": "1", "lastUpdated": instant(int(changed.timestamp()) * 1000)}
    found = operation_definitions(base_url, changed.date().isoformat())
    return {name: {"resourceType": TYPE, "id": name, "meta": meta, **definition} for name, definition in found.items()}


def _version(definition: Mapping[str, Any]) -> Version:
    key = ResourceKey(TYPE, definition["id"])
    return Version(key, 1, int(changed_at().timestamp()) * 1000, deleted=False, body=encode_json(definition))


def read_definition(resource_id: str, base_url: str) -> Version | None:
    """Return the definition of an operation by id, None where there is none."""
    found = _definitions(base_url).get(resource_id)
    return None if found is None else _version(found)


async def find_definitions(search: Search, access: Access, service: Service) -> Page:
    """Return a page: the definitions of this server's operations that match, then what is stored.

    Raises InteractionForbidden, CursorInvalid and CursorExpired.
    """
    page = await service.searcher.search(search, access)
    if search.cursor is not None:
        return page
    made = [each for each in _definitions(service.base_url).values() if all(_meets(c, each) for c in search.criteria)]
    total = None if page.total is None else page.total + len(made)
    shown = [] if search.count == 0 else [_version(each) for each in made]
    return replace(page, matches=[*shown, *page.matches], total=total)


def _meets(criterion: Criterion, definition: Mapping[str, Any]) -> bool:
    """Say whether a definition meets a plain criterion; nothing is made for modifiers, dates and chains."""
    match criterion:
        case Ids(_, ids):
            return definition["id"] in ids
        case Match(parameter, Modifier.NONE, values):
            found = compile_expression(TYPE, parameter.expression)(definition)
            return any(_equals(asked, value) for asked in values for value, _ in found)
        case _:
            return False


def _equals(asked: Value, value: Any) -> bool:
    match asked:
        case Uri(uri):
            return bool(value == uri)
        case Token(None, str(code)):
            text = ("true" if value else "false") if isinstance(value, bool) else str(value)
            return text.casefold() == code.casefold()
        case Text(text):
            return str(value).casefold().startswith(text.casefold())
        case _:
            return False
