-- Tenancy: the patient graph gets organization_id in every key, text ids, instants with a zone and integers where
-- they had been text; what its old rows hold goes to the organization loop-health. Number columns that held other text
-- keep it in metadata as text_<column>. Platform tables are new.

DROP INDEX customer_profiles_external_id_idx;
DROP INDEX customer_profiles_email_idx;
DROP INDEX customer_profiles_tier_idx;
DROP INDEX identity_mappings_customer_id_idx;
DROP INDEX lab_results_customer_id_idx;
DROP INDEX protocols_customer_id_idx;
DROP INDEX patient_events_customer_id_idx;
DROP INDEX conversation_history_customer_id_idx;
DROP INDEX subscriptions_customer_id_idx;
DROP INDEX subscriptions_status_idx;
DROP INDEX subscriptions_product_id_idx;
DROP INDEX subscriptions_recharge_subscription_id_idx;
DROP INDEX patient_prescriptions_customer_id_idx;
DROP INDEX patient_prescriptions_treatment_id_idx;
DROP INDEX patient_prescriptions_rimo_order_id_idx;
DROP INDEX patient_prescriptions_status_idx;
DROP INDEX wearable_data_customer_id_idx;
DROP INDEX patient_wearable_readings_customer_id_idx;
DROP INDEX patient_wearable_readings_data_type_idx;
DROP INDEX patient_wearable_readings_recorded_at_idx;
DROP INDEX patient_wearable_daily_stats_customer_id_idx;
DROP INDEX patient_wearable_daily_stats_date_idx;
DROP INDEX patient_wearable_daily_stats_data_type_idx;

ALTER TABLE customer_profiles RENAME TO customer_profiles_before;
ALTER TABLE identity_mappings RENAME TO identity_mappings_before;
ALTER TABLE lab_results RENAME TO lab_results_before;
ALTER TABLE protocols RENAME TO protocols_before;
ALTER TABLE patient_events RENAME TO patient_events_before;
ALTER TABLE conversation_history RENAME TO conversation_history_before;
ALTER TABLE subscriptions RENAME TO subscriptions_before;
ALTER TABLE patient_prescriptions RENAME TO patient_prescriptions_before;
ALTER TABLE patient_wearable_readings RENAME TO patient_wearable_readings_before;
ALTER TABLE patient_wearable_daily_stats RENAME TO patient_wearable_daily_stats_before;
ALTER TABLE wearable_data RENAME TO wearable_data_before;

CREATE TABLE customer_profiles (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	external_id TEXT NOT NULL,
	email TEXT NOT NULL,
	first_name TEXT,
	last_name TEXT,
	date_of_birth DATE,
	biological_sex TEXT,
	phone_number TEXT,
	timezone TEXT DEFAULT 'America/New_York',
	subscription_tier TEXT DEFAULT 'free',
	conditions TEXT DEFAULT '[]',
	medications TEXT DEFAULT '[]',
	allergies TEXT DEFAULT '[]',
	tags TEXT DEFAULT '[]',
	metadata TEXT DEFAULT '{}',
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT customer_profiles_pkey PRIMARY KEY (organization_id, id)
);

CREATE UNIQUE INDEX customer_profiles_email_idx ON customer_profiles (organization_id, email);

CREATE UNIQUE INDEX customer_profiles_external_id_idx ON customer_profiles (organization_id, external_id);

CREATE INDEX customer_profiles_tier_idx ON customer_profiles (organization_id, subscription_tier);

CREATE TABLE identity_mappings (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	customer_id TEXT NOT NULL,
	identifier_type TEXT NOT NULL,
	external_system TEXT,
	external_id TEXT NOT NULL,
	verified_at TEXT,
	metadata TEXT DEFAULT '{}',
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT identity_mappings_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT identity_mappings_organization_id_customer_id_fkey FOREIGN KEY(organization_id, customer_id) REFERENCES customer_profiles (organization_id, id)
);

CREATE INDEX identity_mappings_customer_id_idx ON identity_mappings (organization_id, customer_id);

CREATE UNIQUE INDEX identity_mappings_external_id_idx ON identity_mappings (organization_id, identifier_type, external_id);

CREATE TABLE lab_results (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	customer_id TEXT NOT NULL,
	upload_id TEXT,
	lab_date TEXT,
	lab_day DATE,
	provider TEXT,
	status TEXT DEFAULT 'pending' NOT NULL,
	biomarkers TEXT DEFAULT '{}' NOT NULL,
	file_url TEXT,
	notes TEXT,
	reviewed_at TEXT,
	reviewed_by TEXT,
	metadata TEXT DEFAULT '{}',
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT lab_results_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT lab_results_organization_id_customer_id_fkey FOREIGN KEY(organization_id, customer_id) REFERENCES customer_profiles (organization_id, id),
	CONSTRAINT lab_results_status_check CHECK (status IN ('pending', 'reviewed', 'archived'))
);

CREATE INDEX lab_results_customer_id_idx ON lab_results (organization_id, customer_id, created_at);

CREATE INDEX lab_results_lab_day_idx ON lab_results (organization_id, customer_id, lab_day);

CREATE INDEX lab_results_pending_idx ON lab_results (organization_id, created_at) WHERE status = 'pending';

CREATE UNIQUE INDEX lab_results_upload_id_idx ON lab_results (organization_id, customer_id, upload_id) WHERE upload_id IS NOT NULL;

CREATE TABLE protocols (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	customer_id TEXT NOT NULL,
	name TEXT NOT NULL,
	description TEXT,
	status TEXT DEFAULT 'active' NOT NULL,
	compounds TEXT DEFAULT '[]',
	start_date DATE,
	end_date DATE,
	paused_at TEXT,
	completed_at TEXT,
	cancelled_at TEXT,
	goals TEXT,
	created_by TEXT,
	notes TEXT,
	metadata TEXT DEFAULT '{}',
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT protocols_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT protocols_organization_id_customer_id_fkey FOREIGN KEY(organization_id, customer_id) REFERENCES customer_profiles (organization_id, id),
	CONSTRAINT protocols_status_check CHECK (status IN ('active', 'paused', 'completed', 'cancelled'))
);

CREATE INDEX protocols_active_idx ON protocols (organization_id, customer_id) WHERE status = 'active';

CREATE INDEX protocols_created_by_idx ON protocols (organization_id, created_by);

CREATE INDEX protocols_customer_id_idx ON protocols (organization_id, customer_id, created_at);

CREATE TABLE patient_events (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	customer_id TEXT NOT NULL,
	type TEXT NOT NULL,
	description TEXT,
	data TEXT DEFAULT '{}',
	created_by TEXT,
	occurred_at TEXT,
	protocol_id TEXT,
	metadata TEXT DEFAULT '{}',
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT patient_events_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT patient_events_organization_id_customer_id_fkey FOREIGN KEY(organization_id, customer_id) REFERENCES customer_profiles (organization_id, id),
	CONSTRAINT patient_events_organization_id_protocol_id_fkey FOREIGN KEY(organization_id, protocol_id) REFERENCES protocols (organization_id, id)
);

CREATE INDEX patient_events_customer_id_idx ON patient_events (organization_id, customer_id, created_at);

CREATE INDEX patient_events_protocol_id_idx ON patient_events (organization_id, protocol_id);

CREATE INDEX patient_events_type_idx ON patient_events (organization_id, customer_id, type);

CREATE TABLE conversation_history (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	customer_id TEXT NOT NULL,
	channel TEXT,
	session_id TEXT,
	role TEXT,
	content TEXT,
	token_count INTEGER,
	metadata TEXT DEFAULT '{}',
	occurred_at TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT conversation_history_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT conversation_history_organization_id_customer_id_fkey FOREIGN KEY(organization_id, customer_id) REFERENCES customer_profiles (organization_id, id)
);

CREATE INDEX conversation_history_customer_id_idx ON conversation_history (organization_id, customer_id, created_at);

CREATE INDEX conversation_history_session_id_idx ON conversation_history (organization_id, session_id);

CREATE TABLE subscriptions (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	customer_id TEXT NOT NULL,
	product_id TEXT NOT NULL,
	product_name TEXT NOT NULL,
	offering_id TEXT,
	offering_name TEXT,
	clinician_id TEXT,
	clinician_name TEXT,
	monthly_price_cents INTEGER,
	notes TEXT,
	bigcommerce_product_id TEXT,
	recharge_subscription_id TEXT,
	rimo_treatment_id TEXT,
	status TEXT DEFAULT 'pending' NOT NULL,
	approved_at TEXT,
	started_at TEXT,
	completed_at TEXT,
	cancelled_at TEXT,
	paused_at TEXT,
	interval TEXT DEFAULT 'monthly' NOT NULL,
	interval_count INTEGER DEFAULT 30 NOT NULL,
	discount_percentage INTEGER DEFAULT 10 NOT NULL,
	next_order_date TEXT,
	last_order_date TEXT,
	converted_from_reorders INTEGER DEFAULT 0 NOT NULL,
	metadata TEXT DEFAULT '{}' NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT subscriptions_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT subscriptions_organization_id_customer_id_fkey FOREIGN KEY(organization_id, customer_id) REFERENCES customer_profiles (organization_id, id),
	CONSTRAINT subscriptions_status_check CHECK (status IN ('pending', 'approved', 'rejected', 'active', 'paused', 'cancelled', 'completed')),
	CONSTRAINT subscriptions_interval_check CHECK ("interval" IN ('weekly', 'monthly', 'quarterly', 'biannual', 'annual'))
);

CREATE INDEX subscriptions_clinician_id_idx ON subscriptions (organization_id, clinician_id);

CREATE INDEX subscriptions_customer_id_idx ON subscriptions (organization_id, customer_id, created_at);

CREATE INDEX subscriptions_product_id_idx ON subscriptions (organization_id, product_id);

CREATE INDEX subscriptions_recharge_subscription_id_idx ON subscriptions (organization_id, recharge_subscription_id);

CREATE INDEX subscriptions_rimo_treatment_id_idx ON subscriptions (organization_id, rimo_treatment_id);

CREATE INDEX subscriptions_status_idx ON subscriptions (organization_id, status);

CREATE TABLE patient_prescriptions (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	customer_id TEXT NOT NULL,
	treatment_id TEXT NOT NULL,
	rimo_order_id TEXT NOT NULL,
	medication_name TEXT NOT NULL,
	dosage TEXT NOT NULL,
	quantity TEXT,
	refills TEXT,
	prescribed_date TEXT,
	next_refill_date TEXT,
	status TEXT DEFAULT 'pending' NOT NULL,
	pharmacy_id TEXT,
	pharmacy_name TEXT,
	tracking_number TEXT,
	transmitted_at TEXT,
	shipped_at TEXT,
	delivered_at TEXT,
	cancelled_at TEXT,
	metadata TEXT DEFAULT '{}' NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT patient_prescriptions_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT patient_prescriptions_organization_id_customer_id_fkey FOREIGN KEY(organization_id, customer_id) REFERENCES customer_profiles (organization_id, id),
	CONSTRAINT patient_prescriptions_organization_id_treatment_id_fkey FOREIGN KEY(organization_id, treatment_id) REFERENCES subscriptions (organization_id, id),
	CONSTRAINT patient_prescriptions_status_check CHECK (status IN ('pending', 'processing', 'transmitted', 'failed', 'shipped', 'delivered', 'cancelled'))
);

CREATE INDEX patient_prescriptions_customer_id_idx ON patient_prescriptions (organization_id, customer_id, created_at);

CREATE UNIQUE INDEX patient_prescriptions_rimo_order_id_idx ON patient_prescriptions (organization_id, rimo_order_id);

CREATE INDEX patient_prescriptions_status_idx ON patient_prescriptions (organization_id, status);

CREATE INDEX patient_prescriptions_treatment_id_idx ON patient_prescriptions (organization_id, treatment_id);

CREATE TABLE patient_wearable_readings (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	customer_id TEXT NOT NULL,
	data_type TEXT NOT NULL,
	value TEXT NOT NULL,
	unit TEXT NOT NULL,
	device_id TEXT,
	device_type TEXT,
	source TEXT NOT NULL,
	status TEXT DEFAULT 'final' NOT NULL,
	recorded_at TEXT NOT NULL,
	metadata TEXT DEFAULT '{}' NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT patient_wearable_readings_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT patient_wearable_readings_organization_id_customer_id_fkey FOREIGN KEY(organization_id, customer_id) REFERENCES customer_profiles (organization_id, id)
);

CREATE INDEX patient_wearable_readings_customer_id_idx ON patient_wearable_readings (organization_id, customer_id, data_type, recorded_at);

CREATE INDEX patient_wearable_readings_data_type_idx ON patient_wearable_readings (organization_id, data_type);

CREATE INDEX patient_wearable_readings_recorded_at_idx ON patient_wearable_readings (organization_id, recorded_at);

CREATE TABLE patient_wearable_daily_stats (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	customer_id TEXT NOT NULL,
	date DATE NOT NULL,
	data_type TEXT NOT NULL,
	avg_value TEXT,
	min_value TEXT,
	max_value TEXT,
	sum_value TEXT,
	count INTEGER,
	unit TEXT NOT NULL,
	metadata TEXT DEFAULT '{}' NOT NULL,
	closed_at TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT patient_wearable_daily_stats_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT patient_wearable_daily_stats_organization_id_customer_id_fkey FOREIGN KEY(organization_id, customer_id) REFERENCES customer_profiles (organization_id, id)
);

CREATE UNIQUE INDEX patient_wearable_daily_stats_customer_id_idx ON patient_wearable_daily_stats (organization_id, customer_id, date, data_type);

CREATE INDEX patient_wearable_daily_stats_data_type_idx ON patient_wearable_daily_stats (organization_id, data_type);

CREATE INDEX patient_wearable_daily_stats_date_idx ON patient_wearable_daily_stats (organization_id, date);

CREATE TABLE wearable_data (
	organization_id TEXT DEFAULT 'loop-health' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	customer_id TEXT NOT NULL,
	source TEXT NOT NULL,
	metric_type TEXT NOT NULL,
	data TEXT DEFAULT '{}' NOT NULL,
	recorded_at TEXT NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT wearable_data_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT wearable_data_organization_id_customer_id_fkey FOREIGN KEY(organization_id, customer_id) REFERENCES customer_profiles (organization_id, id)
);

CREATE INDEX wearable_data_customer_id_idx ON wearable_data (organization_id, customer_id, recorded_at);


INSERT INTO customer_profiles (
    organization_id, id, external_id, email, first_name, last_name, date_of_birth, biological_sex, phone_number, timezone, subscription_tier, conditions, medications, allergies, tags, metadata, created_at, updated_at
)
SELECT
    'loop-health',
    id,
    external_id,
    email,
    first_name,
    last_name,
    date_of_birth,
    biological_sex,
    phone_number,
    timezone,
    subscription_tier,
    conditions,
    medications,
    allergies,
    tags,
    metadata,
    created_at,
    updated_at
FROM customer_profiles_before;

INSERT INTO identity_mappings (
    organization_id, id, customer_id, identifier_type, external_system, external_id, created_at, updated_at
)
SELECT
    'loop-health',
    id,
    customer_id,
    identifier_type,
    external_system,
    external_id,
    created_at,
    updated_at
FROM identity_mappings_before;

INSERT INTO lab_results (
    organization_id, id, customer_id, upload_id, lab_date, lab_day, provider, status, biomarkers, file_url, notes, created_at, updated_at
)
SELECT
    'loop-health',
    id,
    customer_id,
    upload_id,
    lab_date,
    CASE WHEN date(substr(lab_date, 1, 10), '+0 days') = substr(lab_date, 1, 10) THEN substr(lab_date, 1, 10) END,
    provider,
    status,
    biomarkers,
    file_url,
    notes,
    created_at,
    updated_at
FROM lab_results_before;

INSERT INTO protocols (
    organization_id, id, customer_id, name, status, compounds, start_date, end_date, goals, created_by, notes, created_at, updated_at
)
SELECT
    'loop-health',
    id,
    customer_id,
    name,
    status,
    compounds,
    start_date,
    end_date,
    goals,
    created_by,
    notes,
    created_at,
    updated_at
FROM protocols_before;

INSERT INTO patient_events (
    organization_id, id, customer_id, type, description, data, created_by, created_at, updated_at
)
SELECT
    'loop-health',
    id,
    customer_id,
    type,
    description,
    data,
    created_by,
    created_at,
    created_at
FROM patient_events_before;

INSERT INTO conversation_history (
    organization_id, id, customer_id, role, content, metadata, created_at, updated_at
)
SELECT
    'loop-health',
    id,
    customer_id,
    role,
    content,
    metadata,
    created_at,
    created_at
FROM conversation_history_before;

INSERT INTO subscriptions (
    organization_id, id, customer_id, product_id, product_name, offering_id, offering_name, clinician_id, clinician_name, monthly_price_cents, notes, bigcommerce_product_id, recharge_subscription_id, rimo_treatment_id, status, approved_at, started_at, completed_at, cancelled_at, paused_at, "interval", interval_count, discount_percentage, next_order_date, last_order_date, converted_from_reorders, metadata, created_at, updated_at
)
SELECT
    'loop-health',
    id,
    customer_id,
    product_id,
    product_name,
    offering_id,
    offering_name,
    clinician_id,
    clinician_name,
    CASE WHEN (monthly_price_cents NOT GLOB '*[^0-9]*' AND length(monthly_price_cents) BETWEEN 1 AND 9) THEN CAST(monthly_price_cents AS integer) ELSE NULL END,
    notes,
    bigcommerce_product_id,
    recharge_subscription_id,
    rimo_treatment_id,
    status,
    approved_at,
    started_at,
    completed_at,
    cancelled_at,
    paused_at,
    "interval",
    CASE WHEN (interval_count NOT GLOB '*[^0-9]*' AND length(interval_count) BETWEEN 1 AND 9) THEN CAST(interval_count AS integer) ELSE 30 END,
    CASE WHEN (discount_percentage NOT GLOB '*[^0-9]*' AND length(discount_percentage) BETWEEN 1 AND 9) THEN CAST(discount_percentage AS integer) ELSE 10 END,
    next_order_date,
    last_order_date,
    CASE WHEN (converted_from_reorders NOT GLOB '*[^0-9]*' AND length(converted_from_reorders) BETWEEN 1 AND 9) THEN CAST(converted_from_reorders AS integer) ELSE 0 END,
    CASE WHEN NOT (interval_count NOT GLOB '*[^0-9]*' AND length(interval_count) BETWEEN 1 AND 9) OR NOT (discount_percentage NOT GLOB '*[^0-9]*' AND length(discount_percentage) BETWEEN 1 AND 9) OR NOT (converted_from_reorders NOT GLOB '*[^0-9]*' AND length(converted_from_reorders) BETWEEN 1 AND 9) OR NOT (monthly_price_cents NOT GLOB '*[^0-9]*' AND length(monthly_price_cents) BETWEEN 1 AND 9)
        THEN json_patch(metadata, json_object(
            'text_interval_count', CASE WHEN NOT (interval_count NOT GLOB '*[^0-9]*' AND length(interval_count) BETWEEN 1 AND 9) THEN interval_count END,
            'text_discount_percentage', CASE WHEN NOT (discount_percentage NOT GLOB '*[^0-9]*' AND length(discount_percentage) BETWEEN 1 AND 9) THEN discount_percentage END,
            'text_converted_from_reorders', CASE WHEN NOT (converted_from_reorders NOT GLOB '*[^0-9]*' AND length(converted_from_reorders) BETWEEN 1 AND 9) THEN converted_from_reorders END,
            'text_monthly_price_cents', CASE WHEN NOT (monthly_price_cents NOT GLOB '*[^0-9]*' AND length(monthly_price_cents) BETWEEN 1 AND 9) THEN monthly_price_cents END))
        ELSE metadata END,
    created_at,
    updated_at
FROM subscriptions_before;

INSERT INTO patient_prescriptions (
    organization_id, id, customer_id, treatment_id, rimo_order_id, medication_name, dosage, quantity, refills, prescribed_date, next_refill_date, status, pharmacy_id, pharmacy_name, tracking_number, transmitted_at, shipped_at, delivered_at, cancelled_at, metadata, created_at, updated_at
)
SELECT
    'loop-health',
    id,
    customer_id,
    treatment_id,
    rimo_order_id,
    medication_name,
    dosage,
    quantity,
    refills,
    prescribed_date,
    next_refill_date,
    status,
    pharmacy_id,
    pharmacy_name,
    tracking_number,
    transmitted_at,
    shipped_at,
    delivered_at,
    cancelled_at,
    metadata,
    created_at,
    updated_at
FROM patient_prescriptions_before;

INSERT INTO patient_wearable_readings (
    organization_id, id, customer_id, data_type, value, unit, device_id, device_type, source, recorded_at, metadata, created_at
)
SELECT
    'loop-health',
    id,
    customer_id,
    data_type,
    value,
    unit,
    device_id,
    device_type,
    source,
    recorded_at,
    metadata,
    created_at
FROM patient_wearable_readings_before;

INSERT INTO patient_wearable_daily_stats (
    organization_id, id, customer_id, date, data_type, avg_value, min_value, max_value, sum_value, count, unit, metadata, created_at, updated_at
)
SELECT
    'loop-health',
    id,
    customer_id,
    date,
    data_type,
    avg_value,
    min_value,
    max_value,
    sum_value,
    count,
    unit,
    metadata,
    created_at,
    updated_at
FROM patient_wearable_daily_stats_before;

INSERT INTO wearable_data (
    organization_id, id, customer_id, source, metric_type, data, recorded_at, created_at
)
SELECT
    'loop-health',
    id,
    customer_id,
    source,
    metric_type,
    data,
    recorded_at,
    created_at
FROM wearable_data_before;

DROP TABLE wearable_data_before;
DROP TABLE patient_wearable_daily_stats_before;
DROP TABLE patient_wearable_readings_before;
DROP TABLE patient_prescriptions_before;
DROP TABLE subscriptions_before;
DROP TABLE conversation_history_before;
DROP TABLE patient_events_before;
DROP TABLE protocols_before;
DROP TABLE lab_results_before;
DROP TABLE identity_mappings_before;
DROP TABLE customer_profiles_before;

CREATE TABLE organizations (
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	name TEXT NOT NULL,
	type TEXT,
	domain TEXT,
	email TEXT,
	phone TEXT,
	address TEXT,
	website TEXT,
	home_system TEXT DEFAULT 'graph' NOT NULL,
	is_active BOOLEAN DEFAULT 1 NOT NULL,
	settings TEXT DEFAULT '{}' NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT organizations_pkey PRIMARY KEY (id),
	CONSTRAINT organizations_domain_key UNIQUE (domain),
	CONSTRAINT organizations_home_system_check CHECK (home_system IN ('graph', 'care'))
);

CREATE TABLE users (
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	email TEXT NOT NULL,
	password_hash TEXT,
	name TEXT,
	first_name TEXT,
	last_name TEXT,
	avatar TEXT,
	phone TEXT,
	is_platform_admin BOOLEAN DEFAULT 0 NOT NULL,
	is_active BOOLEAN DEFAULT 1 NOT NULL,
	email_verified BOOLEAN DEFAULT 0 NOT NULL,
	mfa_enabled BOOLEAN DEFAULT 0 NOT NULL,
	mfa_secret TEXT,
	backup_codes TEXT DEFAULT '[]' NOT NULL,
	last_login_at TEXT,
	password_reset_token TEXT,
	password_reset_expires TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT users_pkey PRIMARY KEY (id),
	CONSTRAINT users_email_key UNIQUE (email)
);

CREATE TABLE user_organizations (
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	user_id TEXT NOT NULL,
	organization_id TEXT NOT NULL,
	role TEXT NOT NULL,
	fhir_user TEXT,
	is_active BOOLEAN DEFAULT 1 NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT user_organizations_pkey PRIMARY KEY (id),
	CONSTRAINT user_organizations_user_id_organization_id_key UNIQUE (user_id, organization_id),
	CONSTRAINT user_organizations_user_id_fkey FOREIGN KEY(user_id) REFERENCES users (id),
	CONSTRAINT user_organizations_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organizations (id)
);

CREATE INDEX user_organizations_organization_id_idx ON user_organizations (organization_id);

CREATE TABLE user_patients (
	user_id TEXT NOT NULL,
	organization_id TEXT NOT NULL,
	patient_id TEXT NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT user_patients_pkey PRIMARY KEY (user_id, organization_id, patient_id),
	CONSTRAINT user_patients_user_id_fkey FOREIGN KEY(user_id) REFERENCES users (id),
	CONSTRAINT user_patients_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organizations (id)
);

CREATE TABLE clients (
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	organization_id TEXT,
	name TEXT,
	type TEXT NOT NULL,
	redirect_uris TEXT DEFAULT '[]' NOT NULL,
	launch_uris TEXT DEFAULT '[]' NOT NULL,
	jwks TEXT,
	jwks_uri TEXT,
	origins TEXT DEFAULT '[]' NOT NULL,
	scope TEXT DEFAULT '' NOT NULL,
	secret TEXT,
	is_active BOOLEAN DEFAULT 1 NOT NULL,
	metadata TEXT DEFAULT '{}',
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT clients_pkey PRIMARY KEY (id),
	CONSTRAINT clients_type_check CHECK (type IN ('public', 'confidential', 'backend')),
	CONSTRAINT clients_organization_check CHECK (type = 'public' OR organization_id IS NOT NULL),
	CONSTRAINT clients_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organizations (id)
);

CREATE INDEX clients_organization_id_idx ON clients (organization_id);

CREATE TABLE signing_keys (
	kid TEXT NOT NULL,
	alg TEXT NOT NULL,
	private_key TEXT NOT NULL,
	public_jwk TEXT NOT NULL,
	state TEXT NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	activated_at TEXT,
	retired_at TEXT,
	gone_at TEXT,
	CONSTRAINT signing_keys_pkey PRIMARY KEY (kid),
	CONSTRAINT signing_keys_state_check CHECK (state IN ('next', 'active', 'retiring', 'gone'))
);

CREATE TABLE revocations (
	kind TEXT NOT NULL,
	value TEXT NOT NULL,
	revoked_at TEXT NOT NULL,
	expires_at TEXT NOT NULL,
	CONSTRAINT revocations_pkey PRIMARY KEY (kind, value)
);

CREATE INDEX revocations_expires_at_idx ON revocations (expires_at);

CREATE TABLE person_links (
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	first_organization_id TEXT NOT NULL,
	first_patient_id TEXT NOT NULL,
	second_organization_id TEXT NOT NULL,
	second_patient_id TEXT NOT NULL,
	status TEXT DEFAULT 'candidate' NOT NULL,
	score TEXT,
	evidence TEXT DEFAULT '{}',
	consented_at TEXT,
	reviewed_at TEXT,
	reviewed_by TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT person_links_pkey PRIMARY KEY (id),
	CONSTRAINT person_links_pair_key UNIQUE (first_organization_id, first_patient_id, second_organization_id, second_patient_id),
	CONSTRAINT person_links_status_check CHECK (status IN ('candidate', 'confirmed', 'rejected')),
	CONSTRAINT person_links_first_organization_id_fkey FOREIGN KEY(first_organization_id) REFERENCES organizations (id),
	CONSTRAINT person_links_second_organization_id_fkey FOREIGN KEY(second_organization_id) REFERENCES organizations (id)
);

CREATE INDEX person_links_second_idx ON person_links (second_organization_id, second_patient_id);

