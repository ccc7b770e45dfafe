"""Narrative: an allow-list of XHTML without active content (FHIR R4 narrative.html, txt-1, txt-2; fhir_rest §18).

Refused, never cleaned: what a client reads back is what was written.
"""

from __future__ import annotations

import html.entities
import re
from collections.abc import Mapping
from typing import Final
from xml.parsers import expat

XHTML: Final = "http://www.w3.org/1999/xhtml"

ELEMENTS: Final = frozenset(
    {
        "a",
        "abbr",
        "acronym",
        "address",
        "area",
        "b",
        "bdo",
        "big",
        "blockquote",
        "br",
        "caption",
        "cite",
        "code",
        "col",
        "colgroup",
        "dd",
        "dfn",
        "div",
        "dl",
        "dt",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "kbd",
        "li",
        "map",
        "ol",
        "p",
        "pre",
        "q",
        "samp",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "tt",
        "ul",
        "var",
    }
)
"""HTML 4.0 chapters 7 to 11 (without 9.4) and 15, `a` and images."""

ATTRIBUTES: Final = frozenset(
    {
        "abbr",
        "accesskey",
        "align",
        "axis",
        "char",
        "charoff",
        "class",
        "colspan",
        "dir",
        "headers",
        "id",
        "lang",
        "rowspan",
        "scope",
        "span",
        "style",
        "tabindex",
        "title",
        "type",
        "valign",
        "value",
        "width",
    }
)
"""Attributes of every element."""

OWN_ATTRIBUTES: Final[Mapping[str, frozenset[str]]] = {
    "a": frozenset({"charset", "coords", "href", "hreflang", "name", "rel", "rev", "shape"}),
    "area": frozenset({"alt", "coords", "href", "nohref", "shape"}),
    "blockquote": frozenset({"cite"}),
    "col": frozenset({"span"}),
    "colgroup": frozenset({"span"}),
    "hr": frozenset({"noshade", "size"}),
    "img": frozenset({"alt", "border", "height", "ismap", "longdesc", "name", "src", "usemap"}),
    "li": frozenset({"value"}),
    "map": frozenset({"name"}),
    "ol": frozenset({"compact", "start"}),
    "q": frozenset({"cite"}),
    "table": frozenset({"border", "cellpadding", "cellspacing", "frame", "rules", "summary"}),
    "td": frozenset({"height", "nowrap"}),
    "th": frozenset({"height", "nowrap"}),
    "ul": frozenset({"compact"}),
}
"""Attributes of some elements only."""

LINKS: Final = frozenset({"href", "cite"})
EMBEDDED: Final = frozenset({"src", "longdesc", "usemap"})
LINK_SCHEMES: Final = frozenset({"", "http", "https", "mailto", "tel", "ftp", "urn"})
_IMAGE_DATA: Final = re.compile(r"data:image/(?:png|gif|jpeg|webp|bmp)[;,]", re.IGNORECASE)
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.\-]*):", re.IGNORECASE)
_IGNORED_IN_URLS: Final = dict.fromkeys(range(33))
_ACTIVE_STYLE: Final = re.compile(
    r"expression|javascript|vbscript|behaviou?r|-moz-binding|@import|url\s*\(|\\", re.IGNORECASE
)
_NAMED_ENTITY: Final = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,31});")
_OF_XML: Final = frozenset({"amp", "lt", "gt", "quot", "apos"})


def narrative_fault(div: str) -> str | None:
    """Return what is wrong with the XHTML of a narrative, None when nothing is; never a part of its text."""
    reader = _Reader()
    try:
        reader.parse(div)
    except _Fault as fault:
        return str(fault)
    except expat.ExpatError:
        return "The narrative must be well-formed XHTML."
    return None if reader.has_content else "The narrative must have some content that is not white space."


class _Fault(Exception):
    """The narrative holds what it may not."""


class _Reader:
    """Reads one narrative; nothing outside the text is ever loaded, and no entity is defined by it."""

    def __init__(self) -> None:
        self.has_content = False
        self._depth = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.ProcessingInstructionHandler = self._refuse_instruction

    def parse(self, div: str) -> None:
        """Read a narrative; raises _Fault or ExpatError."""
        self._parser.Parse(_NAMED_ENTITY.sub(_character, div) if "&" in div else div, True)

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        namespace, _, name = qualified.rpartition(" ")
        if namespace != XHTML:
            raise _Fault("Every element of a narrative is in the namespace of XHTML: <div xmlns=...>.")
        if self._depth == 0 and name != "div":
            raise _Fault("A narrative is one div element.")
        if name not in ELEMENTS:
            raise _Fault("The narrative has an element that is not allowed; basic formatting, links and images are.")
        for attribute, value in attributes.items():
            _check_attribute(name, attribute, value)
        self._depth += 1
        self.has_content |= name == "img"

    def _end(self, _: str) -> None:
        self._depth -= 1

    def _text(self, text: str) -> None:
        self.has_content = self.has_content or not text.isspace()

    def _refuse_doctype(self, *_: object) -> None:
        raise _Fault("A narrative has no document type declaration.")

    def _refuse_instruction(self, *_: object) -> None:
        raise _Fault("A narrative has no processing instructions.")


def _check_attribute(element: str, attribute: str, value: str) -> None:
    name = attribute.rpartition(" ")[2]
    if name not in ATTRIBUTES and name not in OWN_ATTRIBUTES.get(element, frozenset()):
        raise _Fault("The narrative has an attribute that is not allowed, such as an event handler; leave it out.")
    if name in LINKS and _scheme(value) not in LINK_SCHEMES:
        raise _Fault("A link of the narrative has a scheme that is not allowed; use http, https, mailto or tel.")
    if name in EMBEDDED and not _is_internal(value):
        raise _Fault("The narrative loads an external object; images are relative, or data of an image.")
    if name == "style" and _ACTIVE_STYLE.search(value):
        raise _Fault("A style of the narrative loads or runs something; keep to formatting.")


def _scheme(url: str) -> str:
    """Return the scheme of a URL in lower case, "" for a relative one, as a browser would read it."""
    match = _SCHEME.match(url.translate(_IGNORED_IN_URLS))
    return match[1].lower() if match else ""


def _is_internal(url: str) -> bool:
    """Say whether a URL leads to nothing outside: relative, within the document, or the data of an image."""
    bare = url.translate(_IGNORED_IN_URLS).replace("\\", "/")
    return bool(_IMAGE_DATA.match(bare)) or (_scheme(bare) == "" and not bare.startswith("//"))


def _character(match: re.Match[str]) -> str:
    """Return the character of an entity of HTML 4.0, which XML does not know."""
    code = html.entities.name2codepoint.get(match[1])
    return match[0] if code is None or match[1] in _OF_XML else f"&#{code};"
