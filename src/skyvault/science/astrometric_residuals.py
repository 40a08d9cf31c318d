"""How good an image's astrometric calibration is: its sources against catalogue stars moved to the image's epoch.

Residuals against x and y show shifts, distortions and the wobble of a scanner's gears; a plot of magnitudes against
magnitudes tells true counterparts from chance ones. The recipe: M. Demleitner, blog of the GAVO data centre.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.science.periods import lomb_scargle
from skyvault.science.samples import Booleans, Floats, Indices, float_array
from skyvault.science.source_extraction import ImageSources, has_distortion, sky_positions
from skyvault.science.trigonometric_sums import FrequencyGrid
from skyvault.sky.frames import propagate
from skyvault.sky.match import match_positions

#: 1.4826 median absolute deviations are a standard deviation
_MAD: Final = 1.4826
#: stars below which nothing is said about wobble, and about anything
_LEAST_FOR_WOBBLE: Final = 40
_LEAST: Final = 5
#: a wobble is believed when noise alone makes one as high this rarely
_WOBBLE_CHANCE: Final = 1e-3

Verdict = Literal["good", "shifted", "distorted", "wobbling", "too few stars"]


@dataclass(frozen=True)
class ReferenceStars:
    """A catalogue: ICRS degrees at ``epoch`` (Julian year), mas/yr (``pm_ra`` with cos(dec)), mas, magnitudes.

    Arrays of shape (n,). NaN in a motion or parallax is none, NaN in a magnitude unknown.
    """

    ra: Floats
    dec: Floats
    pm_ra: Floats
    pm_dec: Floats
    parallax: Floats
    magnitude: Floats
    epoch: float

    @classmethod
    def from_columns(
        cls,
        ra: ArrayLike,
        dec: ArrayLike,
        *,
        epoch: float,
        pm_ra: ArrayLike | None = None,
        pm_dec: ArrayLike | None = None,
        parallax: ArrayLike | None = None,
        magnitude: ArrayLike | None = None,
    ) -> ReferenceStars:
        """From columns of any table; masked values become NaN. Raises ParameterError."""
        lon, lat = float_array(ra, "right ascensions"), float_array(dec, "declinations")

        def column(values: ArrayLike | None, what: str) -> Floats:
            found = np.full(len(lon), np.nan) if values is None else float_array(values, what)
            if len(found) != len(lon):
                raise ParameterError(f"a catalogue has {len(lon)} positions, but {len(found)} {what}")
            return found

        if len(lat) != len(lon) or not math.isfinite(epoch):
            raise ParameterError("a catalogue needs as many declinations as right ascensions, and an epoch in years")
        return cls(
            lon,
            lat,
            column(pm_ra, "proper motions"),
            column(pm_dec, "proper motions"),
            column(parallax, "parallaxes"),
            column(magnitude, "magnitudes"),
            float(epoch),
        )

    def at(self, epoch: float) -> ReferenceStars:
        """The same stars where they are at another epoch (Julian year)."""
        moved = propagate(self.ra, self.dec, self.parallax, self.pm_ra, self.pm_dec, np.nan, self.epoch, epoch)
        return replace(self, ra=moved[0], dec=moved[1], pm_ra=moved[3], pm_dec=moved[4], epoch=epoch)


@dataclass(frozen=True, slots=True)
class Wobble:
    """A wave in the residuals ``of`` "ra" or "dec" along ``axis`` "x" or "y".

    ``frequency`` in cycles a pixel, ``amplitude`` (half of peak to peak) in arcsec, ``chance`` the probability that
    noise makes a wave as strong.
    """

    of: Literal["ra", "dec"]
    axis: Literal["x", "y"]
    frequency: float
    amplitude: float
    chance: float

    @property
    def wavelength(self) -> float:
        """Pixels."""
        return 1.0 / self.frequency


@dataclass(frozen=True)
class AstrometricCheck:
    """Matched stars (shape (n,)) and what they say; residuals are image minus catalogue in arcsec, RA times cos(dec).

    ``source`` and ``star`` are the rows of each list; ``is_spurious`` marks pairs whose brightnesses do not agree. All
    numbers below leave these out: ``median`` and ``scatter`` (robust standard deviation) of RA and Dec,
    ``slope`` in arcsec a pixel, shape (2, 2): (ra, dec) against (x, y); ``wobbles``, strongest first.
    ``expected_by_chance`` pairs would be found were the catalogue unrelated. ``magnitude_law``: catalogue magnitude =
    first + second * image magnitude (NaN unknown).
    """

    source: Indices
    star: Indices
    x: Floats
    y: Floats
    d_ra: Floats
    d_dec: Floats
    magnitude: Floats
    image_magnitude: Floats
    is_spurious: Booleans
    median: tuple[float, float]
    scatter: tuple[float, float]
    slope: Floats
    wobbles: tuple[Wobble, ...]
    magnitude_law: tuple[float, float]
    expected_by_chance: float
    epoch: float
    verdict: Verdict
    sentence: str

    def __len__(self) -> int:
        return len(self.source)

    @property
    def separation(self) -> Floats:
        """Length of the residuals, arcsec."""
        return np.hypot(self.d_ra, self.d_dec)


def check_astrometry(
    sources: ImageSources,
    stars: ReferenceStars,
    *,
    epoch: float,
    radius_arcsec: float = 4.0,
    wanted_arcsec: float = 1.0,
    is_moved: bool = True,
) -> AstrometricCheck:
    """Match an image's sources with catalogue stars moved to its ``epoch`` (Julian year) and judge the residuals.

    A pair is each other's nearest within ``radius_arcsec``. ``wanted_arcsec`` is what the verdict calls good.
    ``is_moved=False`` leaves the stars at the catalogue's epoch, to see what proper motion does. Raises
    ParameterError without positions or epoch; few or no pairs are a verdict, not an error.
    """
    if not math.isfinite(epoch):
        raise ParameterError("the epoch of the image must be a year, as 1951.6", hint="It stands in DATE-OBS.")
    if not 0.0 < radius_arcsec <= 3600.0:
        raise ParameterError(f"a match radius of {radius_arcsec!r} arcsec cannot be used: 0 to 3600")
    if len(sources) and not np.isfinite(sources.ra).any():
        raise ParameterError("the sources have no positions on the sky", hint="Extract them with the image's WCS.")
    moved = stars.at(epoch) if is_moved else stars
    source, star = _mutual(sources, moved, radius_arcsec)
    d_ra, d_dec = _residuals(sources.ra[source], sources.dec[source], moved.ra[star], moved.dec[star])
    image_magnitude, magnitude = sources.magnitude[source], moved.magnitude[star]
    law, spurious = magnitude_outliers(image_magnitude, magnitude)
    good = ~spurious
    x, y = sources.x[source], sources.y[source]
    median = (_median(d_ra[good]), _median(d_dec[good]))
    scatter = (_spread(d_ra[good]), _spread(d_dec[good]))
    slope, flat = _slopes(x, y, d_ra, d_dec, good)
    wobbles = _wobbles(x[good], y[good], flat)
    verdict, sentence = _judged(int(good.sum()), median, scatter, slope, x, y, wobbles, wanted_arcsec, radius_arcsec)
    return AstrometricCheck(
        source=source,
        star=star,
        x=x,
        y=y,
        d_ra=d_ra,
        d_dec=d_dec,
        magnitude=magnitude,
        image_magnitude=image_magnitude,
        is_spurious=spurious,
        median=median,
        scatter=scatter,
        slope=slope,
        wobbles=wobbles,
        magnitude_law=law,
        expected_by_chance=_chance_pairs(sources, moved, radius_arcsec),
        epoch=moved.epoch,
        verdict=verdict,
        sentence=sentence,
    )


def compare_distortion(
    sources: ImageSources, wcs: Any, stars: ReferenceStars, *, epoch: float, radius_arcsec: float = 4.0
) -> tuple[AstrometricCheck, AstrometricCheck]:
    """The check with all terms of a WCS, and with its linear ones only (no SIP, TPV, lookup tables).

    Raises ParameterError when the WCS has no such terms, since both would be the same.
    """
    if not has_distortion(wcs):
        raise ParameterError("this WCS has no distortion terms (SIP, TPV or lookup tables) to leave out")
    checks = []
    for with_distortion in (True, False):
        ra, dec = sky_positions(wcs, sources.x, sources.y, with_distortion=with_distortion)
        placed = replace(sources, ra=ra, dec=dec)
        checks.append(check_astrometry(placed, stars, epoch=epoch, radius_arcsec=radius_arcsec))
    return checks[0], checks[1]


def magnitude_outliers(image: Floats, catalogue: Floats, sigma: float = 4.0) -> tuple[tuple[float, float], Booleans]:
    """The straight line from instrumental to catalogue magnitudes, and pairs far off it: chance matches.

    The line goes through medians (Theil-Sen), so that a fifth of chance pairs does no harm. Pairs without a magnitude
    are not flagged; below ten with one nothing is.
    """
    known = np.isfinite(image) & np.isfinite(catalogue)
    flagged = np.zeros(len(image), np.bool_)
    if known.sum() < 10:
        return (float("nan"), float("nan")), flagged
    a, b = image[known], catalogue[known]
    if len(a) > 1500:  # all pairs of pairs: 1500 give a million
        chosen = np.random.default_rng(0).choice(len(a), 1500, replace=False)
        first, second = a[chosen], b[chosen]
    else:
        first, second = a, b
    run = first[:, None] - first[None, :]
    # lines between stars of unlike brightness only: others tell the noise
    apart = np.abs(run) > 0.25 * np.ptp(first)
    rise = (second[:, None] - second[None, :])[apart]
    slope = float(np.median(rise / run[apart])) if apart.any() else 1.0
    start = float(np.median(b - slope * a))
    off = catalogue - start - slope * image
    # photographic magnitudes scatter by some tenths: what is nearer is never called spurious
    limit = max(sigma * _spread(off[known]), 0.5)
    with np.errstate(invalid="ignore"):
        flagged = known & (np.abs(off) > limit)
    return (start, slope), flagged


def _mutual(sources: ImageSources, stars: ReferenceStars, radius_arcsec: float) -> tuple[Indices, Indices]:
    pairs = match_positions(sources.ra, sources.dec, stars.ra, stars.dec, radius_arcsec / 3600.0, nearest_only=True)
    # of the sources whose nearest star is the same, the nearest
    order = np.lexsort((pairs.separation, pairs.second))
    second = pairs.second[order]
    is_first = np.ones(len(second), np.bool_)
    is_first[1:] = second[1:] != second[:-1]
    kept = np.sort(order[is_first])
    return pairs.first[kept], pairs.second[kept]


def _residuals(ra: Floats, dec: Floats, ra0: Floats, dec0: Floats) -> tuple[Floats, Floats]:
    across = (np.mod(ra - ra0 + 180.0, 360.0) - 180.0) * np.cos(np.radians(dec0))
    return across * 3600.0, (dec - dec0) * 3600.0


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _spread(values: Floats) -> float:
    return _MAD * float(np.median(np.abs(values - np.median(values)))) if len(values) else float("nan")


def _slopes(x: Floats, y: Floats, d_ra: Floats, d_dec: Floats, good: Booleans) -> tuple[Floats, tuple[Floats, Floats]]:
    """Arcsec a pixel along x and y, and the residuals without level and slope."""
    if good.sum() < _LEAST:
        return np.full((2, 2), np.nan), (d_ra[good], d_dec[good])
    u, v = x[good] - x[good].mean(), y[good] - y[good].mean()
    columns = np.stack([np.ones(len(u)), u, v], axis=1)
    slopes, rest = [], []
    for residual in (d_ra[good], d_dec[good]):
        solution = np.linalg.lstsq(columns, residual, rcond=None)[0]
        slopes.append(solution[1:])
        rest.append(residual - columns @ solution)
    return np.stack(slopes), (rest[0], rest[1])


def _wobbles(x: Floats, y: Floats, residuals: tuple[Floats, Floats]) -> tuple[Wobble, ...]:
    found: list[Wobble] = []
    if len(x) < _LEAST_FOR_WOBBLE:
        return ()
    axes: Sequence[tuple[Literal["x", "y"], Floats]] = (("x", x), ("y", y))
    names: Sequence[Literal["ra", "dec"]] = ("ra", "dec")
    for axis, place in axes:
        length = float(np.ptp(place))
        if length <= 0.0:
            continue
        step = 1.0 / (8.0 * length)
        # from half a wave over the image to what the stars' number can tell
        count = max(2, min(round(8 * (2.5 * len(x))), 40_000))
        grid = FrequencyGrid(0.5 / length, step, count)
        for name, residual in zip(names, residuals, strict=True):
            periodogram = lomb_scargle(place, residual, grid=grid)
            best = periodogram.best
            chance = float(periodogram.false_alarm_probability(best.power))
            if chance < _WOBBLE_CHANCE:
                found.append(Wobble(name, axis, best.frequency, _amplitude(place, residual, best.frequency), chance))
    return tuple(sorted(found, key=lambda wobble: -wobble.amplitude))


def _amplitude(place: Floats, residual: Floats, frequency: float) -> float:
    phase = 2.0 * np.pi * frequency * place
    columns = np.stack([np.ones(len(place)), np.cos(phase), np.sin(phase)], axis=1)
    solution = np.linalg.lstsq(columns, residual, rcond=None)[0]
    return float(np.hypot(solution[1], solution[2]))


def _chance_pairs(sources: ImageSources, stars: ReferenceStars, radius_arcsec: float) -> float:
    """Sources times the stars that lie in a circle of the match radius on average."""
    here = np.isfinite(sources.ra)
    if here.sum() < 2:
        return 0.0
    # around the first source, so that an image over RA 0 does not spread around the sky
    lon = np.mod(sources.ra[here] - sources.ra[here][0] + 180.0, 360.0)
    lat = sources.dec[here]
    star_lon = np.mod(stars.ra - sources.ra[here][0] + 180.0, 360.0)
    width = float(np.ptp(lon)) * math.cos(math.radians(float(lat.mean())))
    area = width * float(np.ptp(lat))
    inside = (star_lon >= lon.min()) & (star_lon <= lon.max()) & (stars.dec >= lat.min()) & (stars.dec <= lat.max())
    if area <= 0.0:
        return 0.0
    return float(here.sum() * inside.sum() * math.pi * (radius_arcsec / 3600.0) ** 2 / area)


def _judged(
    count: int,
    median: tuple[float, float],
    scatter: tuple[float, float],
    slope: Floats,
    x: Floats,
    y: Floats,
    wobbles: tuple[Wobble, ...],
    wanted: float,
    radius: float,
) -> tuple[Verdict, str]:
    if count < _LEAST:
        return "too few stars", (
            f"Only {count} stars match within {radius:g} arcsec; widen the radius, or the calibration is wrong."
        )
    shift, noise = math.hypot(*median), math.hypot(*scatter)
    tilt = float(np.nanmax(np.abs(slope) * np.array([np.ptp(x), np.ptp(y)])))
    numbers = f"{count} stars, median offset {shift:.2f} arcsec, scatter {noise:.2f} arcsec"
    strong = [wobble for wobble in wobbles if wobble.amplitude > 0.25 * wanted]
    if strong:
        worst = strong[0]
        kind: Verdict = "wobbling" if worst.frequency * np.ptp(x if worst.axis == "x" else y) > 2.0 else "distorted"
        return kind, (
            f"{numbers}: the {worst.of} residuals go up and down by {worst.amplitude:.2f} arcsec along {worst.axis}"
            f" every {worst.wavelength:.0f} pixels"
            + (", as a scanner's gears do." if kind == "wobbling" else ", as a distortion does.")
        )
    if shift > wanted:
        return "shifted", f"{numbers}: the whole image is off by more than {wanted:g} arcsec."
    if tilt > wanted or noise > 2.0 * wanted:
        return "distorted", f"{numbers}: residuals change by {tilt:.2f} arcsec from edge to edge."
    return "good", f"{numbers}: the calibration is good to {wanted:g} arcsec."
