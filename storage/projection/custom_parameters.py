"""An operator's own search parameters: SearchParameter resources that join the published ones when a process starts.

What is indexed follows from them, so `index_fingerprint` changes with them and `fhir-server reconcile --fix` writes the
index anew (FHIR R4 searchparameter.html; decision 22).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from capability.elements import RESOURCE_TYPES
from capability.expressions import split_union
from capability.search_parameters import MAXIMUM_PER_TYPE, SearchType, add_search_parameters, search_parameters
from storage.projection.emitters import EMITTERS
from storage.projection.paths import UnsupportedExpression, compile_paths

Json = Mapping[str, Any]
Row = dict[str, Any]

_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9\-_]{0,63}\Z")
_TYPES: Final = frozenset(SearchType) - {SearchType.COMPOSITE, SearchType.SPECIAL}
_EXACT: Final = frozenset({"Identifier", "id"})


class UnusableSearchParameter(ValueError):
    """A SearchParameter that this server cannot answer; the message names it and what is at fault."""


def install_search_parameters(resources: Iterable[Json]) -> None:
    """Add parameters to those of their base types, for the life of this process; equal ones may be given again.

    To be called before anything is searched or indexed. Raises UnusableSearchParameter, and then adds none.
    """
    rows: dict[str, dict[str, Row]] = {}
    for resource in sorted(resources, key=_name):
        for base in _bases(resource):
            row = _row(resource, base)
            if rows.setdefault(base, {}).setdefault(resource["code"], row) != row:
                raise _fault(resource, f"another one gives {base} the same code")
    for base, added in rows.items():
        known = search_parameters(base)
        taken = [code for code in added if code in known and not known[code].custom]
        if taken:
            raise UnusableSearchParameter(f"{base} has a parameter {taken[0]} already: choose another code.")
        published = sum(not each.custom for each in known.values())
        if published + len(added) > MAXIMUM_PER_TYPE:
            raise UnusableSearchParameter(f"{base} has room for {MAXIMUM_PER_TYPE - published} more parameters only.")
    add_search_parameters(rows)


def _bases(resource: Json) -> Sequence[str]:
    if resource.get("resourceType") != "SearchParameter":
        raise UnusableSearchParameter("Only SearchParameter resources can be given.")
    code, bases = resource.get("code"), resource.get("base")
    if not isinstance(code, str) or not _CODE.match(code):
        raise _fault(resource, "the code is letters, digits, - and _ and starts with a letter")
    if not isinstance(bases, list) or not bases or any(each not in RESOURCE_TYPES for each in bases):
        raise _fault(resource, "the base names resource types, each by itself")
    return bases


def _row(resource: Json, base: str) -> Row:
    kind, written = resource.get("type"), resource.get("expression")
    if kind not in _TYPES:
        raise _fault(resource, f"the type is one of {', '.join(sorted(_TYPES))}")
    if not isinstance(written, str):
        raise _fault(resource, "there is no expression")
    expression = " | ".join(each for each in split_union(written) if _starts_at(each, base))
    try:
        paths = compile_paths(base, expression) if expression else ()
    except UnsupportedExpression as error:
        raise _fault(resource, str(error)) from error
    if not paths:
        raise _fault(resource, f"no part of the expression starts at {base}")
    for path in paths:
        if (SearchType(kind), path.datatype) not in EMITTERS:
            raise _fault(resource, f"a {kind} parameter cannot be made of {path.datatype}")
    row: Row = {"type": kind, "expression": expression, "url": resource.get("url", "")}
    if kind == SearchType.REFERENCE:
        row["targets"] = _targets(resource)
    if kind == SearchType.TOKEN and all(path.datatype in _EXACT for path in paths):
        row["exact"] = True
    return row


def _targets(resource: Json) -> list[str]:
    targets = resource.get("target")
    if not isinstance(targets, list) or not targets or any(each not in RESOURCE_TYPES for each in targets):
        raise _fault(resource, "a reference parameter names its targets")
    return targets


def _starts_at(alternative: str, base: str) -> bool:
    return alternative.lstrip("(").partition(".")[0].strip() == base


def _name(resource: Json) -> str:
    return str(resource.get("url") or resource.get("id") or resource.get("code") or "?")


def _fault(resource: Json, reason: str) -> UnusableSearchParameter:
    return UnusableSearchParameter(f"SearchParameter {_name(resource)}: {reason}.")
