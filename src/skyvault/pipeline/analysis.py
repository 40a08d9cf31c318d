"""From light curves to detections: quality, search, summary, and what the search would find of simulated events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from skyvault.pipeline.custom_code import class_named
from skyvault.pipeline.dataset import Lightcurve
from skyvault.pipeline.finder import Finder
from skyvault.pipeline.histogram import Histogram
from skyvault.pipeline.parameters import PROPAGATED, Parameters
from skyvault.pipeline.part import Part
from skyvault.pipeline.quality import QualityChecker
from skyvault.pipeline.simulator import Simulator
from skyvault.pipeline.source import Detection, Properties, Source


class ParsAnalysis(Parameters):
    """How sources are analysed, and which classes do it."""

    default_cfg_key: ClassVar[str | None] = "analysis"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("num_injections", 1.0, float, "mean number of simulated events a source")
        for part in ("quality", "finder", "simulator"):
            own = {"quality": "QualityChecker"}.get(part, part.capitalize())
            self.add_par(f"{part}_module", f"skyvault.pipeline.{part}", str, f"module of the class for {part}")
            self.add_par(f"{part}_class", own, str, f"class for {part}")
            self.add_par(f"{part}_kwargs", {}, dict, f"parameters for {part}", critical=False)
        self.add_par("histogram_kwargs", {}, dict, "parameters for the histograms", critical=False)
        self.add_par("save_processed", False, bool, "keep light curves with their quality columns", critical=False)
        self.add_par("save_detections", True, bool, "keep detections")
        self.add_par("save_simulated", True, bool, "keep detections of simulated events")


class Analysis(Part):
    """Analyses sources. Override :meth:`analyze_photometry` for another analysis; the rest stays as it is."""

    pars_class = ParsAnalysis
    pars: Any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.checker: QualityChecker = self._part("quality", QualityChecker)
        self.finder: Finder = self._part("finder", Finder)
        self.sim: Simulator = self._part("simulator", Simulator)
        # a threshold may be given to the analysis; it is the finder's
        unclaimed = self.pars._unclaimed
        for part in (self.finder, self.checker, self.sim):
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
            score_coords={"amplitude": [-3, 2, 0.2, "log10"]},
            source_coords={},
            obs_coords={"shape": [], "found": [0, 1, 1]},
        )

    def get_all_histograms(self) -> list[Histogram]:
        return [self.quality_values, self.all_scores, self.good_scores, self.injections]

    # --- the analysis ------------------------------------------------------------------------------------------

    def analyze_sources(self, sources: Source | Sequence[Source]) -> None:
        """Give each source its properties and detections; nothing is saved here."""
        for source in [sources] if isinstance(sources, Source) else sources:
            source.detections.clear()
            source.properties = None
            has_data = any(curve.number for curve in source.reduced_lightcurves)
            if not has_data:
                source.properties = self._properties(source, False, {})
                continue
            self.analyze_photometry(source)
            if source.properties is None:
                # a custom analysis need not care about this
                source.properties = self._properties(source, True, {})

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

    def process(self, curves: Sequence[Lightcurve], source: Source) -> list[Lightcurve]:
        """Copies of light curves with the columns of quality check and finder."""
        processed = [curve.copied() for curve in curves]
        self.checker.check(processed, source)
        self.finder.process(processed, source)
        for curve in processed:
            curve.was_processed = True
        return processed

    def calc_props(self, curves: Sequence[Lightcurve], found: Sequence[Detection]) -> dict[str, Any]:
        """Summary of a source: counts, the highest score, and for each filter mean, scatter and amplitude."""
        props: dict[str, Any] = {
            "num_epochs": sum(curve.number or 0 for curve in curves),
            "num_good": sum(curve.num_good or 0 for curve in curves),
            "num_lightcurves": len(curves),
            "num_detections": len(found),
        }
        best = [float(np.nanmax(np.abs(score))) for c in curves if np.isfinite(score := c.data["snr"]).any()]
        props["best_snr"] = max(best, default=None)
        filters: dict[str, Any] = {}
        for name in sorted({curve.filter or "" for curve in curves}):
            rows = [c for c in curves if (c.filter or "") == name]
            mag = np.concatenate([c.data["mag"][~c.data["qflag"]] for c in rows])
            error = np.concatenate([c.data["magerr"][~c.data["qflag"]] for c in rows])
            known = np.isfinite(mag) & np.isfinite(error) & (error > 0.0)
            mag, error = mag[known], error[known]
            if not len(mag):
                continue
            low, middle, high = np.quantile(mag, (0.05, 0.5, 0.95)).tolist()
            weight = 1.0 / error**2
            mean = float((mag * weight).sum() / weight.sum())
            chi2 = float(((mag - mean) ** 2 * weight).sum())
            filters[name] = {
                "num": len(mag),
                "mag_median": middle,
                "mag_mean_weighted": mean,
                "mag_rms": float(mag.std()),
                "amplitude_90": high - low,
                "reduced_chi2": chi2 / (len(mag) - 1) if len(mag) > 1 else None,
            }
        props["filters"] = filters
        return props

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
        """Put simulated events into copies of the processed light curves, search them, and count what was found.

        An event is found when a detection covers it and there was none at that place without it.
        """
        for number, event in self.sim.events(source.name, processed, self.pars.num_injections):
            curve = self.sim.inject(processed[number], event)
            about = {"shape": event.shape, "time": event.time, "width_d": event.width_d, "amplitude": event.amplitude}
            self.finder.process([curve], source, about)
            found = [
                one for one in self.finder.detect([curve], source, about)
                if one.time_start - event.width_d <= event.time <= one.time_end + event.width_d
            ]  # fmt: skip
            already = processed[number].data["detected"]
            known = bool(already.any()) and any(
                already[row] for one in found for row in one.processed_photometry_data_ranges["0"]
            )
            self.injections.add_data(
                {"shape": event.shape, "found": float(bool(found)), "amplitude": np.log10(max(event.amplitude, 1e-9))}
            )
            if self.pars.save_simulated and not known:
                for one in found:
                    one.processed_photometry_data_ranges = {str(number): one.processed_photometry_data_ranges["0"]}
                source.detections.extend(found)
