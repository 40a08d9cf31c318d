"""Every table of the ledger, in one place: jobs, holdings, snapshots, leases, downloads, users and their tables.

Only migrations need SQLAlchemy; the running server reads and writes with the plain statements beside each noun, since
importing SQLAlchemy takes 0.4-0.8 s, as long as everything else a server does until its first answer.
``schema.*.sql`` are rendered from here (a test compares).

Times are seconds since 1970 (UTC) as doubles; documents are JSON text.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy import Text as _Text

metadata = MetaData()

#: names are compared and ordered byte by byte, whatever language the database was made for
Text = _Text().with_variant(_Text(collation="C"), "postgresql")
#: PostgreSQL counts every change in this row, and writers wait for each other at it
COUNTER_OF_CHANGES = "INSERT INTO meta (key, value) VALUES ('changes', '0') ON CONFLICT (key) DO NOTHING"

#: SQLite numbers rows by itself only in a column that is spelt INTEGER.
_Sequence = BigInteger().with_variant(Integer(), "sqlite")

jobs = Table(
    "jobs",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("owner", Text),
    Column("quota_key", Text),
    Column("run_id", Text),
    Column("creation_time", Double, nullable=False),
    Column("start_time", Double),
    Column("end_time", Double),
    Column("execution_duration_s", Integer, nullable=False),
    Column("destruction_time", Double, nullable=False),
    Column("parameters", Text, nullable=False, server_default=text("'{}'")),
    Column("uploads", Text, nullable=False, server_default=text("'[]'")),
    Column("results", Text, nullable=False, server_default=text("'[]'")),
    Column("error", Text),
    Column("progress", Text),
    # the process that runs it, and until when it has promised to say so again
    Column("holder", Text),
    Column("lease_until", Double),
    Column("cancel_requested", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("id", name="uq_jobs_id"),
)
Index("ix_jobs_queued", jobs.c.seq, sqlite_where=jobs.c.phase == "QUEUED", postgresql_where=jobs.c.phase == "QUEUED")
Index(
    "ix_jobs_held",
    jobs.c.holder,
    jobs.c.quota_key,
    sqlite_where=jobs.c.holder.is_not(None),
    postgresql_where=jobs.c.holder.is_not(None),
)
Index(
    "ix_jobs_owner",
    jobs.c.owner,
    jobs.c.seq,
    sqlite_where=jobs.c.owner.is_not(None),
    postgresql_where=jobs.c.owner.is_not(None),
)
Index("ix_jobs_destruction", jobs.c.destruction_time)

holdings = Table(
    "holdings",
    metadata,
    # names are equal in any case (ADQL 2.1, section 2.1.1): key is the name in lower case
    Column("key", Text, primary_key=True, nullable=False),
    Column("name", Text, nullable=False),
    Column("snapshot", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("published_at", Double, nullable=False),
    Column("nrows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("format", Integer, nullable=False),
    Column("description", Text, nullable=False),
    Column("extra", Text, nullable=False, server_default=text("'{}'")),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("file", Text, primary_key=True, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("published_at", Double, nullable=False),
    Column("nrows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("format", Integer, nullable=False),
    # when it ceased to be current, and when its file was deleted
    Column("retired_at", Double),
    Column("deleted_at", Double),
)
Index("ix_snapshots_name", snapshots.c.name, snapshots.c.version)

snapshot_leases = Table(
    "snapshot_leases",
    metadata,
    Column("file", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("lease_until", Double, nullable=False),
    PrimaryKeyConstraint("file", "holder"),
)

#: Duties that one process at a time may do ("janitor").
duties = Table(
    "duties",
    metadata,
    Column("name", Text, primary_key=True, nullable=False),
    Column("holder", Text, nullable=False),
    Column("lease_until", Double, nullable=False),
)

#: Files fetched from archives.
downloads = Table(
    "downloads",
    metadata,
    Column("path", Text, primary_key=True, nullable=False),
    # without secrets
    Column("address", Text, nullable=False),
    # what was sent, and what lies on disk once unpacked
    Column("bytes", BigInteger, nullable=False),
    Column("stored_bytes", BigInteger),
    Column("checksum", Text),
    Column("etag", Text),
    Column("fetched_at", Double, nullable=False),
)

#: People who may log in. ``key`` is the name in lower case; ``password_hash`` is argon2's, None: no password.
users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("key", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("password_hash", Text),
    Column("created_at", Double, nullable=False),
    # None: the operator's default
    Column("quota_bytes", BigInteger),
    Column("quota_tables", Integer),
    UniqueConstraint("key", name="uq_users_key"),
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_name", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    PrimaryKeyConstraint("group_name", "user_id"),
)
Index("ix_group_members_user", group_members.c.user_id)

#: Bearer tokens and the sessions of web pages; only a hash of the secret part is kept.
tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
)
Index("ix_tokens_user", tokens.c.user_id)
Index("ix_tokens_expires", tokens.c.expires_at)

#: People whom a login service elsewhere vouches for (OpenID Connect), and whose accounts these are.
external_logins = Table(
    "external_logins",
    metadata,
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    PrimaryKeyConstraint("issuer", "subject"),
)
Index("ix_external_logins_user", external_logins.c.user_id)

#: Failed logins, by a hash of whom and from where; forgotten after a while.
login_attempts = Table(
    "login_attempts",
    metadata,
    Column("key", Text, primary_key=True, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("until", Double, nullable=False),
)

#: Users' own tables; ``owner`` is a user's id, "" for the shared space of those who are not logged in.
user_tables = Table(
    "user_tables",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("owner", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("snapshot", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("destruction_time", Double, nullable=False),
    Column("nrows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("description", Text, nullable=False),
    Column("extra", Text, nullable=False, server_default=text("'{}'")),
    UniqueConstraint("owner", "key", name="uq_user_tables_owner_key"),
)
Index("ix_user_tables_destruction", user_tables.c.destruction_time)

#: Who may read a user's table: kind "user" (an id), "group" (a name) or "link" (hash of the link's secret).
table_grants = Table(
    "table_grants",
    metadata,
    Column("table_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("grantee", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    PrimaryKeyConstraint("table_id", "kind", "grantee"),
)
Index("ix_table_grants_grantee", table_grants.c.kind, table_grants.c.grantee)

#: Who did what when to accounts and tables; neither data nor secrets.
audit = Table(
    "audit",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("subject", Text, nullable=False),
)

#: Published resources: what their YAML says (as JSON), and since when each of their actions is asked for.
resources = Table(
    "resources",
    metadata,
    Column("key", Text, primary_key=True, nullable=False),
    Column("name", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("published_at", Double, nullable=False),
    Column("loaded_at", Double, nullable=False),
    Column("document", Text, nullable=False),
    Column("since", Text, nullable=False),
)

#: Runs of the actions of resources; the newest of each are kept.
action_runs = Table(
    "action_runs",
    metadata,
    Column("number", _Sequence, primary_key=True, autoincrement=True),
    Column("resource", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("began_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("outcome", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("lease_until", Double, nullable=False),
)
Index("ix_action_runs_action", action_runs.c.resource, action_runs.c.action, action_runs.c.number)

#: What the publishing registry gives out: one row a record, deleted ones for ever. Times are whole seconds.
registry_records = Table(
    "registry_records",
    metadata,
    # the IVOID in lower case
    Column("key", Text, primary_key=True, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("datestamp", BigInteger, nullable=False),
    Column("is_deleted", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("document", Text, nullable=False),
)
Index("ix_registry_records_datestamp", registry_records.c.datestamp, registry_records.c.key)

#: How far other registries have been harvested, as JSON.
registry_harvests = Table(
    "registry_harvests",
    metadata,
    Column("address", Text, primary_key=True, nullable=False),
    Column("state", Text, nullable=False),
)

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True, nullable=False),
    Column("value", Text, nullable=False),
)
