-- The audit trail: rows of the old rbac_logs are kept (their id becomes request_id, their MAC is empty: only seals
-- vouch for them; their numbers lie below all that the server gives), and from here on nothing is ever changed or removed.

ALTER INDEX rbac_logs_pkey RENAME TO rbac_logs_pkey_before;
ALTER INDEX rbac_logs_customer_id_idx RENAME TO rbac_logs_customer_id_idx_before;
ALTER TABLE rbac_logs RENAME TO rbac_logs_before;

CREATE TABLE rbac_logs (
	id BIGINT NOT NULL,
	organization_id TEXT COLLATE "C" NOT NULL,
	at BIGINT NOT NULL,
	actor_id TEXT COLLATE "C" NOT NULL,
	actor_role TEXT COLLATE "C" NOT NULL,
	client_id TEXT COLLATE "C",
	customer_id TEXT COLLATE "C",
	patients TEXT,
	resource TEXT COLLATE "C" NOT NULL,
	resource_ids TEXT,
	action TEXT COLLATE "C" NOT NULL,
	interaction TEXT COLLATE "C",
	outcome TEXT COLLATE "C" NOT NULL,
	status SMALLINT,
	count INTEGER,
	request_id TEXT COLLATE "C",
	method TEXT COLLATE "C",
	path TEXT COLLATE "C",
	ip_address TEXT COLLATE "C",
	user_agent TEXT,
	purpose TEXT COLLATE "C",
	grant_id TEXT COLLATE "C",
	mac BYTEA NOT NULL,
	CONSTRAINT rbac_logs_pkey PRIMARY KEY (organization_id, id)
);

CREATE INDEX rbac_logs_customer_id_idx ON rbac_logs (organization_id, customer_id, id) WHERE customer_id IS NOT NULL;

CREATE TABLE audit_seals (
	organization_id TEXT COLLATE "C" NOT NULL,
	sequence BIGINT NOT NULL,
	first_id BIGINT NOT NULL,
	last_id BIGINT NOT NULL,
	count INTEGER NOT NULL,
	root BYTEA NOT NULL,
	previous BYTEA NOT NULL,
	hash BYTEA NOT NULL,
	sealed_at BIGINT NOT NULL,
	CONSTRAINT audit_seals_pkey PRIMARY KEY (organization_id, sequence)
);


INSERT INTO rbac_logs (
    id, organization_id, at, actor_id, actor_role, customer_id, resource, action, outcome, ip_address, user_agent,
    request_id, mac
)
SELECT
    row_number() OVER (ORDER BY "timestamp", id),
    'loop-health',
    (extract(epoch FROM "timestamp") * 1000000)::bigint,
    actor_id, actor_role, customer_id, resource, action, outcome, ip_address, user_agent,
    id::text,
    '\x'::bytea
FROM rbac_logs_before;
DROP TABLE rbac_logs_before;

CREATE FUNCTION fhir_refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rbac_logs FOR EACH STATEMENT EXECUTE FUNCTION fhir_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals FOR EACH STATEMENT EXECUTE FUNCTION fhir_refuse_change();
