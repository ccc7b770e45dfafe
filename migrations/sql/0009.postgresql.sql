-- Telemetry: rows that FHIR shows later, readings shown by day only, and late data of closed days.

CREATE TABLE projections_due (
	organization_id TEXT COLLATE "C" NOT NULL,
	table_name TEXT COLLATE "C" NOT NULL,
	key TEXT COLLATE "C" NOT NULL,
	due BIGINT NOT NULL,
	CONSTRAINT projections_due_pkey PRIMARY KEY (organization_id, table_name, key)
);

CREATE INDEX projections_due_due_idx ON projections_due (due);

CREATE TABLE telemetry_settings (
	organization_id TEXT COLLATE "C" NOT NULL,
	setting TEXT COLLATE "C" NOT NULL,
	walk_after TEXT COLLATE "C",
	walk_from BIGINT,
	CONSTRAINT telemetry_settings_pkey PRIMARY KEY (organization_id)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON projections_due TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON telemetry_settings TO fhir_server_app;

ALTER TABLE patient_wearable_daily_stats ADD COLUMN corrected BOOLEAN DEFAULT false NOT NULL;

-- What was said of closed days until now stays said.
SELECT set_config('fhir_server.writer', 'on', true);

UPDATE patient_wearable_daily_stats SET corrected = true WHERE closed_at IS NOT NULL AND updated_at > closed_at;

SELECT set_config('fhir_server.writer', '', true);

CREATE FUNCTION fhir_late_data() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.corrected := NEW.closed_at IS NOT NULL AND (NEW.corrected OR (OLD.closed_at IS NOT NULL AND (OLD.corrected OR
        (NEW.customer_id, NEW.date, NEW.data_type, NEW.avg_value, NEW.min_value, NEW.max_value, NEW.sum_value, NEW.count, NEW.unit)
        IS DISTINCT FROM (OLD.customer_id, OLD.date, OLD.data_type, OLD.avg_value, OLD.min_value, OLD.max_value, OLD.sum_value, OLD.count, OLD.unit))));
    RETURN NEW;
END
$$;

CREATE TRIGGER fhir_late_data BEFORE UPDATE ON patient_wearable_daily_stats FOR EACH ROW WHEN (OLD.closed_at IS NOT NULL OR NEW.corrected) EXECUTE FUNCTION fhir_late_data();
