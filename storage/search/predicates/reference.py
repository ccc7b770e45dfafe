"""References (FHIR R4 search.html#reference): rows name the target; the resource's own patient stands in its column."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, and_

from capability.elements import RESOURCE_TYPES
from capability.search_parameters import SearchParameter
from storage.projection.coverage import answered_by_patient_column
from storage.search.keys import parameter_key, self_key, url_key
from storage.search.predicates.parameters import is_one_of, parameter_like
from storage.search.query import Reference, ReferenceUrl, Value
from storage.search.shape import Binder, IndexTest, PatientIs, ReferenceIs, SubjectTest


def reference_test(parameter: SearchParameter, values: Iterable[Value], binder: Binder) -> IndexTest | SubjectTest:
    """Return the test for a reference to one of the values."""
    targets: list[int] = []
    patients: list[int] = []
    for value in values:
        found, patient = asked_targets(parameter, value)
        targets.extend(found)
        patients.extend(patient)
    name, many = binder.bind_list(targets)
    key = binder.bind(parameter_key(parameter.resource_type, parameter.code))
    rows = IndexTest((ReferenceIs(key, name, many),))
    if not patients or not answered_by_patient_column(parameter.resource_type, parameter.code):
        return rows
    return SubjectTest(PatientIs(*binder.bind_list(patients)), rows)


def asked_targets(parameter: SearchParameter, value: Value) -> tuple[list[int], list[int]]:
    """Return the keys of what a value may mean, and among them those of Patients."""
    match value:
        case Reference(None, target_id):
            types = RESOURCE_TYPES if "*" in parameter.targets else parameter.targets
            patients = [self_key("Patient", target_id)] if "Patient" in types else []
            return [self_key(each, target_id) for each in types], patients
        case Reference(str(resource_type), target_id, None):
            key = self_key(resource_type, target_id)
            return [key], [key] if resource_type == "Patient" else []
        case Reference(resource_type, target_id, version):
            return [url_key(f"{resource_type}/{target_id}/_history/{version}")], []
        case ReferenceUrl(url):
            return [url_key(url)], []
        case _:
            raise TypeError(f"{type(value).__name__} is no value of a reference parameter")


def reference_condition(condition: ReferenceIs, rows: Any) -> ColumnElement[bool]:
    """Return the condition on columns of fhir_index_references."""
    key = rows.key == parameter_like(rows.key, condition.key)
    return and_(is_one_of(rows.target, condition.targets, condition.many), key)
