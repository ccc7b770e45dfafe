-- What the patient graph API needs beside its tables: rate limits, webhooks, and who is the same person.

ALTER TABLE clients ADD COLUMN rate_limit INTEGER;

CREATE TABLE rate_limit_hits (
	"key" TEXT NOT NULL,
	most INTEGER NOT NULL,
	span INTEGER NOT NULL,
	instants TEXT NOT NULL,
	totals TEXT NOT NULL,
	granted INTEGER NOT NULL,
	expires_at BIGINT NOT NULL,
	CONSTRAINT rate_limit_hits_pkey PRIMARY KEY ("key")
);

CREATE TABLE webhook_secrets (
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	organization_id TEXT NOT NULL,
	provider TEXT NOT NULL,
	secret TEXT NOT NULL,
	expires_at TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT webhook_secrets_pkey PRIMARY KEY (id)
);

CREATE INDEX webhook_secrets_provider_idx ON webhook_secrets (provider, organization_id);

CREATE TABLE webhook_events (
	organization_id TEXT NOT NULL,
	provider TEXT NOT NULL,
	event_id TEXT NOT NULL,
	type TEXT NOT NULL,
	occurred_at TEXT NOT NULL,
	received_at TEXT NOT NULL,
	subject_id TEXT,
	waits_for TEXT,
	body BLOB NOT NULL,
	sha256 BLOB NOT NULL,
	status TEXT NOT NULL,
	answer TEXT NOT NULL,
	CONSTRAINT webhook_events_pkey PRIMARY KEY (organization_id, provider, event_id)
);

CREATE INDEX webhook_events_subject_idx ON webhook_events (organization_id, provider, subject_id, occurred_at);

CREATE INDEX webhook_events_waits_for_idx ON webhook_events (organization_id, provider, waits_for);

CREATE TABLE identity_matches (
	organization_id TEXT NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	first_table TEXT NOT NULL,
	first_id TEXT NOT NULL,
	second_table TEXT NOT NULL,
	second_id TEXT NOT NULL,
	outcome TEXT NOT NULL,
	score TEXT NOT NULL,
	evidence TEXT DEFAULT '{}' NOT NULL,
	status TEXT DEFAULT 'open' NOT NULL,
	reviewed_at TEXT,
	reviewed_by TEXT,
	reason TEXT,
	created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
	CONSTRAINT identity_matches_pkey PRIMARY KEY (organization_id, id),
	CONSTRAINT identity_matches_outcome_check CHECK (outcome IN ('certain', 'possible', 'not')),
	CONSTRAINT identity_matches_status_check CHECK (status IN ('open', 'merged', 'rejected', 'unmerged'))
);

CREATE UNIQUE INDEX identity_matches_pair_key ON identity_matches (organization_id, first_table, first_id, second_table, second_id);
CREATE INDEX identity_matches_second_idx ON identity_matches (organization_id, second_table, second_id);
CREATE INDEX identity_matches_status_idx ON identity_matches (organization_id, status, created_at);

CREATE TABLE identity_merges (
	organization_id TEXT NOT NULL,
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	surviving_table TEXT NOT NULL,
	surviving_id TEXT NOT NULL,
	merged_table TEXT NOT NULL,
	merged_id TEXT NOT NULL,
	match_id TEXT,
	evidence TEXT DEFAULT '{}' NOT NULL,
	merged_at TEXT NOT NULL,
	merged_by TEXT NOT NULL,
	reason TEXT,
	unmerged_at TEXT,
	unmerged_by TEXT,
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
