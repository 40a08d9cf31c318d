-- rendered from tables.py by python -m skyvault.ledger.migrations.render
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE jobs (
	seq BIGSERIAL NOT NULL,
	id TEXT COLLATE "C" NOT NULL,
	kind TEXT COLLATE "C" NOT NULL,
	phase TEXT COLLATE "C" NOT NULL,
	owner TEXT COLLATE "C",
	quota_key TEXT COLLATE "C",
	run_id TEXT COLLATE "C",
	creation_time DOUBLE PRECISION NOT NULL,
	start_time DOUBLE PRECISION,
	end_time DOUBLE PRECISION,
	execution_duration_s INTEGER NOT NULL,
	destruction_time DOUBLE PRECISION NOT NULL,
	parameters TEXT COLLATE "C" DEFAULT '{}' NOT NULL,
	uploads TEXT COLLATE "C" DEFAULT '[]' NOT NULL,
	results TEXT COLLATE "C" DEFAULT '[]' NOT NULL,
	error TEXT COLLATE "C",
	progress TEXT COLLATE "C",
	holder TEXT COLLATE "C",
	lease_until DOUBLE PRECISION,
	cancel_requested INTEGER DEFAULT 0 NOT NULL,
	PRIMARY KEY (seq),
	CONSTRAINT uq_jobs_id UNIQUE (id)
);
CREATE INDEX ix_jobs_destruction ON jobs (destruction_time);
CREATE INDEX ix_jobs_held ON jobs (holder, quota_key) WHERE holder IS NOT NULL;
CREATE INDEX ix_jobs_owner ON jobs (owner, seq) WHERE owner IS NOT NULL;
CREATE INDEX ix_jobs_queued ON jobs (seq) WHERE phase = 'QUEUED';
CREATE TABLE holdings (
	key TEXT COLLATE "C" NOT NULL,
	name TEXT COLLATE "C" NOT NULL,
	snapshot TEXT COLLATE "C" NOT NULL,
	version INTEGER NOT NULL,
	published_at DOUBLE PRECISION NOT NULL,
	nrows BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	format INTEGER NOT NULL,
	description TEXT COLLATE "C" NOT NULL,
	extra TEXT COLLATE "C" DEFAULT '{}' NOT NULL,
	PRIMARY KEY (key)
);
CREATE TABLE snapshots (
	file TEXT COLLATE "C" NOT NULL,
	name TEXT COLLATE "C" NOT NULL,
	version INTEGER NOT NULL,
	published_at DOUBLE PRECISION NOT NULL,
	nrows BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	format INTEGER NOT NULL,
	retired_at DOUBLE PRECISION,
	deleted_at DOUBLE PRECISION,
	PRIMARY KEY (file)
);
CREATE INDEX ix_snapshots_name ON snapshots (name, version);
CREATE TABLE snapshot_leases (
	file TEXT COLLATE "C" NOT NULL,
	holder TEXT COLLATE "C" NOT NULL,
	lease_until DOUBLE PRECISION NOT NULL,
	PRIMARY KEY (file, holder)
);
CREATE TABLE duties (
	name TEXT COLLATE "C" NOT NULL,
	holder TEXT COLLATE "C" NOT NULL,
	lease_until DOUBLE PRECISION NOT NULL,
	PRIMARY KEY (name)
);
CREATE TABLE downloads (
	path TEXT COLLATE "C" NOT NULL,
	address TEXT COLLATE "C" NOT NULL,
	bytes BIGINT NOT NULL,
	stored_bytes BIGINT,
	checksum TEXT COLLATE "C",
	etag TEXT COLLATE "C",
	fetched_at DOUBLE PRECISION NOT NULL,
	PRIMARY KEY (path)
);
CREATE TABLE users (
	id TEXT COLLATE "C" NOT NULL,
	key TEXT COLLATE "C" NOT NULL,
	name TEXT COLLATE "C" NOT NULL,
	password_hash TEXT COLLATE "C",
	created_at DOUBLE PRECISION NOT NULL,
	quota_bytes BIGINT,
	quota_tables INTEGER,
	PRIMARY KEY (id),
	CONSTRAINT uq_users_key UNIQUE (key)
);
CREATE TABLE group_members (
	group_name TEXT COLLATE "C" NOT NULL,
	user_id TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (group_name, user_id)
);
CREATE INDEX ix_group_members_user ON group_members (user_id);
CREATE TABLE tokens (
	id TEXT COLLATE "C" NOT NULL,
	user_id TEXT COLLATE "C" NOT NULL,
	kind TEXT COLLATE "C" NOT NULL,
	name TEXT COLLATE "C" NOT NULL,
	scopes TEXT COLLATE "C" NOT NULL,
	hash TEXT COLLATE "C" NOT NULL,
	created_at DOUBLE PRECISION NOT NULL,
	expires_at DOUBLE PRECISION NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX ix_tokens_expires ON tokens (expires_at);
CREATE INDEX ix_tokens_user ON tokens (user_id);
CREATE TABLE external_logins (
	issuer TEXT COLLATE "C" NOT NULL,
	subject TEXT COLLATE "C" NOT NULL,
	user_id TEXT COLLATE "C" NOT NULL,
	created_at DOUBLE PRECISION NOT NULL,
	PRIMARY KEY (issuer, subject)
);
CREATE INDEX ix_external_logins_user ON external_logins (user_id);
CREATE TABLE login_attempts (
	key TEXT COLLATE "C" NOT NULL,
	failures INTEGER NOT NULL,
	until DOUBLE PRECISION NOT NULL,
	PRIMARY KEY (key)
);
CREATE TABLE user_tables (
	id TEXT COLLATE "C" NOT NULL,
	owner TEXT COLLATE "C" NOT NULL,
	key TEXT COLLATE "C" NOT NULL,
	name TEXT COLLATE "C" NOT NULL,
	snapshot TEXT COLLATE "C" NOT NULL,
	version INTEGER NOT NULL,
	created_at DOUBLE PRECISION NOT NULL,
	changed_at DOUBLE PRECISION NOT NULL,
	destruction_time DOUBLE PRECISION NOT NULL,
	nrows BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	description TEXT COLLATE "C" NOT NULL,
	extra TEXT COLLATE "C" DEFAULT '{}' NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT uq_user_tables_owner_key UNIQUE (owner, key)
);
CREATE INDEX ix_user_tables_destruction ON user_tables (destruction_time);
CREATE TABLE table_grants (
	table_id TEXT COLLATE "C" NOT NULL,
	kind TEXT COLLATE "C" NOT NULL,
	grantee TEXT COLLATE "C" NOT NULL,
	created_at DOUBLE PRECISION NOT NULL,
	PRIMARY KEY (table_id, kind, grantee)
);
CREATE INDEX ix_table_grants_grantee ON table_grants (kind, grantee);
CREATE TABLE audit (
	seq BIGSERIAL NOT NULL,
	at DOUBLE PRECISION NOT NULL,
	actor TEXT COLLATE "C" NOT NULL,
	act TEXT COLLATE "C" NOT NULL,
	subject TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (seq)
);
CREATE TABLE resources (
	key TEXT COLLATE "C" NOT NULL,
	name TEXT COLLATE "C" NOT NULL,
	path TEXT COLLATE "C" NOT NULL,
	published_at DOUBLE PRECISION NOT NULL,
	loaded_at DOUBLE PRECISION NOT NULL,
	document TEXT COLLATE "C" NOT NULL,
	since TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (key)
);
CREATE TABLE action_runs (
	number BIGSERIAL NOT NULL,
	resource TEXT COLLATE "C" NOT NULL,
	action TEXT COLLATE "C" NOT NULL,
	origin TEXT COLLATE "C" NOT NULL,
	began_at DOUBLE PRECISION NOT NULL,
	ended_at DOUBLE PRECISION,
	outcome TEXT COLLATE "C" NOT NULL,
	output TEXT COLLATE "C" NOT NULL,
	holder TEXT COLLATE "C" NOT NULL,
	lease_until DOUBLE PRECISION NOT NULL,
	PRIMARY KEY (number)
);
CREATE INDEX ix_action_runs_action ON action_runs (resource, action, number);
CREATE TABLE registry_records (
	key TEXT COLLATE "C" NOT NULL,
	created_at BIGINT NOT NULL,
	datestamp BIGINT NOT NULL,
	is_deleted INTEGER NOT NULL,
	digest TEXT COLLATE "C" NOT NULL,
	document TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (key)
);
CREATE INDEX ix_registry_records_datestamp ON registry_records (datestamp, key);
CREATE TABLE registry_harvests (
	address TEXT COLLATE "C" NOT NULL,
	state TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (address)
);
CREATE TABLE meta (
	key TEXT COLLATE "C" NOT NULL,
	value TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (key)
);
INSERT INTO meta (key, value) VALUES ('changes', '0') ON CONFLICT (key) DO NOTHING;
