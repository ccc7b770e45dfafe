"""`:in`, `:not-in`, `:above` and `:below` of tokens: value sets and hierarchies become the codes they stand for.

That is done before a search is planned, so everything after it knows tokens only. A value set is one of the definitions
(`capability/value_sets.py`) or a ValueSet resource that the caller may see; a hierarchy is that of such a CodeSystem.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB

from capability.value_sets import find_value_set
from storage.access import Access, Reach
from storage.codec import decode
from storage.driver import Row
from storage.errors import HierarchyUnknown, SearchTooCostly, ValueSetUnknown
from storage.search.keys import parse_reference
from storage.search.lower import reach_of
from storage.search.own import ORGANIZATION
from storage.search.predicates.parameters import parameter_like
from storage.search.query import Chain, Criterion, Either, Has, Match, Modifier, Search, Token, Uri, Value
from storage.sql import Prepared, prepare
from storage.tables import fhir
from storage.visibility import access_parameters, visible

MOST_CODES: Final = 20_000
"""Codes that one criterion may stand for."""
_DEEPEST: Final = 8
"""Value sets that refer to each other are followed so far."""

Fetch = Callable[[Prepared, Mapping[str, Any]], Awaitable[Sequence[Row]]]
_MEMBERSHIP: Final = {Modifier.IN: Modifier.NONE, Modifier.NOT_IN: Modifier.NOT}
_SUBSUMPTION: Final = frozenset({Modifier.ABOVE, Modifier.BELOW})


@dataclass(frozen=True, slots=True)
class Codes:
    """What a value set holds: codes by system, and systems all of whose codes belong to it.

    Codes are folded, as tokens are (`storage/search/keys.py`).
    """

    codes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()

    def tokens(self) -> list[Value]:
        """Return the tokens that stand for them."""
        plain = [Token(system or None, code) for system, codes in self.codes.items() for code in sorted(codes)]
        return [*plain, *(Token(system, None) for system in sorted(self.whole))]

    def united(self, other: Codes) -> Codes:
        """Return what either holds."""
        systems = dict.fromkeys((*self.codes, *other.codes))
        return Codes({each: self._of(each) | other._of(each) for each in systems}, self.whole | other.whole)

    def shared(self, other: Codes) -> Codes:
        """Return what both hold."""
        found: dict[str, frozenset[str]] = {}
        for system in dict.fromkeys((*self.codes, *other.codes)):
            mine, theirs = self._of(system), other._of(system)
            both = mine & theirs
            if system in self.whole:
                both |= theirs
            if system in other.whole:
                both |= mine
            found[system] = both
        return Codes(found, self.whole & other.whole)

    def without(self, other: Codes) -> Codes:
        """Return what only this one holds. Raises ValueSetUnknown for a whole system that lacks some codes."""
        if any(other._of(system) for system in self.whole - other.whole):
            raise ValueSetUnknown("a whole code system without some of its codes cannot be searched by")
        kept = {each: self._of(each) - other._of(each) for each in self.codes if each not in other.whole}
        return Codes(kept, self.whole - other.whole)

    def _of(self, system: str) -> frozenset[str]:
        return self.codes.get(system, frozenset())


def resolves(criterion: Criterion) -> bool:
    """Say whether a criterion names a value set or a place in a hierarchy."""
    match criterion:
        case Match(_, modifier, values):
            return modifier in _MEMBERSHIP or (modifier in _SUBSUMPTION and isinstance(values[0], Token))
        case Chain(_, targets):
            return any(resolves(target.criterion) for target in targets)
        case Has(_, inner):
            return resolves(inner)
        case Either(criteria):
            return any(map(resolves, criteria))
        case _:
            return False


@dataclass(slots=True)
class Terminology:
    """Resolves the criteria of one search for one caller; `fetch` runs a statement in the caller's organization."""

    fetch: Fetch
    dialect: str
    access: Access
    _known: dict[str, Codes] = field(default_factory=dict)
    _hierarchies: dict[str, _Hierarchy] = field(default_factory=dict)

    async def search(self, search: Search) -> Search:
        """Return a search without such criteria; it is the same in everything else.

        Raises ValueSetUnknown, HierarchyUnknown and SearchTooCostly.
        """
        several = tuple([replace(part, criteria=await self.criteria(part.criteria)) for part in search.several])
        return replace(search, criteria=await self.criteria(search.criteria), several=several)

    async def criteria(self, criteria: Iterable[Criterion]) -> tuple[Criterion, ...]:
        """Return the criteria with tokens in place of value sets and places in hierarchies; raises as `search`."""
        return tuple([await self._criterion(each) if resolves(each) else each for each in criteria])

    async def _criterion(self, criterion: Criterion) -> Criterion:
        match criterion:
            case Match(parameter, modifier, values):
                name = f"{parameter.code}:{modifier}"
                try:
                    tokens = [token for value in values for token in await self._tokens(modifier, value)]
                except (ValueSetUnknown, HierarchyUnknown) as error:
                    error.parameter = name
                    raise
                if len(tokens) > MOST_CODES:
                    raise SearchTooCostly(f"the value set stands for more than {MOST_CODES} codes", name)
                return Match(parameter, _MEMBERSHIP.get(modifier, Modifier.NONE), tuple(dict.fromkeys(tokens)))
            case Chain(parameter, targets):
                found = [replace(each, criterion=await self._criterion(each.criterion)) for each in targets]
                return Chain(parameter, tuple(found))
            case Has(parameter, inner):
                return Has(parameter, await self._criterion(inner))
            case Either(alternatives):
                return Either(await self.criteria(alternatives))
            case _:
                return criterion

    async def _tokens(self, modifier: Modifier, value: Value) -> list[Value]:
        match value:
            case Uri(uri):
                return (await self._value_set(uri, _DEEPEST)).tokens()
            case Token(str(system), str(code)):
                hierarchy, start = await self._hierarchy(system), code.casefold()
                found = hierarchy.below(start) if modifier is Modifier.BELOW else hierarchy.above(start)
                return [Token(system, each) for each in sorted(found | {start})]
            case _:
                raise TypeError(f"{type(value).__name__} names no codes")

    # --- value sets ---

    async def _value_set(self, url: str, depth: int) -> Codes:
        if url in self._known:
            return self._known[url]
        if depth == 0:
            raise ValueSetUnknown("value sets refer to each other more than eight deep")
        stored = await self._stored("ValueSet", url)
        if stored is not None:
            found = await self._members(stored, depth)
        else:
            defined = find_value_set(url)
            if defined is None or defined.open:
                raise ValueSetUnknown(
                    "it is not known which codes it has: store a ValueSet with this url and an expansion"
                )
            found = Codes({system: _folded(codes) for system, codes in defined.codes.items()}, defined.whole)
        self._known[url] = found
        return found

    async def _members(self, value_set: Mapping[str, Any], depth: int) -> Codes:
        """Return what a ValueSet resource holds: its expansion, or what its definition includes."""
        expansion = value_set.get("expansion", {})
        listed = list(_contained(expansion.get("contains", ())))
        if "contains" in expansion and expansion.get("total", 0) <= len(listed):
            return _grouped(listed)
        found = Codes()
        compose = value_set.get("compose")
        if compose is None:
            raise ValueSetUnknown("the stored ValueSet has neither a whole expansion nor a definition")
        for include in compose.get("include", ()):
            found = found.united(await self._included(include, depth))
        for exclude in compose.get("exclude", ()):
            found = found.without(await self._included(exclude, depth))
        return found

    async def _included(self, include: Mapping[str, Any], depth: int) -> Codes:
        """Return what one part of a definition selects: all its conditions hold (valueset-definitions.html)."""
        sets: list[Codes] = [await self._value_set(url, depth - 1) for url in include.get("valueSet", ())]
        system = include.get("system")
        if system is not None and "concept" in include:
            sets.append(Codes({system: _folded(concept["code"] for concept in include["concept"])}))
        elif system is not None and "filter" in include:
            sets.extend([await self._filtered(system, each) for each in include["filter"]])
        elif system is not None:
            sets.append(Codes(whole=frozenset({system})))
        if not sets:
            raise ValueSetUnknown("a part of the stored ValueSet selects nothing")
        found = sets[0]
        for each in sets[1:]:
            found = found.shared(each)
        return found

    async def _filtered(self, system: str, filtering: Mapping[str, Any]) -> Codes:
        operator, code = filtering.get("op"), filtering.get("value", "").casefold()
        if filtering.get("property") != "concept" or operator not in {"is-a", "descendent-of"}:
            raise ValueSetUnknown(
                "the stored ValueSet has a filter other than is-a and descendent-of: give it an expansion"
            )
        below = (await self._hierarchy(system)).below(code)
        return Codes({system: below | {code} if operator == "is-a" else below - {code}})

    # --- hierarchies ---

    async def _hierarchy(self, system: str) -> _Hierarchy:
        if system not in self._hierarchies:
            stored = await self._stored("CodeSystem", system)
            if stored is None:
                raise HierarchyUnknown
            self._hierarchies[system] = _Hierarchy.of(stored)
        return self._hierarchies[system]

    # --- resources ---

    async def _stored(self, resource_type: str, canonical: str) -> Mapping[str, Any] | None:
        """Return the newest resource of a canonical URL that the caller may see; by `Type/id` the one of that id."""
        reach = reach_of(self.access, resource_type)
        if reach is Reach.NONE:
            return None
        url, _, version = canonical.partition("|")  # no fragment is cut off: a code system may have a # in its name
        local = parse_reference(url)
        by_id = local is not None and local.resource_type == resource_type
        parameters = {
            "organization_id": self.access.organization_id,
            "resource_type": resource_type,
            "wanted": local.id if by_id and local is not None else url,
            **access_parameters(self.access),
        }
        rows = await self.fetch(_lookup(self.dialect, reach, by_id), parameters)
        found = [decode(bytes(row[0])) for row in rows]
        return next((each for each in found if not version or each.get("version") == version), None)


@dataclass(frozen=True, slots=True)
class _Hierarchy:
    """Which codes, folded, lie directly below and above which."""

    children: Mapping[str, frozenset[str]]
    parents: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, code_system: Mapping[str, Any]) -> _Hierarchy:
        """Read the concepts of a CodeSystem: nested, or with the properties `parent`, `subsumedBy` and `child`."""
        children: dict[str, set[str]] = {}
        parents: dict[str, set[str]] = {}
        for edge in _edges(code_system.get("concept", ()), None):
            parent, child = (code.casefold() for code in edge)
            children.setdefault(parent, set()).add(child)
            parents.setdefault(child, set()).add(parent)
        return cls(_frozen(children), _frozen(parents))

    def below(self, code: str) -> frozenset[str]:
        """Return all descendants."""
        return _reachable(self.children, code)

    def above(self, code: str) -> frozenset[str]:
        """Return all ancestors."""
        return _reachable(self.parents, code)


def _edges(concepts: Iterable[Mapping[str, Any]], parent: str | None) -> Iterable[tuple[str, str]]:
    for concept in concepts:
        code = concept["code"]
        if parent is not None:
            yield parent, code
        for stated in concept.get("property", ()):
            other = stated.get("valueCode")
            if other is not None and stated.get("code") in {"parent", "subsumedBy"}:
                yield other, code
            elif other is not None and stated.get("code") == "child":
                yield code, other
        yield from _edges(concept.get("concept", ()), code)


def _folded(codes: Iterable[str]) -> frozenset[str]:
    return frozenset(code.casefold() for code in codes)


def _frozen(sets: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    return {key: frozenset(values) for key, values in sets.items()}


def _reachable(steps: Mapping[str, frozenset[str]], start: str) -> frozenset[str]:
    found: set[str] = set()
    left = [start]
    while left:
        following = steps.get(left.pop(), frozenset()) - found
        found |= following
        left.extend(following)
    return frozenset(found)


def _contained(contains: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    """Yield system and code of all entries of an expansion that stand for a code."""
    for each in contains:
        if "code" in each and not each.get("abstract", False):
            yield each.get("system", ""), each["code"]
        yield from _contained(each.get("contains", ()))


def _grouped(listed: Iterable[tuple[str, str]]) -> Codes:
    found: dict[str, set[str]] = {}
    for system, code in listed:
        found.setdefault(system, set()).add(code.casefold())
    return Codes(_frozen(found))


@lru_cache(maxsize=16)
def _lookup(dialect: str, reach: Reach, by_id: bool) -> Prepared:
    row = fhir.resources.alias()
    key: ColumnElement[Any] = row.c.id if by_id else _url(row.c.body, dialect)
    query = (
        select(row.c.body)
        .where(
            row.c.organization_id == ORGANIZATION,
            row.c.resource_type == parameter_like(row.c.resource_type, "resource_type"),
            row.c.deleted.is_(False),
            visible(row, reach),
            key == parameter_like(row.c.id, "wanted"),
        )
        .order_by(row.c.last_updated.desc(), row.c.rid.desc())
    )
    return prepare(query, dialect)


def _url(body: ColumnElement[bytes], dialect: str) -> ColumnElement[Any]:
    found: ColumnElement[Any]
    if dialect == "postgresql":
        there = func.nullif(body, literal_column("''"))  # of what was deleted no body is left, but it may be looked at
        found = cast(func.convert_from(there, "UTF8"), JSONB)["url"].astext
    else:
        found = func.json_extract(cast(body, Text), "$.url")
    return found
