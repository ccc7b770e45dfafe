"""A plan: a search with access, order and page in it, and the place where its statement begins.

A statement begins with the rows that are expected to be fewest: a patient's rows of one token (in order of clinical
date), the rows of an identifier, a name … All other tests probe the index for those (docs/search.md). Where a resource
may meet a condition by a column or by rows, the statement has a branch for each, so that each can use its index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeGuard

from capability.compartments import in_patient_compartment
from capability.elements import RESOURCE_TYPES
from capability.search_parameters import SearchParameter, SearchType
from storage.access import Access, Reach, Right
from storage.projection.coverage import Answer, answer
from storage.search.lower import Lowering
from storage.search.order import SortKind, SortShape, sort_shape
from storage.search.predicates.date import occurs_once
from storage.search.query import (
    Chain,
    Criterion,
    Date,
    Either,
    Has,
    Ids,
    InPatient,
    LastUpdated,
    Match,
    Modifier,
    Part,
    Prefix,
    Search,
    SortKey,
    Value,
)
from storage.search.shape import (
    AllOf,
    AnyOf,
    Binder,
    BodyIs,
    BodyStarts,
    Constant,
    InCompartment,
    IndexTable,
    IndexTest,
    Name,
    Not,
    PatientIs,
    PatientTest,
    ReferenceLinked,
    ReferredByPatient,
    SubjectTest,
    Test,
    TokenIs,
)
from storage.visibility import ACCESS_PATIENT


@dataclass(frozen=True, slots=True)
class Branch:
    """One way to the matches.

    `lead` gives the rows to begin with, None the resources' own rows; `patient` narrows either further. `few` says that
    the lead gives a handful of rows at most, whatever is asked for.
    """

    lead: IndexTest | InCompartment | None
    patient: PatientTest | None
    tests: tuple[Test, ...]
    few: bool = False


class Wanted(Enum):
    """What a statement answers with."""

    PAGE = auto()
    """Versions with their sort keys."""
    IDS = auto()
    COUNT = auto()


@dataclass(frozen=True, slots=True)
class Plan:
    """The shape of a statement, or of the part about some of its types.

    `resource_type` names the type, or with `many` types of which the same is asked; None stands for every type.
    `limit` is part of the shape: the planner of PostgreSQL then knows how little is wanted. `settled` leaves out what
    was written since the oldest running transaction began (settled §3.4). `back` finds what comes before a place
    instead of after it, in the opposite order. `marked` adds a last column: the mark of the first page, on later ones
    whether the row was there at it.
    """

    resource_type: Name | None
    reach: Reach
    branches: tuple[Branch, ...]
    wanted: Wanted
    sort: tuple[SortShape, ...] = ()
    limit: int | None = None
    after: bool = False
    settled: bool = False
    many: bool = False
    back: bool = False
    marked: bool = False


def plan_page(
    search: Search, access: Access, lowering: Lowering, *, after: bool, back: bool = False, marked: bool = False
) -> tuple[Plan, ...]:
    """Return the plan of a page, one row longer than asked for so that a next page shows; a part for each type.

    With `marked` what was changed since the first page can be told (`storage/search/snapshots.py`), save in the order
    of changes themselves. Raises InteractionForbidden when the caller may not search a type.
    """
    plans: list[Plan] = []
    for share in _shares(search, access):
        sort = tuple(sort_shape(key, lowering.binder) for key in share.sort)
        by_date = bool(sort) and sort[0].kind is SortKind.CLINICAL_DATE
        name, many = share.bound(lowering.binder)
        settled = bool(sort) and sort[0] == SortShape(SortKind.UPDATED, descending=False)
        plan = Plan(
            resource_type=name,
            reach=share.reach,
            branches=share.branches(lowering, by_date=by_date),
            wanted=Wanted.PAGE,
            sort=sort,
            limit=search.count + 1,
            after=after,
            settled=settled,
            many=many,
            back=back,
            marked=marked and not settled,
        )
        plans.append(plan)
    return tuple(plans)


def plan_count(search: Search, access: Access, lowering: Lowering) -> tuple[Plan, ...]:
    """Return the plan that counts the matches, with the same predicate as a page (AZ-9)."""
    plans: list[Plan] = []
    for share in _shares(search, access):
        name, many = share.bound(lowering.binder)
        plans.append(Plan(name, share.reach, share.branches(lowering), Wanted.COUNT, many=many))
    return tuple(plans)


def plan_ids(
    resource_type: str, criteria: Sequence[Criterion], access: Access, lowering: Lowering, limit: int
) -> tuple[Plan, ...]:
    """Return the plan that finds ids only, newest first."""
    reach = access.require(resource_type, Right.SEARCH)
    branches = plan_branches(resource_type, criteria, reach, lowering)
    return (Plan(lowering.binder.bind(resource_type), reach, branches, Wanted.IDS, limit=limit),)


# --- searches of several types ----------------------------------------------------------------------------------------

_OF_ANY_TYPE: Final = (InPatient, LastUpdated)
"""Criteria that ask the same of every type."""
_ORDERS_ANY_TYPE: Final = frozenset({"_id", "_lastUpdated"})


@dataclass(frozen=True, slots=True)
class _Share:
    """What is asked of types that have one reach and one plan."""

    types: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    sort: tuple[SortKey, ...]
    reach: Reach

    def bound(self, binder: Binder) -> tuple[Name | None, bool]:
        """Return the name of the types in the statement, and whether they are a list."""
        return (None, False) if len(self.types) == len(RESOURCE_TYPES) else binder.bind_list(self.types)

    def branches(self, lowering: Lowering, *, by_date: bool = False) -> tuple[Branch, ...]:
        """Return the ways to the matches; `by_date` where the first of them by clinical date are wanted."""
        return plan_branches(self.types[0], self.criteria, self.reach, lowering, by_date=by_date)


def _shares(search: Search, access: Access) -> list[_Share]:
    """Return what is asked of each type; what is asked of several alike comes once.

    A search over all types is then one walk through the resources, not one for each type. Raises InteractionForbidden
    when the caller may not search a type.
    """
    shares: list[_Share] = []
    alike: dict[tuple[Reach, bool], list[Part]] = {}
    parts = search.parts
    for part in parts:
        reach = access.require(part.resource_type, Right.SEARCH)
        if len(parts) > 1 and _asks_alike(part):
            own = reach.is_bound and in_patient_compartment(part.resource_type)
            alike.setdefault((reach, own), []).append(part)
        else:
            shares.append(_Share((part.resource_type,), part.criteria, part.sort, reach))
    for (reach, _), group in alike.items():
        types = tuple(part.resource_type for part in group)
        shares.append(_Share(types, group[0].criteria, group[0].sort, reach))
    return shares


def _asks_alike(part: Part) -> bool:
    criteria = all(isinstance(each, _OF_ANY_TYPE) for each in part.criteria)
    return criteria and all(key.parameter.code in _ORDERS_ANY_TYPE for key in part.sort)


# --- where to begin ---------------------------------------------------------------------------------------------------


def plan_branches(
    resource_type: str, criteria: Sequence[Criterion], reach: Reach, lowering: Lowering, *, by_date: bool = False
) -> tuple[Branch, ...]:
    """Return the ways to the matches: one, or two where a patient is found by column or by rows.

    `by_date` says that the first of them by clinical date are wanted.
    """
    ranked = sorted(_ranked_tests(criteria, lowering), key=lambda each: each[0])
    tests = [test for _, test in ranked]
    referred = next((test for test in tests if _is_referred_by_patient(test)), None)
    if isinstance(referred, AnyOf):
        tests.remove(referred)
        return tuple(Branch(None, None, (way, *tests)) for way in referred.tests)
    if ranked and ranked[0][0] == _RANK_ID:
        return (Branch(None, None, tuple(tests)),)
    subject = next((test for test in tests if isinstance(test, SubjectTest)), None)
    if subject is not None:
        tests.remove(subject)
        by_column = _led_by_token(subject.column, tests, _implied(reach, by_date=by_date))
        # Of a patient's own resources the column tells: rows are left for what is about several patients, or none.
        few = isinstance(subject.column, PatientIs) or _is_chain_to_few(subject.rows)
        return by_column, Branch(subject.rows, None, tuple(tests), few=few)
    if reach.is_bound and in_patient_compartment(resource_type):
        by_column = _led_by_token(PatientIs(ACCESS_PATIENT, many=False), tests, _implied(reach, by_date=by_date))
        return by_column, Branch(InCompartment(ACCESS_PATIENT), None, tuple(tests), few=True)
    rank, test = ranked[0] if ranked else (_RANK_NEVER, Constant(value=True))
    if rank < _RANK_NEVER and isinstance(test, IndexTest):
        return (Branch(test, None, tuple(tests[1:]), few=_is_chain_to_few(test)),)
    return (Branch(None, None, tuple(tests)),)


def _is_chain_to_few(test: IndexTest | InCompartment) -> bool:
    return isinstance(test, IndexTest) and all(
        isinstance(each, ReferenceLinked) and all(one.few for one in each.inners) for each in test.alternatives
    )


def _is_referred_by_patient(test: Test) -> bool:
    return isinstance(test, AnyOf) and isinstance(test.tests[0], ReferredByPatient)


def _ranked_tests(criteria: Sequence[Criterion], lowering: Lowering) -> Iterator[tuple[int, Test]]:
    spans: dict[SearchParameter, list[Value]] = {}
    for criterion in criteria:
        if _is_part_of_span(criterion):
            spans.setdefault(criterion.parameter, []).extend(criterion.values)
            continue
        rank, test = _rank(criterion), lowering.lower(criterion)
        for each in test.tests if isinstance(test, AllOf) else (test,):
            yield _RANK_NEVER if _reads_bodies(each) else rank, each
    for parameter, values in spans.items():
        whole = Match(parameter, Modifier.NONE, tuple(values))
        yield min(_rank(whole), _RANK_SPAN if len(values) > 1 else _RANK_NEVER), lowering.lower_dates(parameter, values)


def _reads_bodies(test: Test) -> bool:
    """Say whether a test reads the resource itself: it is for what the others leave, never to begin with."""
    match test:
        case BodyStarts() | BodyIs():
            return True
        case AnyOf(tests):
            return any(map(_reads_bodies, tests))
        case Not(negated):
            return _reads_bodies(negated)
        case _:
            return False


def _is_part_of_span(criterion: Criterion) -> TypeGuard[Match]:
    """Say whether a criterion is one bound of a date that occurs once: `birthdate=ge1950` beside `birthdate=lt1960`."""
    if not isinstance(criterion, Match) or len(criterion.values) != 1:
        return False
    parameter = criterion.parameter
    is_row = parameter.type is SearchType.DATE and answer(parameter.resource_type, parameter.code) is Answer.ROWS
    return is_row and occurs_once(parameter)


def _led_by_token(patient: PatientTest, tests: Sequence[Test], implied: IndexTest | None) -> Branch:
    """Begin with the patient's rows of the best token test, else of the implied one; else with all that is about it."""
    lead = next((test for test in tests if _is_of_tokens(test)), None)
    return Branch(lead or implied, patient, tuple(test for test in tests if test is not lead))


def _is_of_tokens(test: Test) -> TypeGuard[IndexTest]:
    return isinstance(test, IndexTest) and test.table is IndexTable.TOKENS


def _implied(reach: Reach, *, by_date: bool) -> IndexTest | None:
    """Return a token test that is met by whatever a granular reach shows, None where there is none to begin with.

    Else all of a long record would be probed for the few resources that the filter shows. The rows of one key are in
    order of clinical date; those of several would have to be sorted: a walk along the record mostly ends sooner.
    """
    found = [next(filter(_is_of_tokens, way.tests), None) for way in reach.ways]
    alternatives = tuple(dict.fromkeys(one for test in found if test is not None for one in test.alternatives))
    if not alternatives or None in found:
        return None
    is_one_key = len(alternatives) == 1 and isinstance(alternatives[0], TokenIs) and not alternatives[0].many
    return IndexTest(alternatives) if is_one_key or not by_date else None


_RANK_ID: Final = 0
_RANK_SPAN: Final = 5
_RANK_NEVER: Final = 9
_COARSE: Final = frozenset(
    {
        "active", "address-use", "category", "class", "clinical-status", "deceased", "gender", "intent", "language",
        "lifecycle-status", "priority", "status", "type", "use", "verification-status", "_profile", "_security",
        "_source", "_tag",
    }
)  # fmt: skip
"""Parameters whose values many resources share."""


def _rank(criterion: Criterion) -> int:  # noqa: PLR0911 one case per kind of criterion
    """Return how few resources a criterion is expected to leave: 0 one, _RANK_NEVER: no index leads to them."""
    match criterion:
        case Ids():
            return _RANK_ID
        case Match(_, Modifier.NOT | Modifier.TEXT, _):
            return _RANK_NEVER
        case Match(_, Modifier.CONTAINS, _):
            return 8
        case Match(parameter, _, values):
            if answer(parameter.resource_type, parameter.code) is Answer.DATE_COLUMNS:
                return _RANK_NEVER
            prefixes = {value.prefix for value in values if isinstance(value, Date)}
            return _parameter_rank(parameter) if prefixes <= {Prefix.EQ, Prefix.AP} else 7
        case Chain() | Has() | Either():
            return 2
        case _:
            return _RANK_NEVER


def _parameter_rank(parameter: SearchParameter) -> int:
    if parameter.code in _COARSE:
        return 6
    if parameter.type in {SearchType.TOKEN, SearchType.COMPOSITE}:
        return 1 if parameter.exact else 4
    return 2 if parameter.type is SearchType.REFERENCE else 3
