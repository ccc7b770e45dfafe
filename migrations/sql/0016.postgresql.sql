-- What apps keep for themselves, and which of it a client may (SMART App State).

ALTER TABLE clients ADD COLUMN app_states TEXT[] DEFAULT '{}' NOT NULL;

CREATE TABLE app_states (
	organization_id TEXT COLLATE "C" NOT NULL,
	id TEXT COLLATE "C" NOT NULL,
	client_id TEXT COLLATE "C" NOT NULL,
	system TEXT COLLATE "C" NOT NULL,
	code TEXT COLLATE "C" NOT NULL,
	display TEXT,
	subject TEXT COLLATE "C",
	extensions TEXT NOT NULL,
	version INTEGER NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	deleted_at BIGINT,
	CONSTRAINT app_states_pkey PRIMARY KEY (organization_id, id)
);

CREATE INDEX app_states_code_idx ON app_states (organization_id, system, code, subject);

GRANT SELECT, INSERT, UPDATE, DELETE ON app_states TO fhir_server_app;
ALTER TABLE app_states ENABLE ROW LEVEL SECURITY;
ALTER TABLE app_states FORCE ROW LEVEL SECURITY;
CREATE POLICY organization ON app_states USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));
