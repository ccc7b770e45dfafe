"""`_include` and `_revinclude`: what the resources of a page refer to, and what refers to them (search.html#include).

One statement a round. Candidates pass the access predicate of their own type inside the statement (AZ-2); types that
the caller may not see at all are left out silently (smart E5).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, CompoundSelect, FromClause, Select, and_, literal_column, or_, select, union

from capability.elements import RESOURCE_TYPES
from capability.search_parameters import SearchParameter, SearchType, search_parameters
from storage.access import Access, Reach
from storage.projection.coverage import answered_by_patient_column
from storage.search.compile import VERSION_COLUMNS
from storage.search.keys import parameter_key
from storage.search.lower import reach_of
from storage.search.own import ORGANIZATION
from storage.search.predicates.parameters import is_one_of
from storage.search.query import MAX_INCLUDED, Include
from storage.search.shape import Binder, Name
from storage.sql import InQuery, Prepared, prepare
from storage.tables import fhir
from storage.visibility import visible

MOST_ROWS: Final = 3 * MAX_INCLUDED + 1
INCLUDE_COLUMNS: Final = ("resource_type", *VERSION_COLUMNS)


@dataclass(frozen=True, slots=True)
class Included:
    """A row that a page or an include brought: what further includes start from."""

    resource_type: str
    rid: int
    self_key: int
    patient: int
    body: bytes


@dataclass(frozen=True, slots=True)
class TypesWithin:
    """Resources of these types (None: of any), within one reach."""

    types: Name | None
    many: bool
    reach: Reach


@dataclass(frozen=True, slots=True)
class ByRows:
    """Along reference rows: forward from `starts` (rids) to targets, or in reverse from targets to referrers."""

    reverse: bool
    starts: Name
    many_starts: bool
    keys: Name
    many_keys: bool


@dataclass(frozen=True, slots=True)
class ByPatient:
    """Along the `patient` column: forward to the Patients with these keys, or in reverse to what is about them."""

    reverse: bool
    patients: Name
    many: bool


@dataclass(frozen=True, slots=True)
class ByUrl:
    """To resources whose `url` is one of these; `keys` name the parameter of each type."""

    urls: Name
    many_urls: bool
    keys: Name
    many_keys: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One include: the way, and what may be found at its end."""

    way: ByRows | ByPatient | ByUrl
    found: tuple[TypesWithin, ...]


def plan_includes(
    includes: Sequence[Include], starts: Sequence[Included], access: Access, binder: Binder
) -> list[Step]:
    """Return the steps of one round from `starts`; empty when nothing can come of it."""
    by_type: dict[str, list[Included]] = {}
    for start in starts:
        by_type.setdefault(start.resource_type, []).append(start)
    steps: list[Step] = []
    for include in includes:
        if include.reverse:
            steps.extend(_reverse_steps(include, by_type, access, binder))
        elif include.source in by_type:
            steps.extend(_forward_steps(include, by_type[include.source], access, binder))
    return steps


def _forward_steps(include: Include, starts: list[Included], access: Access, binder: Binder) -> Iterable[Step]:
    parameters = include_parameters(include)
    if include.target is not None:
        targets: tuple[str, ...] = (include.target,)
    elif any("*" in parameter.targets for parameter in parameters):
        targets = RESOURCE_TYPES
    else:
        targets = tuple(dict.fromkeys(target for parameter in parameters for target in parameter.targets))
    found = within_reach(targets, access, binder)
    if not found:
        return
    keys = [parameter_key(include.source, parameter.code) for parameter in parameters]
    way = ByRows(False, *binder.bind_list(start.rid for start in starts), *binder.bind_list(keys))
    yield Step(way, found)
    patients = [start.patient for start in starts if start.patient]
    by_column = any(answered_by_patient_column(include.source, parameter.code) for parameter in parameters)
    if patients and by_column and "Patient" in targets:
        own = within_reach(("Patient",), access, binder)
        if own:
            yield Step(ByPatient(False, *binder.bind_list(patients)), own)


def _reverse_steps(
    include: Include, by_type: dict[str, list[Included]], access: Access, binder: Binder
) -> Iterable[Step]:
    parameters = include_parameters(include)
    found = within_reach((include.source,), access, binder)
    wanted = [kind for kind in by_type if include.target in {None, kind}]
    for kind in wanted if found else ():
        leading = [parameter for parameter in parameters if parameter.permits(kind)]
        if not leading:
            continue
        keys = [parameter_key(include.source, parameter.code) for parameter in leading]
        name, many = binder.bind_list(start.self_key for start in by_type[kind])
        yield Step(ByRows(True, name, many, *binder.bind_list(keys)), found)
        if kind == "Patient" and any(answered_by_patient_column(include.source, each.code) for each in leading):
            yield Step(ByPatient(True, name, many), found)


def include_parameters(include: Include) -> list[SearchParameter]:
    """Return the reference parameters that an include goes along."""
    if include.parameter is not None:
        return [include.parameter]
    known = search_parameters(include.source).values()
    return [parameter for parameter in known if parameter.type is SearchType.REFERENCE]


def within_reach(types: Sequence[str], access: Access, binder: Binder) -> tuple[TypesWithin, ...]:
    """Return the types in groups of equal reach; those out of reach are left out."""
    by_reach: dict[Reach, list[str]] = {}
    for each in types:
        by_reach.setdefault(reach_of(access, each), []).append(each)
    by_reach.pop(Reach.NONE, None)
    if set(by_reach) == {Reach.ORGANIZATION} and len(by_reach[Reach.ORGANIZATION]) == len(RESOURCE_TYPES):
        return (TypesWithin(None, False, Reach.ORGANIZATION),)
    return tuple(TypesWithin(*binder.bind_list(group), reach) for reach, group in by_reach.items())


@lru_cache(maxsize=512)
def compile_includes(steps: tuple[Step, ...], dialect: str) -> Prepared:
    """Return the statement of one round: columns INCLUDE_COLUMNS, each resource once.

    It gives more rows than may be included: among them may be all those of the page and of earlier rounds.
    """
    queries = [_found(step) for step in steps]
    limit: ColumnElement[int] = literal_column(str(MOST_ROWS))
    together: Select[Any] | CompoundSelect[Any] = queries[0] if len(queries) == 1 else union(*queries)
    rows = together.subquery()
    return prepare(select(rows).limit(limit), dialect)


def _found(step: Step) -> Select[Any]:
    row = fhir.resources.alias()
    kinds = or_(*(of_types(kind, row) for kind in step.found))
    return select(*(row.c[name] for name in INCLUDE_COLUMNS)).where(
        row.c.organization_id == ORGANIZATION, row.c.deleted.is_(False), _reached(step.way, row), kinds
    )


def of_types(kind: TypesWithin, row: FromClause) -> ColumnElement[bool]:
    """Return the condition that a row is of one of the types and within their reach."""
    seen = visible(row, kind.reach)
    return seen if kind.types is None else and_(is_one_of(row.c.resource_type, kind.types, kind.many), seen)


def _reached(way: ByRows | ByPatient | ByUrl, row: FromClause) -> ColumnElement[bool]:
    if isinstance(way, ByUrl):
        urls = fhir.index_strings.alias()
        named = select(urls.c.rid).where(
            urls.c.organization_id == ORGANIZATION,
            is_one_of(urls.c.key, way.keys, way.many_keys),
            is_one_of(urls.c.value, way.urls, way.many_urls),
        )
        return InQuery(row.c.rid, named, few=True)
    if isinstance(way, ByPatient):
        return is_one_of(row.c.patient if way.reverse else row.c.self_key, way.patients, way.many)
    references = fhir.index_references.alias()
    start, end = (references.c.target, references.c.rid) if way.reverse else (references.c.rid, references.c.target)
    query = select(end).where(
        references.c.organization_id == ORGANIZATION,
        is_one_of(start, way.starts, way.many_starts),
        is_one_of(references.c.key, way.keys, way.many_keys),
    )
    return InQuery(row.c.rid if way.reverse else row.c.self_key, query, few=True)
