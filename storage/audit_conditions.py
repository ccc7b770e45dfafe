"""Conditions on audit records, as SQL of either engine (security AD-6).

What a record's kind is follows from several columns: `mappers/audit_kinds.py` has the rules, and here they become CASE
expressions, so that a search finds exactly what a read shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Boolean, ColumnElement, and_, case, func, literal, literal_column, or_

from mappers.audit_kinds import (
    ACTIONS,
    ACTIVITY,
    FIRST_MINOR,
    FIRST_SERIOUS,
    KINDS,
    MINOR_FAILURE,
    NO_FAILURE,
    SERIOUS_FAILURE,
    SUBTYPES,
    Rule,
)
from storage.tables.audit import rbac_logs

Condition = ColumnElement[bool]
Columns = Mapping[str, ColumnElement[Any]]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which records are meant: those in [since, until) that concern one of `people`, and meet all `conditions`.

    Instants are microseconds since 1970 UTC; `places` are trail and id of records. None means no limit.
    """

    since: int | None = None
    until: int | None = None
    people: tuple[str, ...] | None = None
    places: frozenset[tuple[int, int]] | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def walks(self) -> bool:
        """Whether records have to be looked at to know which are meant: neither their order nor their ids tell."""
        return self.places is None and (self.people is not None or bool(self.conditions))


ALWAYS: Final[Condition] = literal_column("1 = 1", Boolean)
"""What every record meets."""
NEVER: Final[Condition] = literal_column("1 = 0", Boolean)
"""What no record meets. SQLAlchemy's own would take the rest of its statement away, the organization among it."""


class AuditColumns:
    """The columns of `rbac_logs` on one engine, and what follows from them."""

    def __init__(self, dialect: str) -> None:
        self._position = func.strpos if dialect == "postgresql" else func.instr
        columns = rbac_logs.c
        facts = {name: columns[name] for name in ("resource", "action", "interaction", "method", "count")}
        self.kind = _decided(KINDS, facts, literal(ACTIVITY))
        self.subtype = _decided(SUBTYPES, {**facts, "kind": self.kind}, columns.interaction)
        self.action = _decided(ACTIONS, {**facts, "kind": self.kind, "subtype": self.subtype}, literal("E"))
        self.outcome = case(
            (columns.status >= FIRST_SERIOUS, SERIOUS_FAILURE),
            (or_(columns.outcome == "denied", columns.status >= FIRST_MINOR), MINOR_FAILURE),
            else_=NO_FAILURE,
        )
        self.is_by_person = or_(columns.client_id.is_(None), columns.client_id != columns.actor_id)

    def listed(self, column: ColumnElement[Any], text: str) -> Condition:
        """Return the condition that a JSON list of texts has one of them."""
        return and_(column.is_not(None), self._position(column, msgspec.json.encode(text).decode()) > 0)

    def ends_listed(self, column: ColumnElement[Any], end: str) -> Condition:
        """Return the condition that one text of a JSON list ends in `end`."""
        return and_(column.is_not(None), self._position(column, msgspec.json.encode(end).decode()[1:]) > 0)

    def of_one(self, people: Iterable[str]) -> Condition:
        """Return the condition that a record concerns one patient, who is one of `people`."""
        return one_of(rbac_logs.c.customer_id, people)

    def of_several(self, people: Iterable[str]) -> Condition:
        """Return the condition that a record concerns several patients, one of `people` among them."""
        return and_(
            rbac_logs.c.patients.is_not(None), one_holds(self.listed(rbac_logs.c.patients, each) for each in people)
        )

    def concerns(self, people: Sequence[str]) -> Condition:
        """Return the condition that a record concerns one of `people`."""
        return or_(self.of_one(people), self.of_several(people))

    def starts(self, column: ColumnElement[Any], text: str) -> Condition:
        """Return the condition that a text begins with another, whatever the case of its letters."""
        return func.lower(func.substr(column, 1, len(text))) == text.lower()


def having(**values: str | None) -> tuple[Condition, ...]:
    """Return the conditions that columns, by name, have these values; None means any."""
    return tuple(rbac_logs.c[name] == value for name, value in values.items() if value is not None)


def one_of(column: ColumnElement[Any], values: Iterable[Any]) -> Condition:
    """Return the condition that a column has one of some values; of none, nothing does."""
    return one_holds(column == value for value in values)


def one_holds(conditions: Iterable[Condition]) -> Condition:
    """Return the condition that one of some conditions holds; of none, nothing does."""
    return or_(NEVER, *conditions)


def _decided(rules: Iterable[Rule], columns: Columns, otherwise: ColumnElement[Any]) -> ColumnElement[Any]:
    return case(*((_holds(rule, columns), literal(rule.code)) for rule in rules), else_=otherwise)


def _holds(rule: Rule, columns: Columns) -> Condition:
    tests: list[Condition] = []
    for name, values in rule.tests.items():
        column = columns[name]
        if isinstance(values, str):
            tests.append(column.is_not(None))
            continue
        absent: list[Condition] = [column.is_(None)] if None in values else []
        tests.append(or_(*absent, *(column == each for each in sorted(filter(None, values)))))
    return and_(*tests)
