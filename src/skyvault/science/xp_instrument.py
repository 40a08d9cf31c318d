"""The mean instrument of Gaia's BP and RP spectrophotometers: from coefficients to flux at given wavelengths.

An XP spectrum of the Gaia archive is a sum of basis functions, 55 coefficients for each of BP and RP. What each basis
function is in absolute flux at a wavelength follows from the external calibration: the dispersion gives the place in
the spectrum ("pseudo-wavelength"), the inverse bases are sums of Hermite functions there, the response makes photons
a second into flux (De Angeli et al. 2023, A&A 674, A2; Montegriffo et al. 2023, A&A 674, A3).
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyvault.errors import FormatError, ParameterError

Floats = NDArray[np.float64]
Band = Literal["bp", "rp"]

BANDS: Final[tuple[Band, Band]] = ("bp", "rp")
#: coefficients of each band
COEFFICIENTS: Final = 55
#: wavelengths, nm, that the calibration reaches; RP begins and BP ends in the middle, where both are weighed
SHORTEST_NM: Final = 330.0
LONGEST_NM: Final = 1050.0
RP_BEGINS_NM: Final = 635.0
BP_ENDS_NM: Final = 643.0
#: samples of a grid: a twentieth of a nanometre over all wavelengths
MOST_SAMPLES: Final = 14_401
#: of both telescopes' pupils, m2, and h c in J m (CODATA 2014), as the calibration was made with
_PUPIL_M2: Final = 0.7278
_HC_J_M: Final = 6.62607004e-34 * 2.99792458e8
#: bytes of a file of the instrument
_MOST_BYTES: Final = 10_000_000
_FILES: Final = Path(__file__).parent / "gaia_xp"


@dataclass(frozen=True, slots=True)
class BandInstrument:
    """One spectrophotometer. ``scale`` and ``offset`` bring pseudo-wavelengths to the Hermite functions' variable.

    ``bases`` (55, n) are the coefficients of n Hermite functions each basis function is; ``dispersion`` (2, k) are
    wavelengths in nm and pseudo-wavelengths, ``response`` (2, k) wavelengths in nm and electrons a photon.
    """

    scale: float
    offset: float
    bases: Floats
    dispersion: Floats
    response: Floats

    def design(self, wavelength_nm: Floats) -> Floats:
        """Each basis function at these wavelengths, W/m2/nm, shape (55, m)."""
        from scipy.interpolate import make_interp_spline

        place = make_interp_spline(*self.dispersion, k=3)(wavelength_nm) * self.scale + self.offset
        hermite = hermite_functions(self.bases.shape[1], place)
        response = make_interp_spline(*self.response, k=3)(wavelength_nm)
        with np.errstate(divide="ignore"):
            energy = np.where(response > 0.0, 1e9 * _HC_J_M / (_PUPIL_M2 * response * wavelength_nm), 0.0)
        return np.asarray((self.bases @ hermite) * energy, np.float64)


@dataclass(frozen=True)
class XpDesign:
    """What samples spectra on one grid of wavelengths: ``flux = coefficients @ design``.

    ``wavelength_nm`` (m,); ``bp`` and ``rp`` (55, m) in W/m2/nm; ``bp_weight`` and ``rp_weight`` (m,) say how much of
    each band goes into the joined spectrum, from one band to the other between 635 and 643 nm.
    """

    wavelength_nm: Floats
    bp: Floats
    rp: Floats
    bp_weight: Floats
    rp_weight: Floats

    @classmethod
    def of(cls, wavelength_nm: ArrayLike, folder: Path | None = None) -> XpDesign:
        """The design for a grid in nm, ascending, within 330 and 1050; ``folder`` holds another instrument's files.

        Raises ParameterError for a grid that does not fit, FormatError for files that are no instrument.
        """
        grid = checked_grid(wavelength_nm)
        rp_weight = np.clip((grid - RP_BEGINS_NM) / (BP_ENDS_NM - RP_BEGINS_NM), 0.0, 1.0)
        weights = {"bp": 1.0 - rp_weight, "rp": rp_weight}
        made = {}
        for band in BANDS:
            # where a band has no weight its response is as good as none: noise without end
            used = weights[band] > 0.0
            made[band] = np.zeros((COEFFICIENTS, len(grid)))
            if used.any():
                made[band][:, used] = band_instrument(band, folder).design(grid[used])
        return cls(grid, made["bp"], made["rp"], weights["bp"], weights["rp"])


def checked_grid(wavelength_nm: ArrayLike) -> Floats:
    """A grid of wavelengths, shape (m,). Raises ParameterError when it is none or goes beyond what XP spectra cover."""
    grid = np.atleast_1d(np.asarray(wavelength_nm, np.float64))
    if grid.ndim != 1 or not len(grid) or not np.isfinite(grid).all() or (np.diff(grid) <= 0).any():
        raise ParameterError("the wavelengths of an XP spectrum must ascend", hint="Give them in nm, as 400, 410, 420.")
    if grid[0] < SHORTEST_NM or grid[-1] > LONGEST_NM:
        raise ParameterError(
            f"XP spectra reach from {SHORTEST_NM:g} to {LONGEST_NM:g} nm, not from {grid[0]:g} to {grid[-1]:g}"
        )
    if len(grid) > MOST_SAMPLES:
        raise ParameterError(f"{len(grid):,} wavelengths are more than the {MOST_SAMPLES:,} taken for an XP spectrum")
    return grid


def hermite_functions(count: int, x: ArrayLike) -> Floats:
    """The first ``count`` Hermite functions (normalised, with the Gaussian), shape (count, len(x))."""
    place = np.asarray(x, np.float64)
    found = np.empty((count, *place.shape))
    found[0] = math.pi**-0.25 * np.exp(-0.5 * place * place)
    if count > 1:
        found[1] = math.sqrt(2.0) * place * found[0]
    for n in range(2, count):
        found[n] = math.sqrt(2.0 / n) * place * found[n - 1] - math.sqrt((n - 1.0) / n) * found[n - 2]
    return found


@lru_cache(maxsize=8)
def band_instrument(band: Band, folder: Path | None = None) -> BandInstrument:
    """The instrument in files ``{band}*_bases.csv``, ``*_dispersion.csv`` and ``*_response.csv`` of a folder.

    Without one: Gaia DR3's, which comes with Skyvault. Raises FormatError.
    """
    place = _FILES if folder is None else folder
    files = {}
    for kind in ("bases", "dispersion", "response"):
        found = sorted(place.glob(f"{band}*_{kind}.csv"))
        if len(found) != 1:
            raise FormatError(
                f"there are {len(found)} files {band}*_{kind}.csv, and one is needed",
                where=str(place),
                hint="An instrument is the bases, dispersion and response of bp and rp, as GaiaXPy has them.",
            )
        files[kind] = found[0]
    bases = _bases(files["bases"])
    low, high, first, last = (bases[key] for key in ("pwlRangeMin", "pwlRangeMax", "normRangeMin", "normRangeMax"))
    if not high > low:
        raise FormatError("its range of pseudo-wavelengths is empty", where=files["bases"].name)
    scale = (last - first) / (high - low)
    combined = bases["transformationMatrix"] @ bases["inverseBasesCoefficients"]
    return BandInstrument(scale, first - low * scale, combined, *(_curve(files[k]) for k in ("dispersion", "response")))


def _text(path: Path) -> str:
    if path.stat().st_size > _MOST_BYTES:
        raise FormatError(f"the file is larger than {_MOST_BYTES:,} bytes", where=path.name)
    return path.read_text(encoding="ascii", errors="replace")


def _curve(path: Path) -> Floats:
    """A curve of two lines of numbers: wavelengths in nm, and the values there."""
    try:
        lines = [[float(cell) for cell in row] for row in csv.reader(_text(path).splitlines()) if row]
        curve = np.array(lines, np.float64)
    except ValueError as problem:
        raise FormatError(f"it is no curve ({str(problem)[:80]})", where=path.name) from None
    if curve.ndim != 2 or len(curve) != 2 or curve.shape[1] < 4 or (np.diff(curve[0]) <= 0).any():
        raise FormatError("it is no curve of two lines, ascending wavelengths and values", where=path.name)
    return curve


def _bases(path: Path) -> dict[str, Any]:
    """The bases' numbers, and the two matrices: (55, 55) of the transformation, (55, n) of Hermite coefficients."""
    try:
        row = next(csv.DictReader(_text(path).splitlines()))
        found: dict[str, Any] = {key: float(row[key]) for key in row if "Range" in key}
        count, terms, mixed = (int(row[key]) for key in ("nBases", "nInverseBasesCoefficients", "nTransformedBases"))
        for key, shape in (("inverseBasesCoefficients", (mixed, terms)), ("transformationMatrix", (count, mixed))):
            numbers = np.array([float(cell) for cell in row[key].strip().strip("()[]").split(",")], np.float64)
            found[key] = numbers.reshape(shape)
    except (StopIteration, KeyError, ValueError, TypeError, csv.Error) as problem:
        told = f"{type(problem).__name__}: {problem}"[:100]
        raise FormatError(f"it does not describe basis functions ({told})", where=path.name) from None
    if count != COEFFICIENTS:
        raise FormatError(f"it has {count} basis functions, not {COEFFICIENTS}", where=path.name)
    return found
