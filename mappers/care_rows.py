"""Rows of the care platform as the mappers see them: column names as in SQL, one frozen dataclass per table.

Values are as in `mappers.rows`. The catalogue (metric definitions, condition presets, assessment templates) has rows
of an organization and rows that all organizations share, whose `organization_id` is SHARED. A row that refers to the
catalogue says in `<reference>_organization_id` whose row it means: SHARED or its own organization; None in a row that
has not been stored yet is its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from mappers.json_values import Json

SHARED: Final = "*"
"""`organization_id` of catalogue rows that belong to no organization; the APIs show it as null (settled §2.1)."""


@dataclass(frozen=True, slots=True)
class CareClinician:
    """One row of `clinicians`."""

    id: str
    organization_id: str
    first_name: str
    last_name: str
    email: str
    phone: str | None = None
    specialization: str | None = None
    license_number: str | None = None
    npi_number: str | None = None
    credentials: str | None = None
    department: str | None = None
    is_active: bool = True
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Enrollment:
    """One row of `enrollments`: a patient in a care program."""

    id: str
    organization_id: str
    patient_id: str
    clinician_id: str
    care_program_id: str
    start_date: datetime
    status: str = "ACTIVE"
    billing_program_id: str | None = None
    billing_program_organization_id: str | None = SHARED
    end_date: datetime | None = None
    billing_eligibility: Json = None
    notes: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PatientCondition:
    """One row of `patient_conditions`; `status` is open text, ACTIVE unless it says otherwise."""

    id: str
    organization_id: str
    patient_id: str
    status: str = "ACTIVE"
    icd10: str | None = None
    snomed: str | None = None
    label: str | None = None
    onset_date: date | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Patient:
    """One row of `patients`, with its `enrollments` and `patient_conditions`, which are only shown there.

    `date_of_birth` is an instant, as the care platform keeps it: midnight UTC of the day.
    """

    id: str
    organization_id: str
    first_name: str
    last_name: str
    date_of_birth: datetime
    medical_record_number: str | None = None
    gender: str | None = None
    email: str | None = None
    phone: str | None = None
    address: str | None = None
    emergency_contact: Json = None
    insurance_info: Json = None
    timezone: str | None = None
    is_active: bool = True
    created_at: datetime | None = None
    updated_at: datetime | None = None
    enrollments: tuple[Enrollment, ...] = ()
    patient_conditions: tuple[PatientCondition, ...] = ()


@dataclass(frozen=True, slots=True)
class PatientConsent:
    """One row of `patient_consents`; in force from `granted_at` until `revoked_at`."""

    id: str
    organization_id: str
    patient_id: str
    consent_type: str | None = None
    granted_at: datetime | None = None
    revoked_at: datetime | None = None
    recorded_by: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PatientMedication:
    """One row of `patient_medications`; `quantity` and `refills` are JSON as they came."""

    id: str
    organization_id: str
    patient_id: str
    drug_name: str
    status: str = "ACTIVE"
    dosage: str | None = None
    frequency: str | None = None
    route: str | None = None
    start_date: date | None = None
    end_date: date | None = None
    prescriber_id: str | None = None
    rx_norm_code: str | None = None
    notes: str | None = None
    enrollment_id: str | None = None
    as_needed: bool | None = None
    quantity: Json = None
    refills: Json = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One row of `metric_definitions`: what an observation measures.

    `origin` is `fhir` where a written Observation called for the definition (settled §1.13): hidden from lists of the
    catalogue.
    """

    id: str
    organization_id: str
    key: str
    name: str
    value_type: str
    unit: str | None = None
    ucum: str | None = None
    category: str | None = None
    code_system: str | None = None
    code: str | None = None
    validation_info: Json = None
    normal_range: Json = None
    is_standardized: bool = False
    origin: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CareObservation:
    """One row of `observations`; `value` is any JSON value, and None also stands for JSON null."""

    id: str
    organization_id: str
    patient_id: str
    metric_id: str
    value: Json
    metric_organization_id: str | None = SHARED
    enrollment_id: str | None = None
    status: str = "final"
    unit: str | None = None
    source: str = "MANUAL"
    source_identifier: str | None = None
    context: str | None = None
    notes: str | None = None
    recorded_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CareProgram:
    """One row of `care_programs`."""

    id: str
    organization_id: str
    name: str
    type: str
    description: str | None = None
    settings: Json = field(default_factory=dict)
    is_active: bool = True
    condition_preset_id: str | None = None
    condition_preset_organization_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ConditionPresetDiagnosis:
    """One row of `condition_preset_diagnoses`."""

    id: str
    organization_id: str
    condition_preset_id: str
    icd10: str
    label: str
    condition_preset_organization_id: str | None = None
    snomed: str | None = None
    is_primary: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ConditionPresetTemplate:
    """One row of `condition_preset_templates`: an assessment of a preset; `frequency` is text, days as a rule."""

    id: str
    organization_id: str
    condition_preset_id: str
    template_id: str
    condition_preset_organization_id: str | None = None
    template_organization_id: str | None = None
    frequency: str | None = None
    is_required: bool = False
    display_order: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ConditionPreset:
    """One row of `condition_presets`, with its diagnoses and assessments.

    A shared preset has shared ones and those that the organization added for itself.
    """

    id: str
    organization_id: str
    name: str
    source_preset_id: str | None = None
    source_preset_organization_id: str | None = SHARED
    description: str | None = None
    category: str | None = None
    is_standardized: bool = False
    clinical_guidelines: Json = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    condition_preset_diagnoses: tuple[ConditionPresetDiagnosis, ...] = ()
    condition_preset_templates: tuple[ConditionPresetTemplate, ...] = ()


@dataclass(frozen=True, slots=True)
class AssessmentTemplateItem:
    """One row of `assessment_template_items`: a metric that an assessment asks for."""

    id: str
    organization_id: str
    template_id: str
    metric_definition_id: str
    template_organization_id: str | None = None
    metric_definition_organization_id: str | None = SHARED
    display_order: int = 0
    is_required: bool = False
    help_text: str | None = None
    default_value: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AssessmentTemplate:
    """One row of `assessment_templates`, with its items."""

    id: str
    organization_id: str
    name: str | None = None
    is_standardized: bool = False
    description: str | None = None
    scoring: Json = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    assessment_template_items: tuple[AssessmentTemplateItem, ...] = ()
