"""Entries of batch and transaction Bundles, taken apart (FHIR R4 bundle.html, http.html#transaction; fhir_rest §10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from capability.operations import OPERATIONS
from fhir_server.errors import BodyTooComplex, DuplicateEntry, InvalidBundle
from fhir_server.fhir.routing import WRITES, Interaction, Route, route

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
ORDER: Final[Mapping[str, int]] = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}
"""In which order the entries of a transaction take effect, whatever their places (http.html#trules)."""
KINDS: Final = frozenset({"batch", "transaction"})
_CONDITIONS: Final[Mapping[str, str]] = {
    "ifMatch": "if-match",
    "ifNoneMatch": "if-none-match",
    "ifModifiedSince": "if-modified-since",
    "ifNoneExist": "if-none-exist",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One request of a bundle. `headers` are its conditions under the names they have in HTTP (B8)."""

    place: int
    method: str
    route: Route
    query: str
    resource: Any = None
    full_url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """FHIRPath of the entry."""
        return entry_path(self.place)

    @property
    def condition(self) -> str:
        """The element with the condition of a conditional write."""
        return "request.ifNoneExist" if self.route.interaction is Interaction.CREATE else "request.url"

    @property
    def writes(self) -> bool:
        """Whether the entry changes something; a search by POST does not."""
        return self.route.interaction in WRITES


def entry_path(place: int) -> str:
    """Return the FHIRPath of the entry at a place, counted from 0."""
    return f"Bundle.entry[{place}]"


def bundle_kind(bundle: Any) -> str:
    """Return "batch" or "transaction"; raises InvalidBundle for anything else (B1, B14)."""
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise InvalidBundle("Send a Bundle to the base address.", "resourceType")
    kind = bundle.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InvalidBundle("Only a Bundle of type batch or transaction can be sent here.", "Bundle.type")
    return kind


def bundle_entries(bundle: dict[str, Any], limit: int) -> list[Any]:
    """Return the entries as they are; raises InvalidBundle when they are no list, BodyTooComplex above the limit."""
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise InvalidBundle("Bundle.entry is a list.", "Bundle.entry")
    if len(entries) > limit:
        raise BodyTooComplex("entries", limit)
    return entries


def parse_entry(raw: Any, place: int) -> Entry:
    """Return what an entry asks for, through the same routing as a request of its own (AZ-11).

    Raises InvalidBundle with the FHIRPath of the fault (B9), and what `route` raises.
    """
    where = entry_path(place)
    request = raw.get("request") if isinstance(raw, dict) else None
    if not isinstance(request, dict):
        raise InvalidBundle("An entry of a batch or transaction has a request.", f"{where}.request")
    method, url = request.get("method"), request.get("url")
    if not isinstance(method, str) or method not in METHODS:
        raise InvalidBundle(f"The method is one of {', '.join(sorted(METHODS))}.", f"{where}.request.method")
    if not isinstance(url, str) or not _is_relative(url):
        raise InvalidBundle("The url is relative to the base: Type, Type/id or Type?query.", f"{where}.request.url")
    path, _, query = url.partition("?")
    full_url = raw.get("fullUrl")
    if full_url is not None and not isinstance(full_url, str):
        raise InvalidBundle("A fullUrl is a text.", f"{where}.fullUrl")
    aim = route(method, path)
    if aim.interaction in {Interaction.BUNDLE, Interaction.CAPABILITIES}:
        raise InvalidBundle("A bundle cannot hold this request.", f"{where}.request.url")
    return Entry(place, method, aim, query, raw.get("resource"), full_url, _conditions(request, where))


def _is_relative(url: str) -> bool:
    path, _, query = url.partition("?")
    return bool(path or query) and ":" not in path and not path.startswith("/") and ".." not in path.split("/")


def _conditions(request: dict[str, Any], where: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, header in _CONDITIONS.items():
        value = request.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise InvalidBundle(f"{name} is a text.", f"{where}.request.{name}")
        headers[header] = value
    return headers


def require_undoable(entry: Entry) -> None:
    """Refuse a call that changes something in a transaction: it could not be undone with the rest (B10)."""
    route = entry.route
    if route.interaction is Interaction.OPERATION and OPERATIONS[route.operation].affects_state:
        raise InvalidBundle("A transaction holds no operation that changes something.", f"{entry.where}.request.url")


def require_distinct(entries: Sequence[Entry]) -> None:
    """Refuse a transaction that names one fullUrl twice or writes one resource twice (B7); raises DuplicateEntry."""
    require_once(((each.full_url, each) for each in entries if each.full_url), lambda _: "fullUrl")
    addressed = ((each.route.key, each) for each in entries if each.writes and each.route.id)
    require_once(addressed, lambda _: "request.url")


def require_once(named: Iterable[tuple[Any, Entry]], element: Callable[[Entry], str]) -> None:
    """Refuse entries that say the same; `element` tells where an entry says it. Raises DuplicateEntry."""
    seen: dict[Any, int] = {}
    for name, entry in named:
        first = seen.setdefault(name, entry.place)
        if first != entry.place:
            message = f"It says the same as that of {entry_path(first)}: a transaction writes each resource once."
            raise DuplicateEntry(message, f"{entry.where}.{element(entry)}")
