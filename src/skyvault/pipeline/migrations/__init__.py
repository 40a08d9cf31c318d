"""How the pipeline's tables came to be, version by version, and how an older database is brought up to date.

``vNNNN_*.py`` leads from the version before to NNNN. Its ``upgrade()`` is written with alembic's operations; a database
holds the number of its version in ``pipeline_schema``. New databases are made from the tables themselves.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa


def steps() -> dict[int, str]:
    """Version -> the module that leads there, oldest first."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name.startswith("v"))
    return {int(name[1:5]): f"{__name__}.{name}" for name in names}


def migrate(connection: sa.Connection, found: int) -> None:
    """Bring tables of version ``found`` to the last, within the connection's transaction: all or nothing."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    context = MigrationContext.configure(connection, opts={"transactional_ddl": True})
    with Operations.context(context):
        for version, module in steps().items():
            if version > found:
                importlib.import_module(module).upgrade()
