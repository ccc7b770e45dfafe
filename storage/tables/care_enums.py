"""Enumerations of the care platform's document. CLOSED ones are state machines and are CHECKed by the database.

Those of VALIDATED are checked in Python (settled §2.2). The columns of KNOWN are open text: these are the values that
the document or its samples name, others may come.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class EnrollmentStatus(StrEnum):
    """Life of a patient's enrollment in a care program."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    COMPLETED = "COMPLETED"
    WITHDRAWN = "WITHDRAWN"


class AlertStatus(StrEnum):
    """Life of an alert in the triage queue."""

    PENDING = "PENDING"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RESOLVED = "RESOLVED"
    DISMISSED = "DISMISSED"


class AlertSeverity(StrEnum):
    """How urgent an alert is, least first."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class ObservationStatus(StrEnum):
    """Whether an observation stands (settled §2.3)."""

    FINAL = "final"
    CORRECTED = "corrected"
    ENTERED_IN_ERROR = "entered-in-error"


class MedicationStatus(StrEnum):
    """Life of a patient's medication."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"
    ENTERED_IN_ERROR = "ENTERED_IN_ERROR"


class Gender(StrEnum):
    """Gender of a patient."""

    MALE = "MALE"
    FEMALE = "FEMALE"
    OTHER = "OTHER"
    UNKNOWN = "UNKNOWN"


class ObservationSource(StrEnum):
    """How an observation came."""

    MANUAL = "MANUAL"
    DEVICE = "DEVICE"
    API = "API"
    IMPORT = "IMPORT"


class CptCategory(StrEnum):
    """What a CPT code pays for."""

    SETUP = "SETUP"
    DATA_COLLECTION = "DATA_COLLECTION"
    CLINICAL_TIME = "CLINICAL_TIME"
    TREATMENT_TIME = "TREATMENT_TIME"


class OrganizationType(StrEnum):
    """Kinds of organizations; open."""

    HOSPITAL = "HOSPITAL"
    CLINIC = "CLINIC"
    PRACTICE = "PRACTICE"


class ObservationContext(StrEnum):
    """On what occasion an observation was made; open."""

    WELLNESS = "WELLNESS"
    PROGRAM_ENROLLMENT = "PROGRAM_ENROLLMENT"
    CLINICAL_MONITORING = "CLINICAL_MONITORING"


class TimeLogActivity(StrEnum):
    """What the minutes of a time log were spent on; open."""

    CALL_PATIENT = "CALL_PATIENT"
    REVIEW_DATA = "REVIEW_DATA"
    CARE_COORDINATION = "CARE_COORDINATION"
    DEVICE_SETUP = "DEVICE_SETUP"
    DOCUMENTATION = "DOCUMENTATION"
    PATIENT_EDUCATION = "PATIENT_EDUCATION"


class MetricValueType(StrEnum):
    """What the values of a metric are; open."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    CODED = "coded"
    CATEGORICAL = "categorical"
    SCALE = "scale"
    COMPOSITE = "composite"


class CareProgramType(StrEnum):
    """Kinds of care programs; open."""

    RPM = "RPM"
    RTM = "RTM"
    CCM = "CCM"
    PCM = "PCM"
    TCM = "TCM"
    GENERAL = "general"
    PAIN_MANAGEMENT = "PAIN_MANAGEMENT"


class ConsentType(StrEnum):
    """What a patient consents to; open."""

    TREATMENT = "TREATMENT"
    BILLING = "BILLING"
    DATA_SHARING = "DATA_SHARING"


class BillingFrequency(StrEnum):
    """How often a CPT code is billed; open."""

    ONCE = "ONCE"
    MONTHLY = "MONTHLY"
    PER_OCCURRENCE = "PER_OCCURRENCE"


CLOSED: Final[tuple[type[StrEnum], ...]] = (
    EnrollmentStatus,
    AlertStatus,
    AlertSeverity,
    ObservationStatus,
    MedicationStatus,
)

VALIDATED: Final[Mapping[str, Mapping[str, type[StrEnum]]]] = {
    "patients": {"gender": Gender},
    "enrollments": {"status": EnrollmentStatus},
    "observations": {"source": ObservationSource, "status": ObservationStatus},
    "alerts": {"status": AlertStatus, "severity": AlertSeverity},
    "alert_rules": {"severity": AlertSeverity},
    "cpt_codes": {"category": CptCategory},
    "patient_medications": {"status": MedicationStatus},
}

KNOWN: Final[Mapping[str, Mapping[str, type[StrEnum]]]] = {
    "organizations": {"type": OrganizationType},
    "observations": {"context": ObservationContext},
    "time_logs": {"activity": TimeLogActivity},
    "metric_definitions": {"value_type": MetricValueType},
    "care_programs": {"type": CareProgramType},
    "patient_consents": {"consent_type": ConsentType},
    "cpt_codes": {"billing_frequency": BillingFrequency},
}
