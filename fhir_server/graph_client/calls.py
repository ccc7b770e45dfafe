"""A call as data: what is asked, what the answer holds, and whether asking twice does what asking once does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from fhir_server.graph_client.models import Page
from fhir_server.graph_client.sent import Sent

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request; `holds` is the type of `data` in the answer, `is_list` says that it is a page of them."""

    method: str
    path: str
    holds: Any
    params: Mapping[str, str] = field(default_factory=dict)
    body: Sent | None = None
    is_list: bool = False
    repeatable: bool = False


def get(path: str, holds: type[T], **params: Any) -> Call[T]:
    """Return the call that reads one thing."""
    return Call("GET", path, holds, written(params), repeatable=True)


def listing(path: str, holds: type[T], **params: Any) -> Call[Page[T]]:
    """Return the call that reads a page of a list; a parameter that is None is left out."""
    return Call("GET", path, holds, written(params), is_list=True, repeatable=True)


def post(path: str, body: Sent, holds: type[T], *, repeatable: bool = False) -> Call[T]:
    """Return the call that sends something new."""
    return Call("POST", path, holds, body=body, repeatable=repeatable)


def patch(path: str, body: Sent, holds: type[T]) -> Call[T]:
    """Return the call that changes something."""
    return Call("PATCH", path, holds, body=body)


def following(call: Call[Page[T]], page: Page[T]) -> Call[Page[T]] | None:
    """Return the call for the page after `page`, None after the last."""
    if not page.pagination.has_more or not page.data:
        return None
    offset = page.pagination.offset + len(page.data)
    return replace(call, params={**call.params, "offset": str(offset)})


def at(*steps: str) -> str:
    """Return the path of steps, each of which may hold any character."""
    return "/" + "/".join(quote(step, safe="") for step in steps)


def written(params: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters as they are written: camelCase, instants in RFC 3339; those that are None are left out."""
    return {_camel(name): _text(value) for name, value in params.items() if value is not None}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        return value.isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)
