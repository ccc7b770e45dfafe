CREATE TABLE index_definitions (
	organization_id TEXT COLLATE "C" NOT NULL,
	fingerprint TEXT COLLATE "C" NOT NULL,
	CONSTRAINT index_definitions_pkey PRIMARY KEY (organization_id)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON index_definitions TO fhir_server_app;

