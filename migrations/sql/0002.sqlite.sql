-- v1.1.0 (2026-03-10): wearable readings and daily statistics; wearable_data is deprecated from here on.

CREATE TABLE patient_wearable_readings (
    id text DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customer_profiles (id),
    data_type text NOT NULL,
    value text NOT NULL,
    unit text NOT NULL,
    device_id text,
    device_type text,
    source text NOT NULL,
    recorded_at text NOT NULL,
    metadata text NOT NULL DEFAULT '{}',
    created_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL
);
CREATE INDEX patient_wearable_readings_customer_id_idx ON patient_wearable_readings (customer_id);
CREATE INDEX patient_wearable_readings_data_type_idx ON patient_wearable_readings (data_type);
CREATE INDEX patient_wearable_readings_recorded_at_idx ON patient_wearable_readings (recorded_at);

CREATE TABLE patient_wearable_daily_stats (
    id text DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customer_profiles (id),
    date date NOT NULL,
    data_type text NOT NULL,
    avg_value text,
    min_value text,
    max_value text,
    sum_value text,
    count integer,
    unit text NOT NULL,
    metadata text NOT NULL DEFAULT '{}',
    created_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
    updated_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
    CONSTRAINT patient_wearable_daily_stats_key UNIQUE (customer_id, date, data_type)
);
CREATE INDEX patient_wearable_daily_stats_customer_id_idx ON patient_wearable_daily_stats (customer_id);
CREATE INDEX patient_wearable_daily_stats_date_idx ON patient_wearable_daily_stats (date);
CREATE INDEX patient_wearable_daily_stats_data_type_idx ON patient_wearable_daily_stats (data_type);
