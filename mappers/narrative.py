"""Generated narrative (FHIR R4 narrative.html): headings and lists of plain words, nothing else."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Final

from mappers.json_values import Json

_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_XHTML: Final = "http://www.w3.org/1999/xhtml"


def _escaped(text: str) -> str:
    return html.escape(_NOT_XML.sub("\ufffd", text), quote=False)


def narrative(title: str, paragraphs: Iterable[str | None], items: Iterable[str] = ()) -> Json:
    """Return a Narrative with a title, paragraphs and a list; text is escaped, None and blanks are left out."""
    parts = [f"<p><b>{_escaped(title)}</b></p>"]
    parts += [f"<p>{_escaped(text)}</p>" for text in paragraphs if text and not text.isspace()]
    listed = "".join(f"<li>{_escaped(item)}</li>" for item in items)
    if listed:
        parts.append(f"<ul>{listed}</ul>")
    return {"status": "generated", "div": f'<div xmlns="{_XHTML}">{"".join(parts)}</div>'}
