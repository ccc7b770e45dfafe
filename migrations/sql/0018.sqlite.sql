-- What was retired of the audit trail, and what has to stay. Here it is one table a file; PostgreSQL has it by months.

DROP INDEX rbac_logs_customer_id_idx;
CREATE INDEX rbac_logs_at_idx ON rbac_logs (organization_id, at, id);
CREATE INDEX rbac_logs_customer_at_idx ON rbac_logs (organization_id, customer_id, at, id) WHERE customer_id IS NOT NULL;
CREATE INDEX rbac_logs_patients_idx ON rbac_logs (organization_id, at, id) WHERE patients IS NOT NULL;

CREATE TABLE audit_retirements (
	organization_id TEXT NOT NULL,
	sequence BIGINT NOT NULL,
	before_at BIGINT NOT NULL,
	through_seal BIGINT NOT NULL,
	seal_hash BLOB NOT NULL,
	records BIGINT NOT NULL,
	leaves BLOB NOT NULL,
	previous BLOB NOT NULL,
	hash BLOB NOT NULL,
	retired_at BIGINT NOT NULL,
	CONSTRAINT audit_retirements_pkey PRIMARY KEY (organization_id, sequence)
);

CREATE TABLE legal_holds (
	organization_id TEXT NOT NULL,
	id TEXT NOT NULL,
	customer_id TEXT,
	reason TEXT NOT NULL,
	placed_at BIGINT NOT NULL,
	released_at BIGINT,
	release_reason TEXT,
	CONSTRAINT legal_holds_pkey PRIMARY KEY (organization_id, id)
);

CREATE TRIGGER audit_retirements_append_only_update BEFORE UPDATE ON audit_retirements BEGIN SELECT RAISE(ABORT, 'audit_retirements is append-only'); END;
CREATE TRIGGER audit_retirements_append_only_delete BEFORE DELETE ON audit_retirements BEGIN SELECT RAISE(ABORT, 'audit_retirements is append-only'); END;
CREATE TRIGGER audit_retirements_append_only_insert BEFORE INSERT ON audit_retirements WHEN EXISTS (SELECT 1 FROM audit_retirements WHERE organization_id = NEW.organization_id AND sequence = NEW.sequence) BEGIN SELECT RAISE(ABORT, 'audit_retirements is append-only'); END;
