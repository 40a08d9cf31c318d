"""The first tables: jobs, holdings, snapshots, leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

#: byte by byte, whatever language a PostgreSQL database was made for
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "jobs",
        sa.Column("seq", sequence, primary_key=True, autoincrement=True),
        sa.Column("id", Text, nullable=False),
        sa.Column("kind", Text, nullable=False),
        sa.Column("phase", Text, nullable=False),
        sa.Column("owner", Text),
        sa.Column("quota_key", Text),
        sa.Column("run_id", Text),
        sa.Column("creation_time", sa.Double, nullable=False),
        sa.Column("start_time", sa.Double),
        sa.Column("end_time", sa.Double),
        sa.Column("execution_duration_s", sa.Integer, nullable=False),
        sa.Column("destruction_time", sa.Double, nullable=False),
        sa.Column("parameters", Text, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("uploads", Text, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("results", Text, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("error", Text),
        sa.Column("progress", Text),
        sa.Column("holder", Text),
        sa.Column("lease_until", sa.Double),
        sa.Column("cancel_requested", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
    )
    for name, columns, where in (
        ("ix_jobs_queued", ["seq"], "phase = 'QUEUED'"),
        ("ix_jobs_held", ["holder", "quota_key"], "holder IS NOT NULL"),
        ("ix_jobs_owner", ["owner", "seq"], "owner IS NOT NULL"),
    ):
        op.create_index(name, "jobs", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    op.create_index("ix_jobs_destruction", "jobs", ["destruction_time"])
    op.create_table(
        "holdings",
        sa.Column("key", Text, primary_key=True, nullable=False),
        sa.Column("name", Text, nullable=False),
        sa.Column("snapshot", Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("published_at", sa.Double, nullable=False),
        sa.Column("nrows", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("description", Text, nullable=False),
        sa.Column("extra", Text, nullable=False, server_default=sa.text("'{}'")),
    )
    op.create_table(
        "snapshots",
        sa.Column("file", Text, primary_key=True, nullable=False),
        sa.Column("name", Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("published_at", sa.Double, nullable=False),
        sa.Column("nrows", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("retired_at", sa.Double),
        sa.Column("deleted_at", sa.Double),
    )
    op.create_index("ix_snapshots_name", "snapshots", ["name", "version"])
    op.create_table(
        "snapshot_leases",
        sa.Column("file", Text, nullable=False),
        sa.Column("holder", Text, nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("file", "holder"),
    )
    op.create_table(
        "duties",
        sa.Column("name", Text, primary_key=True, nullable=False),
        sa.Column("holder", Text, nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
    )
    op.create_table(
        "meta",
        sa.Column("key", Text, primary_key=True, nullable=False),
        sa.Column("value", Text, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        # writers wait for each other at this row
        op.execute("INSERT INTO meta (key, value) VALUES ('changes', '0')")


def downgrade() -> None:
    for table in ("meta", "duties", "snapshot_leases", "snapshots", "holdings", "jobs"):
        op.drop_table(table)
