-- The care platform: its tables, social accounts, the audit log by its name, and row-level security.

CREATE TABLE social_accounts (
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	user_id TEXT NOT NULL,
	provider TEXT NOT NULL,
	provider_account_id TEXT NOT NULL,
	email TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT social_accounts_pkey PRIMARY KEY (id),
	CONSTRAINT social_accounts_provider_account_id_key UNIQUE (provider, provider_account_id),
	CONSTRAINT social_accounts_user_id_fkey FOREIGN KEY(user_id) REFERENCES users (id)
);

CREATE INDEX social_accounts_user_id_idx ON social_accounts (user_id);

CREATE TABLE patients (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	medical_record_number TEXT,
	first_name TEXT NOT NULL,
	last_name TEXT NOT NULL,
	date_of_birth TEXT NOT NULL,
	gender TEXT,
	email TEXT,
	phone TEXT,
	address TEXT,
	emergency_contact TEXT,
	insurance_info TEXT,
	timezone TEXT,
	is_active BOOLEAN DEFAULT 1 NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT patients_pkey PRIMARY KEY (organization_id, id)
);

CREATE UNIQUE INDEX patients_medical_record_number_idx ON patients (organization_id, medical_record_number);

CREATE INDEX patients_name_idx ON patients (organization_id, last_name, first_name);

CREATE TABLE clinicians (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	first_name TEXT NOT NULL,
	last_name TEXT NOT NULL,
	email TEXT NOT NULL,
	phone TEXT,
	specialization TEXT,
	license_number TEXT,
	npi_number TEXT,
	credentials TEXT,
	department TEXT,
	is_active BOOLEAN DEFAULT 1 NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT clinicians_pkey PRIMARY KEY (organization_id, id)
);

CREATE INDEX clinicians_email_idx ON clinicians (organization_id, email);

CREATE INDEX clinicians_name_idx ON clinicians (organization_id, last_name, first_name);

CREATE INDEX clinicians_npi_number_idx ON clinicians (organization_id, npi_number);

CREATE TABLE metric_definitions (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	"key" TEXT NOT NULL,
	name TEXT NOT NULL,
	value_type TEXT NOT NULL,
	unit TEXT,
	ucum TEXT,
	category TEXT,
	code_system TEXT,
	code TEXT,
	validation_info TEXT,
	normal_range TEXT,
	is_standardized BOOLEAN DEFAULT 0 NOT NULL,
	origin TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT metric_definitions_pkey PRIMARY KEY (organization_id, id)
);

CREATE INDEX metric_definitions_code_idx ON metric_definitions (organization_id, code, code_system);

CREATE INDEX metric_definitions_key_idx ON metric_definitions (organization_id, "key");

CREATE TABLE assessment_templates (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	name TEXT,
	is_standardized BOOLEAN DEFAULT 0 NOT NULL,
	description TEXT,
	scoring TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT assessment_templates_pkey PRIMARY KEY (organization_id, id)
);

CREATE TABLE assessment_template_items (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	template_id TEXT NOT NULL,
	template_organization_id TEXT DEFAULT '*' NOT NULL,
	metric_definition_id TEXT NOT NULL,
	metric_definition_organization_id TEXT DEFAULT '*' NOT NULL,
	display_order INTEGER DEFAULT 0 NOT NULL,
	is_required BOOLEAN DEFAULT 0 NOT NULL,
	help_text TEXT,
	default_value TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT assessment_template_items_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT assessment_template_items_template_id_fkey FOREIGN KEY(template_organization_id, template_id) REFERENCES assessment_templates (organization_id, id),
	CONSTRAINT assessment_template_items_template_check CHECK (template_organization_id IN ('*', organization_id)),
	CONSTRAINT assessment_template_items_metric_definition_id_fkey FOREIGN KEY(metric_definition_organization_id, metric_definition_id) REFERENCES metric_definitions (organization_id, id),
	CONSTRAINT assessment_template_items_metric_definition_check CHECK (metric_definition_organization_id IN ('*', organization_id))
);

CREATE INDEX assessment_template_items_metric_definition_id_idx ON assessment_template_items (organization_id, metric_definition_id);

CREATE UNIQUE INDEX assessment_template_items_template_id_idx ON assessment_template_items (organization_id, template_organization_id, template_id, metric_definition_organization_id, metric_definition_id);

CREATE TABLE alert_rules (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	name TEXT NOT NULL,
	description TEXT,
	conditions TEXT NOT NULL,
	severity TEXT NOT NULL,
	is_standardized BOOLEAN DEFAULT 0 NOT NULL,
	is_active BOOLEAN DEFAULT 1 NOT NULL,
	priority INTEGER,
	sla_minutes INTEGER,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT alert_rules_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT alert_rules_severity_check CHECK (severity IN ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL'))
);

CREATE TABLE condition_presets (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	source_preset_id TEXT,
	source_preset_organization_id TEXT DEFAULT '*' NOT NULL,
	name TEXT NOT NULL,
	description TEXT,
	category TEXT,
	is_standardized BOOLEAN DEFAULT 0 NOT NULL,
	clinical_guidelines TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT condition_presets_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT condition_presets_source_preset_id_fkey FOREIGN KEY(source_preset_organization_id, source_preset_id) REFERENCES condition_presets (organization_id, id),
	CONSTRAINT condition_presets_source_preset_check CHECK (source_preset_organization_id IN ('*', organization_id))
);

CREATE INDEX condition_presets_source_preset_id_idx ON condition_presets (organization_id, source_preset_id);

CREATE TABLE condition_preset_diagnoses (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	condition_preset_id TEXT NOT NULL,
	condition_preset_organization_id TEXT DEFAULT '*' NOT NULL,
	icd10 TEXT NOT NULL,
	snomed TEXT,
	label TEXT NOT NULL,
	is_primary BOOLEAN DEFAULT 0 NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT condition_preset_diagnoses_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT condition_preset_diagnoses_condition_preset_id_fkey FOREIGN KEY(condition_preset_organization_id, condition_preset_id) REFERENCES condition_presets (organization_id, id),
	CONSTRAINT condition_preset_diagnoses_condition_preset_check CHECK (condition_preset_organization_id IN ('*', organization_id))
);

CREATE UNIQUE INDEX condition_preset_diagnoses_icd10_idx ON condition_preset_diagnoses (organization_id, condition_preset_organization_id, condition_preset_id, icd10);

CREATE TABLE condition_preset_templates (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	condition_preset_id TEXT NOT NULL,
	condition_preset_organization_id TEXT DEFAULT '*' NOT NULL,
	template_id TEXT NOT NULL,
	template_organization_id TEXT DEFAULT '*' NOT NULL,
	frequency TEXT,
	is_required BOOLEAN DEFAULT 0 NOT NULL,
	display_order INTEGER DEFAULT 0 NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT condition_preset_templates_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT condition_preset_templates_condition_preset_id_fkey FOREIGN KEY(condition_preset_organization_id, condition_preset_id) REFERENCES condition_presets (organization_id, id),
	CONSTRAINT condition_preset_templates_condition_preset_check CHECK (condition_preset_organization_id IN ('*', organization_id)),
	CONSTRAINT condition_preset_templates_template_id_fkey FOREIGN KEY(template_organization_id, template_id) REFERENCES assessment_templates (organization_id, id),
	CONSTRAINT condition_preset_templates_template_check CHECK (template_organization_id IN ('*', organization_id))
);

CREATE UNIQUE INDEX condition_preset_templates_condition_preset_id_idx ON condition_preset_templates (organization_id, condition_preset_organization_id, condition_preset_id, template_organization_id, template_id);

CREATE INDEX condition_preset_templates_template_id_idx ON condition_preset_templates (organization_id, template_id);

CREATE TABLE condition_preset_alert_rules (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	condition_preset_id TEXT NOT NULL,
	condition_preset_organization_id TEXT DEFAULT '*' NOT NULL,
	alert_rule_id TEXT NOT NULL,
	alert_rule_organization_id TEXT DEFAULT '*' NOT NULL,
	priority INTEGER DEFAULT 0 NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT condition_preset_alert_rules_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT condition_preset_alert_rules_condition_preset_id_fkey FOREIGN KEY(condition_preset_organization_id, condition_preset_id) REFERENCES condition_presets (organization_id, id),
	CONSTRAINT condition_preset_alert_rules_condition_preset_check CHECK (condition_preset_organization_id IN ('*', organization_id)),
	CONSTRAINT condition_preset_alert_rules_alert_rule_id_fkey FOREIGN KEY(alert_rule_organization_id, alert_rule_id) REFERENCES alert_rules (organization_id, id),
	CONSTRAINT condition_preset_alert_rules_alert_rule_check CHECK (alert_rule_organization_id IN ('*', organization_id))
);

CREATE INDEX condition_preset_alert_rules_alert_rule_id_idx ON condition_preset_alert_rules (organization_id, alert_rule_id);

CREATE UNIQUE INDEX condition_preset_alert_rules_condition_preset_id_idx ON condition_preset_alert_rules (organization_id, condition_preset_organization_id, condition_preset_id, alert_rule_organization_id, alert_rule_id);

CREATE TABLE billing_programs (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	name TEXT NOT NULL,
	code TEXT NOT NULL,
	description TEXT,
	program_type TEXT NOT NULL,
	payer TEXT,
	effective_date TEXT NOT NULL,
	expiration_date TEXT,
	eligibility_rules TEXT NOT NULL,
	is_active BOOLEAN DEFAULT 1 NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT billing_programs_pkey PRIMARY KEY (organization_id, id)
);

CREATE UNIQUE INDEX billing_programs_code_idx ON billing_programs (organization_id, code);

CREATE TABLE cpt_codes (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	billing_program_id TEXT NOT NULL,
	billing_program_organization_id TEXT DEFAULT '*' NOT NULL,
	code TEXT NOT NULL,
	category TEXT NOT NULL,
	description TEXT NOT NULL,
	requirements TEXT,
	reimbursement_amount TEXT,
	billing_frequency TEXT,
	is_active BOOLEAN DEFAULT 1 NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT cpt_codes_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT cpt_codes_billing_program_id_fkey FOREIGN KEY(billing_program_organization_id, billing_program_id) REFERENCES billing_programs (organization_id, id),
	CONSTRAINT cpt_codes_billing_program_check CHECK (billing_program_organization_id IN ('*', organization_id))
);

CREATE UNIQUE INDEX cpt_codes_code_idx ON cpt_codes (organization_id, billing_program_organization_id, billing_program_id, code);

CREATE TABLE care_programs (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	name TEXT NOT NULL,
	type TEXT NOT NULL,
	description TEXT,
	settings TEXT DEFAULT '{}',
	is_active BOOLEAN DEFAULT 1 NOT NULL,
	condition_preset_id TEXT,
	condition_preset_organization_id TEXT DEFAULT '*' NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT care_programs_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT care_programs_condition_preset_id_fkey FOREIGN KEY(condition_preset_organization_id, condition_preset_id) REFERENCES condition_presets (organization_id, id),
	CONSTRAINT care_programs_condition_preset_check CHECK (condition_preset_organization_id IN ('*', organization_id))
);

CREATE INDEX care_programs_condition_preset_id_idx ON care_programs (organization_id, condition_preset_id);

CREATE TABLE enrollments (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	patient_id TEXT NOT NULL,
	clinician_id TEXT NOT NULL,
	care_program_id TEXT NOT NULL,
	billing_program_id TEXT,
	billing_program_organization_id TEXT DEFAULT '*' NOT NULL,
	status TEXT DEFAULT 'ACTIVE' NOT NULL,
	start_date TEXT NOT NULL,
	end_date TEXT,
	billing_eligibility TEXT,
	notes TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT enrollments_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT enrollments_billing_program_id_fkey FOREIGN KEY(billing_program_organization_id, billing_program_id) REFERENCES billing_programs (organization_id, id),
	CONSTRAINT enrollments_billing_program_check CHECK (billing_program_organization_id IN ('*', organization_id)),
	CONSTRAINT enrollments_organization_id_patient_id_fkey FOREIGN KEY(organization_id, patient_id) REFERENCES patients (organization_id, id),
	CONSTRAINT enrollments_organization_id_clinician_id_fkey FOREIGN KEY(organization_id, clinician_id) REFERENCES clinicians (organization_id, id),
	CONSTRAINT enrollments_organization_id_care_program_id_fkey FOREIGN KEY(organization_id, care_program_id) REFERENCES care_programs (organization_id, id),
	CONSTRAINT enrollments_status_check CHECK (status IN ('PENDING', 'ACTIVE', 'INACTIVE', 'COMPLETED', 'WITHDRAWN'))
);

CREATE INDEX enrollments_billing_program_id_idx ON enrollments (organization_id, billing_program_id);

CREATE INDEX enrollments_care_program_id_idx ON enrollments (organization_id, care_program_id);

CREATE INDEX enrollments_clinician_id_idx ON enrollments (organization_id, clinician_id);

CREATE INDEX enrollments_patient_id_idx ON enrollments (organization_id, patient_id, start_date);

CREATE INDEX enrollments_status_idx ON enrollments (organization_id, status);

CREATE TABLE observations (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	patient_id TEXT NOT NULL,
	enrollment_id TEXT,
	metric_id TEXT NOT NULL,
	metric_organization_id TEXT DEFAULT '*' NOT NULL,
	value TEXT NOT NULL,
	unit TEXT,
	status TEXT DEFAULT 'final' NOT NULL,
	source TEXT DEFAULT 'MANUAL' NOT NULL,
	source_identifier TEXT,
	context TEXT,
	notes TEXT,
	recorded_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT observations_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT observations_metric_id_fkey FOREIGN KEY(metric_organization_id, metric_id) REFERENCES metric_definitions (organization_id, id),
	CONSTRAINT observations_metric_check CHECK (metric_organization_id IN ('*', organization_id)),
	CONSTRAINT observations_organization_id_patient_id_fkey FOREIGN KEY(organization_id, patient_id) REFERENCES patients (organization_id, id),
	CONSTRAINT observations_organization_id_enrollment_id_fkey FOREIGN KEY(organization_id, enrollment_id) REFERENCES enrollments (organization_id, id),
	CONSTRAINT observations_status_check CHECK (status IN ('final', 'corrected', 'entered-in-error'))
);

CREATE INDEX observations_enrollment_id_idx ON observations (organization_id, enrollment_id);

CREATE INDEX observations_metric_id_idx ON observations (organization_id, metric_id);

CREATE INDEX observations_patient_id_idx ON observations (organization_id, patient_id, metric_id, recorded_at);

CREATE TABLE assessments (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	patient_id TEXT NOT NULL,
	template_id TEXT,
	template_organization_id TEXT DEFAULT '*' NOT NULL,
	responses TEXT DEFAULT '{}',
	completed_at TEXT,
	enrollment_id TEXT,
	clinician_id TEXT,
	score TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT assessments_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT assessments_template_id_fkey FOREIGN KEY(template_organization_id, template_id) REFERENCES assessment_templates (organization_id, id),
	CONSTRAINT assessments_template_check CHECK (template_organization_id IN ('*', organization_id)),
	CONSTRAINT assessments_organization_id_patient_id_fkey FOREIGN KEY(organization_id, patient_id) REFERENCES patients (organization_id, id),
	CONSTRAINT assessments_organization_id_enrollment_id_fkey FOREIGN KEY(organization_id, enrollment_id) REFERENCES enrollments (organization_id, id),
	CONSTRAINT assessments_organization_id_clinician_id_fkey FOREIGN KEY(organization_id, clinician_id) REFERENCES clinicians (organization_id, id)
);

CREATE INDEX assessments_clinician_id_idx ON assessments (organization_id, clinician_id);

CREATE INDEX assessments_enrollment_id_idx ON assessments (organization_id, enrollment_id);

CREATE INDEX assessments_patient_id_idx ON assessments (organization_id, patient_id, completed_at);

CREATE INDEX assessments_template_id_idx ON assessments (organization_id, template_id);

CREATE TABLE patient_medications (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	patient_id TEXT NOT NULL,
	drug_name TEXT NOT NULL,
	dosage TEXT,
	frequency TEXT,
	route TEXT,
	start_date DATE,
	end_date DATE,
	prescriber_id TEXT,
	status TEXT DEFAULT 'ACTIVE' NOT NULL,
	rx_norm_code TEXT,
	notes TEXT,
	enrollment_id TEXT,
	as_needed BOOLEAN,
	quantity TEXT,
	refills TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT patient_medications_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT patient_medications_organization_id_patient_id_fkey FOREIGN KEY(organization_id, patient_id) REFERENCES patients (organization_id, id),
	CONSTRAINT patient_medications_organization_id_prescriber_id_fkey FOREIGN KEY(organization_id, prescriber_id) REFERENCES clinicians (organization_id, id),
	CONSTRAINT patient_medications_organization_id_enrollment_id_fkey FOREIGN KEY(organization_id, enrollment_id) REFERENCES enrollments (organization_id, id),
	CONSTRAINT patient_medications_status_check CHECK (status IN ('ACTIVE', 'PAUSED', 'COMPLETED', 'DISCONTINUED', 'ENTERED_IN_ERROR'))
);

CREATE INDEX patient_medications_enrollment_id_idx ON patient_medications (organization_id, enrollment_id);

CREATE INDEX patient_medications_patient_id_idx ON patient_medications (organization_id, patient_id, start_date);

CREATE INDEX patient_medications_prescriber_id_idx ON patient_medications (organization_id, prescriber_id);

CREATE TABLE patient_conditions (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	patient_id TEXT NOT NULL,
	icd10 TEXT,
	snomed TEXT,
	label TEXT,
	onset_date DATE,
	status TEXT DEFAULT 'ACTIVE' NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT patient_conditions_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT patient_conditions_organization_id_patient_id_fkey FOREIGN KEY(organization_id, patient_id) REFERENCES patients (organization_id, id)
);

CREATE INDEX patient_conditions_icd10_idx ON patient_conditions (organization_id, icd10);

CREATE INDEX patient_conditions_patient_id_idx ON patient_conditions (organization_id, patient_id);

CREATE TABLE patient_consents (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	patient_id TEXT NOT NULL,
	consent_type TEXT,
	granted_at TEXT,
	revoked_at TEXT,
	recorded_by TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT patient_consents_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT patient_consents_organization_id_patient_id_fkey FOREIGN KEY(organization_id, patient_id) REFERENCES patients (organization_id, id)
);

CREATE INDEX patient_consents_patient_id_idx ON patient_consents (organization_id, patient_id, consent_type);

CREATE TABLE time_logs (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	patient_id TEXT NOT NULL,
	clinician_id TEXT NOT NULL,
	enrollment_id TEXT,
	activity TEXT NOT NULL,
	duration INTEGER NOT NULL,
	cpt_code TEXT,
	notes TEXT,
	billable BOOLEAN DEFAULT 0 NOT NULL,
	logged_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT time_logs_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT time_logs_organization_id_patient_id_fkey FOREIGN KEY(organization_id, patient_id) REFERENCES patients (organization_id, id),
	CONSTRAINT time_logs_organization_id_clinician_id_fkey FOREIGN KEY(organization_id, clinician_id) REFERENCES clinicians (organization_id, id),
	CONSTRAINT time_logs_organization_id_enrollment_id_fkey FOREIGN KEY(organization_id, enrollment_id) REFERENCES enrollments (organization_id, id)
);

CREATE INDEX time_logs_clinician_id_idx ON time_logs (organization_id, clinician_id, logged_at);

CREATE INDEX time_logs_enrollment_id_idx ON time_logs (organization_id, enrollment_id, logged_at);

CREATE INDEX time_logs_patient_id_idx ON time_logs (organization_id, patient_id, logged_at);

CREATE TABLE alerts (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	patient_id TEXT NOT NULL,
	rule_id TEXT NOT NULL,
	rule_organization_id TEXT DEFAULT '*' NOT NULL,
	clinician_id TEXT,
	status TEXT DEFAULT 'PENDING' NOT NULL,
	severity TEXT NOT NULL,
	priority INTEGER DEFAULT 0 NOT NULL,
	message TEXT NOT NULL,
	details TEXT,
	risk_score TEXT,
	priority_rank INTEGER,
	sla_breach_time TEXT,
	claimed_by_id TEXT,
	claimed_at TEXT,
	triggered_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	acknowledged_at TEXT,
	resolved_at TEXT,
	resolution_notes TEXT,
	action_taken TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT alerts_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT alerts_rule_id_fkey FOREIGN KEY(rule_organization_id, rule_id) REFERENCES alert_rules (organization_id, id),
	CONSTRAINT alerts_rule_check CHECK (rule_organization_id IN ('*', organization_id)),
	CONSTRAINT alerts_organization_id_patient_id_fkey FOREIGN KEY(organization_id, patient_id) REFERENCES patients (organization_id, id),
	CONSTRAINT alerts_organization_id_clinician_id_fkey FOREIGN KEY(organization_id, clinician_id) REFERENCES clinicians (organization_id, id),
	CONSTRAINT alerts_claimed_by_id_fkey FOREIGN KEY(claimed_by_id) REFERENCES users (id),
	CONSTRAINT alerts_status_check CHECK (status IN ('PENDING', 'ACKNOWLEDGED', 'RESOLVED', 'DISMISSED')),
	CONSTRAINT alerts_severity_check CHECK (severity IN ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL'))
);

CREATE INDEX alerts_claimed_by_id_idx ON alerts (organization_id, claimed_by_id);

CREATE INDEX alerts_clinician_id_idx ON alerts (organization_id, clinician_id);

CREATE INDEX alerts_patient_id_idx ON alerts (organization_id, patient_id, triggered_at);

CREATE INDEX alerts_rule_id_idx ON alerts (organization_id, rule_id);

CREATE INDEX alerts_status_idx ON alerts (organization_id, status);

CREATE VIEW audit_logs AS SELECT id, organization_id, actor_id AS user_id, actor_role AS role, action, resource, resource_ids, customer_id AS patient_id, outcome, status, purpose, client_id, request_id, method, path, ip_address, user_agent, strftime('%Y-%m-%dT%H:%M:%S', at / 1000000, 'unixepoch') || printf('.%06dZ', at % 1000000) AS created_at FROM rbac_logs;
