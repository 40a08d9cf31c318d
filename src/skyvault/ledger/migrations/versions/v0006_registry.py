"""The records of the publishing registry, and how far other registries have been harvested."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

#: byte by byte, whatever language a PostgreSQL database was made for
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "registry_records",
        sa.Column("key", Text, primary_key=True, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("datestamp", sa.BigInteger, nullable=False),
        sa.Column("is_deleted", sa.Integer, nullable=False),
        sa.Column("digest", Text, nullable=False),
        sa.Column("document", Text, nullable=False),
    )
    op.create_index("ix_registry_records_datestamp", "registry_records", ["datestamp", "key"])
    op.create_table(
        "registry_harvests",
        sa.Column("address", Text, primary_key=True, nullable=False),
        sa.Column("state", Text, nullable=False),
    )
