r"""Separators of search values and their escapes: `\,` `\$` `\|` `\\` (FHIR R4 search.html#escaping)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_ESCAPED: Final = re.compile(r"\\([\\,$|])")


@lru_cache
def _separator(character: str) -> re.Pattern[str]:
    """Match pieces between separators; an escaped character never separates."""
    return re.compile(rf"(?:[^\\{re.escape(character)}]|\\.|\\$)*", re.DOTALL)


def split(text: str, character: str) -> list[str]:
    """Return the pieces of `text` between unescaped separators, escapes kept; `""` gives one empty piece."""
    if "\\" not in text:
        return text.split(character)
    pieces: list[str] = []
    pattern, position = _separator(character), 0
    while True:
        match = pattern.match(text, position)
        end = match.end() if match else position
        pieces.append(text[position:end])
        if end >= len(text):
            return pieces
        position = end + 1


def unescape(text: str) -> str:
    """Return the text that was meant; a backslash before any other character stands for itself."""
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text
