"""Bundles as sets of writes that keep their ids, so that loading twice changes nothing (settled §3.7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from fhir_server.errors import RequestError
from fhir_server.fhir.references import find_links, place_of, put_links
from storage.codec import content

Resource = dict[str, Any]
WHOLE: Final = frozenset({"transaction"})
"""Bundle types that are loaded all or nothing."""
URN: Final = "urn:uuid:"


class NotLoadable(RequestError):
    """A file or a part of it cannot be loaded; the message says why and what would help."""


def resources_of(bundle: Resource) -> list[Resource]:
    """Return the resources of a bundle with ids, references between entries rewritten to `Type/id`.

    Raises NotLoadable for a reference to an entry that is not there, or for an entry that is no create or update.
    """
    entries: Sequence[dict[str, Any]] = bundle.get("entry", [])
    targets: dict[str, str] = {}
    loaded: list[tuple[int, Resource, str | None]] = []
    for position, entry in enumerate(entries):
        resource = entry.get("resource")
        method = entry.get("request", {}).get("method", "PUT")
        if resource is None or method not in {"PUT", "POST"}:
            raise NotLoadable(f"Bundle.entry[{position}] is a {method}: only POST and PUT with a resource are loaded")
        full_url = entry.get("fullUrl")
        resource.setdefault("id", _id_of(resource, full_url))
        if full_url is not None:
            targets[full_url] = f"{resource['resourceType']}/{resource['id']}"
        loaded.append((position, resource, full_url))
    for position, resource, full_url in loaded:
        links = find_links(resource, targets, full_url)
        for container in links.unresolved:
            place = place_of(container, resource, f"Bundle.entry[{position}].resource")
            raise NotLoadable(f"{place}.reference names no entry of the bundle")
        if links.conditional:
            place = place_of(links.conditional[0].container, resource, f"Bundle.entry[{position}].resource")
            raise NotLoadable(f"{place}.reference is a search: send such a bundle to POST /fhir")
        put_links(links, targets, {})
    return [resource for _, resource, _ in loaded]


def _id_of(resource: Resource, full_url: str | None) -> str:
    """Return the id of a resource that came without: of its fullUrl, else made from its content."""
    if full_url is not None and full_url.startswith(URN):
        return full_url[len(URN) :]
    return str(uuid5(NAMESPACE_URL, content(resource).decode()))
