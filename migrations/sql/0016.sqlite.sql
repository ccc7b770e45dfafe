-- What apps keep for themselves, and which of it a client may (SMART App State).

ALTER TABLE clients ADD COLUMN app_states TEXT DEFAULT '[]' NOT NULL;

CREATE TABLE app_states (
	organization_id TEXT NOT NULL,
	id TEXT NOT NULL,
	client_id TEXT NOT NULL,
	system TEXT NOT NULL,
	code TEXT NOT NULL,
	display TEXT,
	subject TEXT,
	extensions TEXT NOT NULL,
	version INTEGER NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	deleted_at BIGINT,
	CONSTRAINT app_states_pkey PRIMARY KEY (organization_id, id)
);

CREATE INDEX app_states_code_idx ON app_states (organization_id, system, code, subject);

