"""Columns behind what is looked up otherwise than as a whole row; what lacks one is not asked (storage/stops.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mappers.lookups import CLINICIAN, EMR_RECORDS, METRIC, ORGANIZATION, TIME_ZONE, TREATMENT

Needed = Mapping[str, frozenset[str]]
"""Table → columns."""

KEYS: Final = frozenset({"id", "organization_id"})
_RECORDS: Final[Needed] = {
    "profile_fhir_resources_raw": KEYS | {"profile_id", "provider", "resource_type", "resource_id"},
    "profile_fhir_resources_clean": KEYS | {"profile_id", "sources"},
}

DERIVED_FROM: Final[Mapping[str, Needed]] = {
    "treatment_clinicians": {
        "subscriptions": KEYS | {"clinician_id", "clinician_name", "updated_at"},
        "protocols": KEYS | {"created_by"},
    },
    "wearable_devices": {
        "patient_wearable_readings": KEYS | {"customer_id", "source", "device_type", "device_id"},
    },
    "profile_emr_records": _RECORDS,
}
"""Derived rows, which no table holds → the columns that they follow from (storage/projection/sources.py)."""

ASKED: Final[Mapping[str, Needed]] = {
    TIME_ZONE: {"customer_profiles": KEYS | {"timezone"}},
    CLINICIAN: {"subscriptions": KEYS | {"clinician_id", "clinician_name", "updated_at"}},
    TREATMENT: {"subscriptions": KEYS | {"customer_id", "clinician_id"}},
    METRIC: {"metric_definitions": KEYS | {"key", "code", "code_system", "value_type"}},
    EMR_RECORDS: _RECORDS,
    ORGANIZATION: {"organizations": frozenset({"id", "name"})},
}
"""Kind of fact that a mapper looks up → the columns that answer it."""
