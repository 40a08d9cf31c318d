"""What alembic runs to migrate the ledger; the connection comes from :func:`skyvault.ledger.migrations.migrate`."""

from __future__ import annotations

from alembic import context

from skyvault.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
