-- The health hub: profiles, their connections to providers, and the records that were fetched there.

CREATE TABLE profiles (
	organization_id TEXT COLLATE "C" DEFAULT COALESCE(NULLIF(current_setting('app.organization_id', true), ''), 'health-hub') NOT NULL,
	id TEXT COLLATE "C" DEFAULT (gen_random_uuid())::text NOT NULL,
	user_id TEXT COLLATE "C" NOT NULL,
	display_name TEXT NOT NULL,
	legal_name TEXT,
	dob DATE,
	relationship TEXT,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT profiles_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT profiles_user_id_fkey FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX profiles_user_id_idx ON profiles (organization_id, user_id, created_at);

CREATE TABLE oauth_states (
	organization_id TEXT COLLATE "C" DEFAULT COALESCE(NULLIF(current_setting('app.organization_id', true), ''), 'health-hub') NOT NULL,
	state TEXT COLLATE "C" NOT NULL,
	user_id TEXT COLLATE "C" NOT NULL,
	profile_id TEXT COLLATE "C" NOT NULL,
	provider TEXT COLLATE "C" NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT oauth_states_pkey PRIMARY KEY (organization_id, state),
	CONSTRAINT oauth_states_user_id_fkey FOREIGN KEY(user_id) REFERENCES users (id),
	CONSTRAINT oauth_states_profile_id_fkey FOREIGN KEY(organization_id, profile_id) REFERENCES profiles (organization_id, id) ON DELETE CASCADE
);

CREATE INDEX oauth_states_expires_at_idx ON oauth_states (organization_id, expires_at);

CREATE INDEX oauth_states_profile_id_idx ON oauth_states (organization_id, profile_id);

CREATE TABLE profile_emr_connections (
	organization_id TEXT COLLATE "C" DEFAULT COALESCE(NULLIF(current_setting('app.organization_id', true), ''), 'health-hub') NOT NULL,
	id TEXT COLLATE "C" DEFAULT (gen_random_uuid())::text NOT NULL,
	profile_id TEXT COLLATE "C" NOT NULL,
	provider TEXT COLLATE "C" NOT NULL,
	patient_emr_id TEXT COLLATE "C" NOT NULL,
	access_token_encrypted TEXT NOT NULL,
	refresh_token_encrypted TEXT,
	expires_at TIMESTAMP WITH TIME ZONE,
	scope TEXT,
	status TEXT DEFAULT 'connected' NOT NULL,
	last_error TEXT,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT profile_emr_connections_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT profile_emr_connections_profile_id_fkey FOREIGN KEY(organization_id, profile_id) REFERENCES profiles (organization_id, id) ON DELETE CASCADE
);

CREATE INDEX profile_emr_connections_patient_emr_id_idx ON profile_emr_connections (organization_id, provider, patient_emr_id);

CREATE UNIQUE INDEX uniq_profile_provider ON profile_emr_connections (organization_id, profile_id, provider);

CREATE TABLE profile_fhir_resources_raw (
	organization_id TEXT COLLATE "C" DEFAULT COALESCE(NULLIF(current_setting('app.organization_id', true), ''), 'health-hub') NOT NULL,
	id TEXT COLLATE "C" DEFAULT (gen_random_uuid())::text NOT NULL,
	profile_id TEXT COLLATE "C" NOT NULL,
	provider TEXT COLLATE "C" NOT NULL,
	resource_type TEXT COLLATE "C" NOT NULL,
	resource_id TEXT COLLATE "C" NOT NULL,
	resource_json BYTEA NOT NULL,
	sha256 TEXT COLLATE "C",
	fetch_url TEXT,
	etag TEXT,
	fetched_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT profile_fhir_resources_raw_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT profile_fhir_resources_raw_profile_id_fkey FOREIGN KEY(organization_id, profile_id) REFERENCES profiles (organization_id, id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX profile_fhir_resources_raw_resource_id_idx ON profile_fhir_resources_raw (organization_id, profile_id, provider, resource_type, resource_id);

CREATE TABLE profile_fhir_resources_normalized (
	organization_id TEXT COLLATE "C" DEFAULT COALESCE(NULLIF(current_setting('app.organization_id', true), ''), 'health-hub') NOT NULL,
	id TEXT COLLATE "C" DEFAULT (gen_random_uuid())::text NOT NULL,
	profile_id TEXT COLLATE "C" NOT NULL,
	provider TEXT COLLATE "C" NOT NULL,
	resource_type TEXT COLLATE "C" NOT NULL,
	canonical_code TEXT COLLATE "C",
	normalized_json JSONB NOT NULL,
	normalized_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT profile_fhir_resources_normalized_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT profile_fhir_resources_normalized_profile_id_fkey FOREIGN KEY(organization_id, profile_id) REFERENCES profiles (organization_id, id) ON DELETE CASCADE
);

CREATE INDEX profile_fhir_resources_normalized_canonical_code_idx ON profile_fhir_resources_normalized (organization_id, profile_id, resource_type, canonical_code);

CREATE TABLE profile_fhir_resources_clean (
	organization_id TEXT COLLATE "C" DEFAULT COALESCE(NULLIF(current_setting('app.organization_id', true), ''), 'health-hub') NOT NULL,
	id TEXT COLLATE "C" DEFAULT (gen_random_uuid())::text NOT NULL,
	profile_id TEXT COLLATE "C" NOT NULL,
	resource_type TEXT COLLATE "C" NOT NULL,
	clean_json JSONB NOT NULL,
	sources JSONB NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT profile_fhir_resources_clean_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT profile_fhir_resources_clean_profile_id_fkey FOREIGN KEY(organization_id, profile_id) REFERENCES profiles (organization_id, id) ON DELETE CASCADE
);

CREATE INDEX profile_fhir_resources_clean_resource_type_idx ON profile_fhir_resources_clean (organization_id, profile_id, resource_type);

CREATE TABLE profile_summary (
	organization_id TEXT COLLATE "C" DEFAULT COALESCE(NULLIF(current_setting('app.organization_id', true), ''), 'health-hub') NOT NULL,
	profile_id TEXT COLLATE "C" NOT NULL,
	summary_json JSONB,
	status TEXT DEFAULT 'absent' NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT profile_summary_pkey PRIMARY KEY (organization_id, profile_id),
	CONSTRAINT profile_summary_profile_id_fkey FOREIGN KEY(organization_id, profile_id) REFERENCES profiles (organization_id, id) ON DELETE CASCADE,
	CONSTRAINT profile_summary_status_check CHECK (status IN ('absent', 'syncing', 'ready', 'error'))
);

CREATE TABLE profile_sync_jobs (
	organization_id TEXT COLLATE "C" DEFAULT COALESCE(NULLIF(current_setting('app.organization_id', true), ''), 'health-hub') NOT NULL,
	id TEXT COLLATE "C" DEFAULT (gen_random_uuid())::text NOT NULL,
	profile_id TEXT COLLATE "C" NOT NULL,
	provider TEXT COLLATE "C" NOT NULL,
	status TEXT NOT NULL,
	started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	finished_at TIMESTAMP WITH TIME ZONE,
	resources_fetched INTEGER,
	error_message TEXT,
	CONSTRAINT profile_sync_jobs_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT profile_sync_jobs_profile_id_fkey FOREIGN KEY(organization_id, profile_id) REFERENCES profiles (organization_id, id) ON DELETE CASCADE,
	CONSTRAINT profile_sync_jobs_status_check CHECK (status IN ('running', 'success', 'failed'))
);

CREATE INDEX profile_sync_jobs_started_at_idx ON profile_sync_jobs (organization_id, profile_id, started_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON profiles TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON oauth_states TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON profile_emr_connections TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON profile_fhir_resources_raw TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON profile_fhir_resources_normalized TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON profile_fhir_resources_clean TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON profile_summary TO fhir_server_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON profile_sync_jobs TO fhir_server_app;

ALTER TABLE profiles ENABLE ROW LEVEL SECURITY;

ALTER TABLE profiles FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON profiles USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE oauth_states ENABLE ROW LEVEL SECURITY;

ALTER TABLE oauth_states FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON oauth_states USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE profile_emr_connections ENABLE ROW LEVEL SECURITY;

ALTER TABLE profile_emr_connections FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON profile_emr_connections USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE profile_fhir_resources_raw ENABLE ROW LEVEL SECURITY;

ALTER TABLE profile_fhir_resources_raw FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON profile_fhir_resources_raw USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE profile_fhir_resources_normalized ENABLE ROW LEVEL SECURITY;

ALTER TABLE profile_fhir_resources_normalized FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON profile_fhir_resources_normalized USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE profile_fhir_resources_clean ENABLE ROW LEVEL SECURITY;

ALTER TABLE profile_fhir_resources_clean FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON profile_fhir_resources_clean USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE profile_summary ENABLE ROW LEVEL SECURITY;

ALTER TABLE profile_summary FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON profile_summary USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));

ALTER TABLE profile_sync_jobs ENABLE ROW LEVEL SECURITY;

ALTER TABLE profile_sync_jobs FORCE ROW LEVEL SECURITY;

CREATE POLICY organization ON profile_sync_jobs USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));
