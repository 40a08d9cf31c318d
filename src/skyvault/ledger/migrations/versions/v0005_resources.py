"""Published resources, and the runs of the actions that they ask for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

#: byte by byte, whatever language a PostgreSQL database was made for
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "resources",
        sa.Column("key", Text, primary_key=True, nullable=False),
        sa.Column("name", Text, nullable=False),
        sa.Column("path", Text, nullable=False),
        sa.Column("published_at", sa.Double, nullable=False),
        sa.Column("loaded_at", sa.Double, nullable=False),
        sa.Column("document", Text, nullable=False),
        sa.Column("since", Text, nullable=False),
    )
    op.create_table(
        "action_runs",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("resource", Text, nullable=False),
        sa.Column("action", Text, nullable=False),
        sa.Column("origin", Text, nullable=False),
        sa.Column("began_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("outcome", Text, nullable=False),
        sa.Column("output", Text, nullable=False),
        sa.Column("holder", Text, nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
    )
    op.create_index("ix_action_runs_action", "action_runs", ["resource", "action", "number"])
