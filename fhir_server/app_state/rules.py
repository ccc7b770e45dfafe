"""Which states a client may query and modify, and whose: the operator's list (`smart.md` ST5).

A rule is text, on the command line and in the client's record alike:
`https://app.example|preferences:query,modify:patient,user`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from capability.roles import STATE_KINDS
from storage.access import Right

MOST_RULES: Final = 50
LONGEST_SYSTEM: Final = 256
LONGEST_CODE: Final = 128
_CODING: Final = re.compile(r"([a-z][a-z0-9+.\-]*:[^\s|]+)\|([^\s|]+)")


class Action(StrEnum):
    """What an app does with states."""

    QUERY = "query"
    MODIFY = "modify"


def action_of(right: Right) -> Action:
    """Return what the letter of a scope means for states: `s` queries, the others modify."""
    return Action.QUERY if right is Right.SEARCH else Action.MODIFY


@dataclass(frozen=True, slots=True)
class Rule:
    """What a client may do with the states of one coding; `kinds` says whose: patient, user, global."""

    system: str
    code: str
    actions: frozenset[Action]
    kinds: frozenset[str]

    def __str__(self) -> str:
        actions = ",".join(each for each in Action if each in self.actions)
        return f"{self.system}|{self.code}:{actions}:{','.join(each for each in STATE_KINDS if each in self.kinds)}"

    def allows(self, system: str, code: str, kind: str, right: Right) -> bool:
        """Say whether it is about the coding and lets a client do this with states of a kind."""
        return (system, code) == (self.system, self.code) and kind in self.kinds and action_of(right) in self.actions


@lru_cache(maxsize=1024)
def parse_rule(text: str) -> Rule:
    """Return a rule; raises ValueError, whose message says what is wrong with it."""
    parts = text.rsplit(":", 2)
    if len(parts) != 3:
        raise ValueError("a state is written SYSTEM|CODE:query,modify:patient,user,global")
    coding = _CODING.fullmatch(parts[0])
    if coding is None:
        raise ValueError("the coding of a state is an address of the app, a bar and a code: https://app.example|keys")
    system, code = coding.groups()
    if len(system) > LONGEST_SYSTEM or len(code) > LONGEST_CODE:
        raise ValueError(f"a coding has {LONGEST_SYSTEM} characters of system and {LONGEST_CODE} of code at most")
    actions = _some(parts[1], frozenset(each.value for each in Action), "a client may query, modify or both")
    kinds = _some(parts[2], frozenset(STATE_KINDS), f"states are of these kinds: {', '.join(STATE_KINDS)}")
    return Rule(system, code, frozenset(map(Action, actions)), kinds)


def _some(text: str, known: Collection[str], otherwise: str) -> frozenset[str]:
    found = frozenset(text.split(","))
    if not found <= frozenset(known):
        raise ValueError(otherwise)
    return found


def parse_rules(texts: Iterable[str]) -> tuple[Rule, ...]:
    """Return the rules of a client; raises ValueError for one that is none, and for more than MOST_RULES."""
    rules = tuple(dict.fromkeys(map(parse_rule, texts)))
    if len(rules) > MOST_RULES:
        raise ValueError(f"a client has {MOST_RULES} states at most")
    return rules
