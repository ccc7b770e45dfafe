"""How the store answers each search parameter: by index rows, or by something it has anyway.

The projection leaves rows out by these rules, and the search looks elsewhere by the same ones. No parameter has rows
for `:text`, `:above` or `:below` of codes: they would double the index for what is hardly asked.
"""

from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import Final

from capability.bindings import implied_system
from capability.compartments import PATIENT_COMPARTMENT
from capability.search_parameters import CLINICAL_DATE, SearchParameter, SearchType, find, search_parameters
from storage.projection.paths import Condition, Path, compile_paths

PATIENT_BIT: Final = 62
"""Bit of the presence mask: the resource is in the compartment of one patient only, and it is about that patient.

Only then can a `patient` column answer `subject` and `patient`, and only then do these have no row. A resource can be
in one patient's compartment by another element, such as an Observation about a device that the patient performed.
"""

_COMBINED: Final = "combo-"
_OWN_COLUMNS: Final = frozenset({"_id", "_lastUpdated"})


class Answer(Enum):
    """Where the answer to a parameter is found."""

    ROWS = auto()
    """Index rows under the parameter's keys."""
    OWN_COLUMNS = auto()
    """Columns of every resource: `_id` and `_lastUpdated`."""
    PATIENT_COLUMN = auto()
    """The resource's `patient` column where bit PATIENT_BIT is set, and reference rows where it is not."""
    DATE_COLUMNS = auto()
    """The resource's `date_low` and `date_high` where the parameter's bit is set."""
    VARIANTS = auto()
    """Any of other parameters (`variants`): `combo-code` is `code` or `component-code`."""
    CONJUNCTION = auto()
    """All parameters its components name: a composite about the whole resource, each part of which occurs once."""


@cache
def answer(resource_type: str, code: str) -> Answer:
    """Return where a parameter is answered. Raises LookupError when the type has no such parameter."""
    parameter = _parameter(resource_type, code)
    if code in _OWN_COLUMNS:
        return Answer.OWN_COLUMNS
    if variants(resource_type, code) != (code,):
        return Answer.VARIANTS
    if CLINICAL_DATE.get(resource_type) == code:
        return Answer.DATE_COLUMNS
    if parameter.type is SearchType.COMPOSITE:
        is_whole = all(not path.steps for path in element_paths(resource_type, parameter.expression))
        return Answer.CONJUNCTION if is_whole else Answer.ROWS
    if parameter.type is SearchType.REFERENCE and _names_the_patient(parameter):
        return Answer.PATIENT_COLUMN
    return Answer.ROWS


def answered_by_patient_column(resource_type: str, code: str) -> bool:
    """Say whether a reference parameter is the one element by which a resource names its patient."""
    return answer(resource_type, code) is Answer.PATIENT_COLUMN


@cache
def variants(resource_type: str, code: str) -> tuple[str, ...]:
    """Return the parameters one of which must hold: for `combo-x` these are `x` and `component-x`, else itself."""
    if code.startswith(_COMBINED):
        plain = code.removeprefix(_COMBINED)
        alternatives = (plain, f"component-{plain}")
        if all(find(resource_type, each) for each in alternatives):
            return alternatives
    return (code,)


@cache
def answers_any_code(resource_type: str, code: str) -> bool:
    """Say whether `system|` (any code of a system) is answered by rows, under `any_code_key`.

    Only identifiers have such rows. For codes they would cost a row for nearly every coded element of every resource,
    and answer a question hardly asked: `code=http://loinc.org|` is almost every Observation. Bodies answer for those
    (`storage/search/bodies.py`).
    """
    parameter = _parameter(resource_type, code)
    return parameter.exact and code not in _OWN_COLUMNS


@cache
def implies_system(resource_type: str, code: str, system: str) -> bool:
    """Say whether every value of a token parameter is a code of this system, by its element's required binding."""
    paths = compile_paths(resource_type, _parameter(resource_type, code).expression)
    return all(path.datatype == "code" and implied_system(path.element) == system for path in paths)


@cache
def ruled_out(resource_type: str, code: str) -> tuple[SearchParameter, ...]:
    """Return the parameters that must have no value where a composite about the whole resource holds.

    A part may be about less than the parameter that it is defined by: the string of `code-value-string` is no text of a
    concept, which `value-string` takes in. The element is a choice, so that whoever has the concept has no string.
    """
    found: list[SearchParameter] = []
    for component in _parameter(resource_type, code).components:
        asked = {path.element for path in element_paths(resource_type, component.expression)}
        wider = element_paths(resource_type, _parameter(resource_type, component.code).expression)
        beyond = {path.steps[0].key for path in wider if path.element not in asked}
        found += [each for key in sorted(beyond) if (each := _parameter_of(resource_type, key)) is not None]
    return tuple(found)


def _parameter_of(resource_type: str, key: str) -> SearchParameter | None:
    """Return the parameter whose values are all that one property holds."""
    for each in search_parameters(resource_type).values():
        if each.type not in {SearchType.COMPOSITE, SearchType.SPECIAL}:
            paths = compile_paths(resource_type, each.expression)
            if all(isinstance(path, Path) and [step.key for step in path.steps] == [key] for path in paths):
                return each
    return None


@dataclass(frozen=True, slots=True)
class PatientElement:
    """The element by which a type names its patient: it occurs once and is part of the compartment's definition."""

    path: Path


@cache
def patient_element(resource_type: str) -> PatientElement | None:
    """Return the element by which a type names its patient (`Observation.subject`); None for types without one."""
    inside = [path.element for path in compartment_paths(resource_type)]
    for code in ("patient", *PATIENT_COMPARTMENT.get(resource_type, ())):
        parameter = find(resource_type, code)
        if parameter is None:
            continue
        paths = element_paths(resource_type, parameter.expression)
        if len(paths) == 1 and not paths[0].repeats and paths[0].element in inside:
            return PatientElement(paths[0])
    return None


@cache
def compartment_paths(resource_type: str) -> tuple[Path, ...]:
    """Return the elements that can put a resource of this type into patients' compartments, each once."""
    found: dict[str, Path] = {}
    for code in PATIENT_COMPARTMENT.get(resource_type, ()):
        parameter = _parameter(resource_type, code)
        for path in element_paths(resource_type, parameter.expression):
            found.setdefault(path.element, path)
    return tuple(found.values())


def element_paths(context: str, expression: str) -> tuple[Path, ...]:
    """Return the element paths of an expression that has no conditions. Raises UnsupportedExpression."""
    return tuple(path for path in compile_paths(context, expression) if not isinstance(path, Condition))


def _names_the_patient(parameter: SearchParameter) -> bool:
    named = patient_element(parameter.resource_type)
    if named is None:
        return False
    paths = element_paths(parameter.resource_type, parameter.expression)
    return [path.element for path in paths] == [named.path.element] and not paths[0].repeats


def _parameter(resource_type: str, code: str) -> SearchParameter:
    found = find(resource_type, code)
    if found is None:
        raise LookupError(f"{resource_type} has no search parameter {code}")
    return found


def parameters_of(resource_type: str) -> tuple[tuple[SearchParameter, Answer], ...]:
    """Return every parameter of a type with where it is answered."""
    return tuple((each, answer(resource_type, each.code)) for each in search_parameters(resource_type).values())
