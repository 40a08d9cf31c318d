"""Gaia XP spectra sampled: flux and its error at wavelengths, from the coefficients the archive gives.

The errors of neighbouring samples of an XP spectrum belong together, since all follow from the same coefficients.
Here realisations of the coefficients are drawn from their covariance and each is sampled: mean and standard deviation
of the realisations are flux and error, as GAVO publishes them (gdr3spec).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from skyvault.errors import FormatError, ParameterError
from skyvault.science.xp_instrument import BP_ENDS_NM, COEFFICIENTS, RP_BEGINS_NM, Floats, XpDesign

REALISATIONS: Final = 10
MOST_REALISATIONS: Final = 10_000
#: correlations of a band's coefficients: the triangle without its diagonal
CORRELATIONS: Final = COEFFICIENTS * (COEFFICIENTS - 1) // 2
#: spectra worked on at once: their matrices stay near the processor
_AT_ONCE: Final = 256
#: numbers of all realisations held at once
_MOST_NUMBERS: Final = 4_000_000
_ROWS, _COLUMNS = np.tril_indices(COEFFICIENTS, -1)
#: where the triangle lies in a matrix that is read as one line
_PLACES: Final = _ROWS * COEFFICIENTS + _COLUMNS


@dataclass(frozen=True, slots=True)
class XpCoefficients:
    """Spectra of one band in their continuous representation (gaiadr3.xp_continuous_mean_spectrum).

    ``values`` and ``errors`` have shape (n, 55), ``correlations`` (n, 1485): the triangle of the correlation matrix
    without its diagonal, row by row below it (the same as column by column above it). A spectrum without this band
    has NaN in its values.
    """

    values: Floats
    errors: NDArray[np.floating]
    correlations: NDArray[np.floating]

    def __post_init__(self) -> None:
        n = len(self.values)
        for name, array, width in (
            ("coefficients", self.values, COEFFICIENTS),
            ("errors", self.errors, COEFFICIENTS),
            ("correlations", self.correlations, CORRELATIONS),
        ):
            if array.shape != (n, width):
                raise FormatError(f"XP {name} must have shape ({n}, {width}), not {array.shape}")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which spectra have this band whole, shape (n,)."""
        numbers = np.isfinite(self.values).all(axis=1) & np.isfinite(self.errors).all(axis=1)
        return np.asarray(numbers & np.isfinite(self.correlations).all(axis=1) & (self.errors >= 0).all(axis=1))

    def rows(self, chosen: slice | NDArray[np.int64]) -> XpCoefficients:
        return XpCoefficients(self.values[chosen], self.errors[chosen], self.correlations[chosen])


@dataclass(frozen=True, slots=True)
class XpSamples:
    """Sampled spectra: ``flux`` and ``error`` in W/m2/nm, shape (n, m); NaN where nothing is known."""

    flux: Floats
    error: Floats


def sample_xp(
    design: XpDesign,
    bp: XpCoefficients,
    rp: XpCoefficients,
    source_id: NDArray[np.int64],
    realisations: int = REALISATIONS,
) -> XpSamples:
    """Sample n spectra on the grid of ``design``.

    Mean and standard deviation (n - 1) of so many ``realisations``, drawn with the source's identifier as the seed,
    so that a spectrum is always the same; 0 gives the flux of the coefficients themselves and the error that follows
    from the covariance, as GaiaXPy's ``calibrate`` does. A spectrum of one band is NaN where only the other sees.
    Raises ParameterError for a number of realisations that cannot be.
    """
    if realisations < 0 or realisations == 1 or realisations > MOST_REALISATIONS:
        raise ParameterError(
            f"{realisations} realisations give no error", hint=f"Take 2 to {MOST_REALISATIONS:,}, or 0 for none."
        )
    n, m = len(bp), len(design.wavelength_nm)
    if len(rp) != n or len(source_id) != n:
        raise FormatError(f"there are {n} BP spectra, {len(rp)} RP spectra and {len(source_id)} sources")
    flux, error = np.full((n, m), np.nan), np.full((n, m), np.nan)
    has_bp, has_rp = bp.present, rp.present
    grid = design.wavelength_nm
    groups = (
        (has_bp & has_rp, ((bp, 0, design.bp * design.bp_weight), (rp, 1, design.rp * design.rp_weight)), None),
        # GaiaXPy shows of one band alone what is beyond the other, too, as far as the two overlap
        (has_bp & ~has_rp, ((bp, 0, design.bp),), grid < BP_ENDS_NM),
        (~has_bp & has_rp, ((rp, 1, design.rp),), grid > RP_BEGINS_NM),
    )
    step = max(1, min(_AT_ONCE, _MOST_NUMBERS // max(1, realisations * m)))
    for chosen, bands, seen in groups:
        numbers = np.flatnonzero(chosen)
        for first in range(0, len(numbers), step):
            rows = numbers[first : first + step]
            parts = [(band.rows(rows), place, matrix) for band, place, matrix in bands]
            if realisations:
                mean, spread = _realised(parts, source_id[rows], realisations)
            else:
                mean, spread = _exact(parts)
            if seen is not None:
                mean[:, ~seen], spread[:, ~seen] = np.nan, np.nan
            flux[rows], error[rows] = mean, spread
    return XpSamples(flux, error)


_Part = tuple[XpCoefficients, int, Floats]


def _exact(parts: list[_Part]) -> tuple[Floats, Floats]:
    """The flux of the coefficients, and the error by the covariance: D' C D, C = E R E."""
    shape = (len(parts[0][0]), parts[0][2].shape[1])
    flux, variance = np.zeros(shape), np.zeros(shape)
    for band, _, matrix in parts:
        flux += _times(band.values, matrix)
        scaled = np.asarray(band.errors, np.float64)[:, :, None] * matrix
        variance += np.einsum("nkm,nkm->nm", scaled, correlation_matrices(band) @ scaled)
    return flux, np.sqrt(np.maximum(variance, 0.0))


def _times(values: Floats, matrix: Floats) -> Floats:
    """``values @ matrix``, a spectrum at a time: of large matrices BLAS would make threads that wait for each other."""
    return np.asarray(np.matmul(values[:, None, :], matrix)[:, 0, :], np.float64)


def _realised(parts: list[_Part], source_id: NDArray[np.int64], realisations: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the flux of realisations.

    What a realisation adds to the flux of the coefficients is worked out in 32 bits, exact to a millionth of the error.
    """
    drawn = _normals(source_id, realisations)
    flux = np.zeros((len(source_id), parts[0][2].shape[1]))
    # 32 bits end at 1e-38, and fluxes are 1e-18
    unit = max(float(np.abs(matrix).max()) for _, _, matrix in parts) or 1.0
    added: NDArray[np.float32] | None = None
    for band, place, matrix in parts:
        flux += _times(band.values, matrix)
        roots = np.multiply(correlation_roots(band), band.errors[:, :, None], dtype=np.float32, casting="same_kind")
        # (n, realisations, 55): normal numbers become errors of coefficients that belong together
        moved = np.matmul(drawn[:, place], np.swapaxes(roots, 1, 2))
        sampled = moved @ (matrix / unit).astype(np.float32)
        added = sampled if added is None else np.add(added, sampled, out=added)
    assert added is not None
    mean = added.mean(axis=1)
    added -= mean[:, None, :]
    spread = np.sqrt(np.einsum("nrm,nrm->nm", added, added) / np.float32(realisations - 1))
    return flux + mean * unit, spread * unit


def _normals(source_id: NDArray[np.int64], realisations: int) -> NDArray[np.float32]:
    """Normal numbers of each source, shape (n, 2, realisations, 55): BP's, then RP's, whichever it has."""
    shape = (2, realisations, COEFFICIENTS)
    found = np.empty((len(source_id), *shape), np.float32)
    bits = np.random.Philox(key=0)
    generator = np.random.Generator(bits)
    fresh: Any = bits.state
    # a loop, but of some microseconds a spectrum: hashes of whole arrays take longer in NumPy
    for row, key in zip(found, source_id.astype(np.uint64), strict=True):
        fresh["state"]["key"][0] = key
        bits.state = fresh
        generator.standard_normal(out=row, dtype=np.float32)
    return found


def correlation_matrices(band: XpCoefficients) -> Floats:
    """The correlations as matrices, shape (n, 55, 55)."""
    matrices = _lower(band)
    matrices += np.swapaxes(np.tril(matrices, -1), 1, 2)
    return matrices


def _lower(band: XpCoefficients) -> Floats:
    flat = np.zeros((len(band), COEFFICIENTS * COEFFICIENTS))
    flat[:, _PLACES] = band.correlations
    flat[:, :: COEFFICIENTS + 1] = 1.0
    return flat.reshape(-1, COEFFICIENTS, COEFFICIENTS)


def correlation_roots(band: XpCoefficients) -> Floats:
    """Matrices L with L L' = R, shape (n, 55, 55).

    Correlations are rounded to 32 bits in the archive: where a matrix is by that no longer positive, its eigenvalues
    below zero count as zero.
    """
    try:
        # looks at the lower triangle only
        return np.asarray(np.linalg.cholesky(_lower(band)), np.float64)
    except np.linalg.LinAlgError:
        return np.stack([_root(matrix) for matrix in correlation_matrices(band)], dtype=np.float64)


def _root(matrix: Floats) -> Floats:
    try:
        return np.asarray(np.linalg.cholesky(matrix), np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(matrix)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)), np.float64)


def grids(start_nm: float, stop_nm: float, step_nm: float) -> Floats:
    """Wavelengths from ``start_nm`` to ``stop_nm``, both with it, every ``step_nm``. Raises ParameterError."""
    if not (step_nm > 0 and np.isfinite((start_nm, stop_nm, step_nm)).all() and stop_nm >= start_nm):
        raise ParameterError(f"{start_nm:g} to {stop_nm:g} nm every {step_nm:g} is no grid of wavelengths")
    count = (stop_nm - start_nm) / step_nm
    if count > 1e6:
        raise ParameterError(f"every {step_nm:g} nm is too fine for XP spectra")
    return np.asarray(start_nm + step_nm * np.arange(int(count + 1e-9) + 1), np.float64)
