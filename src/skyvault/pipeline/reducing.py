"""From what a survey gave to what is analysed: light curves of photometry and images, and spectra of spectra."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from skyvault.pipeline.dataset import Lightcurve, RawPhotometry, save_lightcurves
from skyvault.pipeline.faults import DataError, DataMissing, ParameterValueError
from skyvault.pipeline.image_reduction import photometry_of_images
from skyvault.pipeline.raw_data import RawData, RawImages, RawSpectra
from skyvault.pipeline.raw_photometry import RawRows
from skyvault.pipeline.source import Source
from skyvault.pipeline.spectrum import Spectrum, save_spectra
from skyvault.pipeline.spectrum_reduction import spectra_of
from skyvault.science.light_curve_reduction import by_filter_and_season
from skyvault.science.photometry_statistics import median_place
from skyvault.science.samples import Indices
from skyvault.science.star_motion import places_at
from skyvault.science.time_scales import TDB_BARYCENTER, AlignedTimes, Site, TimeFrame, to_barycenter

#: columns of raw photometry that light curves keep
_TAKEN_OVER: Final = (
    "exptime", "ra", "dec", "mag", "magerr", "flux", "fluxerr", "flag", "filter", "pos1", "pos2", "bg",
)  # fmt: skip
#: the magnitude of one count where nobody knows it: light curves of counts have magnitudes that only differ rightly
_ANY_ZERO_POINT: Final = 25.0


def described(times: AlignedTimes) -> dict[str, Any]:
    """What a light curve says about its times: scale and place, None where they are not known, and why they stayed."""
    about: dict[str, Any] = {"time_scale": times.frame.scale, "time_position": times.frame.position}
    return about if times.reason is None else {**about, "time_note": times.reason}


class Reducing:
    """What an observatory does with raw data; override ``reduce_photometry`` and its kin, the rest stays as it is."""

    pars: Any
    name: str
    root: Path | None
    cfg_hash: str
    #: where the telescope stands, for times that are of the telescope
    site: ClassVar[Site | None] = None

    @property
    def project(self) -> str:
        return self.pars.project or "TEST_PROJECT"

    # --- for subclasses ----------------------------------------------------------------------------------------

    def reduce_photometry(
        self, dataset: RawPhotometry, source: Source | None = None, *, gap: float = 0.0, drop_bad: bool = False,
        **kwargs: Any,
    ) -> list[Lightcurve]:  # fmt: skip
        """Light curves of raw photometry: one a filter, and a season where ``gap`` (days) is positive."""
        rows = dataset.data
        if not len(rows):
            return []
        return self.pieces(dataset, np.ones(len(rows), np.bool_), gap=gap, drop_bad=drop_bad)

    def reduce_images(
        self, dataset: RawImages, source: Source | None = None, *, method: str = "forced",
        aperture_radius: float | None = None, zero_point: float | None = None, gain_electrons: float | None = None,
        aperture_correction: bool = True, gap: float = 0.0, drop_bad: bool = False, **kwargs: Any,
    ) -> list[Lightcurve]:  # fmt: skip
        """Light curves of a source measured on images: one a filter (and season), flux in microjansky (AB) where the
        images state their zero points, else in counts.

        ``method`` "forced" measures where the source's motion has brought it at an image's time, "aperture" at the
        centre of light near there; ``aperture_radius`` is in arcsec, by default 1.75 times the width of the image's
        stars. ``zero_point`` and ``gain_electrons`` (a count) are for images whose headers state none. Images that
        cannot be measured are listed in altdata ``problems``. Raises DataError for a source without a place.
        """
        rows = dataset.data
        if not len(rows):
            return []
        ra, dec = (source.ra, source.dec) if source is not None else self._place_of(dataset)
        if ra is None or dec is None:
            raise DataError(f"where {dataset.source_name} is, is not known", hint="Give its source.")
        names = rows.dtype.names or ()
        nothing = np.full(len(rows), np.nan)
        measured = photometry_of_images(
            dataset.paths(), (ra, dec), method=method, radius_arcsec=aperture_radius, zero_point=zero_point,
            mjd=np.asarray(rows["mjd"], np.float64) if "mjd" in names else nothing,
            exptime=np.asarray(rows["exptime"], np.float64) if "exptime" in names else nothing,
            zero_points=np.asarray(rows["zero_point"], np.float64) if "zero_point" in names else nothing,
            filters=[_text(one) for one in rows["filter"]] if "filter" in names else [""] * len(rows),
            gain=gain_electrons, aperture_correction=aperture_correction,
            place_at=None if source is None else _way(source),
        )  # fmt: skip
        made: list[Lightcurve] = []
        about: dict[str, Any] = {"data_type": dataset.data_type, "method": method, "off_image": measured.off_image}
        if measured.problems:
            about["problems"] = measured.problems[:100]
        is_flux = np.isfinite(measured.zero_point)
        times = self._aligned(measured.columns["mjd"], dataset, (ra, dec))
        filters = np.array(measured.filters, dtype=np.str_)
        good = measured.columns["flag"] == 0 if drop_bad else np.ones(len(filters), np.bool_)
        for known in (True, False):
            rows_of = np.flatnonzero((is_flux == known) & good)
            for piece in by_filter_and_season(times.mjd[rows_of], filters[rows_of], gap):
                chosen = rows_of[piece]
                columns = {name: values[chosen] for name, values in measured.columns.items()} | {
                    "mjd": times.mjd[chosen]
                }
                unit = {"flux_unit": "uJy"} if known else {"flux_unit": "count", "magnitudes": "relative"}
                made.append(self.lightcurve(
                    dataset, columns, zero_point=None if known else _ANY_ZERO_POINT,
                    **described(times), **about, **unit, filter=str(filters[chosen[0]]) or None,
                ))  # fmt: skip
        return made

    def reduce_cutouts(self, dataset: RawImages, source: Source | None = None, **kwargs: Any) -> list[Lightcurve]:
        """As :meth:`reduce_images`, of small parts of images."""
        return self.reduce_images(dataset, source, **kwargs)

    def reduce_spectra(
        self, dataset: RawSpectra, source: Source | None = None, *, drop_bad: bool = False, **kwargs: Any
    ) -> list[Spectrum]:
        """Spectra in nanometres, in the medium (vacuum, air) and flux unit they came in, with their continua."""
        return [
            Spectrum(
                columns, mjd=about.get("mjd"), source_name=dataset.source_name, observatory=self.name,
                project=self.project, cfg_hash=self.cfg_hash, raw_data_filename=dataset.filename, root=self.root,
                file_format=self.pars.file_format, medium=about.get("medium"), flux_unit=about.get("flux_unit"),
                exp_time=about.get("exptime"), resolution=about.get("resolution"), altdata=about,
            ) for columns, about in spectra_of(dataset, drop_bad=drop_bad)
        ]  # fmt: skip

    # --- what they build on ------------------------------------------------------------------------------------

    def pieces(
        self, dataset: RawPhotometry, keep: Any, *, gap: float, drop_bad: bool,
        each: Callable[[Indices, float], Mapping[str, Any]] | None = None, **more: Any,
    ) -> list[Lightcurve]:  # fmt: skip
        """Light curves of the rows ``keep``, shape (n,), by filter and season.

        ``more`` is known about all of them; ``each(rows, first MJD)`` tells what is known about one of them.
        """
        columns = self.taken_over(dataset)
        flag = columns.get("flag")
        if flag is not None and flag.dtype.kind == "S":
            raise DataError(f"the flags of {dataset.source_name} must be numbers, 0 for good")
        if drop_bad:
            keep = keep & (np.ones(len(keep), np.bool_) if flag is None else flag == 0)
            if "mag" in columns:
                keep = keep & np.isfinite(columns["mag"])
        chosen = np.flatnonzero(keep)
        times = self.aligned_times(dataset, chosen)
        more = {**described(times), **more}
        filters = columns.get("filter")
        made = []
        for piece in by_filter_and_season(times.mjd, None if filters is None else filters[chosen], gap):
            rows = chosen[piece]
            part = {"mjd": times.mjd[piece], **{name: column[rows] for name, column in columns.items()}}
            own = {} if each is None else each(rows, float(part["mjd"][0]))
            made.append(self.lightcurve(dataset, part, **{**more, **own}))
        return made

    def taken_over(self, dataset: RawPhotometry) -> dict[str, Any]:
        """Columns of raw photometry that light curves keep, by standard name; a subclass may change or add some."""
        return {name: column for name in _TAKEN_OVER if (column := dataset.column(name)) is not None}

    def aligned_times(self, dataset: RawPhotometry, rows: Indices) -> AlignedTimes:
        """Times of some rows: MJD in TDB at the barycentre where ``time_info`` of the data set says what they are
        ("scale" and "position"), else as the survey gives them, with the reason."""
        return self._aligned(dataset.mjds[rows], dataset)

    def _aligned(self, mjd: Any, dataset: RawRows, place: tuple[float, float] | None = None) -> AlignedTimes:
        info = dataset.time_info or {}
        frame = TimeFrame(info.get("scale"), info.get("position"))
        if not self.pars.barycentric:
            return AlignedTimes(mjd, frame, "the parameter barycentric is off")
        if frame == TDB_BARYCENTER or not frame.is_known or not len(mjd):
            return AlignedTimes(mjd, frame, None if frame.is_known else "the survey does not say what its times are")
        ra, dec = place or self._place_of(dataset)
        return to_barycenter(mjd, frame, ra, dec, site=self.site)

    @staticmethod
    def _place_of(dataset: RawRows) -> tuple[float | None, float | None]:
        row = (dataset.altdata or {}).get("cat_row") or {}
        if isinstance(row.get("ra"), float | int) and isinstance(row.get("dec"), float | int):
            return float(row["ra"]), float(row["dec"])
        if dataset.sources:
            return dataset.sources[0].ra, dataset.sources[0].dec
        ra, dec = dataset.column("ra"), dataset.column("dec")
        if ra is None or dec is None:
            return None, None
        place = median_place(np.asarray(ra, np.float64), np.asarray(dec, np.float64))
        return place if place[0] == place[0] else (None, None)

    def lightcurve(
        self, dataset: RawRows, columns: dict[str, Any], *, zero_point: float | None = None, **altdata: Any
    ) -> Lightcurve:
        """One light curve of these columns; ``altdata`` is added to what is known about it. ``zero_point`` is the
        magnitude of one unit of flux; None for microjansky on the AB system."""
        kept = {key: value for key, value in (dataset.altdata or {}).items() if key not in ("cat_row", "download_pars")}
        kept |= {"time_stamp_alignment": "start", **altdata}
        if "ra" in columns and "dec" in columns:
            ra, dec = median_place(np.asarray(columns["ra"], np.float64), np.asarray(columns["dec"], np.float64))
            if ra == ra:
                kept["ra"], kept["dec"] = ra, dec
        made = Lightcurve(
            columns,
            source_name=dataset.source_name,
            observatory=self.name,
            project=self.project,
            cfg_hash=self.cfg_hash,
            raw_data_filename=dataset.filename,
            zero_point_instrumental=zero_point,
            filter=kept.get("filter"),
            altdata=kept,
            root=self.root,
            file_format=self.pars.file_format,
        )
        made.filter = self._mapped(made.filter)
        made.altdata.setdefault("series_name", f"series_{made.filter}")
        return made

    def _mapped(self, name: str | None) -> str | None:
        rule = self.pars.filtmap
        if name is None or rule is None:
            return name
        if isinstance(rule, dict):
            return str(rule.get(name, name))
        return str(rule).replace("<observatory>", self.name.lower()).replace("<filter>", name)

    def reduce(
        self, dataset: Source | RawRows, data_type: str | None = None, *, source: Source | None = None, **kwargs: Any
    ) -> list[Any]:
        """Light curves (of spectra: spectra) made of raw data, by time and numbered from 1; appended to the source
        where there is one. Of a source all its raw data of this observatory are reduced, or those of ``data_type``.

        Arguments win over the parameter ``reduce_kwargs``. Raises DataMissing for a source without raw data.
        """
        if isinstance(dataset, Source):
            held = dataset.get_data(self.name, data_type)
            if not held:
                raise DataMissing(f"{dataset.name} has no raw data of {self.name}", hint="Call fetch_source first.")
            return [one for raw in held for one in self.reduce(raw, source=dataset, **kwargs)]
        kind = data_type or dataset.data_type
        method = getattr(self, f"reduce_{kind}", None)
        if method is None:
            raise ParameterValueError(f"{self.name} does not reduce {kind}")
        made: Sequence[Any] = method(dataset, source, **{**self.pars.reduce_kwargs, **kwargs})
        known = [one for one in made if one.number]
        known.sort(key=_begin)
        for number, one in enumerate(known, 1):
            one.series_number, one.series_total = number, len(known)
            if isinstance(one, Spectrum):
                one.raw_data = dataset if isinstance(dataset, RawData) else None
            elif isinstance(dataset, RawPhotometry):
                one.raw_data = dataset
            if source is not None:
                (source.spectra if isinstance(one, Spectrum) else source.lightcurves).append(one)
        return known

    def take(self, source: Source, datasets: Sequence[RawRows], *, save: bool = True, **kwargs: Any) -> None:
        """Give a source what was fetched of it, reduced; ``save`` keeps the products where ``save_reduced`` is set."""
        curves: list[Lightcurve] = []
        spectra: list[Spectrum] = []
        for dataset in datasets:
            if isinstance(dataset, RawPhotometry):
                source.raw_photometry.append(dataset)
            elif isinstance(dataset, RawData):
                source.raw_data.append(dataset)
            for one in self.reduce(dataset, source=source, **kwargs):
                (spectra if isinstance(one, Spectrum) else curves).append(one)
        if save and self.pars.save_reduced:
            save_lightcurves(curves, source.ra)
            save_spectra(spectra, source.ra)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _begin(one: Any) -> tuple[bool, float, str]:
    """By time, what has none last, then by filter."""
    mjds = one.mjds
    return not len(mjds), float(mjds[0]) if len(mjds) else 0.0, getattr(one, "filter", None) or ""


def _way(source: Source) -> Callable[[float], tuple[float, float]] | None:
    """Where a source of the catalogue stands at an MJD (ICRS degrees); None for one whose motion is not known."""
    row = source.cat_row or {}
    epoch = row.get("epoch")
    motion = [row.get(name) for name in ("pmra", "pmdec", "parallax")]
    if epoch is None or not any(motion):
        return None
    ra, dec = np.array([source.ra], np.float64), np.array([source.dec], np.float64)
    east, north, parallax = ([0.0 if one is None else float(one)] for one in motion)

    def place_at(mjd: float) -> tuple[float, float]:
        year = 2000.0 + (mjd - 51544.5) / 365.25
        moved = places_at(ra, dec, east, north, parallax, float(epoch), year)
        return float(moved[0][0]), float(moved[1][0])

    return place_at
