"""Strategies for enrollments and medications of the care platform, and the catalogue rows that they lead to."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from hypothesis import strategies as st

from mappers.care_rows import (
    SHARED,
    AssessmentTemplate,
    AssessmentTemplateItem,
    CareProgram,
    ConditionPreset,
    ConditionPresetDiagnosis,
    ConditionPresetTemplate,
    Enrollment,
    MetricDefinition,
    Patient,
    PatientCondition,
    PatientMedication,
)
from mappers.identity import row_resource_id
from mappers.lookups import Home
from tests.builders_patients import CARE_CLINICIANS, CARE_PATIENTS, known_members
from tests.builders_values import ORGANIZATION, days, ids, instants, json_values, maybe, texts

ENROLLMENTS = ("c5j4bqr9w9iwztlp280ly9m2i", "enr_2", "of-somebody-else")
PROGRAMS = ("cb64h263orlnzel50bldttg92", "bp 130/80")

CARE_HOMES: dict[str, Home] = {
    f"{resource_type}/{row_resource_id(table, key)}": Home(table, key)
    for resource_type, table, keys in (
        ("Patient", "patients", CARE_PATIENTS),
        ("Practitioner", "clinicians", CARE_CLINICIANS),
        ("CarePlan", "enrollments", ENROLLMENTS),
    )
    for key in keys
}
"""Homes of what rows of these strategies refer to."""

_STARTED = datetime(2025, 8, 1, tzinfo=UTC)


def _condition(key: str, icd10: str, label: str | None, status: str = "ACTIVE") -> PatientCondition:
    return PatientCondition(key, ORGANIZATION, CARE_PATIENTS[0], status, icd10, None, label)


PROGRAM_ROWS: dict[tuple[str, str, str], Any] = {
    ("patients", ORGANIZATION, CARE_PATIENTS[0]): Patient(
        CARE_PATIENTS[0],
        ORGANIZATION,
        "Harold",
        "Jenkins",
        datetime(1948, 5, 12, tzinfo=UTC),
        patient_conditions=(
            _condition("htn", "I10", "Hypertension"),
            _condition("dm_2", "E11.9", None),
            _condition("wrong", "I10", "Hypertension", "entered-in-error"),
            _condition("gout", "M10.9", "Gout"),
        ),
    ),
    ("care_programs", ORGANIZATION, PROGRAMS[0]): CareProgram(
        PROGRAMS[0],
        ORGANIZATION,
        "Hypertension RPM",
        "RPM",
        "Blood pressure at home",
        {"goals": ["BP < 130/80", {"description": "Walk"}, "bp < 130/80", ""]},
        condition_preset_id="essential",
        condition_preset_organization_id=SHARED,
    ),
    ("care_programs", ORGANIZATION, PROGRAMS[1]): CareProgram(PROGRAMS[1], ORGANIZATION, " ", "pain management", None),
    ("condition_presets", SHARED, "essential"): ConditionPreset(
        "essential",
        SHARED,
        "Essential hypertension",
        condition_preset_diagnoses=(
            ConditionPresetDiagnosis("d1", SHARED, "essential", "I10", "Essential hypertension"),
        ),
        condition_preset_templates=(
            ConditionPresetTemplate("t2", SHARED, "essential", "monthly", SHARED, SHARED, "monthly", display_order=2),
            ConditionPresetTemplate("t1", SHARED, "essential", "daily", SHARED, ORGANIZATION, "1", display_order=1),
        ),
    ),
    ("assessment_templates", ORGANIZATION, "daily"): AssessmentTemplate(
        "daily",
        ORGANIZATION,
        "Daily BP check",
        assessment_template_items=(
            AssessmentTemplateItem("i1", ORGANIZATION, "daily", "bp", help_text="Sit 5 minutes first"),
            AssessmentTemplateItem("i2", ORGANIZATION, "daily", "mood", None, ORGANIZATION, display_order=1),
            AssessmentTemplateItem("i3", ORGANIZATION, "daily", "gone", display_order=2),
        ),
    ),
    ("assessment_templates", SHARED, "monthly"): AssessmentTemplate(
        "monthly",
        SHARED,
        "Monthly review",
        description="By telephone",
        assessment_template_items=(AssessmentTemplateItem("i4", SHARED, "monthly", "bp"),),
    ),
    ("metric_definitions", SHARED, "bp"): MetricDefinition(
        "bp", SHARED, "bp", "Blood Pressure", "composite", code_system="LOINC", code="85354-9"
    ),
    ("metric_definitions", ORGANIZATION, "mood"): MetricDefinition("mood", ORGANIZATION, "mood", "Mood", "text"),
    **{
        ("enrollments", ORGANIZATION, key): Enrollment(
            key, ORGANIZATION, patient, CARE_CLINICIANS[0], PROGRAMS[0], _STARTED
        )
        for key, patient in zip(ENROLLMENTS, (*CARE_PATIENTS[:1] * 2, CARE_PATIENTS[1]), strict=True)
    },
}
"""Rows that `Lookups.row` finds, beside the first clinician: (table, organization, key) → row."""

moments = st.one_of(instants, instants.map(lambda moment: datetime.combine(moment.date(), time(), UTC)))

enrollments = st.builds(
    Enrollment,
    id=st.one_of(st.sampled_from(ENROLLMENTS), ids),
    organization_id=st.just(ORGANIZATION),
    patient_id=st.sampled_from(CARE_PATIENTS),
    clinician_id=st.sampled_from(CARE_CLINICIANS),
    care_program_id=st.one_of(st.sampled_from(PROGRAMS), ids),
    start_date=moments,
    status=st.sampled_from(["PENDING", "ACTIVE", "INACTIVE", "COMPLETED", "WITHDRAWN"]),
    billing_program_id=maybe(ids),
    billing_program_organization_id=st.sampled_from([None, SHARED, ORGANIZATION]),
    end_date=maybe(moments),
    billing_eligibility=known_members(
        chronicConditions=st.one_of(
            st.lists(st.one_of(st.sampled_from(["Hypertension (I10)", "Diabetes (E11)", "m10.9"]), json_values)),
            json_values,
        ),
        eligible=st.booleans(),
    ),
    notes=maybe(texts),
    created_at=maybe(instants),
    updated_at=maybe(instants),
)

patient_medications = st.builds(
    PatientMedication,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    patient_id=st.sampled_from(CARE_PATIENTS),
    drug_name=st.one_of(st.sampled_from(["lisinopril", "Metformin ER", "Ибупрофен", "Amlodipine 5mg"]), texts),
    status=st.sampled_from(["ACTIVE", "PAUSED", "COMPLETED", "DISCONTINUED", "ENTERED_IN_ERROR"]),
    dosage=maybe(st.one_of(st.sampled_from(["20 mg", "5mg", "25", "200 мг", "1-2 tabs"]), texts)),
    frequency=maybe(st.one_of(st.sampled_from(["once daily", "BID", "q6h prn pain", "every 8 hours"]), texts)),
    route=maybe(st.one_of(st.sampled_from(["oral", "PO"]), texts)),
    start_date=maybe(days),
    end_date=maybe(days),
    prescriber_id=maybe(st.sampled_from(CARE_CLINICIANS)),
    rx_norm_code=maybe(st.one_of(st.sampled_from(["314077", "860975"]), texts)),
    notes=maybe(texts),
    enrollment_id=maybe(st.sampled_from(ENROLLMENTS)),
    as_needed=maybe(st.booleans()),
    quantity=st.one_of(st.sampled_from([30, "30", "1 vial (10 mL)"]), json_values),
    refills=st.one_of(st.sampled_from([0, 3, "5"]), json_values),
)

PROGRAM_STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "enrollment": enrollments,
    "enrollment_care_team": enrollments,
    "enrollment_goal": enrollments.filter(lambda row: row.care_program_id == PROGRAMS[0]),
    "patient_medication": patient_medications,
}
