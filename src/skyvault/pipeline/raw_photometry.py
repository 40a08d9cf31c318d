"""What one observatory measured of one source, in the archive's own columns."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, relationship

from skyvault.pipeline.column_names import guess_columns
from skyvault.pipeline.data_files import FORMATS, read_dataset, suffix_of, write_datasets
from skyvault.pipeline.faults import DataError
from skyvault.pipeline.names import file_name_of, legal_name, ra_folder
from skyvault.pipeline.stored_data import DatasetMixin
from skyvault.pipeline.table_rows import Rows, rows_of
from skyvault.pipeline.tables import Base, mjd_of_datetime, source_raw_photometry
from skyvault.science.samples import Floats

if TYPE_CHECKING:
    from skyvault.pipeline.source import Source


class RawRows(DatasetMixin):
    """What one observatory gave of one source, whatever the kind: rows in the archive's own columns.

    An empty answer is a data set too (``number`` 0): it says that the archive has nothing. ``colmap`` says which
    column is which, ``time_info`` how times become MJD.
    """

    #: sources of all projects that these data belong to
    sources: Any

    def __init__(self, data: Any = None, **values: Any) -> None:
        self._start()
        self.root, self.file_format = values.pop("root", None), values.pop("file_format", "hdf5")
        if "observatory" in values:
            values["observatory"] = legal_name(values["observatory"])
        values.setdefault("source_name", "")
        values.setdefault("observatory", "")
        filename = values.get("filename")
        if filename and Path(filename).is_absolute():
            path = Path(values["filename"])
            self.root, values["filename"] = path.parent, path.name
        elif filename and not values.get("folder") and self.root is None and Path(filename).is_file():
            self.root = Path.cwd()
        super().__init__(**values)
        if self.altdata is None:
            self.altdata = {}
        if data is not None:
            self.set_data(data)

    def set_data(self, data: Any) -> None:
        """Take rows of any table; columns are recognised unless ``colmap`` says more."""
        rows = rows_of(data)
        guessed, time_info = guess_columns(rows.dtype.names or ())
        self.colmap = {**guessed, **(self.colmap or {})}
        self.time_info = {**time_info, **(self.time_info or {})}
        self.colmap = {standard: name for standard, name in self.colmap.items() if name in (rows.dtype.names or ())}
        if "time" in self.colmap and len(rows):
            mjd = self._mjds(rows)
            finite = np.isfinite(mjd)
            if not finite.all():
                rows, mjd = rows[finite], mjd[finite]
            if len(mjd):
                self.time_start, self.time_end = float(mjd.min()), float(mjd.max())
        self._rows = rows
        self.number = len(rows)

    def _mjds(self, rows: Rows) -> Floats:
        name = (self.colmap or {}).get("time")
        if name is None:
            raise DataError(
                f"no column of the {self.data_type} of {self.source_name} is a time",
                hint=f"Columns are {', '.join(rows.dtype.names or ())[:200]}; say which one in colmap.",
            )
        if rows.dtype[name].kind == "S":
            from astropy.time import Time

            return np.asarray(Time(rows[name].astype(str), scale="utc").mjd, np.float64)
        return np.asarray(rows[name], np.float64) + float((self.time_info or {}).get("offset", 0.0))

    @property
    def mjds(self) -> Floats:
        return self._mjds(self.data)

    def column(self, standard: str) -> Rows | None:
        """The column with this meaning (mag, flux, ra, flag ...), shape (n,), or None."""
        name = (self.colmap or {}).get(standard)
        return None if name is None else self.data[name]

    def plotted(self) -> list[tuple[str, Rows, Any]]:
        """A series for each filter, by the standard names of its columns."""
        columns = {"mjd": self.mjds}
        for name in ("mag", "magerr", "flux", "fluxerr"):
            held = self.column(name)
            if held is not None:
                columns[name] = np.asarray(held, np.float64)
        rows = rows_of(columns)
        flag, filters = self.column("flag"), self.column("filter")
        doubtful = np.zeros(len(rows), np.bool_) if flag is None or flag.dtype.kind == "S" else flag != 0
        if filters is None:
            return [(self.observatory, rows, doubtful)]
        names = [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in np.unique(filters)]
        return [
            (name, rows[same], doubtful[same])
            for name, same in zip(names, (filters == one for one in np.unique(filters)), strict=True)
        ]

    def load(self) -> None:
        """Read rows and metadata from the file."""
        rows, about = read_dataset(self.get_fullname(), self.filekey)
        altdata, colmap = about.get("altdata"), about.get("colmap")
        if isinstance(altdata, dict):
            self.altdata = altdata
        if isinstance(colmap, dict):
            self.colmap, self.time_info = colmap, about.get("time_info") or {}
        # the rows are as they were saved: nothing is to be guessed or dropped once more
        if colmap is None:
            self.set_data(rows)
        self._rows, self.number = rows, len(rows)
        if not self.source_name and isinstance(about.get("source_name"), str):
            self.source_name = about["source_name"]
        if not self.observatory and isinstance(about.get("observatory"), str):
            self.observatory = about["observatory"]
        if self.time_start is None and isinstance(about.get("mjd_range"), list):
            self.time_start, self.time_end = about["mjd_range"]

    def name_file(self, ra_deg: float | None) -> None:
        """The standard place: ``<OBS>/RA<degree>/<OBS>_<kind>_<source>.h5``, key ``<kind>_<source>``.

        What is there in another format is taken, too: raw data are shared by projects, whatever they prefer.
        """
        name = file_name_of(self.source_name)
        self.folder = self.observatory
        self.filekey = f"{self.data_type}_{name}"
        begin = f"{ra_folder(ra_deg)}/{self.observatory}_{self.data_type}_{name}"
        wanted = suffix_of(self.file_format)
        self.filename = begin + wanted
        if not self.check_file_exists():
            for suffix in FORMATS.values():
                self.filename = begin + suffix
                if suffix != wanted and self.check_file_exists():
                    return
            self.filename = begin + wanted

    def save(self, ra_deg: float | None = None) -> None:
        """Write the file; its name is the standard one unless it has one. One that is there is replaced."""
        if not self.filename:
            self.name_file(self.sources[0].ra if ra_deg is None and self.sources else ra_deg)
        about = {
            "source_name": self.source_name,
            "observatory": self.observatory,
            "ra_dec": [self.sources[0].ra, self.sources[0].dec] if self.sources else None,
            "colmap": self.colmap,
            "time_info": self.time_info,
            "altdata": self.altdata,
            "mjd_range": None if self.time_start is None else [_mjd(self.time_start), _mjd(self.time_end)],
        }
        self.size = write_datasets(self.get_fullname(), [(self.filekey or self.data_type, self.data, about)])


def _mjd(time: Any) -> float:
    """A time as it is in memory (MJD), or as a database gives it (a date)."""
    return mjd_of_datetime(time) if isinstance(time, dt.datetime) else float(time)


class RawPhotometry(RawRows, Base):
    """What one observatory measured of one source: all of it, in the archive's own columns.

    See :class:`RawRows`.
    """

    __tablename__ = "raw_photometry"
    __table_args__ = (sa.UniqueConstraint("source_name", "observatory"),)

    sources: Mapped[list[Source]] = relationship(secondary=source_raw_photometry, back_populates="raw_photometry")

    @hybrid_property
    def source_id(self) -> int | None:
        """The first source these data belong to; in a query it compares with any of them."""
        return self.sources[0].id if self.sources else None

    @source_id.inplace.comparator
    @classmethod
    def _source_id_comparator(cls) -> Any:
        return _BelongsTo(cls)


class _BelongsTo:
    """``RawPhotometry.source_id == 5``: whether the link table joins them."""

    def __init__(self, cls: type[RawPhotometry]) -> None:
        self._cls = cls

    def __clause_element__(self) -> Any:
        link = source_raw_photometry.c
        return sa.select(sa.func.min(link.source_id)).where(link.raw_id == self._cls.id).scalar_subquery()

    def _exists(self, condition: Any) -> Any:
        link = source_raw_photometry.c
        return sa.exists().where(link.raw_id == self._cls.id, condition)

    def __eq__(self, other: object) -> Any:
        return self._exists(source_raw_photometry.c.source_id == other)

    def in_(self, others: Any) -> Any:
        return self._exists(source_raw_photometry.c.source_id.in_(others))

    __hash__ = None  # type: ignore[assignment]
