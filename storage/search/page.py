"""What a search answers."""

from __future__ import annotations

from dataclasses import dataclass

from storage.resources import Version


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a search.

    `total` counts the matches of all pages, None when it is not known. `next_cursor` is the place of the next page,
    None on the last, `previous_cursor` that of the page before, None on the first. `warnings` say what was left out.
    """

    matches: list[Version]
    includes: list[Version]
    total: int | None
    next_cursor: str | None
    warnings: tuple[str, ...]
    previous_cursor: str | None = None
