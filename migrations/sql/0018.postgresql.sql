-- The audit trail by months. The table that was there becomes the first partition as it is: no row is copied, though an
-- index with the instant is built over it, since the key of a partitioned table holds what it is divided by.

DROP VIEW audit_logs;
ALTER TABLE rbac_logs RENAME TO rbac_logs_first;
ALTER TABLE rbac_logs_first DROP CONSTRAINT rbac_logs_pkey;
DROP INDEX rbac_logs_customer_id_idx;
DROP POLICY organization ON rbac_logs_first;
REVOKE ALL ON rbac_logs_first FROM PUBLIC, fhir_server_app;

CREATE TABLE rbac_logs (
	LIKE rbac_logs_first,
	CONSTRAINT rbac_logs_pkey PRIMARY KEY (organization_id, id, at)
) PARTITION BY RANGE (at);

CREATE INDEX rbac_logs_at_idx ON rbac_logs (organization_id, at, id);
CREATE INDEX rbac_logs_customer_at_idx ON rbac_logs (organization_id, customer_id, at, id) WHERE customer_id IS NOT NULL;
CREATE INDEX rbac_logs_patients_idx ON rbac_logs (organization_id, at, id) WHERE patients IS NOT NULL;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rbac_logs FOR EACH STATEMENT EXECUTE FUNCTION fhir_refuse_change();

DO $$
DECLARE
    newest bigint;
    ends timestamp;
BEGIN
    SELECT max(at) INTO newest FROM rbac_logs_first;
    ends := date_trunc('month', greatest(now() AT TIME ZONE 'UTC',
        timestamp 'epoch' + newest / 1000000 * interval '1 second')) + interval '1 month';
    EXECUTE format('ALTER TABLE rbac_logs ATTACH PARTITION rbac_logs_first FOR VALUES FROM (MINVALUE) TO (%s)',
        (extract(epoch FROM ends) * 1000000)::bigint);
END
$$;

CREATE TABLE rbac_logs_default PARTITION OF rbac_logs DEFAULT;
ALTER TABLE rbac_logs_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
REVOKE ALL ON rbac_logs_default FROM PUBLIC, fhir_server_app;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rbac_logs_default FOR EACH STATEMENT EXECUTE FUNCTION fhir_refuse_change();
DO $make$ BEGIN EXECUTE replace($text$
CREATE FUNCTION fhir_audit_months() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    home constant text := {schema};
    horizon constant timestamp := date_trunc('month', now() AT TIME ZONE 'UTC') + interval '3 months';
    month timestamp;
    ends bigint;
    name text;
    blocked integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('fhir_audit_months'), hashtext(home));
    SELECT max(substring(pg_get_expr(part.relpartbound, part.oid) FROM $re$TO \('(-?\d+)'\)$re$)::bigint) INTO ends
    FROM pg_inherits JOIN pg_class part ON part.oid = inhrelid
    WHERE inhparent = format('%I.rbac_logs', home)::regclass;
    month := timestamp 'epoch' + ends / 1000000 * interval '1 second';
    WHILE month <= horizon LOOP
        name := 'rbac_logs_' || to_char(month, 'YYYY_MM');
        month := month + interval '1 month';
        BEGIN
            EXECUTE format('CREATE TABLE %I.%I (LIKE %I.rbac_logs)', home, name, home);
            EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', home, name);
            EXECUTE format('REVOKE ALL ON %I.%I FROM PUBLIC, fhir_server_app', home, name);
            EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I.%I'
                ' FOR EACH STATEMENT EXECUTE FUNCTION %I.fhir_refuse_change()', home, name, home);
            EXECUTE format('ALTER TABLE %I.rbac_logs ATTACH PARTITION %I.%I FOR VALUES FROM (%s) TO (%s)',
                home, home, name, ends, (extract(epoch FROM month) * 1000000)::bigint);
        EXCEPTION WHEN check_violation THEN
            blocked := blocked + 1; -- the default partition holds rows of this month: they stay there
        END;
        ends := (extract(epoch FROM month) * 1000000)::bigint;
    END LOOP;
    RETURN blocked;
END
$$
$text$, '{schema}', quote_literal(current_schema())); END $make$;
REVOKE EXECUTE ON FUNCTION fhir_audit_months() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fhir_audit_months() TO fhir_server_app;
SELECT fhir_audit_months();

CREATE VIEW audit_logs WITH (security_invoker = true) AS SELECT id, organization_id, actor_id AS user_id, actor_role AS role, action, resource, resource_ids, customer_id AS patient_id, outcome, status, purpose, client_id, request_id, method, path, ip_address, user_agent, timestamptz 'epoch' + at * interval '1 microsecond' AS created_at FROM rbac_logs;
GRANT SELECT ON audit_logs TO fhir_server_app;
GRANT SELECT, INSERT ON rbac_logs TO fhir_server_app;
ALTER TABLE rbac_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE rbac_logs FORCE ROW LEVEL SECURITY;
CREATE POLICY organization ON rbac_logs USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

CREATE TABLE audit_retirements (
	organization_id TEXT COLLATE "C" NOT NULL,
	sequence BIGINT NOT NULL,
	before_at BIGINT NOT NULL,
	through_seal BIGINT NOT NULL,
	seal_hash BYTEA NOT NULL,
	records BIGINT NOT NULL,
	leaves BYTEA NOT NULL,
	previous BYTEA NOT NULL,
	hash BYTEA NOT NULL,
	retired_at BIGINT NOT NULL,
	CONSTRAINT audit_retirements_pkey PRIMARY KEY (organization_id, sequence)
);

CREATE TABLE legal_holds (
	organization_id TEXT COLLATE "C" NOT NULL,
	id TEXT COLLATE "C" NOT NULL,
	customer_id TEXT COLLATE "C",
	reason TEXT NOT NULL,
	placed_at BIGINT NOT NULL,
	released_at BIGINT,
	release_reason TEXT,
	CONSTRAINT legal_holds_pkey PRIMARY KEY (organization_id, id)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_retirements FOR EACH STATEMENT EXECUTE FUNCTION fhir_refuse_change();
GRANT SELECT, INSERT ON audit_retirements TO fhir_server_app;
ALTER TABLE audit_retirements ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_retirements FORCE ROW LEVEL SECURITY;
CREATE POLICY organization ON audit_retirements USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));
GRANT SELECT, INSERT, UPDATE, DELETE ON legal_holds TO fhir_server_app;
ALTER TABLE legal_holds ENABLE ROW LEVEL SECURITY;
ALTER TABLE legal_holds FORCE ROW LEVEL SECURITY;
CREATE POLICY organization ON legal_holds USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));
