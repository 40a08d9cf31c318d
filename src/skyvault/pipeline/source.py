"""One astronomical object of a project, and what was found out about it: its rows in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from skyvault.pipeline.dataset import Lightcurve, RawPhotometry
from skyvault.pipeline.names import legal_name
from skyvault.pipeline.raw_data import RawCutouts, RawData, RawImages, RawSpectra
from skyvault.pipeline.spectrum import Spectrum
from skyvault.pipeline.tables import Base, Json, Mjd, source_raw_data, source_raw_photometry

if TYPE_CHECKING:
    from skyvault.science.thumbnail import Thumbnail

Level = Literal["raw", "reduced", "processed", "simulated"]


class Source(Base):
    """An entry of a target list in one version of a project. ``ra`` and ``dec`` are ICRS degrees.

    ``name`` is unique in a project and version. Source knows its raw data (shared by projects), light curves,
    detections and, once analysed, properties.
    """

    __tablename__ = "sources"
    __table_args__ = (sa.UniqueConstraint("project", "cfg_hash", "name"),)

    name: Mapped[str] = mapped_column(index=True)
    ra: Mapped[float]
    dec: Mapped[float]
    project: Mapped[str] = mapped_column(default="TEST_PROJECT")
    cfg_hash: Mapped[str] = mapped_column(default="")
    origin: Mapped[str | None]
    classification: Mapped[str | None]
    aliases: Mapped[Any] = mapped_column(Json, nullable=True)
    local_names: Mapped[Any] = mapped_column(Json, nullable=True)
    mag: Mapped[float | None]
    mag_err: Mapped[float | None]
    mag_filter: Mapped[str | None]
    cat_index: Mapped[int | None]
    cat_name: Mapped[str | None]
    cat_row: Mapped[Any] = mapped_column(Json, nullable=True)

    raw_photometry: Mapped[list[RawPhotometry]] = relationship(
        secondary=source_raw_photometry, back_populates="sources"
    )
    raw_data: Mapped[list[RawData]] = relationship(secondary=source_raw_data, back_populates="sources")
    spectra: Mapped[list[Spectrum]] = relationship(
        back_populates="source", cascade="all, delete-orphan", passive_deletes=True, order_by=Spectrum.series_number
    )
    lightcurves: Mapped[list[Lightcurve]] = relationship(
        back_populates="source", cascade="all, delete-orphan", passive_deletes=True, order_by=Lightcurve.series_number
    )
    detections: Mapped[list[Detection]] = relationship(
        back_populates="source", cascade="all, delete-orphan", passive_deletes=True
    )
    # what a source is asked for most; it comes along, so that it is there when the session is closed
    properties: Mapped[Properties | None] = relationship(
        back_populates="source", cascade="all, delete-orphan", passive_deletes=True, lazy="selectin"
    )

    def __init__(self, **values: Any) -> None:
        if values.get("project"):
            values["project"] = legal_name(values["project"])
        super().__init__(**values)

    @property
    def reduced_lightcurves(self) -> list[Lightcurve]:
        return [one for one in self.lightcurves if not one.was_processed and not one.is_simulated]

    @property
    def processed_lightcurves(self) -> list[Lightcurve]:
        return [one for one in self.lightcurves if one.was_processed and not one.is_simulated]

    @property
    def simulated_lightcurves(self) -> list[Lightcurve]:
        return [one for one in self.lightcurves if one.is_simulated]

    # short names people type
    rl = reduced_lightcurves
    pl = processed_lightcurves
    sl = simulated_lightcurves

    @property
    def raw_images(self) -> list[RawImages]:
        return [one for one in self.raw_data if isinstance(one, RawImages) and not isinstance(one, RawCutouts)]

    @property
    def raw_cutouts(self) -> list[RawCutouts]:
        return [one for one in self.raw_data if isinstance(one, RawCutouts)]

    @property
    def raw_spectra(self) -> list[RawSpectra]:
        return [one for one in self.raw_data if isinstance(one, RawSpectra)]

    @property
    def rp(self) -> list[RawPhotometry]:
        return self.raw_photometry

    def get_data(self, obs: str, data_type: str | None = None, level: Level = "raw") -> list[Any]:
        """The data sets of one observatory: raw ones of ``data_type`` (photometry, images, ...; None: all),
        or light curves of a level, and of spectra the reduced ones. Nothing is loaded from disk yet."""
        name = legal_name(getattr(obs, "name", obs))
        held: list[Any]
        if level == "raw":
            held = [*self.raw_photometry, *self.raw_data]
        else:
            held = [*getattr(self, f"{level}_lightcurves"), *(self.spectra if level == "reduced" else ())]
        return [one for one in held if one.observatory == name and data_type in (None, one.data_type)]

    def plot_photometry(self, ax: Any = None, ftype: str = "mag", ttype: str = "times") -> Any:
        """All reduced light curves of the source in one picture (raw photometry where there are none); returns axes."""
        from skyvault.pipeline.photometry_plot import plot_photometry

        held = self.reduced_lightcurves or self.raw_photometry
        parts = [
            (f"{one.observatory} {label}" if label != one.observatory else label, rows, doubtful)
            for one in held for label, rows, doubtful in one.plotted()
        ]  # fmt: skip
        return plot_photometry(parts, ftype=ftype, ttype=ttype, title=self.name, ax=ax)

    def __repr__(self) -> str:
        return f"<Source {self.name} at {self.ra:.5f} {self.dec:+.5f}>"


class Detection(Base):
    """Something found in the data of a source, or in data with a simulated event (``simulated``).

    ``snr`` has the sign of the event: negative for dips. ``peak_mag_diff`` is brighter than usual where positive.
    ``wavelength_*`` (nm) and ``pixel_*`` are of detections in spectra and images.
    """

    __tablename__ = "detections"

    source_id: Mapped[int] = mapped_column(sa.ForeignKey("sources.id", ondelete="CASCADE"), index=True)
    lightcurve_id: Mapped[int | None] = mapped_column(sa.ForeignKey("lightcurves.id", ondelete="SET NULL"))
    source_name: Mapped[str]
    project: Mapped[str] = mapped_column(index=True)
    cfg_hash: Mapped[str] = mapped_column(default="")
    method: Mapped[str]
    data_types: Mapped[Any] = mapped_column(Json)
    observatory: Mapped[str | None]
    filter: Mapped[str | None]
    time_start: Mapped[Any] = mapped_column(Mjd, nullable=True)
    time_end: Mapped[Any] = mapped_column(Mjd, nullable=True)
    simulated: Mapped[bool] = mapped_column(default=False)
    sim_pars: Mapped[Any] = mapped_column(Json, nullable=True)
    snr: Mapped[float | None] = mapped_column(index=True)
    score: Mapped[float | None]
    extra_scores: Mapped[Any] = mapped_column(Json, nullable=True)
    quality_flag: Mapped[bool | None]
    quality_values: Mapped[Any] = mapped_column(Json, nullable=True)
    peak_time: Mapped[Any] = mapped_column(Mjd, nullable=True)
    peak_start: Mapped[Any] = mapped_column(Mjd, nullable=True)
    peak_end: Mapped[Any] = mapped_column(Mjd, nullable=True)
    peak_mag: Mapped[float | None]
    peak_mag_diff: Mapped[float | None]
    raw_photometry_peak_number: Mapped[int | None]
    raw_photometry_data_ranges: Mapped[Any] = mapped_column(Json, nullable=True)
    processed_photometry_peak_number: Mapped[int | None]
    processed_photometry_data_ranges: Mapped[Any] = mapped_column(Json, nullable=True)
    matched_filter_kernel_index: Mapped[int | None]
    matched_filter_kernel_props: Mapped[Any] = mapped_column(Json, nullable=True)
    matched_filter_bank_name: Mapped[str | None]
    wavelength_start: Mapped[float | None]
    wavelength_end: Mapped[float | None]
    wavelength_peak: Mapped[float | None]
    pixel_x: Mapped[float | None]
    pixel_y: Mapped[float | None]
    thumbnail: Mapped[bytes | None] = mapped_column(sa.LargeBinary)

    source: Mapped[Source] = relationship(back_populates="detections")

    def get_thumbnail(self) -> Thumbnail | None:
        """Points of the light curve around the event and of the rest, or None where none were kept."""
        from skyvault.science.thumbnail import Thumbnail

        return None if self.thumbnail is None else Thumbnail.from_bytes(self.thumbnail)

    def thumbnail_png(self, width: int = 180, height: int = 72) -> bytes | None:
        """A small picture of the light curve (left) and of the event (right, red), or None."""
        held = self.get_thumbnail()
        return None if held is None else held.png(width, height)

    def _repr_png_(self) -> bytes | None:
        return self.thumbnail_png(360, 144)

    def __repr__(self) -> str:
        return f"<Detection in {self.source_name}: S/N {self.snr if self.snr is not None else float('nan'):.2f}>"


class Properties(Base):
    """Summary of a source. Its row says that the source has been analysed; ``has_data`` is False for empty answers."""

    __tablename__ = "properties"
    __table_args__ = (sa.UniqueConstraint("project", "cfg_hash", "source_name"),)

    source_id: Mapped[int] = mapped_column(sa.ForeignKey("sources.id", ondelete="CASCADE"), unique=True)
    source_name: Mapped[str]
    project: Mapped[str]
    cfg_hash: Mapped[str] = mapped_column(default="")
    has_data: Mapped[bool]
    props: Mapped[Any] = mapped_column(Json, default=dict)

    source: Mapped[Source] = relationship(back_populates="properties")
