"""Bodies and queries of OAuth endpoints and pages: `application/x-www-form-urlencoded`, each name once (OA-3, T14)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from fhir_server.oauth.errors import InvalidRequest

FORM: Final = "application/x-www-form-urlencoded"
MAXIMUM_BYTES: Final = 64 * 2**10
BODY_SECONDS: Final = 10.0
MAXIMUM_FIELDS: Final = 1000


class Repeated(InvalidRequest):
    """A parameter was given more than once; `name` is it."""

    def __init__(self, name: str) -> None:
        super().__init__("A parameter is given more than once.")
        self.name = name


async def read_pairs(request: Request) -> list[tuple[str, str]]:
    """Return the fields of a form body in order, repeated ones included (tick boxes).

    Raises InvalidRequest for another content type, a body that is too large, too slow or not UTF-8.
    """
    return pairs_of(await read_body(request, FORM))


async def read_body(request: Request, content_type: str) -> bytes:
    """Return a body; raises InvalidRequest for another content type, and for one that is too large or too slow."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != content_type:
        raise InvalidRequest(f"Send the parameters as {content_type}.")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > MAXIMUM_BYTES:
                    raise InvalidRequest("The body is too large.")
    except TimeoutError:
        raise InvalidRequest("The body did not arrive in time.") from None
    return bytes(body)


def pairs_of(text: bytes) -> list[tuple[str, str]]:
    """Return the pairs of a query string or form body, percent-decoded once; raises InvalidRequest.

    U+0000 is refused here, once for all: PostgreSQL has no place for it (IN-2).
    """
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAXIMUM_FIELDS)
    except ValueError:  # too many, or not UTF-8
        raise InvalidRequest("The parameters cannot be read.") from None
    if any("\0" in name or "\0" in value for name, value in pairs):
        raise InvalidRequest("The parameters cannot be read.")
    return pairs


def once(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Return each parameter by its name; raises Repeated."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise Repeated(name)
        found[name] = value
    return found


async def read_form(request: Request) -> Mapping[str, str]:
    """Return the parameters of a form body; raises InvalidRequest, Repeated among them."""
    return once(await read_pairs(request))


def read_query(request: Request) -> Mapping[str, str]:
    """Return the parameters of the query; raises InvalidRequest, Repeated among them."""
    return once(pairs_of(request.scope["query_string"]))
