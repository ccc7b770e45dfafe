"""From criteria to tests: values become keys under names, and each criterion finds where it is answered.

The rules of `storage/projection/coverage.py` say where: rows, columns, other parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from capability.search_parameters import SearchParameter, SearchType, find
from storage.access import Access, Reach, Right
from storage.errors import InteractionForbidden
from storage.projection.coverage import (
    Answer,
    answer,
    answered_by_patient_column,
    answers_any_code,
    implies_system,
    ruled_out,
    variants,
)
from storage.search.bodies import BodyPart, has_part
from storage.search.keys import parameter_key, self_key
from storage.search.predicates.body import source_of
from storage.search.predicates.composite import composite_test, expect_composite
from storage.search.predicates.date import clinical_date_test, date_test, updated_test
from storage.search.predicates.quantity import quantity_test
from storage.search.predicates.reference import reference_test
from storage.search.predicates.string import string_test, uri_tests, uris_above_test
from storage.search.predicates.token import token_test
from storage.search.query import (
    Chain,
    Criterion,
    Either,
    Has,
    Ids,
    InPatient,
    LastUpdated,
    Match,
    Missing,
    Modifier,
    Text,
    Token,
    Value,
)
from storage.search.shape import (
    AllOf,
    AnyOf,
    Binder,
    BodyIs,
    BodyStarts,
    Constant,
    IdTest,
    InCompartment,
    IndexTest,
    Inner,
    Not,
    PatientIs,
    PatientLinked,
    PresentTest,
    ReferenceLinked,
    ReferredByPatient,
    ReferredByRows,
    SubjectTest,
    Test,
    any_of,
)
from storage.search.values import fold


def reach_of(access: Access, resource_type: str) -> Reach:
    """Return how far the caller sees the type inside a search: by `r` or `s`, whichever goes further (smart E5)."""
    return access.reach(resource_type, Right.SEARCH) | access.reach(resource_type, Right.READ)


@dataclass(frozen=True, slots=True)
class Lowering:
    """Turns criteria into tests for one caller; `now` is in microseconds since 1970 UTC."""

    access: Access
    now: int
    binder: Binder = field(default_factory=Binder)

    def lower(self, criterion: Criterion) -> Test:  # noqa: PLR0911 one case per kind of criterion
        """Return the test of a criterion.

        Raises InteractionForbidden when a chain leads through types that the caller may not see at all.
        """
        match criterion:
            case Match(parameter, Modifier.NOT, values):
                return Not(self._lower_values(parameter, Modifier.NONE, values))
            case Match(parameter, modifier, values):
                return self._lower_values(parameter, modifier, values)
            case Missing(parameter, missing):
                return self._lower_missing(parameter, missing)
            case Ids(resource_type, ids):
                return IdTest(*self.binder.bind_list(self_key(resource_type, each) for each in ids))
            case LastUpdated(values):
                return any_of(updated_test(value, self.now, self.binder) for value in values)
            case Chain():
                return self._lower_chain(criterion)
            case Has(parameter, inner):
                return self._lower_has(parameter, inner)
            case InPatient(patient):
                own = self.binder.bind(self_key("Patient", patient))
                return SubjectTest(PatientIs(own, many=False), InCompartment(own))
            case Either(criteria):
                return any_of(self.lower(each) for each in criteria)

    def lower_dates(self, parameter: SearchParameter, values: Sequence[Value]) -> Test:
        """Return the test that one row of a date parameter keeps within all values."""
        return IndexTest((date_test(parameter, values, self.now, self.binder),))

    def _lower_values(  # noqa: PLR0911 one case per kind of answer
        self, parameter: SearchParameter, modifier: Modifier, values: tuple[Value, ...]
    ) -> Test:
        kind = answer(parameter.resource_type, parameter.code)
        if kind is Answer.VARIANTS:
            codes = variants(parameter.resource_type, parameter.code)
            return any_of(self._lower_values(_known(parameter, code), modifier, values) for code in codes)
        if kind is Answer.CONJUNCTION:
            return any_of(self._lower_conjunction(parameter, value) for value in values)
        if kind is Answer.DATE_COLUMNS:
            return any_of(clinical_date_test(parameter, value, self.now, self.binder) for value in values)
        if parameter.type is SearchType.TOKEN or modifier is Modifier.IDENTIFIER:
            return self._lower_tokens(parameter, modifier, values)
        if parameter.type is SearchType.REFERENCE:
            return reference_test(parameter, values, self.binder)
        if modifier is Modifier.ABOVE:
            return IndexTest((uris_above_test(parameter, values, self.binder),))
        lower = _BY_VALUE[parameter.type]
        return any_of(lower(self, parameter, modifier, value) for value in values)

    def _lower_texts(self, parameter: SearchParameter, values: tuple[Value, ...]) -> Test:
        if not has_part(parameter, BodyPart.TEXT):
            return Constant(value=False)
        beginnings = [fold(value.text) for value in values if isinstance(value, Text)]
        return BodyStarts(source_of(parameter, BodyPart.TEXT), self.binder.bind(beginnings))

    def _lower_tokens(self, parameter: SearchParameter, modifier: Modifier, values: tuple[Value, ...]) -> Test:
        """Return the test for tokens: by rows, save for texts and `system|`, which only identifiers have rows for."""
        if modifier is Modifier.TEXT:
            return self._lower_texts(parameter, values)
        of_system: list[str] = []
        by_row: list[Value] = []
        is_by_row = modifier is Modifier.NONE and answers_any_code(parameter.resource_type, parameter.code)
        for value in values:
            if isinstance(value, Token) and value.system and value.code is None and not is_by_row:
                of_system.append(value.system)
            else:
                by_row.append(value)
        tests: list[Test] = [self._lower_systems(parameter, modifier, of_system)] if of_system else []
        if by_row:
            tests.insert(0, IndexTest(token_test(parameter, modifier, by_row, self.binder)))
        return any_of(tests) if tests else Constant(value=False)

    def _lower_systems(self, parameter: SearchParameter, modifier: Modifier, systems: list[str]) -> Test:
        if any(implies_system(parameter.resource_type, parameter.code, system) for system in systems):
            return PresentTest(self.binder.bind(1 << parameter.bit), missing=False)
        part = BodyPart.IDENTIFIER_SYSTEM if modifier is Modifier.IDENTIFIER else BodyPart.SYSTEM
        if not has_part(parameter, part):
            return Constant(value=False)
        return BodyIs(source_of(parameter, part), self.binder.bind(systems))

    def _lower_conjunction(self, parameter: SearchParameter, value: Value) -> Test:
        pairs = zip(parameter.components, expect_composite(value).parts, strict=True)
        absent = ruled_out(parameter.resource_type, parameter.code)
        return AllOf(
            (
                *(
                    self._lower_values(_known(parameter, component.code), Modifier.NONE, (part,))
                    for component, part in pairs
                ),
                *(self._lower_missing(each, missing=True) for each in absent),
            )
        )

    def _lower_missing(self, parameter: SearchParameter, missing: bool) -> Test:
        if answer(parameter.resource_type, parameter.code) is Answer.OWN_COLUMNS:
            return Constant(not missing)
        return PresentTest(self.binder.bind(1 << parameter.bit), missing)

    def _lower_chain(self, chain: Chain) -> Test:
        parameter = chain.parameter
        inners: dict[str, Inner] = {}
        for target in chain.targets:
            reach = reach_of(self.access, target.resource_type)
            if reach is not Reach.NONE:
                inners[target.resource_type] = self._inner(target.resource_type, reach, target.criterion)
        if not inners:
            raise InteractionForbidden(chain.targets[0].resource_type, Right.SEARCH.name.lower())
        key = self.binder.bind(parameter_key(parameter.resource_type, parameter.code))
        rows = IndexTest((ReferenceLinked(key, tuple(inners.values())),))
        if "Patient" in inners and answered_by_patient_column(parameter.resource_type, parameter.code):
            return SubjectTest(PatientLinked(inners["Patient"]), rows)
        return rows

    def _lower_has(self, parameter: SearchParameter, criterion: Criterion) -> Test:
        source = parameter.resource_type
        reach = reach_of(self.access, source)
        if reach is Reach.NONE:
            raise InteractionForbidden(source, Right.SEARCH.name.lower())
        inner = self._inner(source, reach, criterion)
        key = self.binder.bind(parameter_key(source, parameter.code))
        if answered_by_patient_column(source, parameter.code):
            return AnyOf((ReferredByPatient(inner), ReferredByRows(key, apart=True, inner=inner)))
        return ReferredByRows(key, apart=False, inner=inner)

    def _inner(self, resource_type: str, reach: Reach, criterion: Criterion) -> Inner:
        return Inner(self.binder.bind(resource_type), reach, self.lower(criterion), _finds_few(criterion))


def _finds_few(criterion: Criterion) -> bool:
    """Say whether a criterion names a resource or a handful: by id, identifier or name."""
    match criterion:
        case Ids():
            return True
        case Match(parameter, Modifier.NONE | Modifier.EXACT | Modifier.OF_TYPE, values):
            any_code = any(isinstance(value, Token) and value.code is None for value in values)
            return (parameter.exact and not any_code) or parameter.type is SearchType.STRING
        case _:
            return False


def _known(parameter: SearchParameter, code: str) -> SearchParameter:
    found = find(parameter.resource_type, code)
    if found is None:
        raise LookupError(f"{parameter.resource_type}.{parameter.code} names {code}, which is no parameter")
    return found


_BY_VALUE: Final[Mapping[SearchType, Callable[[Lowering, SearchParameter, Modifier, Value], Test]]] = {
    SearchType.STRING: lambda to, parameter, modifier, value: IndexTest(
        (string_test(parameter, modifier, value, to.binder),)
    ),
    SearchType.URI: lambda to, parameter, modifier, value: IndexTest(uri_tests(parameter, modifier, value, to.binder)),
    SearchType.DATE: lambda to, parameter, _, value: IndexTest((date_test(parameter, [value], to.now, to.binder),)),
    SearchType.NUMBER: lambda to, parameter, _, value: IndexTest((quantity_test(parameter, value, to.binder),)),
    SearchType.QUANTITY: lambda to, parameter, _, value: IndexTest((quantity_test(parameter, value, to.binder),)),
    SearchType.COMPOSITE: lambda to, parameter, _, value: composite_test(parameter, value, to.binder),
}
