"""A spectrum of a source, ready for analysis: wavelengths in nanometres, flux, and flux over the continuum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from skyvault.pipeline.data_files import read_dataset, suffix_of, write_datasets
from skyvault.pipeline.faults import DataError
from skyvault.pipeline.names import file_name_of, legal_name, ra_folder
from skyvault.pipeline.raw_data import RawData
from skyvault.pipeline.stored_data import DatasetMixin, product_folder
from skyvault.pipeline.tables import Base, Json, mjd_of_datetime
from skyvault.science.samples import Booleans, Floats
from skyvault.science.spectral_lines import SpectralLine, continuum_of

if TYPE_CHECKING:
    from skyvault.pipeline.source import Source

_KEPT: Final = ("wavelength", "flux", "fluxerr", "flag", "continuum")


class Spectrum(DatasetMixin, Base):
    """Flux against wavelength of one source at one time.

    ``data`` has the columns wavelength (nm, in ``medium``: vacuum, air or unknown, never converted), flux and fluxerr
    (``flux_unit``), flag, continuum and normalised (flux over continuum), shape (n,), sorted by wavelength.
    """

    data_type = "spectra"
    __tablename__ = "spectra"
    __table_args__ = (sa.Index("ix_spectra_version", "project", "cfg_hash"),)

    source_id: Mapped[int] = mapped_column(sa.ForeignKey("sources.id", ondelete="CASCADE"), index=True)
    raw_data_id: Mapped[int | None] = mapped_column(sa.ForeignKey("raw_data.id", ondelete="SET NULL"), index=True)
    project: Mapped[str] = mapped_column(default="TEST_PROJECT")
    cfg_hash: Mapped[str] = mapped_column(default="")
    raw_data_filename: Mapped[str | None]
    series_number: Mapped[int] = mapped_column(default=1)
    series_total: Mapped[int] = mapped_column(default=1)
    medium: Mapped[str | None]
    flux_unit: Mapped[str | None]
    wavelength_min: Mapped[float | None]
    wavelength_max: Mapped[float | None]
    exp_time: Mapped[float | None]
    resolution: Mapped[float | None]
    snr_median: Mapped[float | None]
    #: lines that the finder found: wavelength, width, equivalent width, S/N
    lines: Mapped[Any] = mapped_column(Json, nullable=True)

    source: Mapped[Source] = relationship(back_populates="spectra")
    raw_data: Mapped[RawData | None] = relationship()

    def __init__(self, data: Any = None, *, mjd: float | None = None, **values: Any) -> None:
        """``data``: a dict of wavelength (nm) and flux, with fluxerr and flag where known, shape (n,)."""
        self._start()
        self.root, self.file_format = values.pop("root", None), values.pop("file_format", "hdf5")
        if values.get("project"):
            values["project"] = legal_name(values["project"])
        for name, default in (("altdata", None), ("source_name", ""), ("observatory", "")):
            values.setdefault(name, {} if name == "altdata" else default)
        if mjd is not None and np.isfinite(mjd):
            values["time_start"] = values["time_end"] = float(mjd)
        super().__init__(**values)
        if data is not None:
            self._measure(data)

    def _measure(self, data: Any) -> None:
        wave, flux = (np.asarray(data[name], np.float64) for name in ("wavelength", "flux"))
        if wave.ndim != 1 or wave.shape != flux.shape:
            raise DataError(f"the spectrum of {self.source_name} has {wave.size} wavelengths and {flux.size} fluxes")
        names = data.dtype.names if isinstance(data, np.ndarray) else data
        error = np.asarray(data["fluxerr"], np.float64) if "fluxerr" in names else np.full(wave.shape, np.nan)
        flag = np.asarray(data["flag"]) != 0 if "flag" in names else np.zeros(wave.shape, np.bool_)
        good = np.flatnonzero(np.isfinite(wave) & (wave > 0.0))
        order = good[np.argsort(wave[good], kind="stable")]
        wave, flux, error, flag = wave[order], flux[order], error[order], flag[order]
        usable = ~flag & np.isfinite(flux)
        continuum = np.asarray(data["continuum"], np.float64)[order] if "continuum" in names else None
        if continuum is None:
            continuum = continuum_of(wave, flux, usable)
        with np.errstate(divide="ignore", invalid="ignore"):
            normalised = np.where(continuum != 0.0, flux / continuum, np.nan)
            snr = np.abs(flux[usable]) / error[usable]
        kinds = [("wavelength", "<f8"), ("flux", "<f8"), ("fluxerr", "<f8"), ("flag", "?"), ("continuum", "<f8"),
                 ("normalised", "<f8")]  # fmt: skip
        rows = np.empty(len(wave), kinds)
        for (name, _), values in zip(kinds, (wave, flux, error, flag, continuum, normalised), strict=True):
            rows[name] = values
        self._rows, self.number = rows, len(rows)
        if len(rows):
            self.wavelength_min, self.wavelength_max = float(wave[0]), float(wave[-1])
        known = snr[np.isfinite(snr)]
        self.snr_median = float(np.median(known)) if len(known) else None

    @property
    def mjds(self) -> Floats:
        """The one time of the spectrum, shape (1,), or (0,) where it is not known."""
        time = self.time_start
        if time is None:
            return np.zeros(0)
        return np.array([time if isinstance(time, float) else mjd_of_datetime(time)])

    @property
    def is_flagged(self) -> Booleans:
        return np.asarray(self.data["flag"])

    def keep_lines(self, found: Sequence[SpectralLine]) -> None:
        """Note the lines found in this spectrum."""
        self.lines = [one.as_dict() for one in found]

    # --- on disk

    def file_part(self) -> tuple[str, Any, dict[str, Any]]:
        """Key, rows and description as they go into a file."""
        rows = self.data[list(_KEPT)]
        packed = np.empty(len(rows), [(name, rows.dtype[name]) for name in _KEPT])
        for name in _KEPT:
            packed[name] = rows[name]
        mjds = self.mjds
        about = {
            "source_name": self.source_name, "observatory": self.observatory, "altdata": self.altdata,
            "series": [self.series_number, self.series_total], "medium": self.medium, "exp_time": self.exp_time,
            "resolution": self.resolution, "mjd": float(mjds[0]) if len(mjds) else None,
            "units": {"wavelength": "nm", "flux": self.flux_unit, "fluxerr": self.flux_unit},
        }  # fmt: skip
        return self.filekey or "spectrum", packed, about

    def load(self) -> None:
        rows, about = read_dataset(self.get_fullname(), self.filekey)
        self.altdata = about.get("altdata") or self.altdata or {}
        self.medium, self.flux_unit = about.get("medium"), (about.get("units") or {}).get("flux")
        self._measure(rows)

    def __repr__(self) -> str:
        return f"<Spectrum {self.source_name} {self.observatory}: {self.number} wavelengths>"


def save_spectra(spectra: Sequence[Spectrum], ra_deg: float | None) -> None:
    """Write the spectra of one source and observatory into one file, numbered from 01 in the order given."""
    if not spectra:
        return
    first = spectra[0]
    name = file_name_of(first.source_name)
    suffix = suffix_of(first.file_format)
    for number, one in enumerate(spectra, 1):
        one.filename = f"{ra_folder(ra_deg)}/{first.observatory}_spectra_{name}_reduced{suffix}"
        one.folder = one.folder or product_folder(one.project or "TEST_PROJECT", one.cfg_hash or "")
        one.filekey = f"{name}_reduction_{number:02d}_of_{len(spectra):02d}"
    size = write_datasets(first.get_fullname(), [one.file_part() for one in spectra])
    for one in spectra:
        one.size = size // len(spectra)
