-- Rows of the care platform and of the health hub show in FHIR: what foreign writers change there is captured.
-- Rows whose contents others show, and the walk that renders those again (settled §1.8).

CREATE TABLE shown_rows (
	organization_id TEXT COLLATE "C" NOT NULL,
	table_name TEXT COLLATE "C" NOT NULL,
	key TEXT COLLATE "C" NOT NULL,
	fingerprint BYTEA NOT NULL,
	walk SMALLINT,
	CONSTRAINT shown_rows_pkey PRIMARY KEY (organization_id, table_name, key)
);

CREATE INDEX shown_rows_walk_idx ON shown_rows (walk, organization_id) WHERE walk IS NOT NULL;

CREATE TABLE rerenders (
	organization_id TEXT COLLATE "C" NOT NULL,
	table_name TEXT COLLATE "C" NOT NULL,
	owner TEXT COLLATE "C",
	after TEXT COLLATE "C" NOT NULL,
	walk_from BIGINT,
	done BIGINT NOT NULL,
	total BIGINT,
	CONSTRAINT rerenders_pkey PRIMARY KEY (organization_id)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON shown_rows TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON rerenders TO fhir_server_app;

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON clinicians REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'clinicians', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON clinicians REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'clinicians', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON clinicians REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'clinicians', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON clinicians FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'clinicians', 'id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON patients REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patients', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON patients REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patients', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON patients REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patients', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON patients FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patients', 'id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON profiles REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profiles', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON profiles REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profiles', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON profiles REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profiles', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON profiles FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profiles', 'id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON enrollments REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'enrollments', 'id', 'patients', 'patient_id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON enrollments REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'enrollments', 'id', 'patients', 'patient_id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON enrollments REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'enrollments', 'id', 'patients', 'patient_id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON enrollments FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'enrollments', 'id', 'patients', 'patient_id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON observations REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'observations', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON observations REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'observations', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON observations REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'observations', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON observations FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'observations', 'id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON patient_medications REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_medications', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON patient_medications REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_medications', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON patient_medications REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_medications', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON patient_medications FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_medications', 'id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON patient_conditions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_conditions', 'id', 'patients', 'patient_id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON patient_conditions REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_conditions', 'id', 'patients', 'patient_id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON patient_conditions REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_conditions', 'id', 'patients', 'patient_id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON patient_conditions FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_conditions', 'id', 'patients', 'patient_id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON patient_consents REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_consents', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON patient_consents REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_consents', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON patient_consents REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_consents', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON patient_consents FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_consents', 'id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON profile_fhir_resources_clean REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profile_fhir_resources_clean', 'id', 'profile_emr_records', 'profile_id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON profile_fhir_resources_clean REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profile_fhir_resources_clean', 'id', 'profile_emr_records', 'profile_id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON profile_fhir_resources_clean REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profile_fhir_resources_clean', 'id', 'profile_emr_records', 'profile_id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON profile_fhir_resources_clean FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profile_fhir_resources_clean', 'id', 'profile_emr_records', 'profile_id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON metric_definitions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'metric_definitions', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON metric_definitions REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'metric_definitions', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON metric_definitions REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'metric_definitions', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON metric_definitions FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'metric_definitions', 'id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON condition_presets REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'condition_presets', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON condition_presets REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'condition_presets', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON condition_presets REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'condition_presets', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON condition_presets FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'condition_presets', 'id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON assessment_templates REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'assessment_templates', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON assessment_templates REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'assessment_templates', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON assessment_templates REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'assessment_templates', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON assessment_templates FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'assessment_templates', 'id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON care_programs REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'care_programs', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON care_programs REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'care_programs', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON care_programs REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'care_programs', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON care_programs FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'care_programs', 'id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON profile_emr_connections REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profile_emr_connections', 'id', 'profiles', 'profile_id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON profile_emr_connections REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profile_emr_connections', 'id', 'profiles', 'profile_id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON profile_emr_connections REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profile_emr_connections', 'id', 'profiles', 'profile_id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON profile_emr_connections FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profile_emr_connections', 'id', 'profiles', 'profile_id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON condition_preset_diagnoses REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'condition_preset_diagnoses', 'id', 'condition_presets', 'condition_preset_id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON condition_preset_diagnoses REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'condition_preset_diagnoses', 'id', 'condition_presets', 'condition_preset_id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON condition_preset_diagnoses REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'condition_preset_diagnoses', 'id', 'condition_presets', 'condition_preset_id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON condition_preset_diagnoses FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'condition_preset_diagnoses', 'id', 'condition_presets', 'condition_preset_id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON condition_preset_templates REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'condition_preset_templates', 'id', 'condition_presets', 'condition_preset_id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON condition_preset_templates REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'condition_preset_templates', 'id', 'condition_presets', 'condition_preset_id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON condition_preset_templates REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'condition_preset_templates', 'id', 'condition_presets', 'condition_preset_id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON condition_preset_templates FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'condition_preset_templates', 'id', 'condition_presets', 'condition_preset_id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON assessment_template_items REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'assessment_template_items', 'id', 'assessment_templates', 'template_id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON assessment_template_items REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'assessment_template_items', 'id', 'assessment_templates', 'template_id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON assessment_template_items REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'assessment_template_items', 'id', 'assessment_templates', 'template_id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON assessment_template_items FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'assessment_template_items', 'id', 'assessment_templates', 'template_id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON profile_fhir_resources_raw REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profile_fhir_resources_raw', 'id', 'profile_emr_records', 'profile_id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON profile_fhir_resources_raw REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profile_fhir_resources_raw', 'id', 'profile_emr_records', 'profile_id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON profile_fhir_resources_raw REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profile_fhir_resources_raw', 'id', 'profile_emr_records', 'profile_id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON profile_fhir_resources_raw FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'profile_fhir_resources_raw', 'id', 'profile_emr_records', 'profile_id');
