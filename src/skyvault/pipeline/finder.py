"""Flares, dips and other events of light curves: peaks of the signal-to-noise ratio, or of a matched filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from skyvault.pipeline.faults import ParameterValueError
from skyvault.pipeline.lightcurve import Lightcurve
from skyvault.pipeline.parameters import Parameters
from skyvault.pipeline.part import Part
from skyvault.pipeline.source import Detection, Source
from skyvault.science.finding import Peak, find_peaks
from skyvault.science.matched_filter import KERNELS, Kernel, bank, match
from skyvault.science.samples import Booleans, Floats, median
from skyvault.science.thumbnail import Thumbnail


class ParsFinder(Parameters):
    """What counts as a detection."""

    default_cfg_key: ClassVar[str | None] = "finder"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("score_names", ["snr"], list, "scores that are counted in histograms")
        self.add_par("snr_threshold", 5.0, float, "least signal-to-noise ratio of a detection")
        self.add_par("snr_threshold_sidebands", -2.0, float, "where an event ends; negative counts from the threshold")
        self.add_par("max_det_per_lc", 1, int, "most detections a light curve")
        self.add_par("abs_snr", True, bool, "look for dips too")
        self.add_par("remove_failed", False, bool, "leave out epochs that failed the quality check")
        self.add_par("save_thumbnails", True, bool, "keep a small picture of real events", critical=False)

    def checked(self, name: str, value: Any) -> Any:
        if name == "snr_threshold" and isinstance(value, int | float) and not value > 0:
            raise ParameterValueError(f"{name} must be positive, and {value} is not")
        return super().checked(name, value)


class Finder(Part):
    """Looks for single peaks in light curves. Keeps no memory: apply it to real and simulated data alike."""

    pars_class = ParsFinder
    pars: ParsFinder
    method: ClassVar[str] = "peak finding"

    def process(self, lightcurves: Sequence[Lightcurve], source: Source | None = None, sim: Any = None) -> None:
        """Add what detection needs: ``snr`` of the distance from the robust mean, ``dmag`` (fainter is positive)."""
        for curve in lightcurves:
            rows = curve.data
            usable = ~curve.is_flagged & np.isfinite(rows["mag"])
            middle = median(rows["mag"][usable])
            curve.with_columns(snr=self.score(curve), dmag=rows["mag"] - middle, detected=np.zeros(len(rows), np.bool_))

    def score(self, curve: Lightcurve) -> Floats:
        """How much each epoch stands out, shape (n,); NaN where that is not known."""
        flux, noise = curve.data["flux"], self._noise(curve)
        mean = np.nan if curve.flux_mean_robust is None else curve.flux_mean_robust
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            score: Floats = (flux - mean) / noise
        # a star without any scatter has no signal-to-noise ratio
        score[~np.isfinite(score)] = np.nan
        return score

    @staticmethod
    def _noise(curve: Lightcurve) -> Floats:
        rms = np.nan if curve.flux_rms_robust is None else curve.flux_rms_robust
        noise: Floats = np.fmax(curve.data["fluxerr"], rms)
        return noise

    def detect(
        self, lightcurves: Sequence[Lightcurve], source: Source, sim: dict[str, Any] | None = None
    ) -> list[Detection]:
        """Detections in processed light curves, which also get their ``detected`` column."""
        found: list[Detection] = []
        for number, curve in enumerate(lightcurves):
            score = curve.data["snr"]
            for peak in self.peaks(score, self.usable(curve)):
                curve.data["detected"][peak.rows] = True
                found.append(self.make_detection(peak, number, lightcurves, source, sim))
        return found

    def usable(self, curve: Lightcurve) -> Booleans:
        """Epochs that may be a detection, shape (n,)."""
        usable = ~curve.is_flagged
        return usable & ~curve.data["qflag"] if self.pars.remove_failed else usable

    def peaks(self, score: Floats, usable: Booleans) -> list[Peak]:
        """Events of a score by the thresholds of this finder."""
        pars = self.pars
        return find_peaks(
            score,
            usable,
            threshold=pars.snr_threshold,
            sideband=pars.snr_threshold_sidebands,
            at_most=pars.max_det_per_lc,
            both_signs=pars.abs_snr,
        )

    def make_detection(
        self, peak: Peak, number: int, lightcurves: Sequence[Lightcurve], source: Source, sim: dict[str, Any] | None
    ) -> Detection:
        """The row of a detection; a subclass may add to it. ``number`` is that of the light curve."""
        curve = lightcurves[number]
        rows = curve.data
        mjd, mag = rows["mjd"], float(rows["mag"][peak.peak])
        inside = peak.rows
        usual = curve.mag_mean_robust
        offset = rows["offset"][inside]
        known = offset[np.isfinite(offset)]
        worst = float(known[np.argmax(np.abs(known))]) if len(known) else None
        start, end = float(mjd[peak.first]), float(mjd[peak.last])
        raw_number, raw_rows = _raw_rows(source, curve, mjd[inside])
        made = Detection(
            method=self.method,
            data_types=["photometry"],
            source_name=source.name,
            project=source.project,
            cfg_hash=source.cfg_hash,
            observatory=curve.observatory,
            filter=curve.filter,
            time_start=start,
            time_end=end,
            peak_start=start,
            peak_end=end,
            peak_time=float(mjd[peak.peak]),
            simulated=sim is not None,
            sim_pars=sim,
            snr=peak.score,
            score=abs(peak.score),
            extra_scores={"epoch_snr": self._epoch_score(curve, peak.peak), "num_epochs": peak.last - peak.first + 1},
            peak_mag=None if mag != mag else mag,
            peak_mag_diff=None if mag != mag or usual is None else usual - mag,
            quality_values={"offset": worst},
            quality_flag=bool(rows["qflag"][inside].any()),
            raw_photometry_peak_number=raw_number,
            raw_photometry_data_ranges=None if raw_number is None else {str(raw_number): raw_rows},
            processed_photometry_peak_number=number,
            processed_photometry_data_ranges={str(number): list(range(peak.first, peak.last + 1))},
        )
        if sim is None and self.pars.save_thumbnails:
            flagged = curve.is_flagged | rows["qflag"]
            made.thumbnail = Thumbnail.of(
                mjd, rows["flux"], rows["fluxerr"], curve.flux_mean_robust or 1.0, peak.peak, inside, flagged
            ).to_bytes()
        return made

    def _epoch_score(self, curve: Lightcurve, row: int) -> float | None:
        """How much the epoch stands out by itself."""
        score = float(Finder.score(self, curve)[row])
        return None if score != score else score


def _raw_rows(source: Source, curve: Lightcurve, mjd: Floats) -> tuple[int | None, list[int]]:
    """Which of the source's raw data, and which of its rows, epochs of a light curve were made of."""
    for number, raw in enumerate(source.raw_photometry):
        if raw.observatory == curve.observatory and raw.is_data_loaded and (raw.colmap or {}).get("time"):
            same = np.isin(raw.mjds, mjd)
            names = raw.column("filter")
            if names is not None and curve.filter and names.dtype.kind == "S":
                of_filter = names == curve.filter.encode()
                # a filter that was renamed is not found by its name
                same &= of_filter if of_filter.any() else True
            return number, np.flatnonzero(same).tolist()
    return None, []


class ParsMatchedFilterFinder(ParsFinder):
    """The bank of kernels of a matched filter."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("kernel_shapes", ["flare", "dip"], list, "shapes: flare, dip, transit")
        self.add_par("shortest_width", 0.02, float, "shortest kernel, days")
        self.add_par("longest_width", 20.0, float, "longest kernel, days")
        self.add_par("kernels_per_decade", 3, int, "kernels for each factor of ten in width")

    def checked(self, name: str, value: Any) -> Any:
        if name == "kernel_shapes" and isinstance(value, list) and (strange := [v for v in value if v not in KERNELS]):
            raise ParameterValueError(
                f"no kernel has the shape {strange[0]!r}", hint=f"Shapes are {', '.join(KERNELS)}."
            )
        positive = ("shortest_width", "longest_width", "kernels_per_decade")
        if name in positive and isinstance(value, int | float) and not value > 0:
            raise ParameterValueError(f"{name} must be positive, and {value} is not")
        return super().checked(name, value)


class MatchedFilterFinder(Finder):
    """Looks for events of known shapes and many widths: several faint epochs together make a detection."""

    pars_class = ParsMatchedFilterFinder
    pars: ParsMatchedFilterFinder
    method: ClassVar[str] = "matched filter"

    def kernels(self) -> tuple[Kernel, ...]:
        """The bank, as the parameters say now."""
        pars = self.pars
        return bank(pars.kernel_shapes, pars.shortest_width, pars.longest_width, pars.kernels_per_decade)

    @property
    def bank_name(self) -> str:
        """What the bank is made of, in a few words."""
        pars = self.pars
        shapes = "+".join(pars.kernel_shapes)
        return f"{shapes} {pars.shortest_width:g}-{pars.longest_width:g} d, {pars.kernels_per_decade} a decade"

    def process(self, lightcurves: Sequence[Lightcurve], source: Source | None = None, sim: Any = None) -> None:
        """As of the finder of peaks, with the column ``kernel``: the number of the best one, -1 for none."""
        kernels = self.kernels()
        for curve in lightcurves:
            rows = curve.data
            usable = ~curve.is_flagged & np.isfinite(rows["mag"])
            middle = median(rows["mag"][usable])
            mean = np.nan if curve.flux_mean_robust is None else curve.flux_mean_robust
            found = match(curve.mjds, rows["flux"] - mean, self._noise(curve), ~curve.is_flagged, kernels)
            curve.with_columns(
                snr=found.score, kernel=found.kernel, kernel_amplitude=found.amplitude / (mean or 1.0),
                dmag=rows["mag"] - middle, detected=np.zeros(len(rows), np.bool_),
            )  # fmt: skip

    def make_detection(
        self, peak: Peak, number: int, lightcurves: Sequence[Lightcurve], source: Source, sim: dict[str, Any] | None
    ) -> Detection:
        made = super().make_detection(peak, number, lightcurves, source, sim)
        rows = lightcurves[number].data
        best = int(rows["kernel"][peak.peak])
        kernel = self.kernels()[best]
        made.matched_filter_kernel_index = best
        made.matched_filter_kernel_props = {"shape": kernel.shape, "width_d": kernel.width_d}
        made.matched_filter_bank_name = self.bank_name
        made.extra_scores = {**made.extra_scores, "kernel_amplitude": float(rows["kernel_amplitude"][peak.peak])}
        return made


def __getattr__(name: str) -> Any:
    # ``finder_class: PeriodFinder`` needs no other module
    if name in ("PeriodFinder", "ParsPeriodFinder"):
        from skyvault.pipeline import period_finder

        return getattr(period_finder, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
