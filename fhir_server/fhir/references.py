"""Links between the entries of a transaction, and conditional references (FHIR R4 http.html#trules).

One pass over a resource notes every string that may have to change: its container, its key, its text. Links are then
put in place as often as needed (a transaction may be run again after a conflict) without another walk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from capability.elements import URI_KEYS

Json = Any
Container = dict[str, Any] | list[Any]
_LINK: Final = re.compile(r"""(\b(?:href|src)\s*=\s*)(?:"([^"]*)"|'([^']*)')""")
_REST: Final = re.compile(r"((?:https?|urn):.+?/)?([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})\Z")
_SUFFIX: Final = re.compile(r"(/_history/[A-Za-z0-9\-.]{1,64})?(#.*)?\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Link:
    """A string of a resource that names another entry: `container[key]` was `text`, which names `full_url`.

    What follows the name in the text (version, fragment) is `rest`.
    """

    container: Container
    key: str | int
    text: str
    full_url: str
    rest: str = ""


@dataclass(frozen=True, slots=True)
class ConditionalReference:
    """A `Reference.reference` of the form `Type?query` (http.html#trules)."""

    container: dict[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class Narrative:
    """A narrative with links in it: `container["div"]` was `text`."""

    container: dict[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class Links:
    """What of one resource depends on other entries; `unresolved` are containers whose `urn:` names no entry."""

    links: tuple[Link, ...]
    conditional: tuple[ConditionalReference, ...]
    narratives: tuple[Narrative, ...]
    unresolved: tuple[dict[str, Any], ...]


NO_LINKS: Final = Links((), (), (), ())


def find_links(resource: dict[str, Any], full_urls: Collection[str], own_url: str | None) -> Links:
    """Return what has to be rewritten in a resource that stands in an entry with `own_url`.

    `full_urls` names the entries of the transaction. References to contained resources are no links.
    """
    finder = _Finder(full_urls, _root(own_url))
    finder.walk(resource)
    return Links(tuple(finder.links), tuple(finder.conditional), tuple(finder.narratives), tuple(finder.unresolved))


def _root(own_url: str | None) -> str:
    """Return the base that relative references of an entry are to be read against (bundle.html#references)."""
    match = _REST.match(own_url) if own_url else None
    return (match[1] or "") if match else ""


class _Finder:
    """The one pass; it is on the path of every transaction, so it is a loop and not a recursion."""

    def __init__(self, full_urls: Collection[str], root: str) -> None:
        self.full_urls = full_urls
        self.root = root
        self.links: list[Link] = []
        self.conditional: list[ConditionalReference] = []
        self.narratives: list[Narrative] = []
        self.unresolved: list[dict[str, Any]] = []

    def walk(self, resource: dict[str, Any]) -> None:
        nodes: list[Any] = [resource]
        full_urls = self.full_urls
        while nodes:
            node = nodes.pop()
            for key, value in node.items():
                kind = type(value)
                if kind is str:
                    if key == "reference":
                        self._reference(node, value)
                    elif key in URI_KEYS and value in full_urls:
                        self.links.append(Link(node, key, value, value))
                    elif key == "div" and ("href" in value or "src" in value):
                        self.narratives.append(Narrative(node, value))
                elif kind is dict:
                    nodes.append(value)
                elif kind is list:
                    self._items(key, value, nodes)

    def _items(self, key: str, items: list[Any], nodes: list[Any]) -> None:
        for position, item in enumerate(items):
            if type(item) is dict:
                nodes.append(item)
            elif key in URI_KEYS and type(item) is str and item in self.full_urls:
                self.links.append(Link(items, position, item, item))

    def _reference(self, node: dict[str, Any], text: str) -> None:
        if text.startswith("#"):
            return
        named = self._entry(text)
        if named is not None:
            self.links.append(Link(node, "reference", text, *named))
        elif text.startswith(("urn:uuid:", "urn:oid:")):
            self.unresolved.append(node)
        elif is_conditional(text):
            self.conditional.append(ConditionalReference(node, text))

    def _entry(self, text: str) -> tuple[str, str] | None:
        """Return the fullUrl that a reference names, and what follows it."""
        return next(
            (
                (url, rest)
                for name, rest in _readings(text)
                for url in (name, self.root + name)
                if url in self.full_urls
            ),
            None,
        )


def _readings(text: str) -> Iterator[tuple[str, str]]:
    """Yield a reference whole, and with its version and fragment taken off."""
    yield text, ""
    if "#" in text or "/_history/" in text:
        match = _SUFFIX.search(text)
        if match is not None and match[0]:
            yield text[: match.start()], match[0]


def is_conditional(reference: str) -> bool:
    """Say whether a reference is a search: `Type?query`."""
    name, mark, _ = reference.partition("?")
    return bool(mark) and name.isalpha()


def put_links(links: Links, targets: Mapping[str, str], matches: Mapping[str, str]) -> None:
    """Write the targets into a resource: `targets` by fullUrl, `matches` by conditional reference."""
    for link in links.links:
        link.container[link.key] = targets[link.full_url] + link.rest  # type: ignore[index]
    for reference in links.conditional:
        reference.container["reference"] = matches[reference.text]
    for narrative in links.narratives:
        narrative.container["div"] = _LINK.sub(_relinked(targets), narrative.text)


def _relinked(targets: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    def replacement(match: re.Match[str]) -> str:
        for name, rest in _readings(match[2] if match[2] is not None else match[3]):
            if name in targets:
                return f'{match[1]}"{targets[name]}{rest}"'
        return match[0]

    return replacement


def place_of(container: Container, root: Json, path: str) -> str:
    """Return the FHIRPath of an object inside `root`, whose own path is `path`; for error messages only."""
    if root is container:
        return path
    if isinstance(root, dict):
        children = ((f"{path}.{key}", child) for key, child in root.items())
    elif isinstance(root, list):
        children = ((f"{path}[{position}]", child) for position, child in enumerate(root))
    else:
        return ""
    return next((found for place, child in children if (found := place_of(container, child, place))), "")
