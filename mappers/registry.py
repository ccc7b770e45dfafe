"""Every mapper, in one list. A new mapped table is one declaration and one line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from mappers.allergy_intolerance import ALLERGY_INTOLERANCE
from mappers.care_plan import PROTOCOL, TREATMENT
from mappers.condition import CONDITION
from mappers.device import WEARABLE
from mappers.diagnostic_report import LAB_REPORT
from mappers.errors import MappingError
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
    WEARABLE_READING,
    DAILY_STATISTIC,
    LAB_OBSERVATION,
    LAB_REPORT,
    CONDITION,
    ALLERGY_INTOLERANCE,
    MEDICATION_STATEMENT,
    TREATMENT,
    PROTOCOL,
    PRESCRIPTION,
    DISPENSE,
    WEARABLE,
    CLINICIAN,
    TENANT,
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


def mapper_named(name: str) -> ResourceMapper:
    """Return one mapper; raises KeyError for an unknown name."""
    return _BY_NAME[name]
