"""Three made-up stars as Gaia's archive would give their XP spectra: a sample to publish at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.science.xp_instrument import BANDS, COEFFICIENTS, Floats, XpDesign
from skyvault.science.xp_sampling import CORRELATIONS

#: number, right ascension and declination (ICRS degrees), temperature in kelvin
_STARS: Final = (
    (1636148068921376768, 250.5531, 66.1750, 3_300.0),
    (2161430302173990400, 273.0769, 65.2524, 5_800.0),
    (4295806720, 44.9961, 0.0056, 7_500.0),
)
_FLUX: Final = 2e-16
_HC_NM_K: Final = 1.438777e7


def write_xp_sample(folder: Path) -> None:
    """Write ``archive/sample.csv`` (coefficients of three black bodies, errors, correlations) and ``positions.csv``."""
    wavelength = np.arange(340.0, 1021.0, 2.0)
    design = XpDesign.of(wavelength)
    number = np.arange(COEFFICIENTS)
    # errors of coefficients that belong together, the more the nearer
    below = 0.4 ** np.abs(number[:, None] - number[None, :])
    correlations = _text(below[np.tril_indices(COEFFICIENTS, -1)])
    assert len(correlations.split(",")) == CORRELATIONS
    parts = ("standard_deviation", "coefficients", "coefficient_errors", "coefficient_correlations")
    names = [f"{band}_{part}" for band in BANDS for part in parts]
    lines = [",".join(["source_id", *names])]
    for source, _, _, kelvin in _STARS:
        flux = _black_body(wavelength, kelvin)
        cells = [str(source)]
        for band in BANDS:
            values = _fitted(getattr(design, band), getattr(design, f"{band}_weight") > 0, flux)
            errors = 0.01 * np.abs(values) + 0.3
            cells += ["1.0", *(f'"{one}"' for one in (_text(values), _text(errors), correlations))]
        lines.append(",".join(cells))
    (folder / "archive").mkdir()
    (folder / "archive" / "sample.csv").write_text("\n".join(lines) + "\n", encoding="ascii")
    rows = "".join(f"{source},{ra!r},{dec!r}\n" for source, ra, dec, _ in _STARS)
    (folder / "positions.csv").write_text(f"source_id,ra,dec\n{rows}", encoding="ascii")


def _black_body(wavelength_nm: Floats, kelvin: float) -> Floats:
    shape = wavelength_nm**-5 / np.expm1(_HC_NM_K / (wavelength_nm * kelvin))
    return np.asarray(_FLUX * shape / shape.max(), np.float64)


def _fitted(design: Any, used: Any, flux: Floats) -> Floats:
    """Coefficients that give this flux, none larger than is needed."""
    matrix, wanted = design[:, used].T / _FLUX, flux[used] / _FLUX
    square = matrix.T @ matrix
    return np.asarray(np.linalg.solve(square + 1e-9 * np.trace(square) * np.eye(COEFFICIENTS), matrix.T @ wanted))


def _text(numbers: Any) -> str:
    return "(" + ", ".join(f"{one:.5g}" for one in numbers) + ")"
