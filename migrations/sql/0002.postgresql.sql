-- v1.1.0 (2026-03-10): wearable readings and daily statistics; wearable_data is deprecated from here on.

CREATE TABLE patient_wearable_readings (
    id uuid DEFAULT gen_random_uuid() PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES customer_profiles (id),
    data_type text NOT NULL,
    value numeric NOT NULL,
    unit text NOT NULL,
    device_id text,
    device_type text,
    source text NOT NULL,
    recorded_at timestamp NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamp DEFAULT now() NOT NULL
);
CREATE INDEX patient_wearable_readings_customer_id_idx ON patient_wearable_readings (customer_id);
CREATE INDEX patient_wearable_readings_data_type_idx ON patient_wearable_readings (data_type);
CREATE INDEX patient_wearable_readings_recorded_at_idx ON patient_wearable_readings (recorded_at);

CREATE TABLE patient_wearable_daily_stats (
    id uuid DEFAULT gen_random_uuid() PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES customer_profiles (id),
    date date NOT NULL,
    data_type text NOT NULL,
    avg_value numeric,
    min_value numeric,
    max_value numeric,
    sum_value numeric,
    count integer,
    unit text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamp DEFAULT now() NOT NULL,
    updated_at timestamp DEFAULT now() NOT NULL,
    CONSTRAINT patient_wearable_daily_stats_key UNIQUE (customer_id, date, data_type)
);
CREATE INDEX patient_wearable_daily_stats_customer_id_idx ON patient_wearable_daily_stats (customer_id);
CREATE INDEX patient_wearable_daily_stats_date_idx ON patient_wearable_daily_stats (date);
CREATE INDEX patient_wearable_daily_stats_data_type_idx ON patient_wearable_daily_stats (data_type);
