"""FHIRPath expressions as texts: what their alternatives are (FHIR R4 searchparameter.html, `expression`)."""

from __future__ import annotations

from collections.abc import Iterator


def split_union(expression: str) -> list[str]:
    """Return the alternatives of an expression: what stands between `|` outside parentheses and quotes."""
    return [part.strip() for part in _alternatives(expression)]


def _alternatives(expression: str) -> Iterator[str]:
    depth, quoted, start = 0, False, 0
    for at, character in enumerate(expression):
        if character == "'":
            quoted = not quoted
        elif not quoted and character in "()":
            depth += 1 if character == "(" else -1
        elif character == "|" and not quoted and depth == 0:
            yield expression[start:at]
            start = at + 1
    yield expression[start:]
