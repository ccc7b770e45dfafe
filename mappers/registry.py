"""Every mapper, in one list. A new mapped table is one declaration and one line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from mappers.allergy_intolerance import ALLERGY_INTOLERANCE
from mappers.care_condition import CARE_CONDITION
from mappers.care_medication_request import CARE_MEDICATION
from mappers.care_observation import CARE_OBSERVATION
from mappers.care_patient import CARE_PATIENT
from mappers.care_plan import PROTOCOL, TREATMENT
from mappers.care_practitioner import CARE_CLINICIAN
from mappers.care_team import CARE_TEAM
from mappers.clean_records import CLEAN_RECORD, CLEAN_SOURCES
from mappers.condition import CONDITION
from mappers.consent import CONSENT
from mappers.coverage import COVERAGE
from mappers.device import WEARABLE
from mappers.diagnostic_report import LAB_REPORT
from mappers.enrollment_care_plan import ENROLLMENT
from mappers.errors import MappingError
from mappers.goal import ENROLLMENT_GOAL, PROTOCOL_GOAL
from mappers.hub_patient import HUB_PATIENT
from mappers.lab_observation import LAB_OBSERVATION
from mappers.lens import ResourceMapper
from mappers.medication_dispense import DISPENSE
from mappers.medication_request import PRESCRIPTION
from mappers.medication_statement import MEDICATION_STATEMENT
from mappers.observation import DAILY_STATISTIC, WEARABLE_READING
from mappers.organization import TENANT
from mappers.patient import PATIENT
from mappers.practitioner import CLINICIAN

MAPPERS: Final[tuple[ResourceMapper, ...]] = (
    PATIENT,
    CARE_PATIENT,
    HUB_PATIENT,
    WEARABLE_READING,
    DAILY_STATISTIC,
    LAB_OBSERVATION,
    CARE_OBSERVATION,
    LAB_REPORT,
    CONDITION,
    ALLERGY_INTOLERANCE,
    MEDICATION_STATEMENT,
    TREATMENT,
    PROTOCOL,
    ENROLLMENT,
    PRESCRIPTION,
    CARE_MEDICATION,
    DISPENSE,
    WEARABLE,
    CLINICIAN,
    CARE_CLINICIAN,
    TENANT,
    CARE_CONDITION,
    COVERAGE,
    CONSENT,
    CARE_TEAM,
    ENROLLMENT_GOAL,
    PROTOCOL_GOAL,
    CLEAN_RECORD,
    CLEAN_SOURCES,
)


def _by(key: Iterable[tuple[str, ResourceMapper]]) -> Mapping[str, tuple[ResourceMapper, ...]]:
    out: dict[str, tuple[ResourceMapper, ...]] = {}
    for name, mapper in key:
        out[name] = (*out.get(name, ()), mapper)
    return out


_BY_TABLE: Final = _by((mapper.table, mapper) for mapper in MAPPERS)
_BY_TYPE: Final = _by((mapper.resource_type, mapper) for mapper in MAPPERS)
_BY_NAME: Final = {mapper.name: mapper for mapper in MAPPERS}
if len(_BY_NAME) != len(MAPPERS):
    raise MappingError("two mappers have one name", ", ".join(mapper.name for mapper in MAPPERS))


def mappers_of_table(table: str) -> tuple[ResourceMapper, ...]:
    """Return the mappers that render rows of a table."""
    return _BY_TABLE.get(table, ())


def mappers_of_type(resource_type: str) -> tuple[ResourceMapper, ...]:
    """Return the mappers of a resource type, in the order in which a new resource is offered to them."""
    return _BY_TYPE.get(resource_type, ())


def mapper_of(table: str, resource_type: str) -> ResourceMapper:
    """Return the mapper of the rows of a table that are resources of a type; raises KeyError where there is none."""
    mappers = mappers_of_table(table)
    for mapper in mappers:
        if mapper.resource_type == resource_type:
            return mapper
    for mapper in mappers:
        if mapper.type_of is not None:
            return mapper
    raise KeyError(f"{table} holds no {resource_type}")


def mapper_named(name: str) -> ResourceMapper:
    """Return one mapper; raises KeyError for an unknown name."""
    return _BY_NAME[name]
