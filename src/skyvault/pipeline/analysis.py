"""From light curves to detections: quality, search, summary, and what the search would find of simulated events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from skyvault.pipeline.custom_code import class_named
from skyvault.pipeline.efficiency import (
    OBS_COORDS,
    SCORE_COORDS,
    SOURCE_COORDS,
    AmplitudeRate,
    count_injections,
    efficiency_curve,
    event_rates,
)
from skyvault.pipeline.faults import ParameterValueError
from skyvault.pipeline.finder import Finder
from skyvault.pipeline.histogram import Histogram
from skyvault.pipeline.image_finder import ImageFinder
from skyvault.pipeline.lightcurve import Lightcurve
from skyvault.pipeline.parameters import PROPAGATED, Parameters
from skyvault.pipeline.part import Part
from skyvault.pipeline.quality import QualityChecker
from skyvault.pipeline.simulator import Simulator
from skyvault.pipeline.source import Detection, Properties, Source
from skyvault.pipeline.spectrum_finder import SpectrumFinder
from skyvault.pipeline.summary import PERIOD_SEARCHES, properties_of
from skyvault.science.injection import Efficiency


class ParsAnalysis(Parameters):
    """How sources are analysed, and which classes do it."""

    default_cfg_key: ClassVar[str | None] = "analysis"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("num_injections", 1.0, float, "mean number of simulated events a source")
        for part in ("quality", "finder", "simulator", "spectrum_finder", "image_finder"):
            own = {"quality": "QualityChecker"}.get(part, part.title().replace("_", ""))
            self.add_par(f"{part}_module", f"skyvault.pipeline.{part}", str, f"module of the class for {part}")
            self.add_par(f"{part}_class", own, str, f"class for {part}")
            self.add_par(f"{part}_kwargs", {}, dict, f"parameters for {part}", critical=False)
        self.add_par("histogram_kwargs", {}, dict, "parameters for the histograms", critical=False)
        self.add_par("save_processed", False, bool, "keep light curves with their quality columns", critical=False)
        self.add_par("save_detections", True, bool, "keep detections")
        self.add_par("save_simulated", True, bool, "keep detections of simulated events")
        self.add_par("period_search", "auto", str, "when a best period is looked for: auto, always, never")
        self.add_par("period_min_chi2", 5.0, float, "least reduced chi2 of a star that is searched by auto")
        self.add_par("period_min", 0.05, float, "shortest period, days")
        self.add_par("period_max", 1000.0, float, "longest period, days")
        self.add_par("period_terms", 1, int, "harmonics that are fitted: 1 for sinusoids, 4 for RR Lyrae")
        self.add_par("period_max_trials", 200_000, int, "most frequencies; beyond, short periods are left out")
        self.add_par("period_error_floor", 0.0, float, "magnitudes added in quadrature to errors")
        self.add_par("period_band_scales", None, (None, dict), "filter -> its amplitude; measured by default")

    def checked(self, name: str, value: Any) -> Any:
        if name == "period_search" and value not in PERIOD_SEARCHES:
            raise ParameterValueError(
                f"period_search cannot be {value!r}", hint=f"Give one of {', '.join(PERIOD_SEARCHES)}."
            )
        positive = ("period_min", "period_max", "period_terms", "period_max_trials")
        if name in positive and isinstance(value, int | float) and not value > 0:
            raise ParameterValueError(f"{name} must be positive, and {value} is not")
        return super().checked(name, value)


class Analysis(Part):
    """Analyses sources. Override :meth:`analyze_photometry` for another analysis; the rest stays as it is."""

    pars_class = ParsAnalysis
    pars: Any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.checker: QualityChecker = self._part("quality", QualityChecker)
        self.finder: Finder = self._part("finder", Finder)
        self.sim: Simulator = self._part("simulator", Simulator)
        self.spectrum_finder: SpectrumFinder = self._part("spectrum_finder", SpectrumFinder)
        self.image_finder: ImageFinder = self._part("image_finder", ImageFinder)
        # a threshold may be given to the analysis; it is the finder's
        unclaimed = self.pars._unclaimed
        for part in (self.finder, self.checker, self.sim, self.spectrum_finder, self.image_finder):
            for name in [one for one in unclaimed if one in part.pars.names()]:
                part.pars[name] = unclaimed.pop(name)
        self.reset_histograms()

    def _part(self, name: str, kind: type[Part]) -> Any:
        pars = self.pars
        wanted = class_named(getattr(pars, f"{name}_module"), getattr(pars, f"{name}_class"), kind)
        return wanted(**self._handed_down(getattr(pars, f"{name}_kwargs")))

    def _handed_down(self, own: dict[str, Any]) -> dict[str, Any]:
        return {**{name: self.pars[name] for name in PROPAGATED}, **own}

    def reset_histograms(self) -> None:
        """Empty counts: of positions' offsets, of all scores, of those of good epochs, and of injections."""
        own = self._handed_down(self.pars.histogram_kwargs)
        scores = list(self.finder.pars.score_names)
        self.quality_values = Histogram("quality_values", **{**own, "score_names": ["offset"]})
        self.all_scores = Histogram("all_scores", **{**own, "score_names": scores})
        self.good_scores = Histogram("good_scores", **{**own, "score_names": scores})
        self.injections = Histogram(
            "injections",
            **{name: self.pars[name] for name in PROPAGATED},
            score_coords=SCORE_COORDS,
            source_coords=SOURCE_COORDS,
            obs_coords=OBS_COORDS,
        )

    def get_all_histograms(self) -> list[Histogram]:
        return [self.quality_values, self.all_scores, self.good_scores, self.injections]

    # --- the analysis ------------------------------------------------------------------------------------------

    def analyze_sources(self, sources: Source | Sequence[Source]) -> None:
        """Give each source its properties and detections; nothing is saved here."""
        for source in [sources] if isinstance(sources, Source) else sources:
            source.detections.clear()
            source.properties = None
            marks = [(histogram, histogram.mark()) for histogram in self.get_all_histograms()]
            try:
                self._analyze(source)
            except BaseException:
                # it will come again, and must not be counted twice
                for histogram, mark in marks:
                    histogram.forget(mark)
                raise

    def _analyze(self, source: Source) -> None:
        has_data = any(curve.number for curve in source.reduced_lightcurves)
        if has_data:
            self.analyze_photometry(source)
        if any(spectrum.number for spectrum in source.spectra):
            has_data = True
            self.analyze_spectra(source)
        if any(images.number for images in (*source.raw_images, *source.raw_cutouts)):
            has_data = True
            self.analyze_images(source)
        if source.properties is None:
            # a custom analysis need not care about this
            source.properties = self._properties(source, has_data, {})

    def analyze_photometry(self, source: Source) -> None:
        """Check, search and summarise the reduced light curves of a source, then do the same with injected events."""
        processed = self.process(source.reduced_lightcurves, source)
        found = self.finder.detect(processed, source)
        if self.pars.save_detections:
            source.detections.extend(found)
        source.properties = self._properties(source, True, self.calc_props(processed, found))
        self.update_histograms(processed, source)
        self.inject(processed, source)
        if self.pars.save_processed:
            for number, curve in enumerate(processed, 1):
                curve.series_number, curve.series_total = number, len(processed)
            source.lightcurves.extend(processed)

    def analyze_spectra(self, source: Source) -> None:
        """Look for lines in the spectra of a source; its properties tell how many there are."""
        found = self.spectrum_finder.detect(source.spectra, source)
        if self.pars.save_detections:
            source.detections.extend(found)
        known = [one.snr_median for one in source.spectra if one.snr_median is not None]
        self._add_props(source, {
            "num_spectra": len(source.spectra), "num_lines": len(found),
            "spectra_snr_median": float(np.median(known)) if known else None,
        })  # fmt: skip

    def analyze_images(self, source: Source) -> None:
        """Look for what is new on the images of a source, of surveys whose images are measured (plates are not)."""
        measured = {curve.observatory for curve in source.lightcurves if (curve.altdata or {}).get("data_type")}
        images = [one for one in (*source.raw_images, *source.raw_cutouts) if one.observatory in measured]
        found = self.image_finder.detect(images, source)
        if self.pars.save_detections:
            source.detections.extend(found)
        number = sum(one.number or 0 for one in (*source.raw_images, *source.raw_cutouts))
        self._add_props(source, {"num_images": number, "num_new_on_images": len(found)})

    def _add_props(self, source: Source, props: dict[str, Any]) -> None:
        if source.properties is None:
            source.properties = self._properties(source, True, {})
        source.properties.props = {**(source.properties.props or {}), **props}

    def process(self, curves: Sequence[Lightcurve], source: Source) -> list[Lightcurve]:
        """Copies of light curves with the columns of quality check and finder."""
        processed = [curve.copied() for curve in curves]
        self.checker.check(processed, source)
        self.finder.process(processed, source)
        for curve in processed:
            curve.was_processed = True
        return processed

    def calc_props(self, curves: Sequence[Lightcurve], found: Sequence[Detection]) -> dict[str, Any]:
        """Summary of a source, as its Properties keep it: see :mod:`skyvault.pipeline.summary`."""
        return properties_of(curves, found, self.pars)

    @staticmethod
    def _properties(source: Source, has_data: bool, props: dict[str, Any]) -> Properties:
        return Properties(
            source_name=source.name,
            project=source.project,
            cfg_hash=source.cfg_hash,
            has_data=has_data,
            props=props,
        )

    def update_histograms(self, curves: Sequence[Lightcurve], source: Source) -> None:
        """Count all epochs, and those of good quality apart."""
        for curve in curves:
            about = {"filter": curve.filter or "", "mag": source.mag if source.mag is not None else np.nan}
            rows = curve.data
            if "exptime" not in (rows.dtype.names or ()):
                about["exptime"] = curve.exp_time
            self.quality_values.add_data(about, rows)
            self.all_scores.add_data(about, rows)
            self.good_scores.add_data(about, rows, chosen=~rows["qflag"])

    def inject(self, processed: Sequence[Lightcurve], source: Source) -> None:
        """Put simulated events into copies of the processed light curves, check and search these as the real ones, and
        count what was found.

        An event is found when a detection covers it and there was none at that place without it.
        """
        events = self.sim.events(source.name, processed, self.pars.num_injections)
        if not events:
            return
        # one copy of each light curve takes all its events, one after the other
        copies = {number: processed[number].copied() for number in {number for number, _ in events}}
        is_found = []
        for number, event in events:
            curve = self.sim.inject(processed[number], event, into=copies[number])
            about = {"shape": event.shape, "time": event.time, "width_d": event.width_d, "amplitude": event.amplitude}
            self.checker.check([curve], source, about)
            self.finder.process([curve], source, about)
            already = processed[number].data["detected"]
            found = []
            for one in self.finder.detect([curve], source, about):
                rows = _rows_of(one, "0")
                covers = one.time_start - event.width_d <= event.time <= one.time_end + event.width_d
                if covers and not already[rows].any():
                    found.append(one)
                    one.processed_photometry_peak_number = number
                    one.processed_photometry_data_ranges = {str(number): rows}
            is_found.append(bool(found))
            if self.pars.save_simulated:
                source.detections.extend(found)
        count_injections(self.injections, [event for _, event in events], is_found, source.mag)

    # --- what a run is worth -----------------------------------------------------------------------------------

    def efficiency(self, **chosen: Any) -> Efficiency:
        """The fraction of injected events found against their amplitude, of all sources analysed since
        :meth:`reset_histograms`; ``shape``, ``mag`` and ``width_d`` narrow it, see :func:`efficiency_curve`."""
        return efficiency_curve(self.injections, **chosen)

    def rates(self, detections: Sequence[Detection], shape: str, **how: Any) -> list[AmplitudeRate]:
        """Rates and upper limits of events of one shape behind these detections, see :func:`event_rates`."""
        return event_rates(self.good_scores, self.injections, detections, shape=shape, **how)


def _rows_of(one: Detection, curve: str) -> list[int]:
    rows: list[int] = (one.processed_photometry_data_ranges or {}).get(curve, [])
    return rows
