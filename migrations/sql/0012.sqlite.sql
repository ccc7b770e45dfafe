-- The health hub: profiles, their connections to providers, and the records that were fetched there.

CREATE TABLE profiles (
	organization_id TEXT DEFAULT 'health-hub' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	user_id TEXT NOT NULL,
	display_name TEXT NOT NULL,
	legal_name TEXT,
	dob DATE,
	relationship TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT profiles_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT profiles_user_id_fkey FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX profiles_user_id_idx ON profiles (organization_id, user_id, created_at);

CREATE TABLE oauth_states (
	organization_id TEXT DEFAULT 'health-hub' NOT NULL,
	state TEXT NOT NULL,
	user_id TEXT NOT NULL,
	profile_id TEXT NOT NULL,
	provider TEXT NOT NULL,
	expires_at TEXT NOT NULL,
	CONSTRAINT oauth_states_pkey PRIMARY KEY (organization_id, state),
	CONSTRAINT oauth_states_user_id_fkey FOREIGN KEY(user_id) REFERENCES users (id),
	CONSTRAINT oauth_states_profile_id_fkey FOREIGN KEY(organization_id, profile_id) REFERENCES profiles (organization_id, id) ON DELETE CASCADE
);

CREATE INDEX oauth_states_expires_at_idx ON oauth_states (organization_id, expires_at);

CREATE INDEX oauth_states_profile_id_idx ON oauth_states (organization_id, profile_id);

CREATE TABLE profile_emr_connections (
	organization_id TEXT DEFAULT 'health-hub' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	profile_id TEXT NOT NULL,
	provider TEXT NOT NULL,
	patient_emr_id TEXT NOT NULL,
	access_token_encrypted TEXT NOT NULL,
	refresh_token_encrypted TEXT,
	expires_at TEXT,
	scope TEXT,
	status TEXT DEFAULT 'connected' NOT NULL,
	last_error TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT profile_emr_connections_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT profile_emr_connections_profile_id_fkey FOREIGN KEY(organization_id, profile_id) REFERENCES profiles (organization_id, id) ON DELETE CASCADE
);

CREATE INDEX profile_emr_connections_patient_emr_id_idx ON profile_emr_connections (organization_id, provider, patient_emr_id);

CREATE UNIQUE INDEX uniq_profile_provider ON profile_emr_connections (organization_id, profile_id, provider);

CREATE TABLE profile_fhir_resources_raw (
	organization_id TEXT DEFAULT 'health-hub' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	profile_id TEXT NOT NULL,
	provider TEXT NOT NULL,
	resource_type TEXT NOT NULL,
	resource_id TEXT NOT NULL,
	resource_json BLOB NOT NULL,
	sha256 TEXT,
	fetch_url TEXT,
	etag TEXT,
	fetched_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT profile_fhir_resources_raw_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT profile_fhir_resources_raw_profile_id_fkey FOREIGN KEY(organization_id, profile_id) REFERENCES profiles (organization_id, id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX profile_fhir_resources_raw_resource_id_idx ON profile_fhir_resources_raw (organization_id, profile_id, provider, resource_type, resource_id);

CREATE TABLE profile_fhir_resources_normalized (
	organization_id TEXT DEFAULT 'health-hub' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	profile_id TEXT NOT NULL,
	provider TEXT NOT NULL,
	resource_type TEXT NOT NULL,
	canonical_code TEXT,
	normalized_json TEXT NOT NULL,
	normalized_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT profile_fhir_resources_normalized_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT profile_fhir_resources_normalized_profile_id_fkey FOREIGN KEY(organization_id, profile_id) REFERENCES profiles (organization_id, id) ON DELETE CASCADE
);

CREATE INDEX profile_fhir_resources_normalized_canonical_code_idx ON profile_fhir_resources_normalized (organization_id, profile_id, resource_type, canonical_code);

CREATE TABLE profile_fhir_resources_clean (
	organization_id TEXT DEFAULT 'health-hub' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	profile_id TEXT NOT NULL,
	resource_type TEXT NOT NULL,
	clean_json TEXT NOT NULL,
	sources TEXT NOT NULL,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT profile_fhir_resources_clean_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT profile_fhir_resources_clean_profile_id_fkey FOREIGN KEY(organization_id, profile_id) REFERENCES profiles (organization_id, id) ON DELETE CASCADE
);

CREATE INDEX profile_fhir_resources_clean_resource_type_idx ON profile_fhir_resources_clean (organization_id, profile_id, resource_type);

CREATE TABLE profile_summary (
	organization_id TEXT DEFAULT 'health-hub' NOT NULL,
	profile_id TEXT NOT NULL,
	summary_json TEXT,
	status TEXT DEFAULT 'absent' NOT NULL,
	updated_at TEXT,
	CONSTRAINT profile_summary_pkey PRIMARY KEY (organization_id, profile_id),
	CONSTRAINT profile_summary_profile_id_fkey FOREIGN KEY(organization_id, profile_id) REFERENCES profiles (organization_id, id) ON DELETE CASCADE,
	CONSTRAINT profile_summary_status_check CHECK (status IN ('absent', 'syncing', 'ready', 'error'))
);

CREATE TABLE profile_sync_jobs (
	organization_id TEXT DEFAULT 'health-hub' NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	profile_id TEXT NOT NULL,
	provider TEXT NOT NULL,
	status TEXT NOT NULL,
	started_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	finished_at TEXT,
	resources_fetched INTEGER,
	error_message TEXT,
	CONSTRAINT profile_sync_jobs_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT profile_sync_jobs_profile_id_fkey FOREIGN KEY(organization_id, profile_id) REFERENCES profiles (organization_id, id) ON DELETE CASCADE,
	CONSTRAINT profile_sync_jobs_status_check CHECK (status IN ('running', 'success', 'failed'))
);

CREATE INDEX profile_sync_jobs_started_at_idx ON profile_sync_jobs (organization_id, profile_id, started_at);
