"""Who may use an endpoint, as data: resource, action and whose rows it is about (security TN-6).

`@guarded(resource, action, owner)` puts the rule on an endpoint; `GraphRoute` refuses to serve one without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from capability.roles import GraphAction

E = TypeVar("E", bound=Callable[..., Any])
_RULE: Final = "__graph_rule__"


class Owner(StrEnum):
    """Where a request says whose rows it is about, for callers who are bound to one customer."""

    QUERY = "query"
    """`customerId` of the query."""
    BODY = "body"
    """`customerId` of the body."""
    PATH = "path"
    """`{id}` of the address is the customer."""
    ROW = "row"
    """The row that `{id}` names; the handler asks with `Call.require_own`."""
    OWN = "own"
    """Nowhere: the handler confines what it does to the caller's own customer."""
    NOBODY = "nobody"
    """The organization's rows: callers who are bound to one customer are refused."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One endpoint's guard; `signed` requests bear no token, their body is signed."""

    resource: str
    action: GraphAction
    owner: Owner
    signed: bool = False


def guarded(resource: str, action: GraphAction, owner: Owner, *, signed: bool = False) -> Callable[[E], E]:
    """Return a decorator that puts a rule on an endpoint."""

    def put(endpoint: E) -> E:
        setattr(endpoint, _RULE, Rule(resource, action, owner, signed))
        return endpoint

    return put


def rule_of(endpoint: Callable[..., Any]) -> Rule:
    """Return the rule of an endpoint; raises LookupError for one without: nothing is served unguarded."""
    rule: Rule | None = getattr(endpoint, _RULE, None)
    if rule is None:
        raise LookupError(f"{endpoint.__name__} has no rule: decorate it with @guarded")
    return rule
