"""The first tables: jobs, holdings, snapshots, leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "jobs",
        sa.Column("seq", sequence, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("quota_key", sa.Text),
        sa.Column("run_id", sa.Text),
        sa.Column("creation_time", sa.Double, nullable=False),
        sa.Column("start_time", sa.Double),
        sa.Column("end_time", sa.Double),
        sa.Column("execution_duration_s", sa.Integer, nullable=False),
        sa.Column("destruction_time", sa.Double, nullable=False),
        sa.Column("parameters", sa.Text, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("uploads", sa.Text, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("results", sa.Text, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("error", sa.Text),
        sa.Column("progress", sa.Text),
        sa.Column("holder", sa.Text),
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
        sa.Column("key", sa.Text, primary_key=True, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("snapshot", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("published_at", sa.Double, nullable=False),
        sa.Column("nrows", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("extra", sa.Text, nullable=False, server_default=sa.text("'{}'")),
    )
    op.create_table(
        "snapshots",
        sa.Column("file", sa.Text, primary_key=True, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
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
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("file", "holder"),
    )
    op.create_table(
        "duties",
        sa.Column("name", sa.Text, primary_key=True, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.Text, primary_key=True, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
    )


def downgrade() -> None:
    for table in ("meta", "duties", "snapshot_leases", "snapshots", "holdings", "jobs"):
        op.drop_table(table)
