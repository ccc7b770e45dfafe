"""What kind of event an audit record tells of, as data (FHIR R4 auditevent.html; IHE Basic Audit Log Patterns).

Each list of rules gives one code; the first rule whose tests all hold decides. `kind_of` reads them here, and
`storage/audit_conditions.py` makes SQL of the very same rules: so a search finds what a read shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

KNOWN: Final = "known"
"""In place of values: the column has one, whichever."""

READ_METHODS: Final = frozenset({"GET", "HEAD"})
METHODS: Final = READ_METHODS | {"POST", "PUT", "PATCH", "DELETE"}

REST: Final = "rest"
AUTHENTICATION: Final = "110114"
SECURITY: Final = "110113"
EXPORT: Final = "110106"
IMPORT: Final = "110107"
ACTIVITY: Final = "110100"

RESTFUL: Final[Mapping[str, str]] = {
    "read": "R",
    "vread": "R",
    "history-instance": "R",
    "history-type": "R",
    "history-system": "R",
    "create": "C",
    "update": "U",
    "patch": "U",
    "delete": "D",
    "search-type": "E",
    "search-system": "E",
    "search-compartment": "E",
    "operation": "E",
    "capabilities": "E",
    "bundle": "E",
    "batch": "E",
    "transaction": "E",
}
"""Interactions of the interfaces, each with the letter of AuditEvent.action; BALP has a search executed, not read."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`code` is the answer where each column has one of the values; None among them stands for no value."""

    code: str
    tests: Mapping[str, frozenset[str | None] | str]


def _rule(code: str, **tests: Iterable[str | None] | str) -> Rule:
    return Rule(code, {name: each if isinstance(each, str) else frozenset(each) for name, each in tests.items()})


KINDS: Final = (
    _rule(AUTHENTICATION, resource={"session"}),
    _rule(
        SECURITY,
        resource={
            "access_token", "break_glass", "client", "clients", "grant", "launch", "legal_holds", "organizations",
            "signing_keys", "user", "users",
        },
    ),
    _rule(EXPORT, action={"export"}),
    _rule(IMPORT, interaction={"load"}),
    _rule(REST, method=METHODS, interaction={*RESTFUL, None}),
)  # fmt: skip
"""AuditEvent.type; what no rule names is ACTIVITY."""

SUBTYPES: Final = (
    _rule("search-type", interaction={None}, method=READ_METHODS, count=KNOWN),
    _rule("read", interaction={None}, method=READ_METHODS),
    _rule("create", interaction={None}, method={"POST"}),
    _rule("update", interaction={None}, method={"PUT"}),
    _rule("patch", interaction={None}, method={"PATCH"}),
    _rule("delete", interaction={None}, method={"DELETE"}),
)
"""AuditEvent.subtype of records without an interaction; of all others it is that."""

ACTIONS: Final = (
    *(
        _rule(letter, kind={REST}, subtype={name for name, each in RESTFUL.items() if each == letter})
        for letter in sorted(set(RESTFUL.values()))
    ),
    _rule("E", kind={AUTHENTICATION}),
    _rule("C", interaction={"create", "register", "load"}),
    _rule("R", action={"read", "export"}),
    _rule("D", action={"delete"}),
    _rule("U", action={"write"}),
)
"""AuditEvent.action; what no rule names is E."""

NO_FAILURE, MINOR_FAILURE, SERIOUS_FAILURE = "0", "4", "8"
"""AuditEvent.outcome: done; refused or at fault (4xx); the server failed (5xx)."""
FIRST_MINOR: Final = 400
FIRST_SERIOUS: Final = 500


@dataclass(frozen=True, slots=True)
class Kind:
    """What the rules say of a record; `subtype` is None where nothing is known."""

    kind: str
    subtype: str | None
    action: str
    outcome: str


def kind_of(record: Any) -> Kind:
    """Return what kind of event a record tells of; `record` has the columns of `rbac_logs` as attributes."""
    names = ("resource", "action", "interaction", "method", "count")
    facts: dict[str, Any] = {name: getattr(record, name) for name in names}
    facts["kind"] = decided(KINDS, facts) or ACTIVITY
    facts["subtype"] = decided(SUBTYPES, facts) or facts["interaction"]
    action = decided(ACTIONS, facts) or "E"
    return Kind(facts["kind"], facts["subtype"], action, outcome_of(record.outcome, record.status))


def decided(rules: tuple[Rule, ...], facts: Mapping[str, Any]) -> str | None:
    """Return the code of the first rule that holds; None: no rule does."""
    for rule in rules:
        if all(
            facts[name] is not None if isinstance(values, str) else facts[name] in values
            for name, values in rule.tests.items()
        ):
            return rule.code
    return None


def outcome_of(outcome: str, status: int | None) -> str:
    """Return the code of AuditEvent.outcome."""
    if status is not None and status >= FIRST_SERIOUS:
        return SERIOUS_FAILURE
    if outcome == "denied" or (status is not None and status >= FIRST_MINOR):
        return MINOR_FAILURE
    return NO_FAILURE
