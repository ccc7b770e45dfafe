"""Plans of PostgreSQL, taken apart (postgresql.org sql-explain.html, FORMAT JSON)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Node = dict[str, Any]


def nodes(plan: Node) -> Iterator[Node]:
    """Yield every node of a plan."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def scans(plans: Iterable[Node]) -> list[Node]:
    """Return the nodes of some plans that read a table."""
    return [node for plan in plans for node in nodes(plan) if "Relation Name" in node]


def touched(node: Node) -> int:
    """Return how many rows a scan looked at."""
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])
