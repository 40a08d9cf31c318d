-- rendered from tables.py by python -m skyvault.ledger.migrations.render
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE jobs (
	seq INTEGER NOT NULL,
	id TEXT NOT NULL,
	kind TEXT NOT NULL,
	phase TEXT NOT NULL,
	owner TEXT,
	quota_key TEXT,
	run_id TEXT,
	creation_time DOUBLE NOT NULL,
	start_time DOUBLE,
	end_time DOUBLE,
	execution_duration_s INTEGER NOT NULL,
	destruction_time DOUBLE NOT NULL,
	parameters TEXT DEFAULT '{}' NOT NULL,
	uploads TEXT DEFAULT '[]' NOT NULL,
	results TEXT DEFAULT '[]' NOT NULL,
	error TEXT,
	progress TEXT,
	holder TEXT,
	lease_until DOUBLE,
	cancel_requested INTEGER DEFAULT 0 NOT NULL,
	PRIMARY KEY (seq),
	CONSTRAINT uq_jobs_id UNIQUE (id)
);
CREATE INDEX ix_jobs_destruction ON jobs (destruction_time);
CREATE INDEX ix_jobs_held ON jobs (holder, quota_key) WHERE holder IS NOT NULL;
CREATE INDEX ix_jobs_owner ON jobs (owner, seq) WHERE owner IS NOT NULL;
CREATE INDEX ix_jobs_queued ON jobs (seq) WHERE phase = 'QUEUED';
CREATE TABLE holdings (
	"key" TEXT NOT NULL,
	name TEXT NOT NULL,
	snapshot TEXT NOT NULL,
	version INTEGER NOT NULL,
	published_at DOUBLE NOT NULL,
	nrows BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	format INTEGER NOT NULL,
	description TEXT NOT NULL,
	extra TEXT DEFAULT '{}' NOT NULL,
	PRIMARY KEY ("key")
);
CREATE TABLE snapshots (
	file TEXT NOT NULL,
	name TEXT NOT NULL,
	version INTEGER NOT NULL,
	published_at DOUBLE NOT NULL,
	nrows BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	format INTEGER NOT NULL,
	retired_at DOUBLE,
	deleted_at DOUBLE,
	PRIMARY KEY (file)
);
CREATE INDEX ix_snapshots_name ON snapshots (name, version);
CREATE TABLE snapshot_leases (
	file TEXT NOT NULL,
	holder TEXT NOT NULL,
	lease_until DOUBLE NOT NULL,
	PRIMARY KEY (file, holder)
);
CREATE TABLE duties (
	name TEXT NOT NULL,
	holder TEXT NOT NULL,
	lease_until DOUBLE NOT NULL,
	PRIMARY KEY (name)
);
CREATE TABLE downloads (
	path TEXT NOT NULL,
	address TEXT NOT NULL,
	bytes BIGINT NOT NULL,
	stored_bytes BIGINT,
	checksum TEXT,
	etag TEXT,
	fetched_at DOUBLE NOT NULL,
	PRIMARY KEY (path)
);
CREATE TABLE users (
	id TEXT NOT NULL,
	"key" TEXT NOT NULL,
	name TEXT NOT NULL,
	password_hash TEXT,
	created_at DOUBLE NOT NULL,
	quota_bytes BIGINT,
	quota_tables INTEGER,
	PRIMARY KEY (id),
	CONSTRAINT uq_users_key UNIQUE ("key")
);
CREATE TABLE group_members (
	group_name TEXT NOT NULL,
	user_id TEXT NOT NULL,
	PRIMARY KEY (group_name, user_id)
);
CREATE INDEX ix_group_members_user ON group_members (user_id);
CREATE TABLE tokens (
	id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	scopes TEXT NOT NULL,
	hash TEXT NOT NULL,
	created_at DOUBLE NOT NULL,
	expires_at DOUBLE NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX ix_tokens_expires ON tokens (expires_at);
CREATE INDEX ix_tokens_user ON tokens (user_id);
CREATE TABLE external_logins (
	issuer TEXT NOT NULL,
	subject TEXT NOT NULL,
	user_id TEXT NOT NULL,
	created_at DOUBLE NOT NULL,
	PRIMARY KEY (issuer, subject)
);
CREATE INDEX ix_external_logins_user ON external_logins (user_id);
CREATE TABLE login_attempts (
	"key" TEXT NOT NULL,
	failures INTEGER NOT NULL,
	until DOUBLE NOT NULL,
	PRIMARY KEY ("key")
);
CREATE TABLE user_tables (
	id TEXT NOT NULL,
	owner TEXT NOT NULL,
	"key" TEXT NOT NULL,
	name TEXT NOT NULL,
	snapshot TEXT NOT NULL,
	version INTEGER NOT NULL,
	created_at DOUBLE NOT NULL,
	changed_at DOUBLE NOT NULL,
	destruction_time DOUBLE NOT NULL,
	nrows BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	description TEXT NOT NULL,
	extra TEXT DEFAULT '{}' NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT uq_user_tables_owner_key UNIQUE (owner, "key")
);
CREATE INDEX ix_user_tables_destruction ON user_tables (destruction_time);
CREATE TABLE table_grants (
	table_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	grantee TEXT NOT NULL,
	created_at DOUBLE NOT NULL,
	PRIMARY KEY (table_id, kind, grantee)
);
CREATE INDEX ix_table_grants_grantee ON table_grants (kind, grantee);
CREATE TABLE audit (
	seq INTEGER NOT NULL,
	at DOUBLE NOT NULL,
	actor TEXT NOT NULL,
	act TEXT NOT NULL,
	subject TEXT NOT NULL,
	PRIMARY KEY (seq)
);
CREATE TABLE resources (
	"key" TEXT NOT NULL,
	name TEXT NOT NULL,
	path TEXT NOT NULL,
	published_at DOUBLE NOT NULL,
	loaded_at DOUBLE NOT NULL,
	document TEXT NOT NULL,
	since TEXT NOT NULL,
	PRIMARY KEY ("key")
);
CREATE TABLE action_runs (
	number INTEGER NOT NULL,
	resource TEXT NOT NULL,
	action TEXT NOT NULL,
	origin TEXT NOT NULL,
	began_at DOUBLE NOT NULL,
	ended_at DOUBLE,
	outcome TEXT NOT NULL,
	output TEXT NOT NULL,
	holder TEXT NOT NULL,
	lease_until DOUBLE NOT NULL,
	PRIMARY KEY (number)
);
CREATE INDEX ix_action_runs_action ON action_runs (resource, action, number);
CREATE TABLE registry_records (
	"key" TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	datestamp BIGINT NOT NULL,
	is_deleted INTEGER NOT NULL,
	digest TEXT NOT NULL,
	document TEXT NOT NULL,
	PRIMARY KEY ("key")
);
CREATE INDEX ix_registry_records_datestamp ON registry_records (datestamp, "key");
CREATE TABLE registry_harvests (
	address TEXT NOT NULL,
	state TEXT NOT NULL,
	PRIMARY KEY (address)
);
CREATE TABLE meta (
	"key" TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY ("key")
);
