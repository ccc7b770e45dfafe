-- What the patient graph API needs beside its tables: rate limits, webhooks, and who is the same person.

ALTER TABLE clients ADD COLUMN rate_limit INTEGER;

CREATE UNLOGGED TABLE rate_limit_hits (
	key TEXT COLLATE "C" NOT NULL,
	most INTEGER NOT NULL,
	span INTEGER NOT NULL,
	instants BIGINT[] NOT NULL,
	totals BIGINT[] NOT NULL,
	granted INTEGER NOT NULL,
	expires_at BIGINT NOT NULL,
	CONSTRAINT rate_limit_hits_pkey PRIMARY KEY (key)
) WITH (fillfactor = 50, toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE webhook_secrets (
	id TEXT COLLATE "C" DEFAULT (gen_random_uuid())::text NOT NULL,
	organization_id TEXT COLLATE "C" NOT NULL,
	provider TEXT COLLATE "C" NOT NULL,
	secret TEXT NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT webhook_secrets_pkey PRIMARY KEY (id)
);

CREATE INDEX webhook_secrets_provider_idx ON webhook_secrets (provider, organization_id);

CREATE TABLE webhook_events (
	organization_id TEXT COLLATE "C" NOT NULL,
	provider TEXT COLLATE "C" NOT NULL,
	event_id TEXT COLLATE "C" NOT NULL,
	type TEXT COLLATE "C" NOT NULL,
	occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
	received_at TIMESTAMP WITH TIME ZONE NOT NULL,
	subject_id TEXT COLLATE "C",
	waits_for TEXT COLLATE "C",
	body BYTEA NOT NULL,
	sha256 BYTEA NOT NULL,
	status TEXT COLLATE "C" NOT NULL,
	answer JSONB NOT NULL,
	CONSTRAINT webhook_events_pkey PRIMARY KEY (organization_id, provider, event_id)
);

CREATE INDEX webhook_events_subject_idx ON webhook_events (organization_id, provider, subject_id, occurred_at);

CREATE INDEX webhook_events_waits_for_idx ON webhook_events (organization_id, provider, waits_for);

CREATE TABLE identity_matches (
	organization_id TEXT COLLATE "C" NOT NULL,
	id TEXT COLLATE "C" DEFAULT (gen_random_uuid())::text NOT NULL,
	first_table TEXT COLLATE "C" NOT NULL,
	first_id TEXT COLLATE "C" NOT NULL,
	second_table TEXT COLLATE "C" NOT NULL,
	second_id TEXT COLLATE "C" NOT NULL,
	outcome TEXT NOT NULL,
	score NUMERIC NOT NULL,
	evidence JSONB DEFAULT '{}' NOT NULL,
	status TEXT DEFAULT 'open' NOT NULL,
	reviewed_at TIMESTAMP WITH TIME ZONE,
	reviewed_by TEXT COLLATE "C",
	reason TEXT,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT identity_matches_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT identity_matches_outcome_check CHECK (outcome IN ('certain', 'possible', 'not')),
	CONSTRAINT identity_matches_status_check CHECK (status IN ('open', 'merged', 'rejected', 'unmerged'))
);

CREATE UNIQUE INDEX identity_matches_pair_key ON identity_matches (organization_id, first_table, first_id, second_table, second_id);
CREATE INDEX identity_matches_second_idx ON identity_matches (organization_id, second_table, second_id);
CREATE INDEX identity_matches_status_idx ON identity_matches (organization_id, status, created_at);

CREATE TABLE identity_merges (
	organization_id TEXT COLLATE "C" NOT NULL,
	id TEXT COLLATE "C" DEFAULT (gen_random_uuid())::text NOT NULL,
	surviving_table TEXT COLLATE "C" NOT NULL,
	surviving_id TEXT COLLATE "C" NOT NULL,
	merged_table TEXT COLLATE "C" NOT NULL,
	merged_id TEXT COLLATE "C" NOT NULL,
	match_id TEXT COLLATE "C",
	evidence JSONB DEFAULT '{}' NOT NULL,
	merged_at TIMESTAMP WITH TIME ZONE NOT NULL,
	merged_by TEXT COLLATE "C" NOT NULL,
	reason TEXT,
	unmerged_at TIMESTAMP WITH TIME ZONE,
	unmerged_by TEXT COLLATE "C",
	unmerge_reason TEXT,
	CONSTRAINT identity_merges_pkey PRIMARY KEY (organization_id, id)
);

CREATE UNIQUE INDEX identity_merges_merged_key ON identity_merges (organization_id, merged_table, merged_id) WHERE unmerged_at IS NULL;
CREATE INDEX identity_merges_time_idx ON identity_merges (organization_id, merged_at);
CREATE INDEX identity_merges_surviving_idx ON identity_merges (organization_id, surviving_table, surviving_id);

CREATE INDEX customer_profiles_birth_idx ON customer_profiles (organization_id, date_of_birth);
CREATE INDEX customer_profiles_phone_idx ON customer_profiles (organization_id, phone_number);
CREATE INDEX customer_profiles_name_idx ON customer_profiles (organization_id, last_name, first_name);
CREATE INDEX patients_birth_idx ON patients (organization_id, date_of_birth);
CREATE INDEX patients_phone_idx ON patients (organization_id, phone);
CREATE INDEX patients_email_idx ON patients (organization_id, email);
CREATE INDEX profiles_birth_idx ON profiles (organization_id, dob);

GRANT SELECT, INSERT, UPDATE, DELETE ON rate_limit_hits TO fhir_server_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_secrets TO fhir_server_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_events TO fhir_server_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON identity_matches TO fhir_server_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON identity_merges TO fhir_server_app;
ALTER TABLE webhook_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_events FORCE ROW LEVEL SECURITY;
CREATE POLICY organization ON webhook_events USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));
ALTER TABLE identity_matches ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity_matches FORCE ROW LEVEL SECURITY;
CREATE POLICY organization ON identity_matches USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));
ALTER TABLE identity_merges ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity_merges FORCE ROW LEVEL SECURITY;
CREATE POLICY organization ON identity_merges USING (organization_id = (SELECT current_setting('app.organization_id', true))) WITH CHECK (organization_id = (SELECT current_setting('app.organization_id', true)));
