"""A published resource is written down in the ledger, so that every server knows of its actions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from skyvault.errors import Conflict
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import Layout

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.publish.resource_file import ResourceFile


def refuse_other(file: ResourceFile, settings: Settings) -> None:
    """Raises Conflict where another resource of this schema has actions, which would silently run no more."""
    layout = Layout.of(settings)
    if not layout.has_ledger():
        return
    with open_home_ledger(layout) as ledger:
        known = ledger.resources.find(file.resource.schema_name)
    if known is None or not known.document.get("actions") or known.path == str(file.path):
        return
    if Path(known.path).is_file():
        raise Conflict(
            f"the schema {file.resource.schema_name} is that of {known.path}, which has actions",
            where=file.place("schema"),
            hint=f"Name another schema, or end those: skyvault actions stop {known.name}.",
        )


def register(file: ResourceFile, settings: Settings, *, is_load: bool = True) -> None:
    """Write down what the YAML says now. ``is_load``: actions that run ``on: loaded`` are to run."""
    document = file.resource.model_dump(mode="json", by_alias=True, exclude_none=True)
    layout = Layout.of(settings)
    layout.make()
    with open_home_ledger(layout) as ledger:
        ledger.resources.register(file.resource.schema_name, str(file.path), document, is_load=is_load)
