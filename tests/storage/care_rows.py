"""One row of an organization in every table of the care platform, as plain SQL; `{0}` is the organization."""

from __future__ import annotations

CARE_ROWS = (
    (
        "INSERT INTO patients (organization_id, id, medical_record_number, first_name, last_name, date_of_birth)"
        " VALUES ('{0}', 'p', 'MRN-1', 'Rosa', 'Delgado Peña', '1956-09-30T00:00:00Z')"
    ),
    (
        "INSERT INTO clinicians (organization_id, id, first_name, last_name, email)"
        " VALUES ('{0}', 'c', 'Ana', 'Whitfield', 'a@b.example')"
    ),
    (
        "INSERT INTO metric_definitions (organization_id, id, key, name, value_type)"
        " VALUES ('{0}', 'm', 'hr', 'Heart Rate', 'number')"
    ),
    "INSERT INTO assessment_templates (organization_id, id, name) VALUES ('{0}', 't', 'Daily check')",
    (
        "INSERT INTO assessment_template_items (organization_id, template_organization_id, template_id,"
        " metric_definition_organization_id, metric_definition_id) VALUES ('{0}', '{0}', 't', '{0}', 'm')"
    ),
    (
        "INSERT INTO alert_rules (organization_id, id, name, conditions, severity)"
        """ VALUES ('{0}', 'r', 'High', '{{"metric": "hr"}}', 'HIGH')"""
    ),
    "INSERT INTO condition_presets (organization_id, id, name) VALUES ('{0}', 'cp', 'Hypertension')",
    (
        "INSERT INTO condition_preset_diagnoses (organization_id, condition_preset_organization_id,"
        " condition_preset_id, icd10, label) VALUES ('{0}', '{0}', 'cp', 'I10', 'Hypertension')"
    ),
    (
        "INSERT INTO condition_preset_templates (organization_id, condition_preset_organization_id,"
        " condition_preset_id, template_organization_id, template_id) VALUES ('{0}', '{0}', 'cp', '{0}', 't')"
    ),
    (
        "INSERT INTO condition_preset_alert_rules (organization_id, condition_preset_organization_id,"
        " condition_preset_id, alert_rule_organization_id, alert_rule_id) VALUES ('{0}', '{0}', 'cp', '{0}', 'r')"
    ),
    (
        "INSERT INTO billing_programs (organization_id, id, name, code, program_type, effective_date,"
        " eligibility_rules) VALUES ('{0}', 'b', 'RPM', 'RPM_1', 'RPM', '2025-01-01T00:00:00Z', '[]')"
    ),
    (
        "INSERT INTO cpt_codes (organization_id, billing_program_organization_id, billing_program_id, code, category,"
        " description) VALUES ('{0}', '{0}', 'b', '99453', 'SETUP', 'Set-up')"
    ),
    (
        "INSERT INTO care_programs (organization_id, id, name, type, condition_preset_organization_id,"
        " condition_preset_id) VALUES ('{0}', 'g', 'Hypertension', 'RPM', '{0}', 'cp')"
    ),
    (
        "INSERT INTO enrollments (organization_id, id, patient_id, clinician_id, care_program_id, start_date)"
        " VALUES ('{0}', 'e', 'p', 'c', 'g', '2025-08-01T00:00:00Z')"
    ),
    (
        "INSERT INTO observations (organization_id, id, patient_id, enrollment_id, metric_organization_id, metric_id,"
        " value) VALUES ('{0}', 'o', 'p', 'e', '{0}', 'm', '71.50')"
    ),
    (
        "INSERT INTO assessments (organization_id, patient_id, template_organization_id, template_id)"
        " VALUES ('{0}', 'p', '{0}', 't')"
    ),
    (
        "INSERT INTO patient_medications (organization_id, patient_id, drug_name, prescriber_id)"
        " VALUES ('{0}', 'p', 'lisinopril', 'c')"
    ),
    "INSERT INTO patient_conditions (organization_id, patient_id, icd10) VALUES ('{0}', 'p', 'I10')",
    "INSERT INTO patient_consents (organization_id, patient_id, consent_type) VALUES ('{0}', 'p', 'BILLING')",
    (
        "INSERT INTO time_logs (organization_id, patient_id, clinician_id, activity, duration)"
        " VALUES ('{0}', 'p', 'c', 'CALL_PATIENT', 12)"
    ),
    (
        "INSERT INTO alerts (organization_id, patient_id, rule_organization_id, rule_id, severity, message)"
        " VALUES ('{0}', 'p', '{0}', 'r', 'HIGH', 'Pulse')"
    ),
)
