"""Where the HiPS of collections lie: hips/<schema.table>/<digest>/ below the data directory, and which is served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from skyvault.store.layout import Layout

#: the file that names the folder that is served
CURRENT: Final = "current"


def hips_top(layout: Layout, table: str) -> Path:
    """The folder of all states of a collection's HiPS."""
    return layout.home / "hips" / table


def current_digest(top: Path) -> str | None:
    """The state that is served; None when there is none."""
    try:
        named = (top / CURRENT).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    # the name is ours; whatever else stands there leads nowhere
    return named if named.isalnum() else None


def current_hips(layout: Layout, table: str) -> Path | None:
    """The folder of tiles that is served for a collection; None when it has no HiPS."""
    top = hips_top(layout, table)
    digest = current_digest(top)
    return None if digest is None or not (top / digest / "properties").is_file() else top / digest
