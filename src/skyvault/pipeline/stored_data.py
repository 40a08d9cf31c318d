"""What is kept of a source on disk: where a data set lies, when its rows are read, and its times.

Rows are structured arrays of shape (n,), loaded when they are first asked for. Each data set knows its folder, file and
key.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column, reconstructor

from skyvault.pipeline.data_files import file_keys
from skyvault.pipeline.faults import DataError, DataMissing
from skyvault.pipeline.table_rows import Rows
from skyvault.pipeline.tables import Json, Mjd, datetime_of_mjd
from skyvault.science.samples import Floats


def data_root() -> Path:
    """Where raw data and products lie: ``dataset.DATA_ROOT`` where that was set, RETRIEVER_DATA, else ``pipeline`` in
    SKYVAULT_HOME."""
    module = sys.modules.get("skyvault.pipeline.dataset")
    folder = vars(module).get("DATA_ROOT") if module is not None else None
    folder = folder or os.environ.get("RETRIEVER_DATA")
    if folder:
        return Path(folder).expanduser().absolute()
    from skyvault.config import Settings

    return Settings().home / "pipeline"


def product_folder(project: str, cfg_hash: str) -> str:
    """The folder of a project's products: with version control one for each version."""
    return f"{project}_{cfg_hash}" if cfg_hash else project


class DatasetMixin:
    """What all data sets have: a place on disk, rows, times.

    ``root`` is the data root where it is not :func:`data_root`; ``folder`` lies below it, ``filename`` below that,
    ``filekey`` is the group in the file. ``file_format`` (hdf5, fits, parquet) is that of a file yet to be made.
    """

    data_type = "photometry"

    filename: Mapped[str | None] = mapped_column(index=True)
    folder: Mapped[str | None]
    filekey: Mapped[str | None]
    observatory: Mapped[str] = mapped_column(index=True)
    source_name: Mapped[str] = mapped_column(index=True)
    colmap: Mapped[Any] = mapped_column(Json, nullable=True)
    time_info: Mapped[Any] = mapped_column(Json, nullable=True)
    altdata: Mapped[Any] = mapped_column(Json, nullable=True)
    time_start: Mapped[Any] = mapped_column(Mjd, nullable=True)
    time_end: Mapped[Any] = mapped_column(Mjd, nullable=True)
    number: Mapped[int | None]
    size: Mapped[int | None]

    root: Path | None
    file_format: str
    _rows: Rows | None
    _file_about: dict[str, Any]

    @reconstructor
    def _start(self) -> None:
        self.root, self.file_format, self._rows, self._file_about = None, "hdf5", None, {}

    @property
    def data(self) -> Rows:
        """The rows, shape (n,); read from disk when they are first asked for.

        Raises DataMissing where the file is gone, DataError where it is damaged.
        """
        if self._rows is None:
            self.load()
        assert self._rows is not None
        return self._rows

    @property
    def is_data_loaded(self) -> bool:
        return self._rows is not None

    def is_empty(self) -> bool:
        """Whether the archive had nothing."""
        return self.number == 0 if self.number is not None else not len(self.data)

    def get_path(self) -> Path:
        """The folder that holds ``filename``."""
        return (self.root or data_root()) / (self.folder or "")

    def get_fullname(self) -> Path:
        """Path of the file. Raises DataError before it has a name."""
        if not self.filename:
            raise DataError(f"the {type(self).__name__} of {self.source_name} has no file name", hint="Call save().")
        if self.filename.startswith("/") or ".." in self.filename.split("/"):
            raise DataError("a file name must lie below its folder", where=self.filename)
        return self.get_path() / self.filename

    def check_file_exists(self) -> bool:
        return bool(self.filename) and os.path.isfile(self.get_fullname())

    def check_data_exists(self) -> bool:
        """Whether the rows are in memory, or in a file that can be read."""
        if self._rows is not None:
            return True
        try:
            self.load()
        except (DataMissing, DataError):
            return False
        return True

    def get_file_keys(self) -> list[str]:
        """Keys of all data sets in the file. Raises DataMissing and DataError."""
        return file_keys(self.get_fullname())

    def delete_data_from_disk(self) -> None:
        """Remove the file, with all data sets in it, and its folder where it is empty then."""
        if self.check_file_exists():
            path = self.get_fullname()
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()

    def plot(self, ftype: str = "mag", ttype: str = "mjd", ax: Any = None) -> Any:
        """Magnitudes (or ``ftype`` "flux") against time (``ttype`` "mjd", or "times" for dates), a colour a filter;
        returns matplotlib's axes, whose ``figure`` can be saved."""
        from skyvault.pipeline.photometry_plot import plot_photometry

        title = f"{self.source_name}, {self.observatory}".strip(", ")
        return plot_photometry(self.plotted(), ftype=ftype, ttype=ttype, title=title, ax=ax)

    plot_photometry = plot

    def plotted(self) -> list[tuple[str, Rows, Any]]:
        """Series of a picture: label, rows by their standard names, mask of doubtful ones."""
        raise NotImplementedError

    def load(self) -> None:
        raise NotImplementedError

    @property
    def mjds(self) -> Floats:
        """Times as MJD, in the scale the survey gives, shape (n,)."""
        raise NotImplementedError

    @property
    def times(self) -> list[Any]:
        """Times as datetime, of the survey's scale."""
        return [datetime_of_mjd(mjd) for mjd in self.mjds.tolist()]
