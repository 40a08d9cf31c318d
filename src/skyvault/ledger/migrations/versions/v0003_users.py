"""Users, their tokens, groups and tables, and the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

#: byte by byte, whatever language a PostgreSQL database was made for
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", Text, primary_key=True, nullable=False),
        sa.Column("key", Text, nullable=False),
        sa.Column("name", Text, nullable=False),
        sa.Column("password_hash", Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("quota_bytes", sa.BigInteger),
        sa.Column("quota_tables", sa.Integer),
        sa.UniqueConstraint("key", name="uq_users_key"),
    )
    op.create_table(
        "group_members",
        sa.Column("group_name", Text, nullable=False),
        sa.Column("user_id", Text, nullable=False),
        sa.PrimaryKeyConstraint("group_name", "user_id"),
    )
    op.create_index("ix_group_members_user", "group_members", ["user_id"])
    op.create_table(
        "tokens",
        sa.Column("id", Text, primary_key=True, nullable=False),
        sa.Column("user_id", Text, nullable=False),
        sa.Column("kind", Text, nullable=False),
        sa.Column("name", Text, nullable=False),
        sa.Column("scopes", Text, nullable=False),
        sa.Column("hash", Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
    op.create_index("ix_tokens_user", "tokens", ["user_id"])
    op.create_index("ix_tokens_expires", "tokens", ["expires_at"])
    op.create_table(
        "login_attempts",
        sa.Column("key", Text, primary_key=True, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
    )
    op.create_table(
        "user_tables",
        sa.Column("id", Text, primary_key=True, nullable=False),
        sa.Column("owner", Text, nullable=False),
        sa.Column("key", Text, nullable=False),
        sa.Column("name", Text, nullable=False),
        sa.Column("snapshot", Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("destruction_time", sa.Double, nullable=False),
        sa.Column("nrows", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("description", Text, nullable=False),
        sa.Column("extra", Text, nullable=False, server_default=sa.text("'{}'")),
        sa.UniqueConstraint("owner", "key", name="uq_user_tables_owner_key"),
    )
    op.create_index("ix_user_tables_destruction", "user_tables", ["destruction_time"])
    op.create_table(
        "table_grants",
        sa.Column("table_id", Text, nullable=False),
        sa.Column("kind", Text, nullable=False),
        sa.Column("grantee", Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("table_id", "kind", "grantee"),
    )
    op.create_index("ix_table_grants_grantee", "table_grants", ["kind", "grantee"])
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("actor", Text, nullable=False),
        sa.Column("act", Text, nullable=False),
        sa.Column("subject", Text, nullable=False),
    )
