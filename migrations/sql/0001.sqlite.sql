-- The patient graph as its data model document had it at v1.0.0 (2026-02-21).

CREATE TABLE customer_profiles (
    id text DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) PRIMARY KEY,
    external_id text NOT NULL,
    email text NOT NULL,
    first_name text,
    last_name text,
    date_of_birth date,
    biological_sex text,
    phone_number text,
    timezone text DEFAULT 'America/New_York',
    subscription_tier text DEFAULT 'free',
    conditions text DEFAULT '[]',
    medications text DEFAULT '[]',
    allergies text DEFAULT '[]',
    tags text DEFAULT '[]',
    metadata text DEFAULT '{}',
    created_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
    updated_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
    CONSTRAINT customer_profiles_external_id_key UNIQUE (external_id),
    CONSTRAINT customer_profiles_email_key UNIQUE (email)
);
CREATE INDEX customer_profiles_external_id_idx ON customer_profiles (external_id);
CREATE INDEX customer_profiles_email_idx ON customer_profiles (email);
CREATE INDEX customer_profiles_tier_idx ON customer_profiles (subscription_tier);

CREATE TABLE identity_mappings (
    id text DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customer_profiles (id),
    identifier_type text NOT NULL,
    external_system text,
    external_id text NOT NULL,
    created_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
    updated_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
    CONSTRAINT identity_mappings_external_id_key UNIQUE (identifier_type, external_id)
);
CREATE INDEX identity_mappings_customer_id_idx ON identity_mappings (customer_id);

CREATE TABLE lab_results (
    id text DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customer_profiles (id),
    upload_id text,
    lab_date text,
    provider text,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'reviewed', 'archived')),
    biomarkers text NOT NULL DEFAULT '{}',
    file_url text,
    notes text,
    created_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
    updated_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL
);
CREATE INDEX lab_results_customer_id_idx ON lab_results (customer_id);

CREATE TABLE protocols (
    id text DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customer_profiles (id),
    name text NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'completed', 'cancelled')),
    compounds text DEFAULT '[]',
    start_date date,
    end_date date,
    goals text,
    created_by text,
    notes text,
    created_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
    updated_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL
);
CREATE INDEX protocols_customer_id_idx ON protocols (customer_id);

CREATE TABLE patient_events (
    id text DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customer_profiles (id),
    type text NOT NULL,
    description text,
    data text DEFAULT '{}',
    created_by text,
    created_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL
);
CREATE INDEX patient_events_customer_id_idx ON patient_events (customer_id, created_at);

CREATE TABLE conversation_history (
    id text DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customer_profiles (id),
    role text,
    content text,
    metadata text DEFAULT '{}',
    created_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL
);
CREATE INDEX conversation_history_customer_id_idx ON conversation_history (customer_id, created_at);

CREATE TABLE subscriptions (
    id text DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customer_profiles (id),
    product_id text NOT NULL,
    product_name text NOT NULL,
    bigcommerce_product_id text,
    recharge_subscription_id text,
    rimo_treatment_id text,
    status text NOT NULL DEFAULT 'pending'
        CONSTRAINT subscriptions_status_check CHECK (status IN ('pending', 'active', 'paused', 'cancelled')),
    "interval" text NOT NULL DEFAULT 'monthly'
        CHECK ("interval" IN ('weekly', 'monthly', 'quarterly', 'biannual', 'annual')),
    interval_count text NOT NULL DEFAULT '30',
    discount_percentage text NOT NULL DEFAULT '10',
    next_order_date text,
    last_order_date text,
    converted_from_reorders text NOT NULL DEFAULT '0',
    metadata text NOT NULL DEFAULT '{}',
    created_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
    updated_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL
);
CREATE INDEX subscriptions_customer_id_idx ON subscriptions (customer_id);
CREATE INDEX subscriptions_status_idx ON subscriptions (status);
CREATE INDEX subscriptions_product_id_idx ON subscriptions (product_id);
CREATE INDEX subscriptions_recharge_subscription_id_idx ON subscriptions (recharge_subscription_id);

CREATE TABLE patient_prescriptions (
    id text DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customer_profiles (id),
    treatment_id text NOT NULL REFERENCES subscriptions (id),
    rimo_order_id text NOT NULL UNIQUE,
    medication_name text NOT NULL,
    dosage text NOT NULL,
    quantity text,
    refills text,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'processing', 'transmitted', 'failed', 'shipped', 'delivered', 'cancelled')),
    pharmacy_id text,
    pharmacy_name text,
    tracking_number text,
    transmitted_at text,
    shipped_at text,
    delivered_at text,
    cancelled_at text,
    metadata text NOT NULL DEFAULT '{}',
    created_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
    updated_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL
);
CREATE INDEX patient_prescriptions_customer_id_idx ON patient_prescriptions (customer_id);
CREATE INDEX patient_prescriptions_treatment_id_idx ON patient_prescriptions (treatment_id);
CREATE INDEX patient_prescriptions_rimo_order_id_idx ON patient_prescriptions (rimo_order_id);
CREATE INDEX patient_prescriptions_status_idx ON patient_prescriptions (status);

CREATE TABLE wearable_data (
    id text DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customer_profiles (id),
    source text NOT NULL,
    metric_type text NOT NULL,
    data text NOT NULL DEFAULT '{}',
    recorded_at text NOT NULL,
    created_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL
);
CREATE INDEX wearable_data_customer_id_idx ON wearable_data (customer_id);

CREATE TABLE rbac_logs (
    id text DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) PRIMARY KEY,
    actor_id text NOT NULL,
    actor_role text NOT NULL,
    customer_id text,
    resource text NOT NULL,
    action text NOT NULL,
    outcome text NOT NULL,
    ip_address text,
    user_agent text,
    "timestamp" text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL
);
CREATE INDEX rbac_logs_customer_id_idx ON rbac_logs (customer_id);
