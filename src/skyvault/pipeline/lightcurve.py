"""A light curve: flux against time of one source in one filter, with its statistics."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from skyvault.pipeline.data_files import read_dataset, suffix_of, write_datasets
from skyvault.pipeline.faults import DataError
from skyvault.pipeline.names import file_name_of, legal_name, ra_folder
from skyvault.pipeline.raw_photometry import RawPhotometry
from skyvault.pipeline.stored_data import DatasetMixin, product_folder
from skyvault.pipeline.table_rows import Rows, rows_of
from skyvault.pipeline.tables import Base
from skyvault.science.photometry_statistics import (
    AB_ZERO_POINT,
    POGSON,
    FluxStatistics,
    flux_from_mag,
    mag_from_flux,
    sampling,
    statistics,
)
from skyvault.science.samples import Booleans, Floats

if TYPE_CHECKING:
    from skyvault.pipeline.source import Source

#: columns of a light curve that are kept on disk; all others follow from them
_KEPT: Final = ("mjd", "exptime", "ra", "dec", "mag", "magerr", "flux", "fluxerr", "flag", "pos1", "pos2", "bg")
_EXPOSURE_KEYS: Final = ("exptime", "exp_time", "exposure_time", "exposuretime", "EXP_TIME")


class Lightcurve(DatasetMixin, Base):
    """Flux against time of one source in one filter, usually of one season, with its statistics.

    ``data`` has the columns mjd, exptime, ra, dec, mag, magerr, flux (microjansky), fluxerr, flag, snr, dsnr, dmag, and
    after analysis qflag, offset, detected. Statistics leave out flagged rows.
    """

    __tablename__ = "lightcurves"
    __table_args__ = (sa.Index("ix_lightcurves_version", "project", "cfg_hash"),)

    source_id: Mapped[int] = mapped_column(sa.ForeignKey("sources.id", ondelete="CASCADE"), index=True)
    raw_data_id: Mapped[int | None] = mapped_column(sa.ForeignKey("raw_photometry.id", ondelete="SET NULL"), index=True)
    project: Mapped[str] = mapped_column(default="TEST_PROJECT")
    cfg_hash: Mapped[str] = mapped_column(default="")
    raw_data_filename: Mapped[str | None]
    series_number: Mapped[int] = mapped_column(default=1)
    series_total: Mapped[int] = mapped_column(default=1)
    simulation_number: Mapped[int | None]
    was_processed: Mapped[bool] = mapped_column(default=False)
    is_simulated: Mapped[bool] = mapped_column(default=False)
    filter: Mapped[str | None]
    exp_time: Mapped[float | None]
    frame_rate: Mapped[float | None]
    is_uniformly_sampled: Mapped[bool | None]
    zero_point_instrumental: Mapped[float | None]
    zero_point_measured: Mapped[float | None]
    num_good: Mapped[int | None]
    flux_mean: Mapped[float | None]
    flux_rms: Mapped[float | None]
    flux_mean_robust: Mapped[float | None]
    flux_rms_robust: Mapped[float | None]
    flux_max: Mapped[float | None]
    flux_min: Mapped[float | None]
    snr_max: Mapped[float | None]
    snr_min: Mapped[float | None]
    snr_median: Mapped[float | None]
    dsnr_max: Mapped[float | None]
    dsnr_min: Mapped[float | None]
    dmag_brightest: Mapped[float | None]
    dmag_faintest: Mapped[float | None]

    source: Mapped[Source] = relationship(back_populates="lightcurves")
    raw_data: Mapped[RawPhotometry | None] = relationship()

    def __init__(self, data: Any = None, **values: Any) -> None:
        """``data``: columns by standard name (mjd or time, mag and magerr or flux and fluxerr, filter ...)."""
        self._start()
        self.root, self.file_format = values.pop("root", None), values.pop("file_format", "hdf5")
        if values.get("project"):
            values["project"] = legal_name(values["project"])
        for name, default in (("altdata", None), ("source_name", ""), ("observatory", "")):
            values.setdefault(name, {} if name == "altdata" else default)
        super().__init__(**{"was_processed": False, "is_simulated": False, **values})
        if data is not None:
            self._measure(data)

    def _measure(self, data: Any) -> None:
        columns = _by_name(data)
        mjd = columns["mjd"]
        if len(mjd) > 1 and (np.diff(mjd) < 0.0).any():
            order = np.argsort(mjd, kind="stable")
            columns = {name: values[order] for name, values in columns.items()}
            mjd = columns["mjd"]
        self._set_filter(columns.pop("filter", None))
        self._set_fluxes(columns)
        flag = columns.setdefault("flag", np.zeros(len(mjd), np.bool_))
        flagged = np.asarray(flag != 0)
        numbers, stands_out = statistics(columns["flux"], columns["fluxerr"], flagged)
        values = {field: getattr(numbers, field) for field in _STATISTICS}
        self._take({field: None if value != value else value for field, value in values.items()})
        columns |= {"snr": stands_out.snr, "dsnr": stands_out.dsnr, "dmag": stands_out.dmag}
        self._set_exposure(columns)
        rate, is_uniform = sampling(mjd)
        self.frame_rate, self.is_uniformly_sampled = None if rate != rate else rate, is_uniform
        self.number = len(mjd)
        if len(mjd):
            self.time_start, self.time_end = float(mjd[0]), float(mjd[-1])
        self._rows = _rows(columns)

    def _take(self, values: dict[str, Any]) -> None:
        """Set columns that no relationship depends on. SQLAlchemy's own way notes each change, which takes longer than
        the statistics; what a new object holds is written anyway, and what was loaded follows from the file."""
        self.__dict__.update(values)

    def _set_filter(self, column: Rows | None) -> None:
        if column is None:
            self.filter = self.filter or self.observatory or None
            return
        if not len(column):
            return
        if (column != column[0]).any():
            names = sorted({_text(name) for name in column.tolist()})
            raise DataError(f"a light curve is of one filter, and these rows are of {', '.join(names)}"[:200])
        self.filter = _text(column[0])

    def _set_fluxes(self, columns: dict[str, Any]) -> None:
        zero_point = self.zero_point_instrumental or AB_ZERO_POINT
        if "flux" not in columns and "mag" not in columns:
            raise DataError(f"the light curve of {self.source_name} has neither fluxes nor magnitudes")
        nothing = np.full(len(columns["mjd"]), np.nan)
        if "flux" not in columns:
            columns["flux"], columns["fluxerr"] = flux_from_mag(
                columns["mag"], columns.setdefault("magerr", nothing), zero_point
            )
            self._file_about["derived"] = ["flux", "fluxerr"]
        elif "mag" not in columns:
            columns["mag"], columns["magerr"] = mag_from_flux(
                columns["flux"], columns.setdefault("fluxerr", nothing), zero_point
            )
            self._file_about["derived"] = ["mag", "magerr"]
        columns.setdefault("magerr", nothing)
        columns.setdefault("fluxerr", nothing)

    def _set_exposure(self, columns: dict[str, Any]) -> None:
        if "exptime" in columns:
            known = columns["exptime"][np.isfinite(columns["exptime"])]
            if len(known):
                self.exp_time = float(known[0]) if (known == known[0]).all() else float(np.median(known))
            # a column of NaN says that the survey does not tell
        elif self.exp_time is None:
            found = next((self.altdata[key] for key in _EXPOSURE_KEYS if key in self.altdata), None)
            if found is None:
                raise DataError(
                    f"No exposure time is known for the light curve of {self.source_name}",
                    hint="Give a column exptime or altdata['exptime'] in seconds.",
                )
            self.exp_time = float(found)

    @property
    def mjds(self) -> Floats:
        return np.asarray(self.data["mjd"], np.float64)

    @property
    def is_flagged(self) -> Booleans:
        """Rows the survey itself warns of, shape (n,)."""
        return np.asarray(self.data["flag"] != 0)

    def with_columns(self, **new: Any) -> None:
        """Add or replace columns, shape (n,)."""
        names = self.data.dtype.names or ()
        self._rows = _rows({**{name: self.data[name] for name in names}, **new})

    def copied(self) -> Lightcurve:
        """The same light curve, not yet of any source, database or file."""
        made = Lightcurve()
        held = self.__dict__
        made._take({name: held[name] if name in held else getattr(self, name) for name in _COPIED})
        made.altdata, made.root, made.file_format = dict(self.altdata or {}), self.root, self.file_format
        made._rows, made._file_about = self.data.copy(), dict(self._file_about)
        return made

    def plotted(self) -> list[tuple[str, Rows, Any]]:
        rows = self.data
        doubtful = self.is_flagged | rows["qflag"] if "qflag" in (rows.dtype.names or ()) else self.is_flagged
        return [(self.filter or self.observatory, rows, doubtful)]

    # --- magnitudes of the fluxes

    def _mag(self, flux: float | None) -> float | None:
        if flux is None or not flux > 0.0:
            return None
        return float((self.zero_point_instrumental or AB_ZERO_POINT) - 2.5 * np.log10(flux))

    @property
    def mag_mean(self) -> float | None:
        return self._mag(self.flux_mean)

    @property
    def mag_mean_robust(self) -> float | None:
        return self._mag(self.flux_mean_robust)

    @property
    def mag_brightest(self) -> float | None:
        return self._mag(self.flux_max)

    @property
    def mag_faintest(self) -> float | None:
        return self._mag(self.flux_min)

    @property
    def mag_rms_robust(self) -> float | None:
        if self.flux_rms_robust is None or not self.flux_mean_robust:
            return None
        return float(self.flux_rms_robust / self.flux_mean_robust * POGSON)

    # --- on disk

    def file_part(self) -> tuple[str, Rows, dict[str, Any]]:
        """Key, rows and description as they go into a file; what follows from other columns is left out."""
        derived = self._file_about.get("derived", ())
        names = [n for n in _KEPT if n in (self.data.dtype.names or ()) and n not in derived]
        about = {
            "source_name": self.source_name, "observatory": self.observatory, "filter": self.filter,
            "series": [self.series_number, self.series_total], "altdata": self.altdata, "exp_time": self.exp_time,
            "zero_point": self.zero_point_instrumental, "is_simulated": self.is_simulated,
            "units": {"mjd": "d", "exptime": "s", "ra": "deg", "dec": "deg", "mag": "mag", "flux": "uJy"},
        }  # fmt: skip
        return self.filekey or "lightcurve", _rows({name: self.data[name] for name in names}), about

    def save(self) -> None:
        """Write the file of this light curve alone; :func:`save_lightcurves` writes all of a source together."""
        if not self.filename:
            save_lightcurves([self], self.source.ra if self.source is not None else None)
            return
        self.size = write_datasets(self.get_fullname(), [self.file_part()])

    def load(self) -> None:
        rows, about = read_dataset(self.get_fullname(), self.filekey)
        columns = _by_name(rows)
        self.altdata = about.get("altdata") or self.altdata or {}
        self.exp_time = about.get("exp_time") if self.exp_time is None else self.exp_time
        if self.filter is None:
            self.filter = about.get("filter")
        self.zero_point_instrumental = about.get("zero_point")
        columns.pop("filter", None)
        self._measure(columns)

    def __repr__(self) -> str:
        return f"<Lightcurve {self.source_name} {self.observatory} {self.filter}: {self.number} epochs>"


_STATISTICS: Final = tuple(field.name for field in dataclasses.fields(FluxStatistics))
#: what a copy takes over: everything but its place in database and files
_COPIED: Final = tuple(
    str(name)
    for name in Lightcurve.__mapper__.columns.keys()  # noqa: SIM118 - no dict
    if name not in ("id", "source_id", "filename", "filekey", "folder", "size", "raw_data_id")
)


def save_lightcurves(curves: list[Lightcurve], ra_deg: float | None, *, suffix: str = "reduced") -> None:
    """Write the light curves of one source and observatory into one file, numbered from 01 in the order given.

    The file is that of the raw data with ``_reduced`` appended, in the folder of the project (and version).
    """
    if not curves:
        return
    first = curves[0]
    name = file_name_of(first.source_name)
    filename = f"{ra_folder(ra_deg)}/{first.observatory}_photometry_{name}_{suffix}{suffix_of(first.file_format)}"
    word = {"reduced": "reduction"}.get(suffix, suffix)
    for number, curve in enumerate(curves, 1):
        curve.filename = filename
        curve.folder = curve.folder or product_folder(curve.project or "TEST_PROJECT", curve.cfg_hash or "")
        curve.filekey = f"{name}_{word}_{number:02d}_of_{len(curves):02d}"
    size = write_datasets(first.get_fullname(), [curve.file_part() for curve in curves])
    for curve in curves:
        curve.size = size // len(curves)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _by_name(data: Any) -> dict[str, Any]:
    rows = data if isinstance(data, dict) else rows_of(data)
    names = tuple(rows) if isinstance(rows, dict) else rows.dtype.names or ()
    columns = {name: np.asarray(rows[name]) for name in names}
    if "mjd" not in columns:
        if "time" not in columns:
            raise DataError("a light curve needs times: a column mjd")
        columns["mjd"] = columns.pop("time")
    columns.pop("time", None)
    for name in ("mjd", "mag", "magerr", "flux", "fluxerr", "exptime", "ra", "dec"):
        if name in columns and columns[name].dtype != np.float64:
            columns[name] = columns[name].astype(np.float64)
    return columns


def _rows(columns: dict[str, Any]) -> Rows:
    rows = np.empty(len(columns["mjd"]), [(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        rows[name] = values
    return rows
