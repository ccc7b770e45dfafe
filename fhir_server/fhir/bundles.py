"""Bundles that are answered, put together from stored bytes: nothing is parsed on the way out (design Decision 9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_server.fhir.conditions import etag
from fhir_server.fhir.json_body import encode_json
from storage.codec import instant
from storage.resources import Creation, Version


def bundle_bytes(
    kind: str, entries: Iterable[bytes], *, total: int | None = None, links: Sequence[tuple[str, str]] = ()
) -> bytes:
    """Return a Bundle of the given type around finished entries; `links` are (relation, url)."""
    head: dict[str, object] = {"resourceType": "Bundle", "type": kind}
    if total is not None:
        head["total"] = total
    if links:
        head["link"] = [{"relation": relation, "url": url} for relation, url in links]
    joined = b",".join(entries)
    start = encode_json(head)[:-1]
    return b"".join((start, b',"entry":[', joined, b"]}")) if joined else start + b"}"


def search_entry(version: Version, mode: bytes, base_url: bytes) -> bytes:
    """Return an entry of a searchset; `mode` is match or include (search.html#entries)."""
    name = f"{version.key.resource_type}/{version.key.id}".encode()
    return b"".join(
        (b'{"fullUrl":"', base_url, b"/", name, b'","resource":', version.body, b',"search":{"mode":"', mode, b'"}}')
    )


def outcome_entry(outcome: bytes) -> bytes:
    """Return the entry of a searchset that says what was not done."""
    return b"".join((b'{"resource":', outcome, b',"search":{"mode":"outcome"}}'))


def history_entry(version: Version, base_url: str) -> bytes:
    """Return an entry of a history, with the request that made the version (V4)."""
    key = version.key
    if version.deleted:
        method, url, status = "DELETE", str(key), "204"
    elif version.version == 1 and version.creation is not Creation.PUT:
        method, url, status = "POST", key.resource_type, "201"
    else:
        method, url, status = "PUT", str(key), "201" if version.creation is Creation.PUT else "200"
    response = {"status": status, "etag": etag(version.version), "lastModified": instant(version.last_updated)}
    facts: dict[str, object] = {
        "fullUrl": f"{base_url}/{key}",
        "request": {"method": method, "url": url},
        "response": response,
    }
    return _with_resource(facts, version.body)


def response_entry(
    status: int, *, location: str | None, version: Version | None, resource: bytes, outcome: bytes
) -> bytes:
    """Return an entry of a batch-response or transaction-response; `outcome` is that of a failure (B1)."""
    response: dict[str, object] = {"status": str(status)}
    if location is not None:
        response["location"] = location
    if version is not None:
        response["etag"] = etag(version.version)
        response["lastModified"] = instant(version.last_updated)
    facts: dict[str, object] = {"response": response}
    if outcome:
        start = encode_json(facts)
        return b"".join((start[:-2], b',"outcome":', outcome, b"}}"))
    return _with_resource(facts, resource)


def _with_resource(facts: dict[str, object], resource: bytes) -> bytes:
    start = encode_json(facts)
    return b"".join((start[:-1], b',"resource":', resource, b"}")) if resource else start
