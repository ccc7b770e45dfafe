"""Turns measurements into a Markdown table: each figure beside the goal for this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bench.goals import BARE_FIXED, BARE_PAGES, BARE_READS, Goal, Limit
from bench.yardstick import Bare

HEADINGS: Final = ("scenario", "here", "p50 ms", "cpu ms", "first step", "ratio", "", "goal", "ratio", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `value` is None when it could not be measured, and `note` then says why.

    `cpu` is processor time per request in ms, of the server and of the database. Ratios are such that 1 or more passes.
    """

    title: str
    unit: str
    value: float | None
    first_step: float
    full: float
    at_least: bool = True
    p50: float | None = None
    cpu: str = ""
    note: str = ""

    def ratio(self, goal: float) -> float:
        """Return how far the goal is reached; 1 is just reached."""
        if not self.value:
            return 0.0
        return self.value / goal if self.at_least else goal / self.value


def scaled_row(title: str, goal: Goal, bare_reads: float, value: float | None, unit: str = "/s", **more: Any) -> Row:
    """Return the row of a figure whose goal grows with the machine."""
    first_step, full = goal.scaled(bare_reads)
    return Row(title, unit, value, first_step, full, **more)


def limit_row(title: str, limit: Limit, value: float | None, unit: str, **more: Any) -> Row:
    """Return the row of a figure whose goal is the same everywhere."""
    return Row(title, unit, value, limit.first_step, limit.full, limit.at_least, **more)


@dataclass(slots=True)
class Report:
    """Everything that a run found; `bare` in the order of measuring."""

    environment: list[str] = field(default_factory=list)
    bare: list[Bare] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Return the whole report."""
        parts = [
            "\n".join(f"- {line}" for line in self.environment),
            _bare_table(self.bare),
            _table(self.rows),
            _count(self.rows),
            "\n".join(f"- {line}" for line in self.notes),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def _bare_table(measured: Sequence[Bare]) -> str:
    if not measured:
        return ""
    kinds = (
        ("read a body by key", [each.reads.rate for each in measured], BARE_READS),
        ("page of 50 bodies joined", [each.pages.rate for each in measured], BARE_PAGES),
        ("fixed bytes, no database", [each.fixed.rate for each in measured], BARE_FIXED),
    )
    lines = [
        "| bare stack | each time it was measured, /s | mean | quiet machine | ratio |",
        "|---|---|---:|---:|---:|",
    ]
    for title, rates, quiet in kinds:
        mean = sum(rates) / len(rates)
        each = ", ".join(f"{rate:,.0f}" for rate in rates)
        lines.append(f"| {title} | {each} | {mean:,.0f} | {quiet:,} | {mean / quiet:.2f} |")
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> str:
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---|---:|---:|---:|---:|---:|---|---:|---:|---|"]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _count(rows: Sequence[Row]) -> str:
    first = sum(row.ratio(row.first_step) >= 1 for row in rows)
    full = sum(row.ratio(row.full) >= 1 for row in rows)
    return f"Of {len(rows)} figures {first} reach the first step and {full} the goal."


def _line(row: Row) -> str:
    sign = "≥" if row.at_least else "≤"
    value = row.note or "not measured" if row.value is None else f"{_number(row.value)}{row.unit}"
    cells = [row.title, value, "" if row.p50 is None else f"{row.p50:.1f}", row.cpu]
    for goal in (row.first_step, row.full):
        ratio = "" if row.value is None else f"{row.ratio(goal):.2f}"
        cells += [f"{sign} {_number(goal)}", ratio, "pass" if row.ratio(goal) >= 1 else "FAIL"]
    return "| " + " | ".join(cells) + " |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
