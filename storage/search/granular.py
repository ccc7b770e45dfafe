"""From the filters of granular scopes to the tests that a `Way` has (smart.md C6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from storage.access import Access
from storage.search.lower import Lowering
from storage.search.query import Match, Modifier, Value
from storage.search.shape import Binder, Test

_NOBODY: Final = Access("", "", "", "", {})
"""A filter leads to no other resource, so it is nobody's access that is asked for."""


def filter_tests(criteria: Iterable[Match], binder: Binder) -> tuple[Test, ...]:
    """Return the tests that hold together where all criteria of a filter do; values go into `binder`."""
    lowering = Lowering(_NOBODY, 0, binder)
    return tuple(lowering.lower(each) for each in criteria)


def together(filters: Iterable[tuple[Match, ...]]) -> list[tuple[Match, ...]]:
    """Return filters one of which has to hold, fewer of them: one parameter's values become alternatives of one."""
    values: dict[tuple[Match, ...], list[Value]] = {}
    for criteria in filters:
        if len(criteria) == 1:
            alike = (Match(criteria[0].parameter, Modifier.NONE, ()),)
            values.setdefault(alike, []).extend(criteria[0].values)
        else:
            values.setdefault(criteria, [])
    return [
        (Match(criteria[0].parameter, Modifier.NONE, tuple(dict.fromkeys(found))),) if found else criteria
        for criteria, found in values.items()
    ]
