"""Includes along canonical references: `url` and `url|version` (FHIR R4 references.html#canonical; fhir_rest Q9).

The index holds hashes of canonicals, which lead from a resource to what refers to it but not back. So the canonicals
are read from the resources that an include starts from, and their targets found by the parameter `url`. A canonical
with a version means that version of those stored here, one without a version all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from capability.search_parameters import SearchParameter, SearchType, find
from storage.access import Access
from storage.codec import decode
from storage.driver import Row
from storage.projection.coverage import element_paths
from storage.projection.paths import Path
from storage.search.includes import INCLUDE_COLUMNS, ByRows, ByUrl, Included, Step, include_parameters, within_reach
from storage.search.keys import parameter_key, url_key
from storage.search.query import Include
from storage.search.shape import Binder
from storage.search.values import indexed_uri

_TYPE: Final = INCLUDE_COLUMNS.index("resource_type")
_BODY: Final = INCLUDE_COLUMNS.index("body")

Canonical = tuple[str, str]
"""Url and version, empty for none."""


@dataclass(slots=True)
class CanonicalIncludes:
    """What one round of includes finds by canonicals: steps of a statement, and which of its rows are meant."""

    steps: list[Step] = field(default_factory=list)
    _wanted: set[Canonical] = field(default_factory=set)
    _targets: set[str] = field(default_factory=set)
    _named: set[Canonical] = field(default_factory=set)
    _sources: dict[str, tuple[SearchParameter, ...]] = field(default_factory=dict)

    def plan(self, includes: Sequence[Include], starts: Sequence[Included], access: Access, binder: Binder) -> None:
        """Add the steps of the includes from `starts`."""
        for include in includes:
            parameters = tuple(each for each in include_parameters(include) if canonical_paths(each))
            if not parameters:
                continue
            if include.reverse:
                self._plan_reverse(include, parameters, starts, access, binder)
            else:
                self._plan_forward(include, parameters, starts, access, binder)

    def keeps(self, row: Row) -> bool:
        """Say whether a row that the steps found is one of those meant: versions are compared here."""
        body = decode(row[_BODY])
        if row[_TYPE] in self._targets and not self._wanted.isdisjoint(_names_of(body)):
            return True
        named = (split_canonical(each) for each in _canonicals(body, self._sources.get(row[_TYPE], ())))
        return any(each in self._named for each in named)

    def _plan_forward(
        self,
        include: Include,
        parameters: tuple[SearchParameter, ...],
        starts: Sequence[Included],
        access: Access,
        binder: Binder,
    ) -> None:
        own = [start for start in starts if start.resource_type == include.source]
        wanted = {split_canonical(each) for start in own for each in _canonicals(decode(start.body), parameters)}
        targets = [include.target] if include.target else [each for one in parameters for each in one.targets]
        types = [each for each in dict.fromkeys(targets) if has_url(each)]
        found = within_reach(types, access, binder)
        if not wanted or not found:
            return
        urls = binder.bind_list(sorted({indexed_uri(url) for url, _ in wanted}))
        way = ByUrl(*urls, *binder.bind_list(parameter_key(each, "url") for each in types))
        self.steps.append(Step(way, found))
        self._wanted |= wanted
        self._targets.update(types)

    def _plan_reverse(
        self,
        include: Include,
        parameters: tuple[SearchParameter, ...],
        starts: Sequence[Included],
        access: Access,
        binder: Binder,
    ) -> None:
        permitted = {each for parameter in parameters for each in parameter.targets if include.target in {None, each}}
        own = [start for start in starts if start.resource_type in permitted and has_url(start.resource_type)]
        named = {name for start in own for name in _names_of(decode(start.body))}
        found = within_reach((include.source,), access, binder)
        if not named or not found:
            return
        keys = binder.bind_list(sorted({url_key(joined_canonical(each)) for each in named}))
        codes = binder.bind_list(parameter_key(include.source, each.code) for each in parameters)
        self.steps.append(Step(ByRows(True, *keys, *codes), found))
        self._named |= named
        self._sources[include.source] = (*self._sources.get(include.source, ()), *parameters)


@cache
def canonical_paths(parameter: SearchParameter) -> tuple[Path, ...]:
    """Return the elements of a reference parameter that hold canonicals."""
    if parameter.type is not SearchType.REFERENCE:
        return ()
    paths = element_paths(parameter.resource_type, parameter.expression)
    return tuple(path for path in paths if path.datatype == "canonical")


def has_url(resource_type: str) -> bool:
    """Say whether resources of a type have a canonical URL that the index knows."""
    parameter = find(resource_type, "url")
    return parameter is not None and parameter.type is SearchType.URI


def split_canonical(text: str) -> Canonical:
    """Return url and version of a canonical, its fragment left out."""
    url, _, version = text.partition("#")[0].partition("|")
    return url, version


def joined_canonical(name: Canonical) -> str:
    """Return the canonical of a url and version."""
    return "|".join(part for part in name if part)


def _names_of(body: Mapping[str, Any]) -> Iterator[Canonical]:
    """Yield the canonicals that mean a resource: without a version and with its own."""
    url, version = body.get("url"), body.get("version")
    if isinstance(url, str):
        yield url, ""
        if isinstance(version, str):
            yield url, version


def _canonicals(body: Mapping[str, Any], parameters: Iterable[SearchParameter]) -> Iterator[str]:
    for parameter in parameters:
        for path in canonical_paths(parameter):
            yield from (each for each in path.values(body) if isinstance(each, str))
