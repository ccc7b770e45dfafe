"""Roles and their rights, from one data file (`roles.json`): the RBAC matrix (security TN-6, settled §4.1).

`Role.rights` answers for every FHIR type, `Role.actions` for every resource of the patient graph API. What the file
does not name is denied.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

STATE_KINDS: Final = ("patient", "user", "global")
"""Whose the state of an app is (`smart.md` ST5)."""
CLINICAL: Final = "clinical"
"""The group of every type that no other group names."""


class GraphAction(StrEnum):
    """The source's `rbac_action`."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    EXPORT = "export"


@dataclass(frozen=True, slots=True)
class Role:
    """What one role may do, before scopes, organization and ownership narrow it."""

    name: str
    graph_role: str | None
    """Its name on /graph; None: the role has no access there."""
    assignable: bool
    """Whether a user may hold it; the others act for clients."""
    own: bool
    """Whether it reaches the caller's own rows and compartment only."""
    fhir: Mapping[str, str]
    """SMART letters by resource type or group."""
    graph: Mapping[str, frozenset[GraphAction]]
    break_glass: bool = False
    """Whether who holds it may open emergency access (security TN-7)."""
    app_state: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """SMART letters for the states of apps, by whose they are: patient, user, global (`smart.md` §17)."""

    def rights(self, resource_type: str) -> str:
        """Return the SMART letters (of `cruds`) that the role has for a resource type; empty: none."""
        letters = self.fhir.get(resource_type)
        return self.fhir.get(group_of(resource_type), "") if letters is None else letters

    def actions(self, resource: str) -> frozenset[GraphAction]:
        """Return what the role may do with a resource of the patient graph API."""
        return self.graph.get(resource, frozenset())


@cache
def _document() -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(resources.files("capability").joinpath("roles.json").read_text("utf-8"))
    return document


@cache
def _groups() -> Mapping[str, str]:
    return {name: group for group, names in _document()["groups"].items() for name in names}


def group_of(resource_type: str) -> str:
    """Return the group of types that a resource type belongs to."""
    return _groups().get(resource_type, CLINICAL)


def is_directory(resource_type: str) -> bool:
    """Return whether the type is the organization's common knowledge, not of one patient (settled §4.4)."""
    return group_of(resource_type) == "directory"


def graph_types(resource: str) -> tuple[str, ...]:
    """Return the resource types that show a resource of the patient graph API: what scopes say of them goes for it."""
    return tuple(_document()["graph_types"][resource])


@cache
def roles() -> Mapping[str, Role]:
    """Return every role by its stored name."""
    return MappingProxyType({name: _role(name, entry) for name, entry in _document()["roles"].items()})


def _role(name: str, entry: Mapping[str, Any]) -> Role:
    return Role(
        name,
        entry["graph_role"],
        entry["assignable"],
        entry["own"],
        MappingProxyType(dict(entry["fhir"])),
        MappingProxyType({key: frozenset(map(GraphAction, actions)) for key, actions in entry["graph"].items()}),
        break_glass=entry.get("break_glass", False),
        app_state=MappingProxyType(dict(entry.get("app_state", {}))),
    )


def assignable_roles() -> tuple[str, ...]:
    """Return the roles that a user may hold."""
    return tuple(role.name for role in roles().values() if role.assignable)


def _named(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def roles_markdown() -> str:
    """Return the page that shows the matrix: rights by group of types, and the actions on /graph."""
    groups = (CLINICAL, *dict.fromkeys(_groups().values()))
    lines = [
        "# Roles",
        "",
        "Written from `capability/roles.json`, the one place that decides. Letters are those of SMART scopes: create,",
        "read, update, delete, search. A scope never adds to them. *own* roles reach their own compartment only,",
        "directory types (read and search) the whole organization. SERVICE acts for a backend client, APP for a client",
        "that was given a patient, EMERGENCY for somebody with emergency access to one patient; no user holds them.",
        f"Emergency access may be opened by {_named(role.name for role in roles().values() if role.break_glass)},",
        "and by administrators of the installation (security.md).",
        "",
        f"| role | reach | {' | '.join(groups)} | other types |",
        f"| --- | --- |{' --- |' * (len(groups) + 1)}",
    ]
    for role in roles().values():
        letters = " | ".join(role.fhir.get(group, "") or "–" for group in groups)
        others = ", ".join(f"{name}: {text or '–'}" for name, text in role.fhir.items() if name not in groups)
        lines.append(f"| {role.name} | {'own' if role.own else 'organization'} | {letters} | {others} |")
    lines += ["", f"`{CLINICAL}` is every type that no other group names:", ""]
    lines += [f"- `{group}`: {', '.join(_document()['groups'][group])}" for group in groups[1:]]
    resources_of_graph = tuple(dict.fromkeys(name for role in roles().values() for name in role.graph))
    lines += [
        "",
        "## On /graph",
        "",
        f"| role | there | {' | '.join(resources_of_graph)} |",
        f"| --- | --- |{' --- |' * len(resources_of_graph)}",
    ]
    for role in roles().values():
        if role.graph:
            actions = " | ".join(", ".join(sorted(role.actions(name))) or "–" for name in resources_of_graph)
            lines.append(f"| {role.name} | {role.graph_role or '–'} | {actions} |")
    lines += [
        "",
        "## States of apps",
        "",
        "What apps may keep at `/app-state` (authorization.md), by whose it is, where the client is registered for the",
        "coding. *global* is of the whole organization.",
        "",
        f"| role | {' | '.join(STATE_KINDS)} |",
        f"| --- |{' --- |' * len(STATE_KINDS)}",
    ]
    for role in roles().values():
        lines.append(f"| {role.name} | {' | '.join(role.app_state.get(kind, '–') for kind in STATE_KINDS)} |")
    return "\n".join(lines) + "\n"
