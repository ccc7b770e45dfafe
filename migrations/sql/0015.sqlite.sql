-- What the authorization server remembers, and what clients and users have for it.

ALTER TABLE users ADD COLUMN mfa_last_step BIGINT;
ALTER TABLE clients ADD COLUMN previous_secret TEXT;
ALTER TABLE clients ADD COLUMN previous_secret_until BIGINT;
ALTER TABLE clients ADD COLUMN logo_uri TEXT;
ALTER TABLE clients ADD COLUMN publisher TEXT;
ALTER TABLE clients ADD COLUMN is_verified BOOLEAN DEFAULT 0 NOT NULL;
ALTER TABLE clients ADD COLUMN is_native BOOLEAN DEFAULT 0 NOT NULL;
ALTER TABLE clients ADD COLUMN is_partner BOOLEAN DEFAULT 0 NOT NULL;
ALTER TABLE clients ADD COLUMN may_introspect BOOLEAN DEFAULT 0 NOT NULL;
ALTER TABLE clients ADD COLUMN is_dynamic BOOLEAN DEFAULT 0 NOT NULL;
ALTER TABLE clients ADD COLUMN required_scope TEXT DEFAULT '' NOT NULL;
ALTER TABLE clients ADD COLUMN access_token_ttl INTEGER;
ALTER TABLE clients ADD COLUMN refresh_token_ttl INTEGER;

CREATE TABLE sessions (
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	browser TEXT NOT NULL,
	user_id TEXT NOT NULL,
	organization_id TEXT,
	second_factor_at BIGINT,
	second_factor_failures INTEGER DEFAULT '0' NOT NULL,
	authenticated_at BIGINT NOT NULL,
	last_seen_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	ended_at BIGINT,
	identity_provider TEXT,
	CONSTRAINT sessions_pkey PRIMARY KEY (id),
	CONSTRAINT sessions_user_id_fkey FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
	CONSTRAINT sessions_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organizations (id)
);

CREATE UNIQUE INDEX sessions_browser_key ON sessions (browser);

CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

CREATE INDEX sessions_user_id_idx ON sessions (user_id);

CREATE TABLE authorization_requests (
	id TEXT NOT NULL,
	browser TEXT,
	client_id TEXT NOT NULL,
	parameters TEXT NOT NULL,
	choices TEXT NOT NULL,
	launch_id TEXT,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	finished_at BIGINT,
	CONSTRAINT authorization_requests_pkey PRIMARY KEY (id),
	CONSTRAINT authorization_requests_client_id_fkey FOREIGN KEY(client_id) REFERENCES clients (id) ON DELETE CASCADE
);

CREATE INDEX authorization_requests_expires_at_idx ON authorization_requests (expires_at);

CREATE TABLE grants (
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	client_id TEXT NOT NULL,
	user_id TEXT,
	organization_id TEXT NOT NULL,
	role TEXT NOT NULL,
	scope TEXT NOT NULL,
	patient TEXT,
	encounter TEXT,
	fhir_user TEXT,
	context TEXT DEFAULT '{}' NOT NULL,
	session_id TEXT,
	break_glass_id TEXT,
	authenticated_at BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	last_used_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	revoked_at BIGINT,
	revoked_for TEXT,
	CONSTRAINT grants_pkey PRIMARY KEY (id),
	CONSTRAINT grants_client_id_fkey FOREIGN KEY(client_id) REFERENCES clients (id) ON DELETE CASCADE,
	CONSTRAINT grants_user_id_fkey FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
	CONSTRAINT grants_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organizations (id)
);

CREATE INDEX grants_expires_at_idx ON grants (expires_at);

CREATE INDEX grants_session_id_idx ON grants (session_id);

CREATE INDEX grants_user_id_idx ON grants (user_id, client_id);

CREATE TABLE authorization_codes (
	code TEXT NOT NULL,
	grant_id TEXT NOT NULL,
	client_id TEXT NOT NULL,
	redirect_uri TEXT NOT NULL,
	code_challenge TEXT NOT NULL,
	nonce TEXT,
	max_age BOOLEAN DEFAULT 0 NOT NULL,
	expires_at BIGINT NOT NULL,
	used_at BIGINT,
	CONSTRAINT authorization_codes_pkey PRIMARY KEY (code),
	CONSTRAINT authorization_codes_grant_id_fkey FOREIGN KEY(grant_id) REFERENCES grants (id) ON DELETE CASCADE,
	CONSTRAINT authorization_codes_client_id_fkey FOREIGN KEY(client_id) REFERENCES clients (id) ON DELETE CASCADE
);

CREATE INDEX authorization_codes_expires_at_idx ON authorization_codes (expires_at);

CREATE INDEX authorization_codes_grant_id_idx ON authorization_codes (grant_id);

CREATE TABLE refresh_tokens (
	token TEXT NOT NULL,
	grant_id TEXT NOT NULL,
	issued_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	used_at BIGINT,
	CONSTRAINT refresh_tokens_pkey PRIMARY KEY (token),
	CONSTRAINT refresh_tokens_grant_id_fkey FOREIGN KEY(grant_id) REFERENCES grants (id) ON DELETE CASCADE
);

CREATE INDEX refresh_tokens_expires_at_idx ON refresh_tokens (expires_at);

CREATE INDEX refresh_tokens_grant_id_idx ON refresh_tokens (grant_id);

CREATE TABLE client_assertions (
	client_id TEXT NOT NULL,
	jti TEXT NOT NULL,
	expires_at BIGINT NOT NULL,
	CONSTRAINT client_assertions_pkey PRIMARY KEY (client_id, jti),
	CONSTRAINT client_assertions_client_id_fkey FOREIGN KEY(client_id) REFERENCES clients (id) ON DELETE CASCADE
);

CREATE INDEX client_assertions_expires_at_idx ON client_assertions (expires_at);

CREATE TABLE launches (
	id TEXT NOT NULL,
	client_id TEXT NOT NULL,
	user_id TEXT,
	organization_id TEXT NOT NULL,
	patient TEXT,
	encounter TEXT,
	context TEXT DEFAULT '{}' NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	used_at BIGINT,
	CONSTRAINT launches_pkey PRIMARY KEY (id),
	CONSTRAINT launches_client_id_fkey FOREIGN KEY(client_id) REFERENCES clients (id) ON DELETE CASCADE,
	CONSTRAINT launches_user_id_fkey FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
	CONSTRAINT launches_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organizations (id)
);

CREATE INDEX launches_expires_at_idx ON launches (expires_at);

CREATE TABLE sign_in_failures (
	kind TEXT NOT NULL,
	value TEXT NOT NULL,
	failures INTEGER NOT NULL,
	failed_at BIGINT NOT NULL,
	blocked_until BIGINT NOT NULL,
	CONSTRAINT sign_in_failures_pkey PRIMARY KEY (kind, value)
);

CREATE INDEX sign_in_failures_failed_at_idx ON sign_in_failures (failed_at);

CREATE TABLE registration_tokens (
	token TEXT NOT NULL,
	organization_id TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	used_at BIGINT,
	CONSTRAINT registration_tokens_pkey PRIMARY KEY (token),
	CONSTRAINT registration_tokens_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organizations (id)
);

CREATE TABLE break_glass (
	id TEXT DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL,
	user_id TEXT NOT NULL,
	organization_id TEXT NOT NULL,
	patient TEXT NOT NULL,
	reason TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	ended_at BIGINT,
	CONSTRAINT break_glass_pkey PRIMARY KEY (id),
	CONSTRAINT break_glass_user_id_fkey FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
	CONSTRAINT break_glass_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organizations (id)
);

CREATE INDEX break_glass_user_id_idx ON break_glass (user_id, expires_at);
