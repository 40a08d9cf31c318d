"""Files fetched from archives."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

#: byte by byte, whatever language a PostgreSQL database was made for
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "downloads",
        sa.Column("path", Text, primary_key=True, nullable=False),
        sa.Column("address", Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("stored_bytes", sa.BigInteger),
        sa.Column("checksum", Text),
        sa.Column("etag", Text),
        sa.Column("fetched_at", sa.Double, nullable=False),
    )
