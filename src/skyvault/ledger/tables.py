"""Every table of the ledger, in one place: jobs, holdings, snapshots, leases, downloads.

Only migrations (and a ledger on another database than SQLite) need SQLAlchemy; the running server reads and
writes with the plain statements beside each noun, since importing SQLAlchemy takes 0.4-0.8 s, as long as
everything else a server does until its first answer. ``schema.sql`` is rendered from here (a test compares).

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
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

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

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True, nullable=False),
    Column("value", Text, nullable=False),
)
