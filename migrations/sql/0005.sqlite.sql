-- The FHIR store: versions, search index, changes, and the outbox of rows that others changed.

CREATE TABLE fhir_resources (
	organization_id TEXT NOT NULL,
	resource_type TEXT NOT NULL,
	id TEXT NOT NULL,
	rid BIGINT NOT NULL,
	self_key BIGINT NOT NULL,
	version INTEGER NOT NULL,
	last_updated BIGINT NOT NULL,
	deleted BOOLEAN NOT NULL,
	patient BIGINT NOT NULL,
	date_low BIGINT NOT NULL,
	date_high BIGINT NOT NULL,
	present BIGINT NOT NULL,
	home_table TEXT,
	home_key TEXT,
	home_part TEXT,
	residual BLOB,
	change_id BIGINT NOT NULL,
	xid BIGINT NOT NULL,
	body BLOB NOT NULL,
	CONSTRAINT fhir_resources_pkey PRIMARY KEY (organization_id, self_key)
);

CREATE INDEX fhir_resources_home_idx ON fhir_resources (organization_id, home_table, home_key) WHERE home_table IS NOT NULL;

CREATE INDEX fhir_resources_patient_idx ON fhir_resources (organization_id, patient, resource_type, date_low, rid);

CREATE UNIQUE INDEX fhir_resources_rid_idx ON fhir_resources (organization_id, rid);

CREATE TABLE fhir_history (
	organization_id TEXT NOT NULL,
	resource_type TEXT NOT NULL,
	id TEXT NOT NULL,
	version INTEGER NOT NULL,
	last_updated BIGINT NOT NULL,
	deleted BOOLEAN NOT NULL,
	patient BIGINT NOT NULL,
	change_id BIGINT NOT NULL,
	xid BIGINT NOT NULL,
	body BLOB NOT NULL,
	CONSTRAINT fhir_history_pkey PRIMARY KEY (organization_id, resource_type, id, version)
);

CREATE TABLE fhir_compartments (
	organization_id TEXT NOT NULL,
	patient BIGINT NOT NULL,
	rid BIGINT NOT NULL,
	CONSTRAINT fhir_compartments_pkey PRIMARY KEY (organization_id, patient, rid)
);

CREATE TABLE fhir_index_tokens (
	organization_id TEXT NOT NULL,
	"key" BIGINT NOT NULL,
	patient BIGINT NOT NULL,
	date BIGINT NOT NULL,
	rid BIGINT NOT NULL,
	system BIGINT NOT NULL,
	CONSTRAINT fhir_index_tokens_pkey PRIMARY KEY (organization_id, "key", patient, date, rid, system)
)
 WITHOUT ROWID;

CREATE TABLE fhir_index_strings (
	organization_id TEXT NOT NULL,
	"key" BIGINT NOT NULL,
	value TEXT NOT NULL,
	rid BIGINT NOT NULL,
	exact TEXT NOT NULL,
	CONSTRAINT fhir_index_strings_pkey PRIMARY KEY (organization_id, "key", value, rid, exact)
)
 WITHOUT ROWID;

CREATE INDEX fhir_index_strings_rid_idx ON fhir_index_strings (organization_id, rid);

CREATE TABLE fhir_index_dates (
	organization_id TEXT NOT NULL,
	"key" BIGINT NOT NULL,
	low BIGINT NOT NULL,
	high BIGINT NOT NULL,
	rid BIGINT NOT NULL,
	CONSTRAINT fhir_index_dates_pkey PRIMARY KEY (organization_id, "key", low, rid, high)
)
 WITHOUT ROWID;

CREATE INDEX fhir_index_dates_rid_idx ON fhir_index_dates (organization_id, rid);

CREATE TABLE fhir_index_quantities (
	organization_id TEXT NOT NULL,
	"key" BIGINT NOT NULL,
	low BLOB NOT NULL,
	high BLOB NOT NULL,
	rid BIGINT NOT NULL,
	qualifier BIGINT NOT NULL,
	CONSTRAINT fhir_index_quantities_pkey PRIMARY KEY (organization_id, "key", low, rid, qualifier, high)
)
 WITHOUT ROWID;

CREATE INDEX fhir_index_quantities_rid_idx ON fhir_index_quantities (organization_id, rid);

CREATE TABLE fhir_index_references (
	organization_id TEXT NOT NULL,
	target BIGINT NOT NULL,
	"key" BIGINT NOT NULL,
	rid BIGINT NOT NULL,
	CONSTRAINT fhir_index_references_pkey PRIMARY KEY (organization_id, target, "key", rid)
)
 WITHOUT ROWID;

CREATE INDEX fhir_index_references_rid_idx ON fhir_index_references (organization_id, rid);

CREATE TABLE fhir_changes (
	organization_id TEXT NOT NULL,
	id BIGINT NOT NULL,
	at BIGINT NOT NULL,
	actor TEXT NOT NULL,
	client_id TEXT NOT NULL,
	api TEXT NOT NULL,
	request_id TEXT NOT NULL,
	CONSTRAINT fhir_changes_pkey PRIMARY KEY (organization_id, id)
);

CREATE TABLE projection_failures (
	organization_id TEXT NOT NULL,
	table_name TEXT NOT NULL,
	"key" TEXT NOT NULL,
	failed_at BIGINT NOT NULL,
	reason TEXT NOT NULL,
	CONSTRAINT projection_failures_pkey PRIMARY KEY (organization_id, table_name, "key")
);

CREATE TABLE outbox (
	id INTEGER NOT NULL,
	organization_id TEXT NOT NULL,
	table_name TEXT NOT NULL,
	"key" TEXT NOT NULL,
	operation TEXT NOT NULL,
	CONSTRAINT outbox_pkey PRIMARY KEY (id)
);

CREATE TABLE projection_guard (
	id INTEGER NOT NULL,
	CONSTRAINT projection_guard_pkey PRIMARY KEY (id)
);

CREATE TABLE transaction_offset (
	id SMALLINT NOT NULL,
	value BIGINT NOT NULL,
	CONSTRAINT transaction_offset_pkey PRIMARY KEY (id)
);

INSERT INTO transaction_offset (id, value) VALUES (1, 0);

