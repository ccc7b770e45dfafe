"""What the search index holds of a finished resource (FHIR R4 search.html; fhir_rest.md §8).

Rows are few on purpose, see `storage.projection.coverage`: what a column of the resource's row answers has none.
Per type the work is planned once: which elements are there decides which parameters are looked at.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, Final

from capability.search_parameters import SearchParameter, SearchType, definition_bytes, find
from storage.projection.composites import composite_emitter
from storage.projection.coverage import (
    PATIENT_BIT,
    Answer,
    PatientElement,
    compartment_paths,
    element_paths,
    parameters_of,
    patient_element,
    ruled_out,
    variants,
)
from storage.projection.emitters import EMITTERS, IGNORED, clinical_date, reference
from storage.projection.paths import Condition, Path, UnsupportedExpression, compile_paths
from storage.projection.rows import DateValue, Emit, QuantityValue, ReferenceValue, Rows, StringValue, TokenValue
from storage.search.keys import parse_reference, reference_targets, self_key

RULES_VERSION: Final = 3
"""Raised by hand whenever the rules of this module, of the emitters, keys or values change what is stored."""

_HOLDS_OTHERS: Final = frozenset({"Bundle", "Parameters"})
"""Types whose content are resources of their own: their references are not references of the whole."""


@dataclass(frozen=True, slots=True)
class IndexValues:
    """The index of one resource: distinct rows, sorted, and the columns of its own row.

    `patients` are the keys (`self_key`) of every Patient whose compartment holds the resource, the one it is about
    first. `date_low` and `date_high` are the clinical date, [low, high) in microseconds since 1970 UTC, OPEN_LOW and
    OPEN_HIGH when there is none. Bits of `present` tell which parameters have a value, and PATIENT_BIT whether the one
    patient is what the resource is about.
    """

    tokens: tuple[TokenValue, ...]
    strings: tuple[StringValue, ...]
    dates: tuple[DateValue, ...]
    quantities: tuple[QuantityValue, ...]
    references: tuple[ReferenceValue, ...]
    patients: tuple[int, ...]
    date_low: int
    date_high: int
    present: int

    @property
    def patient(self) -> int:
        """The one Patient that the resource is about, 0 when there is none or it lies in other compartments, too.

        Searches rely on it: where the column is set, it is what `patient` and `subject` refer to.
        """
        return self.patients[0] if len(self.patients) == 1 and self.present >> PATIENT_BIT & 1 else 0


def index_values(resource: Mapping[str, Any], base: str) -> IndexValues:
    """Return what the index holds of a resource that passed validation and has an id.

    `base` is the server's own FHIR address: absolute references below it count as local. Raises ValueError for a date
    that is none, and KeyError for a resource without type or id.
    """
    plan = _plan(resource["resourceType"])
    about, patients = plan.patients(resource, base)
    rows = Rows(base, about)
    present = plan.always | (1 << PATIENT_BIT if about else 0)
    for name in resource:
        for handle in plan.by_element.get(name, ()):
            present |= handle(resource, rows)
    for handle in plan.conditions:
        present |= handle(resource, rows)
    if plan.has_references:
        _add_uncovered(resource, rows)
    return _values(plan, rows, present, patients)


class IndexLikeness:
    """What the index holds of resources that differ from a given one in some elements and their ids only.

    None of the elements holds a reference. The answers are those of `index_values`.
    """

    def __init__(self, resource: Mapping[str, Any], elements: frozenset[str], base: str) -> None:
        self._plan = plan = _plan(resource["resourceType"])
        about, self._patients = plan.patients(resource, base)
        self._rows = rows = Rows(base, about)
        self._present = plan.always | (1 << PATIENT_BIT if about else 0)
        for name in resource:
            for handle in () if name in elements else plan.by_element.get(name, ()):
                self._present |= handle(resource, rows)
        if plan.has_references:
            _add_uncovered(resource, rows)
        varying = [handle for name in resource if name in elements for handle in plan.by_element.get(name, ())]
        self._handles = (*varying, *plan.conditions)

    def values(self, resource: Mapping[str, Any]) -> IndexValues:
        """Return what the index holds of a resource like the given one; raises as `index_values` does."""
        rows, present = self._rows.copy(), self._present
        for handle in self._handles:
            present |= handle(resource, rows)
        return _values(self._plan, rows, present, self._patients)


def index_fingerprint() -> str:
    """Return a hash of everything the index depends on: when it changes, a reindex is due."""
    digest = blake2b(definition_bytes(), digest_size=16)
    digest.update(str(RULES_VERSION).encode())
    return digest.hexdigest()


# --- the plan of a type -----------------------------------------------------------------------------------------------

Handle = Callable[[Mapping[str, Any], Rows], int]
"""Adds the rows of one parameter; returns its bit when it has a value, else 0."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to do for resources of one type.

    `by_element` lists handlers under the JSON property they start from. `derived` are bits that follow from others:
    (bit, needed, all of them or any, none of these).
    """

    resource_type: str
    by_element: Mapping[str, tuple[Handle, ...]]
    conditions: tuple[Handle, ...]
    always: int
    derived: tuple[tuple[int, int, bool, int], ...]
    has_references: bool
    compartment: tuple[Path, ...]
    about: PatientElement | None

    def patients(self, resource: Mapping[str, Any], base: str) -> tuple[int, tuple[int, ...]]:
        """Return the key of the patient the resource is about (0 for none) and of all whose compartment it is in.

        Whoever merely performed, received or asserted what is about another patient does not get to see it (smart.md
        E11): then the compartment is that patient's alone.
        """
        if self.resource_type == "Patient":
            own = self_key("Patient", resource["id"])
            return own, (own,)
        about = next(iter(_patient_keys(self.about.path, resource, base)), 0) if self.about else 0
        if about:
            return about, (about,)
        found: dict[int, None] = {}
        for path in self.compartment:
            if path.steps[0].key in resource:
                found.update(dict.fromkeys(_patient_keys(path, resource, base)))
        return about, tuple(found)


def _values(plan: _Plan, rows: Rows, present: int, patients: tuple[int, ...]) -> IndexValues:
    """Return what was gathered of a resource, with the parameters that follow from others."""
    for bit, needed, everything, barred in plan.derived:
        found = present & needed
        if (found == needed if everything else found) and not present & barred:
            present |= bit
    return IndexValues(
        tuple(sorted(rows.tokens)),
        tuple(sorted(rows.strings)),
        tuple(sorted(rows.dates)),
        tuple(sorted(rows.quantities)),
        tuple(sorted(rows.references)),
        patients,
        rows.date_low,
        rows.date_high,
        present,
    )


def _patient_keys(path: Path, resource: Mapping[str, Any], base: str) -> Iterator[int]:
    for value in path.values(resource):
        local = parse_reference(value.get("reference", ""), base)
        if local is not None and local.resource_type == "Patient":
            yield self_key("Patient", local.id)


@cache
def _plan(resource_type: str) -> _Plan:
    by_element: dict[str, list[Handle]] = {}
    conditions: list[Handle] = []
    always = 0
    derived: list[tuple[int, int, bool, int]] = []
    for parameter, answer in parameters_of(resource_type):
        bit = 1 << parameter.bit
        match answer:
            case Answer.OWN_COLUMNS:
                always |= bit
            case Answer.VARIANTS:
                derived.append((bit, _mask(resource_type, variants(resource_type, parameter.code)), False, 0))
            case Answer.CONJUNCTION:
                needed = _mask(resource_type, [part.code for part in parameter.components])
                barred = _mask(resource_type, [each.code for each in ruled_out(resource_type, parameter.code)])
                derived.append((bit, needed, True, barred))
            case _:
                for start, handle in _handlers(parameter, answer):
                    (by_element.setdefault(start, []) if start else conditions).append(handle)
    return _Plan(
        resource_type=resource_type,
        by_element={name: tuple(handles) for name, handles in by_element.items()},
        conditions=tuple(conditions),
        always=always,
        derived=tuple(derived),
        has_references=resource_type not in _HOLDS_OTHERS,
        compartment=compartment_paths(resource_type),
        about=patient_element(resource_type),
    )


def _mask(resource_type: str, codes: list[str] | tuple[str, ...]) -> int:
    found = [find(resource_type, code) for code in codes]
    return sum(1 << parameter.bit for parameter in found if parameter is not None)


def _handlers(parameter: SearchParameter, answer: Answer) -> Iterator[tuple[str, Handle]]:
    """Yield what fills the rows of a parameter, with the property it starts from (empty: the whole resource)."""
    if parameter.type is SearchType.COMPOSITE:
        for element in element_paths(parameter.resource_type, parameter.expression):
            yield element.steps[0].key, _handle(parameter, element, composite_emitter(parameter, element.datatype))
        return
    for path in compile_paths(parameter.resource_type, parameter.expression):
        if (parameter.type, path.datatype) in IGNORED:
            continue
        emit = _emitter(parameter, answer, path)
        start = "" if isinstance(path, Condition) else path.steps[0].key
        yield start, _handle(parameter, path, emit)


def _emitter(parameter: SearchParameter, answer: Answer, path: Path | Condition) -> Emit:
    if answer is Answer.DATE_COLUMNS:
        return clinical_date(path.datatype)
    if answer is Answer.PATIENT_COLUMN:
        return reference(parameter, by_patient_column=True)
    factory = EMITTERS.get((parameter.type, path.datatype))
    if factory is None:
        raise UnsupportedExpression(
            f"{parameter.resource_type}.{parameter.code}: a {parameter.type} cannot be made of {path.datatype}"
        )
    return factory(parameter, path.element)


def _handle(parameter: SearchParameter, path: Path | Condition, emit: Emit) -> Handle:
    bit = 1 << parameter.bit

    def handle(resource: Mapping[str, Any], rows: Rows) -> int:
        found = 0
        for value in path.values(resource):
            if emit(value, rows):
                found = bit
        return found

    return handle


# --- references no parameter covers -----------------------------------------------------------------------------------


def _add_uncovered(resource: Mapping[str, Any], rows: Rows) -> None:
    """Add one row without parameter for each literal reference that has none yet, for integrity checks.

    That the resource refers to its own patient, the `patient` column says already.
    """
    covered = {row.target for row in rows.references} | {rows.own}
    for text in _literal_references(resource):
        targets = reference_targets(text, rows.base)
        if targets and targets[0] not in covered:
            rows.references.add(ReferenceValue(0, targets[0]))


def _literal_references(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield `Reference.reference` of every Reference below a node; `reference` as text occurs in no other type."""
    for name, value in node.items():
        kind = type(value)
        if kind is dict:
            yield from _literal_references(value)
        elif kind is list:
            for item in value:
                if type(item) is dict:
                    yield from _literal_references(item)
        elif name == "reference" and kind is str:
            yield value
