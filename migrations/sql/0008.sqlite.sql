CREATE TABLE index_definitions (
	organization_id TEXT NOT NULL,
	fingerprint TEXT NOT NULL,
	CONSTRAINT index_definitions_pkey PRIMARY KEY (organization_id)
);

