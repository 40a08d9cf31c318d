"""Data sets in HDF5: one group a data set with the table ``rows`` and the JSON text ``about``.

Files of AstroRetriever (pandas' fixed format) are read, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skyvault.pipeline.data_files import MOST_BYTES, Stored, about_of
from skyvault.pipeline.faults import DataError
from skyvault.pipeline.hdf5_bytes import hdf5_bytes
from skyvault.pipeline.table_rows import Rows


class Hdf5:
    """Data sets as groups of an HDF5 file."""

    def made(self, datasets: Sequence[Stored]) -> bytes:
        return hdf5_bytes(datasets)

    def keys(self, path: Path) -> list[str]:
        with _opened(path) as file:
            return list(file)

    def take(self, path: Path, key: str) -> tuple[Rows, dict[str, Any]]:
        with _opened(path) as file:
            group = _own(file, key)
            if "axis0" in group:
                from skyvault.pipeline.pandas_files import read_fixed

                return read_fixed(group)
            if "rows" not in group:
                raise DataError(f"{key!r} is no data set of the pipeline", where=str(path))
            rows = whole(_own(group, "rows"))
            if "about" in group:
                return rows, about_of(whole(_own(group, "about")).tobytes())
            return rows, about_of(group.attrs.get("about", b"{}"))


def whole(dataset: Any) -> Rows:
    """All of a dataset of an open file. Raises ValueError where it would be read from elsewhere or is too large."""
    creation = dataset.id.get_create_plist()
    if creation.get_external_count() or dataset.is_virtual:
        # a stranger's file could name any file of this machine
        raise ValueError("its rows lie in another file")
    if dataset.nbytes > MOST_BYTES:
        raise ValueError(f"it holds more than {MOST_BYTES / 2**30:.0f} GiB")
    if dataset.dtype.hasobject:
        raise ValueError("it holds texts or references of any length")
    rows: Rows = dataset[()]
    return rows


def _own(group: Any, name: str) -> Any:
    """A member that lies in this very file."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise KeyError(f"{name} is elsewhere") if name not in group else ValueError(f"{name!r} lies in another file")
    return group[name]


def _opened(path: Path) -> Any:
    import h5py

    # no locks: files are never changed once they are in place, and network disks may refuse them
    return h5py.File(path, "r", locking=False)
