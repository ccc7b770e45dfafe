-- The audit trail: rows of the old rbac_logs are kept (their id becomes request_id, their MAC is empty: only seals
-- vouch for them; their numbers lie below all that the server gives), and from here on nothing is ever changed or removed.

DROP INDEX rbac_logs_customer_id_idx;
ALTER TABLE rbac_logs RENAME TO rbac_logs_before;

CREATE TABLE rbac_logs (
	id BIGINT NOT NULL,
	organization_id TEXT NOT NULL,
	at BIGINT NOT NULL,
	actor_id TEXT NOT NULL,
	actor_role TEXT NOT NULL,
	client_id TEXT,
	customer_id TEXT,
	patients TEXT,
	resource TEXT NOT NULL,
	resource_ids TEXT,
	action TEXT NOT NULL,
	interaction TEXT,
	outcome TEXT NOT NULL,
	status SMALLINT,
	count INTEGER,
	request_id TEXT,
	method TEXT,
	path TEXT,
	ip_address TEXT,
	user_agent TEXT,
	purpose TEXT,
	grant_id TEXT,
	mac BLOB NOT NULL,
	CONSTRAINT rbac_logs_pkey PRIMARY KEY (organization_id, id)
);

CREATE INDEX rbac_logs_customer_id_idx ON rbac_logs (organization_id, customer_id, id) WHERE customer_id IS NOT NULL;

CREATE TABLE audit_seals (
	organization_id TEXT NOT NULL,
	sequence BIGINT NOT NULL,
	first_id BIGINT NOT NULL,
	last_id BIGINT NOT NULL,
	count INTEGER NOT NULL,
	root BLOB NOT NULL,
	previous BLOB NOT NULL,
	hash BLOB NOT NULL,
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
    CAST(strftime('%s', "timestamp") AS integer) * 1000000
        + CASE WHEN "timestamp" LIKE '%.%' THEN CAST(substr(substr("timestamp", instr("timestamp", '.') + 1, length("timestamp") - instr("timestamp", '.') - 1) || '000000', 1, 6) AS integer) ELSE 0 END,
    actor_id, actor_role, customer_id, resource, action, outcome, ip_address, user_agent,
    id,
    x''
FROM rbac_logs_before;
DROP TABLE rbac_logs_before;

CREATE TRIGGER rbac_logs_append_only_update BEFORE UPDATE ON rbac_logs BEGIN SELECT RAISE(ABORT, 'rbac_logs is append-only'); END;
CREATE TRIGGER rbac_logs_append_only_delete BEFORE DELETE ON rbac_logs BEGIN SELECT RAISE(ABORT, 'rbac_logs is append-only'); END;
CREATE TRIGGER rbac_logs_append_only_insert BEFORE INSERT ON rbac_logs WHEN EXISTS (SELECT 1 FROM rbac_logs WHERE organization_id = NEW.organization_id AND id = NEW.id) BEGIN SELECT RAISE(ABORT, 'rbac_logs is append-only'); END;
CREATE TRIGGER audit_seals_append_only_update BEFORE UPDATE ON audit_seals BEGIN SELECT RAISE(ABORT, 'audit_seals is append-only'); END;
CREATE TRIGGER audit_seals_append_only_delete BEFORE DELETE ON audit_seals BEGIN SELECT RAISE(ABORT, 'audit_seals is append-only'); END;
CREATE TRIGGER audit_seals_append_only_insert BEFORE INSERT ON audit_seals WHEN EXISTS (SELECT 1 FROM audit_seals WHERE organization_id = NEW.organization_id AND sequence = NEW.sequence) BEGIN SELECT RAISE(ABORT, 'audit_seals is append-only'); END;
