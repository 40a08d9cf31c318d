"""A published resource is written down in the ledger, so that every server knows of its actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import Layout

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.publish.resource_file import ResourceFile


def register(file: ResourceFile, settings: Settings, *, is_load: bool = True) -> None:
    """Write down what the YAML says now. ``is_load``: actions that run ``on: loaded`` are to run."""
    document = file.resource.model_dump(mode="json", by_alias=True, exclude_none=True)
    layout = Layout.of(settings)
    layout.make()
    with open_home_ledger(layout) as ledger:
        ledger.resources.register(file.resource.schema_name, str(file.path), document, is_load=is_load)
