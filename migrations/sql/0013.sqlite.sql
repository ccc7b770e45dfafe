-- Rows of the care platform and of the health hub show in FHIR: what foreign writers change there is captured.
-- Rows whose contents others show, and the walk that renders those again (settled §1.8).

CREATE TABLE shown_rows (
	organization_id TEXT NOT NULL,
	table_name TEXT NOT NULL,
	"key" TEXT NOT NULL,
	fingerprint BLOB NOT NULL,
	walk SMALLINT,
	CONSTRAINT shown_rows_pkey PRIMARY KEY (organization_id, table_name, "key")
);

CREATE INDEX shown_rows_walk_idx ON shown_rows (walk, organization_id) WHERE walk IS NOT NULL;

CREATE TABLE rerenders (
	organization_id TEXT NOT NULL,
	table_name TEXT NOT NULL,
	owner TEXT,
	"after" TEXT NOT NULL,
	walk_from BIGINT,
	done BIGINT NOT NULL,
	total BIGINT,
	CONSTRAINT rerenders_pkey PRIMARY KEY (organization_id)
);

CREATE TRIGGER clinicians_capture_insert AFTER INSERT ON clinicians WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'clinicians', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; END;

CREATE TRIGGER clinicians_capture_update AFTER UPDATE ON clinicians WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'clinicians', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'clinicians', OLD.id, 'update' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER clinicians_capture_delete AFTER DELETE ON clinicians WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'clinicians', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER patients_capture_insert AFTER INSERT ON patients WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'patients', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; END;

CREATE TRIGGER patients_capture_update AFTER UPDATE ON patients WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'patients', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'patients', OLD.id, 'update' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER patients_capture_delete AFTER DELETE ON patients WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'patients', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER profiles_capture_insert AFTER INSERT ON profiles WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'profiles', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; END;

CREATE TRIGGER profiles_capture_update AFTER UPDATE ON profiles WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'profiles', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'profiles', OLD.id, 'update' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER profiles_capture_delete AFTER DELETE ON profiles WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'profiles', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER enrollments_capture_insert AFTER INSERT ON enrollments WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'enrollments', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'patients', NEW.patient_id, 'update' WHERE NEW.patient_id IS NOT NULL; END;

CREATE TRIGGER enrollments_capture_update AFTER UPDATE ON enrollments WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'enrollments', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'enrollments', OLD.id, 'update' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'patients', NEW.patient_id, 'update' WHERE NEW.patient_id IS NOT NULL UNION SELECT OLD.organization_id, 'patients', OLD.patient_id, 'update' WHERE OLD.patient_id IS NOT NULL; END;

CREATE TRIGGER enrollments_capture_delete AFTER DELETE ON enrollments WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'enrollments', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'patients', OLD.patient_id, 'update' WHERE OLD.patient_id IS NOT NULL; END;

CREATE TRIGGER observations_capture_insert AFTER INSERT ON observations WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'observations', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; END;

CREATE TRIGGER observations_capture_update AFTER UPDATE ON observations WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'observations', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'observations', OLD.id, 'update' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER observations_capture_delete AFTER DELETE ON observations WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'observations', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER patient_medications_capture_insert AFTER INSERT ON patient_medications WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'patient_medications', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; END;

CREATE TRIGGER patient_medications_capture_update AFTER UPDATE ON patient_medications WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'patient_medications', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'patient_medications', OLD.id, 'update' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER patient_medications_capture_delete AFTER DELETE ON patient_medications WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'patient_medications', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER patient_conditions_capture_insert AFTER INSERT ON patient_conditions WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'patient_conditions', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'patients', NEW.patient_id, 'update' WHERE NEW.patient_id IS NOT NULL; END;

CREATE TRIGGER patient_conditions_capture_update AFTER UPDATE ON patient_conditions WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'patient_conditions', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'patient_conditions', OLD.id, 'update' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'patients', NEW.patient_id, 'update' WHERE NEW.patient_id IS NOT NULL UNION SELECT OLD.organization_id, 'patients', OLD.patient_id, 'update' WHERE OLD.patient_id IS NOT NULL; END;

CREATE TRIGGER patient_conditions_capture_delete AFTER DELETE ON patient_conditions WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'patient_conditions', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'patients', OLD.patient_id, 'update' WHERE OLD.patient_id IS NOT NULL; END;

CREATE TRIGGER patient_consents_capture_insert AFTER INSERT ON patient_consents WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'patient_consents', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; END;

CREATE TRIGGER patient_consents_capture_update AFTER UPDATE ON patient_consents WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'patient_consents', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'patient_consents', OLD.id, 'update' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER patient_consents_capture_delete AFTER DELETE ON patient_consents WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'patient_consents', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER profile_fhir_resources_clean_capture_insert AFTER INSERT ON profile_fhir_resources_clean WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'profile_fhir_resources_clean', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'profile_emr_records', NEW.profile_id, 'update' WHERE NEW.profile_id IS NOT NULL; END;

CREATE TRIGGER profile_fhir_resources_clean_capture_update AFTER UPDATE ON profile_fhir_resources_clean WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'profile_fhir_resources_clean', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'profile_fhir_resources_clean', OLD.id, 'update' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'profile_emr_records', NEW.profile_id, 'update' WHERE NEW.profile_id IS NOT NULL UNION SELECT OLD.organization_id, 'profile_emr_records', OLD.profile_id, 'update' WHERE OLD.profile_id IS NOT NULL; END;

CREATE TRIGGER profile_fhir_resources_clean_capture_delete AFTER DELETE ON profile_fhir_resources_clean WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'profile_fhir_resources_clean', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'profile_emr_records', OLD.profile_id, 'update' WHERE OLD.profile_id IS NOT NULL; END;

CREATE TRIGGER metric_definitions_capture_insert AFTER INSERT ON metric_definitions WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'metric_definitions', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; END;

CREATE TRIGGER metric_definitions_capture_update AFTER UPDATE ON metric_definitions WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'metric_definitions', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'metric_definitions', OLD.id, 'update' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER metric_definitions_capture_delete AFTER DELETE ON metric_definitions WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'metric_definitions', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER condition_presets_capture_insert AFTER INSERT ON condition_presets WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'condition_presets', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; END;

CREATE TRIGGER condition_presets_capture_update AFTER UPDATE ON condition_presets WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'condition_presets', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'condition_presets', OLD.id, 'update' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER condition_presets_capture_delete AFTER DELETE ON condition_presets WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'condition_presets', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER assessment_templates_capture_insert AFTER INSERT ON assessment_templates WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'assessment_templates', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; END;

CREATE TRIGGER assessment_templates_capture_update AFTER UPDATE ON assessment_templates WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'assessment_templates', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'assessment_templates', OLD.id, 'update' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER assessment_templates_capture_delete AFTER DELETE ON assessment_templates WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'assessment_templates', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER care_programs_capture_insert AFTER INSERT ON care_programs WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'care_programs', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; END;

CREATE TRIGGER care_programs_capture_update AFTER UPDATE ON care_programs WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'care_programs', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'care_programs', OLD.id, 'update' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER care_programs_capture_delete AFTER DELETE ON care_programs WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'care_programs', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; END;

CREATE TRIGGER profile_emr_connections_capture_insert AFTER INSERT ON profile_emr_connections WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'profile_emr_connections', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'profiles', NEW.profile_id, 'update' WHERE NEW.profile_id IS NOT NULL; END;

CREATE TRIGGER profile_emr_connections_capture_update AFTER UPDATE ON profile_emr_connections WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'profile_emr_connections', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'profile_emr_connections', OLD.id, 'update' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'profiles', NEW.profile_id, 'update' WHERE NEW.profile_id IS NOT NULL UNION SELECT OLD.organization_id, 'profiles', OLD.profile_id, 'update' WHERE OLD.profile_id IS NOT NULL; END;

CREATE TRIGGER profile_emr_connections_capture_delete AFTER DELETE ON profile_emr_connections WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'profile_emr_connections', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'profiles', OLD.profile_id, 'update' WHERE OLD.profile_id IS NOT NULL; END;

CREATE TRIGGER condition_preset_diagnoses_capture_insert AFTER INSERT ON condition_preset_diagnoses WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'condition_preset_diagnoses', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'condition_presets', NEW.condition_preset_id, 'update' WHERE NEW.condition_preset_id IS NOT NULL; END;

CREATE TRIGGER condition_preset_diagnoses_capture_update AFTER UPDATE ON condition_preset_diagnoses WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'condition_preset_diagnoses', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'condition_preset_diagnoses', OLD.id, 'update' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'condition_presets', NEW.condition_preset_id, 'update' WHERE NEW.condition_preset_id IS NOT NULL UNION SELECT OLD.organization_id, 'condition_presets', OLD.condition_preset_id, 'update' WHERE OLD.condition_preset_id IS NOT NULL; END;

CREATE TRIGGER condition_preset_diagnoses_capture_delete AFTER DELETE ON condition_preset_diagnoses WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'condition_preset_diagnoses', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'condition_presets', OLD.condition_preset_id, 'update' WHERE OLD.condition_preset_id IS NOT NULL; END;

CREATE TRIGGER condition_preset_templates_capture_insert AFTER INSERT ON condition_preset_templates WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'condition_preset_templates', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'condition_presets', NEW.condition_preset_id, 'update' WHERE NEW.condition_preset_id IS NOT NULL; END;

CREATE TRIGGER condition_preset_templates_capture_update AFTER UPDATE ON condition_preset_templates WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'condition_preset_templates', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'condition_preset_templates', OLD.id, 'update' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'condition_presets', NEW.condition_preset_id, 'update' WHERE NEW.condition_preset_id IS NOT NULL UNION SELECT OLD.organization_id, 'condition_presets', OLD.condition_preset_id, 'update' WHERE OLD.condition_preset_id IS NOT NULL; END;

CREATE TRIGGER condition_preset_templates_capture_delete AFTER DELETE ON condition_preset_templates WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'condition_preset_templates', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'condition_presets', OLD.condition_preset_id, 'update' WHERE OLD.condition_preset_id IS NOT NULL; END;

CREATE TRIGGER assessment_template_items_capture_insert AFTER INSERT ON assessment_template_items WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'assessment_template_items', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'assessment_templates', NEW.template_id, 'update' WHERE NEW.template_id IS NOT NULL; END;

CREATE TRIGGER assessment_template_items_capture_update AFTER UPDATE ON assessment_template_items WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'assessment_template_items', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'assessment_template_items', OLD.id, 'update' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'assessment_templates', NEW.template_id, 'update' WHERE NEW.template_id IS NOT NULL UNION SELECT OLD.organization_id, 'assessment_templates', OLD.template_id, 'update' WHERE OLD.template_id IS NOT NULL; END;

CREATE TRIGGER assessment_template_items_capture_delete AFTER DELETE ON assessment_template_items WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'assessment_template_items', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'assessment_templates', OLD.template_id, 'update' WHERE OLD.template_id IS NOT NULL; END;

CREATE TRIGGER profile_fhir_resources_raw_capture_insert AFTER INSERT ON profile_fhir_resources_raw WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'profile_fhir_resources_raw', NEW.id, 'insert' WHERE NEW.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'profile_emr_records', NEW.profile_id, 'update' WHERE NEW.profile_id IS NOT NULL; END;

CREATE TRIGGER profile_fhir_resources_raw_capture_update AFTER UPDATE ON profile_fhir_resources_raw WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'profile_fhir_resources_raw', NEW.id, 'update' WHERE NEW.id IS NOT NULL UNION SELECT OLD.organization_id, 'profile_fhir_resources_raw', OLD.id, 'update' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT NEW.organization_id, 'profile_emr_records', NEW.profile_id, 'update' WHERE NEW.profile_id IS NOT NULL UNION SELECT OLD.organization_id, 'profile_emr_records', OLD.profile_id, 'update' WHERE OLD.profile_id IS NOT NULL; END;

CREATE TRIGGER profile_fhir_resources_raw_capture_delete AFTER DELETE ON profile_fhir_resources_raw WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'profile_fhir_resources_raw', OLD.id, 'delete' WHERE OLD.id IS NOT NULL; INSERT INTO outbox (organization_id, table_name, key, operation) SELECT OLD.organization_id, 'profile_emr_records', OLD.profile_id, 'update' WHERE OLD.profile_id IS NOT NULL; END;
