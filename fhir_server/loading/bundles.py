"""Bundles as sets of writes that keep their ids, so that loading twice changes nothing (settled §3.7)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from fhir_server.fhir.references import find_links, place_of, put_links
from fhir_server.loading.errors import NotLoadable
from storage.codec import content

Resource = dict[str, Any]
WHOLE: Final = frozenset({"transaction"})
"""Bundle types that are loaded all or nothing."""
UNPACKED: Final = WHOLE | {"batch", "collection", "searchset"}
"""Bundle types whose resources are loaded; a Bundle of another type (document, message, …) is a resource itself."""
URN: Final = "urn:uuid:"
_ADDRESS: Final = re.compile(r"(?:^|/)[A-Z][A-Za-z]+/([A-Za-z0-9\-.]{1,64})\Z")


@dataclass(slots=True)
class Loadable:
    """One resource of a bundle, with the id it is stored under; `fault` says why it cannot be loaded."""

    where: str
    resource: Resource
    full_url: str | None = None
    fault: str | None = None

    @property
    def name(self) -> str:
        """The type and id of the resource, or its place where it has none."""
        kind, own_id = self.resource.get("resourceType"), self.resource.get("id")
        return f"{kind}/{own_id}" if isinstance(kind, str) and isinstance(own_id, str) else self.where


def resources_of(bundle: Resource) -> list[Loadable]:
    """Return the resources of a bundle with ids, references between entries rewritten to `Type/id`.

    An entry that cannot be loaded has a fault. Raises NotLoadable when the entries are no list.
    """
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise NotLoadable("Bundle.entry is a list")
    found = [each for position, entry in enumerate(entries) for each in _taken(entry, f"Bundle.entry[{position}]")]
    targets = {each.full_url: each.name for each in found if each.full_url is not None and each.fault is None}
    for each in found:
        if each.fault is None:
            each.fault = _link(each, targets)
    return found


def _taken(entry: Any, where: str) -> Iterator[Loadable]:
    """Yield what an entry brings; an outcome of a search is nothing to load."""
    if not isinstance(entry, dict):
        yield Loadable(where, {}, fault=f"{where} is an object")
        return
    if isinstance(search := entry.get("search"), dict) and search.get("mode") == "outcome":
        return
    resource = entry.get("resource")
    fault = _entry_fault(entry, where)
    if fault is not None or not isinstance(resource, dict):
        yield Loadable(where, resource if isinstance(resource, dict) else {}, fault=fault or f"{where} has no resource")
        return
    full_url = entry.get("fullUrl")
    identify(resource, _id_of_address(entry.get("request", {})), full_url)
    yield Loadable(where, resource, full_url)


def _entry_fault(entry: dict[str, Any], where: str) -> str | None:
    request = entry.get("request", {})
    if not isinstance(request, dict) or not isinstance(entry.get("fullUrl", ""), str):
        return f"{where}: request is an object and fullUrl a text"
    method, url = request.get("method", "PUT"), request.get("url", "")
    if method not in {"PUT", "POST"}:
        return f"{where}.request.method: only POST and PUT are loaded; send others to POST /fhir"
    resource = entry.get("resource")
    own_id = resource.get("id") if isinstance(resource, dict) else None
    if ("ifNoneExist" in request and own_id is None) or not isinstance(url, str) or "?" in url:
        return f"{where}.request: it is conditional; send such a bundle to POST /fhir"
    address_id = _id_of_address(request)
    if None not in (own_id, address_id) and own_id != address_id:
        return f"{where}.resource.id is not that of request.url"
    return None


def _id_of_address(request: dict[str, Any]) -> str | None:
    """Return the id that a PUT names."""
    named = _ADDRESS.search(request.get("url", ""))
    return named[1] if named is not None and request.get("method") == "PUT" else None


def identify(resource: Resource, address_id: str | None = None, full_url: str | None = None) -> None:
    """Give a resource without id one: of its address or fullUrl, else made from its content, so always the same."""
    if "id" in resource:
        return
    if address_id is not None:
        resource["id"] = address_id
    elif full_url is not None and full_url.startswith(URN):
        resource["id"] = full_url[len(URN) :]
    else:
        known = resource if isinstance(resource.get("meta"), dict) else {**resource, "meta": {}}
        resource["id"] = str(uuid5(NAMESPACE_URL, content(known).decode()))


def _link(loadable: Loadable, targets: dict[str, str]) -> str | None:
    """Point the references of a resource at what they name; return why that cannot be done."""
    links = find_links(loadable.resource, targets, loadable.full_url)
    for container in links.unresolved:
        place = place_of(container, loadable.resource, f"{loadable.where}.resource")
        return f"{place}.reference names no entry of the bundle that can be loaded"
    if links.conditional:
        place = place_of(links.conditional[0].container, loadable.resource, f"{loadable.where}.resource")
        return f"{place}.reference is a search; send such a bundle to POST /fhir"
    put_links(links, targets, {})
    return None


def require_all(found: Sequence[Loadable]) -> None:
    """Raise NotLoadable when one of them has a fault: a transaction is loaded whole or not at all."""
    for each in found:
        if each.fault is not None:
            raise NotLoadable(each.fault)
