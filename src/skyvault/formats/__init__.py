"""Tables as files and documents: VOTable, FITS, Parquet, Arrow, CSV, TSV, ECSV, JSON, HTML, in and out.

``open_table`` reads any of them, ``negotiate`` chooses how a table is written. Both are loaded when first used: whoever
only needs a small document does not wait for Arrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyvault.formats.registry import OUTPUT_FORMATS, OutputFormat, format_of_suffix, negotiate, open_table
    from skyvault.formats.source import ReadLimits
    from skyvault.formats.stream import TableStream

_HOME_OF = {
    "OUTPUT_FORMATS": "registry",
    "OutputFormat": "registry",
    "ReadLimits": "source",
    "TableStream": "stream",
    "format_of_suffix": "registry",
    "negotiate": "registry",
    "open_table": "registry",
}

__all__ = [
    "OUTPUT_FORMATS",
    "OutputFormat",
    "ReadLimits",
    "TableStream",
    "format_of_suffix",
    "negotiate",
    "open_table",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'skyvault.formats' has no name {name!r}")
    import importlib

    return getattr(importlib.import_module(f"skyvault.formats.{home}"), name)
