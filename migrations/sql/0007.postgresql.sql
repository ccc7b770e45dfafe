-- Capture of rows that foreign writers change; the role of the server, its privileges, and row-level security.

CREATE FUNCTION fhir_capture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    organization_column text := TG_ARGV[0];
    changed text := CASE TG_OP
        WHEN 'INSERT' THEN 'new_rows'
        WHEN 'DELETE' THEN 'old_rows'
        ELSE '(SELECT * FROM new_rows UNION ALL SELECT * FROM old_rows)'
    END;
    target integer := 1;
    operation text;
    noted bigint;
    total bigint := 0;
BEGIN
    WHILE target < TG_NARGS LOOP
        operation := CASE WHEN target = 1 THEN lower(TG_OP) ELSE 'update' END;
        IF TG_OP = 'TRUNCATE' THEN
            EXECUTE format('INSERT INTO %I.outbox (organization_id, table_name, key, operation)'
                ' SELECT id, %L, %L, %L FROM %I.organizations',
                TG_TABLE_SCHEMA, TG_ARGV[target], '*', operation, TG_TABLE_SCHEMA);
        ELSE
            EXECUTE format('INSERT INTO %I.outbox (organization_id, table_name, key, operation)'
                ' SELECT DISTINCT changed.%I, %L, changed.%I, %L FROM %s AS changed WHERE changed.%I IS NOT NULL',
                TG_TABLE_SCHEMA, organization_column, TG_ARGV[target], TG_ARGV[target + 1], operation, changed,
                TG_ARGV[target + 1]);
        END IF;
        GET DIAGNOSTICS noted = ROW_COUNT;
        total := total + noted;
        target := target + 2;
    END LOOP;
    IF total > 0 THEN
        PERFORM pg_notify('fhir_outbox', '');
    END IF;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION fhir_capture() FROM PUBLIC;

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON organizations REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('id', 'organizations', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON organizations REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('id', 'organizations', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON organizations REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('id', 'organizations', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON organizations FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('id', 'organizations', 'id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON customer_profiles REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'customer_profiles', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON customer_profiles REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'customer_profiles', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON customer_profiles REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'customer_profiles', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON customer_profiles FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'customer_profiles', 'id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON identity_mappings REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'identity_mappings', 'id', 'customer_profiles', 'customer_id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON identity_mappings REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'identity_mappings', 'id', 'customer_profiles', 'customer_id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON identity_mappings REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'identity_mappings', 'id', 'customer_profiles', 'customer_id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON identity_mappings FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'identity_mappings', 'id', 'customer_profiles', 'customer_id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON lab_results REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'lab_results', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON lab_results REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'lab_results', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON lab_results REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'lab_results', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON lab_results FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'lab_results', 'id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON protocols REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'protocols', 'id', 'treatment_clinicians', 'created_by');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON protocols REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'protocols', 'id', 'treatment_clinicians', 'created_by');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON protocols REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'protocols', 'id', 'treatment_clinicians', 'created_by');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON protocols FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'protocols', 'id', 'treatment_clinicians', 'created_by');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON subscriptions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'subscriptions', 'id', 'treatment_clinicians', 'clinician_id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON subscriptions REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'subscriptions', 'id', 'treatment_clinicians', 'clinician_id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON subscriptions REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'subscriptions', 'id', 'treatment_clinicians', 'clinician_id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON subscriptions FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'subscriptions', 'id', 'treatment_clinicians', 'clinician_id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON patient_prescriptions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_prescriptions', 'id', 'subscriptions', 'treatment_id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON patient_prescriptions REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_prescriptions', 'id', 'subscriptions', 'treatment_id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON patient_prescriptions REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_prescriptions', 'id', 'subscriptions', 'treatment_id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON patient_prescriptions FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_prescriptions', 'id', 'subscriptions', 'treatment_id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON patient_wearable_readings REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_wearable_readings', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON patient_wearable_readings REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_wearable_readings', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON patient_wearable_readings REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_wearable_readings', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON patient_wearable_readings FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_wearable_readings', 'id');

CREATE TRIGGER fhir_capture_insert AFTER INSERT ON patient_wearable_daily_stats REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_wearable_daily_stats', 'id');

CREATE TRIGGER fhir_capture_update AFTER UPDATE ON patient_wearable_daily_stats REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_wearable_daily_stats', 'id');

CREATE TRIGGER fhir_capture_delete AFTER DELETE ON patient_wearable_daily_stats REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_wearable_daily_stats', 'id');

CREATE TRIGGER fhir_capture_truncate AFTER TRUNCATE ON patient_wearable_daily_stats FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION fhir_capture('organization_id', 'patient_wearable_daily_stats', 'id');

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'fhir_server_app') THEN
        IF (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
            BEGIN
                CREATE ROLE fhir_server_app NOLOGIN NOBYPASSRLS;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- roles belong to the cluster: another database was faster
            END;
        ELSE
            RAISE EXCEPTION 'the role fhir_server_app is missing and % may not create roles', current_user
                USING HINT = 'Have an administrator run: CREATE ROLE fhir_server_app NOLOGIN; GRANT fhir_server_app TO '
                    || quote_ident(current_user);
        END IF;
    END IF;
    IF NOT pg_has_role(current_user, 'fhir_server_app', 'MEMBER') THEN
        EXECUTE format('GRANT fhir_server_app TO %I', current_user);
    END IF;
END
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON customer_profiles TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON identity_mappings TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON lab_results TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON protocols TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON patient_events TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON conversation_history TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON subscriptions TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON patient_prescriptions TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON patient_wearable_readings TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON patient_wearable_daily_stats TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON wearable_data TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON fhir_resources TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON fhir_history TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON fhir_compartments TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON fhir_index_tokens TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON fhir_index_strings TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON fhir_index_dates TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON fhir_index_quantities TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON fhir_index_references TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON fhir_changes TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON projection_failures TO fhir_server_app;

GRANT SELECT, INSERT ON rbac_logs TO fhir_server_app;

GRANT SELECT, INSERT ON audit_seals TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON organizations TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON users TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON user_organizations TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON user_patients TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON clients TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON signing_keys TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON revocations TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON person_links TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON projection_guard TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON transaction_offset TO fhir_server_app;

GRANT SELECT ON alembic_version TO fhir_server_app;

ALTER TABLE customer_profiles ENABLE ROW LEVEL SECURITY;

ALTER TABLE customer_profiles FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON customer_profiles USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE identity_mappings ENABLE ROW LEVEL SECURITY;

ALTER TABLE identity_mappings FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON identity_mappings USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE lab_results ENABLE ROW LEVEL SECURITY;

ALTER TABLE lab_results FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON lab_results USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE protocols ENABLE ROW LEVEL SECURITY;

ALTER TABLE protocols FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON protocols USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE patient_events ENABLE ROW LEVEL SECURITY;

ALTER TABLE patient_events FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON patient_events USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE conversation_history ENABLE ROW LEVEL SECURITY;

ALTER TABLE conversation_history FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON conversation_history USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE subscriptions ENABLE ROW LEVEL SECURITY;

ALTER TABLE subscriptions FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON subscriptions USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE patient_prescriptions ENABLE ROW LEVEL SECURITY;

ALTER TABLE patient_prescriptions FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON patient_prescriptions USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE patient_wearable_readings ENABLE ROW LEVEL SECURITY;

ALTER TABLE patient_wearable_readings FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON patient_wearable_readings USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE patient_wearable_daily_stats ENABLE ROW LEVEL SECURITY;

ALTER TABLE patient_wearable_daily_stats FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON patient_wearable_daily_stats USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE wearable_data ENABLE ROW LEVEL SECURITY;

ALTER TABLE wearable_data FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON wearable_data USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE fhir_resources ENABLE ROW LEVEL SECURITY;

ALTER TABLE fhir_resources FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON fhir_resources USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE fhir_history ENABLE ROW LEVEL SECURITY;

ALTER TABLE fhir_history FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON fhir_history USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE fhir_compartments ENABLE ROW LEVEL SECURITY;

ALTER TABLE fhir_compartments FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON fhir_compartments USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE fhir_index_tokens ENABLE ROW LEVEL SECURITY;

ALTER TABLE fhir_index_tokens FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON fhir_index_tokens USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE fhir_index_strings ENABLE ROW LEVEL SECURITY;

ALTER TABLE fhir_index_strings FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON fhir_index_strings USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE fhir_index_dates ENABLE ROW LEVEL SECURITY;

ALTER TABLE fhir_index_dates FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON fhir_index_dates USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE fhir_index_quantities ENABLE ROW LEVEL SECURITY;

ALTER TABLE fhir_index_quantities FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON fhir_index_quantities USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE fhir_index_references ENABLE ROW LEVEL SECURITY;

ALTER TABLE fhir_index_references FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON fhir_index_references USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE fhir_changes ENABLE ROW LEVEL SECURITY;

ALTER TABLE fhir_changes FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON fhir_changes USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE projection_failures ENABLE ROW LEVEL SECURITY;

ALTER TABLE projection_failures FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON projection_failures USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE rbac_logs ENABLE ROW LEVEL SECURITY;

ALTER TABLE rbac_logs FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON rbac_logs USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE audit_seals ENABLE ROW LEVEL SECURITY;

ALTER TABLE audit_seals FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON audit_seals USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

