"""Laws of granular scopes: a caller finds what a world of visible rows alone would give (smart.md C6, E4, E5).

Worlds, searches and their interpreter are those of the search's own law; it knows nothing of index, statements or
access. The predicate is said twice, of rows in SQL and of contents in Python: both agree with the interpreter.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fhir_server.access import RESOURCE_TYPES, Caller, authorise
from fhir_server.oauth.scopes import Level, Scope, parse_scope, parse_scopes
from storage.access import Access, Right
from storage.engine import Database
from storage.projection.index_values import index_values
from storage.search.lower import reach_of
from storage.visibility import includes
from tests.search.library import BASE, NOW, Library
from tests.search.oracle import Resource, World
from tests.search.test_oracle import compare, in_compartment, written_at
from tests.search.worlds import Draw

EXAMPLES: Final = int(os.environ.get("SEARCH_EXAMPLES", "8"))
TYPES: Final = ("Patient", "Observation", "Encounter", "Condition", "ServiceRequest", "ChargeItem")
LAW: Final = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


@dataclass(frozen=True)
class Model:
    """Who sees what by some scopes, for the interpreter."""

    scopes: tuple[Scope, ...]
    world: World

    def sees(self, resource: Resource) -> bool:
        return any(self._permits(scope, resource) for scope in self.scopes)

    def _permits(self, scope: Scope, resource: Resource) -> bool:
        if scope.resource_type != resource["resourceType"]:
            return False
        near = scope.level is Level.USER or resource["resourceType"] == "Group" or in_compartment(resource, "p1")
        return near and all(self.world.meets(resource, each) for each in scope.criteria)


def drawn_scopes(draw: Draw) -> Iterator[str]:
    """Yield scopes for every type of a world: some for the type as a whole, most with filters."""
    yield "user/Group.rs"
    for kind in TYPES:
        filters = list(granted_filters(draw, kind)) if draw.maybe(0.8) else []
        if not filters:
            yield f"patient/{kind}.rs"
        for text in filters:
            yield f"{draw.one(['patient', 'patient', 'user'])}/{kind}.{draw.one(['rs', 'rs', 'r', 's'])}?{text}"
        yield f"patient/{kind}.s?_tag=nobody-has-it"


def granted_filters(draw: Draw, kind: str) -> Iterator[str]:
    """Yield up to three filters that can be granted, from searches as they are drawn."""
    left = draw.one([1, 2, 3])
    for _ in range(60):
        asked, _, text = draw.query(terminology=False).partition("?")
        if asked == kind and left and parse_scope(f"patient/{kind}.rs?{text}", RESOURCE_TYPES):
            left -= 1
            yield text


def granular_access(library: Library, text: str) -> Access:
    caller = Caller("user", "app", library.organization, "CLINICIAN", text, "jti", 0, 900, patient="p1")
    return authorise(caller)


@LAW
@given(seed=st.integers(0, 2**32))
async def test_smart_C6_E4_E5_a_caller_finds_what_a_world_of_visible_rows_alone_would_give(
    database: Database, seed: int
) -> None:
    library, draw = Library(database), Draw(seed)
    resources = draw.world()
    await library.add(*resources)
    text = " ".join(drawn_scopes(draw))
    access = granular_access(library, text)
    whole = World(resources, NOW * 1000, await written_at(library))
    model = Model(parse_scopes(text, RESOURCE_TYPES).fhir, whole)
    visible = replace(whole, resources=[each for each in resources if model.sees(each)])
    # A match needs `s`, what it leads to `r` or `s`: with one alone a type is searched by nobody here.
    searched = Model(tuple(each for each in model.scopes if "s" in each.letters), whole)
    for _ in range(25):
        query = draw.query(terminology=False)
        asked = f"{query}{draw.order(query)}{draw.includes(query)}"
        kind = query.partition("?")[0]
        if kind in TYPES and all(searched.sees(each) for each in visible.resources if each["resourceType"] == kind):
            await compare(library, visible, query, asked.removeprefix(query), access)
        else:
            found = await library.everything(f"{query}&_count=200", access) if kind in TYPES else []
            expected = {
                each for each in visible.find(kind, library.parse(query).criteria) if _searched(searched, kind, each)
            }
            assert set(found) == expected or kind not in TYPES, query


def _searched(model: Model, kind: str, name: str) -> bool:
    of_type = (each for each in model.world.resources if each["resourceType"] == kind and each["id"] == name)
    return any(map(model.sees, of_type))


@LAW
@given(seed=st.integers(0, 2**32))
async def test_smart_E3_E7_contents_are_within_reach_where_their_rows_are(database: Database, seed: int) -> None:
    library, draw = Library(database), Draw(seed)
    resources = draw.world()
    await library.add(*resources)
    for _ in range(5):
        text = " ".join(drawn_scopes(draw))
        access = granular_access(library, text)
        model = Model(parse_scopes(text, RESOURCE_TYPES).fhir, World(resources, NOW * 1000))
        for kind in TYPES:
            both = replace(access, rights={kind: {Right.SEARCH: reach_of(access, kind)}})
            rows = set(await library.everything(kind, both))
            of_type: list[Any] = [each for each in resources if each["resourceType"] == kind]
            reach = both.reach(kind, Right.SEARCH)
            contents = {each["id"] for each in of_type if includes(reach, index_values(each, BASE), both)}
            assert rows == contents == {each["id"] for each in of_type if model.sees(each)}, text
