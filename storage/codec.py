"""Resources as bytes: compact JSON, decimals digit for digit (design Decision 1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")
_canonical = msgspec.json.Encoder(decimal_format="number", order="sorted")

SERVER_META = ("versionId", "lastUpdated")


def decode(data: bytes) -> Any:
    """Return the JSON value of bytes that were validated before; numbers with a fraction are Decimal."""
    return _decoder.decode(data)


def encode(value: Any) -> bytes:
    """Return compact JSON."""
    return _encoder.encode(value)


def instant(milliseconds: int) -> str:
    """Return a FHIR instant in UTC of milliseconds since 1970."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"


def finished(resource: Mapping[str, Any], resource_id: str, version: int, last_updated: int) -> bytes:
    """Return the bytes of a version: `resource` with its id and the meta elements that the server owns."""
    meta = {"versionId": str(version), "lastUpdated": instant(last_updated)}
    meta.update((name, value) for name, value in resource.get("meta", {}).items() if name not in SERVER_META)
    body = {"resourceType": resource["resourceType"], "id": resource_id, "meta": meta}
    body.update((name, value) for name, value in resource.items() if name not in body)
    return _encoder.encode(body)


def content(resource: Mapping[str, Any]) -> bytes:
    """Return bytes that are equal for resources of equal content, whatever the order of elements.

    The server's own meta elements and the id do not count; `1.10` and `1.1` differ.
    """
    return _canonical.encode(_own_content(resource))


def is_same_content(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether `content` of two resources is equal. What differs as values is not written down to be compared."""
    first, second = _own_content(one), _own_content(other)
    return first == second and _canonical.encode(first) == _canonical.encode(second)


def _own_content(resource: Mapping[str, Any]) -> dict[str, Any]:
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in SERVER_META}
    rest = {name: value for name, value in resource.items() if name not in ("meta", "id")}
    if meta:
        rest["meta"] = meta
    return rest
