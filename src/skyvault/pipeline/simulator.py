"""Simulated events put into real light curves: flares, dips, transits, pulsations, microlensing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from skyvault.pipeline.faults import ParameterValueError
from skyvault.pipeline.lightcurve import Lightcurve
from skyvault.pipeline.parameters import Parameters
from skyvault.pipeline.part import Part
from skyvault.science.injection import SHAPES, Injection
from skyvault.science.photometry_statistics import AB_ZERO_POINT, mag_from_flux, robust_mean_rms


class ParsSimulator(Parameters):
    """Which events are injected. Sizes and widths are drawn evenly in their logarithm."""

    default_cfg_key: ClassVar[str | None] = "simulator"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("shapes", ["flare", "dip"], list, f"shapes to choose from: {', '.join(SHAPES)}")
        self.add_par("min_width", 0.01, float, "shortest event, days")
        self.add_par("max_width", 30.0, float, "longest event, days")
        self.add_par("min_amplitude", 0.01, float, "smallest relative change of the flux")
        self.add_par("max_amplitude", 10.0, float, "largest relative change; dips at most 1")
        self.add_par("seed", 0, int, "first number of the random series; a source has its own, by its name")
        self.add_par("cadence_aware", True, bool, "put events at observed epochs, else at any time between them")

    def checked(self, name: str, value: Any) -> Any:
        positive = ("min_width", "max_width", "min_amplitude", "max_amplitude")
        if name in positive and isinstance(value, int | float) and not value > 0:
            raise ParameterValueError(f"{name} must be positive, and {value} is not")
        if name == "shapes" and isinstance(value, list) and (strange := [one for one in value if one not in SHAPES]):
            raise ParameterValueError(f"there is no shape {strange[0]!r}", hint=f"Shapes are {', '.join(SHAPES)}.")
        return super().checked(name, value)


class Simulator(Part):
    """Draws events and puts them into copies of light curves."""

    pars_class = ParsSimulator
    pars: ParsSimulator

    def random(self, source_name: str) -> np.random.Generator:
        """Random numbers of one source: the same in every run and process."""
        import zlib

        return np.random.default_rng([self.pars.seed, zlib.crc32(source_name.encode())])

    def draw(self, rng: np.random.Generator, curve: Lightcurve) -> Injection:
        """An event for this light curve."""
        pars = self.pars
        shape = pars.shapes[int(rng.integers(len(pars.shapes)))]
        width = float(np.exp(rng.uniform(np.log(pars.min_width), np.log(pars.max_width))))
        amplitude = float(np.exp(rng.uniform(np.log(pars.min_amplitude), np.log(pars.max_amplitude))))
        if shape in ("dip", "transit"):
            amplitude = min(amplitude, 1.0)
        mjd = curve.mjds
        time = float(mjd[int(rng.integers(len(mjd)))] if pars.cadence_aware else rng.uniform(mjd[0], mjd[-1]))
        return Injection(shape, time, width, amplitude)

    def inject(self, curve: Lightcurve, event: Injection, *, into: Lightcurve | None = None) -> Lightcurve:
        """A copy of a processed light curve with the event in it; errors stay, the robust statistics are made anew.

        ``into`` is an earlier copy of the same light curve, whose event is replaced.
        """
        made = curve.copied() if into is None else into
        usual = curve.flux_mean_robust
        if usual is None:
            return made
        original = curve.data
        flux = event.into(original["mjd"], original["flux"], usual)
        mag = mag_from_flux(flux, original["fluxerr"], curve.zero_point_instrumental or AB_ZERO_POINT)[0]
        rows = made.data
        rows["flux"], rows["mag"], rows["flag"] = flux, mag, original["flag"]
        made.flux_mean_robust, made.flux_rms_robust = robust_mean_rms(flux[original["flag"] == 0])
        made.is_simulated = True
        return made

    def events(
        self, source_name: str, lightcurves: Sequence[Lightcurve], mean_number: float
    ) -> list[tuple[int, Injection]]:
        """(number of the light curve, event) for a Poisson-distributed number of injections."""
        usable = [number for number, curve in enumerate(lightcurves) if curve.number]
        if not usable or mean_number <= 0:
            return []
        rng = self.random(source_name)
        count = int(rng.poisson(mean_number))
        chosen = rng.choice(usable, count)
        return [(int(number), self.draw(rng, lightcurves[int(number)])) for number in chosen]
