-- Telemetry: rows that FHIR shows later, readings shown by day only, and late data of closed days.

CREATE TABLE projections_due (
	organization_id TEXT NOT NULL,
	table_name TEXT NOT NULL,
	"key" TEXT NOT NULL,
	due BIGINT NOT NULL,
	CONSTRAINT projections_due_pkey PRIMARY KEY (organization_id, table_name, "key")
);

CREATE INDEX projections_due_due_idx ON projections_due (due);

CREATE TABLE telemetry_settings (
	organization_id TEXT NOT NULL,
	setting TEXT NOT NULL,
	walk_after TEXT,
	walk_from BIGINT,
	CONSTRAINT telemetry_settings_pkey PRIMARY KEY (organization_id)
);

ALTER TABLE patient_wearable_daily_stats ADD COLUMN corrected BOOLEAN DEFAULT 0 NOT NULL;

-- What was said of closed days until now stays said.
INSERT INTO projection_guard (id) VALUES (1) ON CONFLICT DO NOTHING;

UPDATE patient_wearable_daily_stats SET corrected = 1 WHERE closed_at IS NOT NULL AND updated_at > closed_at;

DELETE FROM projection_guard;

CREATE TRIGGER patient_wearable_daily_stats_late_data AFTER UPDATE ON patient_wearable_daily_stats WHEN NEW.corrected IS NOT (NEW.closed_at IS NOT NULL AND (NEW.corrected OR (OLD.closed_at IS NOT NULL AND (OLD.corrected OR NEW.customer_id IS NOT OLD.customer_id OR NEW.date IS NOT OLD.date OR NEW.data_type IS NOT OLD.data_type OR NEW.avg_value IS NOT OLD.avg_value OR NEW.min_value IS NOT OLD.min_value OR NEW.max_value IS NOT OLD.max_value OR NEW.sum_value IS NOT OLD.sum_value OR NEW.count IS NOT OLD.count OR NEW.unit IS NOT OLD.unit)))) BEGIN UPDATE patient_wearable_daily_stats SET corrected = NOT NEW.corrected WHERE organization_id = NEW.organization_id AND id = NEW.id; END;
