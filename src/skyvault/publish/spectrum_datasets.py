"""Spectra of files as datasets: where, when, which wavelengths, and a small picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skyvault.errors import FormatError
from skyvault.publish.datasets import Dataset, Recipe, facts_of_file, finished, kept_pictures
from skyvault.science.exposure_headers import begin_of, exposure_s, text_of
from skyvault.science.line_pictures import line_pictures
from skyvault.science.spectrum_files import Spectrum, spectra_of


def spectrum_datasets(path: Path, recipe: Recipe) -> list[Dataset]:
    """The datasets of one file. Raises FormatError with what is wrong with it."""
    facts = facts_of_file(path, recipe.root)
    return [spectrum_dataset(spectrum, path, recipe, facts) for spectrum in spectra_of(path)]


def spectrum_dataset(spectrum: Spectrum, path: Path, recipe: Recipe, facts: dict[str, Any]) -> Dataset:
    """The dataset of one spectrum of a file. Raises FormatError."""
    local = str(facts["path"]) if spectrum.key is None else f"{facts['path']}:{spectrum.key}"
    dataset = Dataset(_row(spectrum))
    _when(dataset, spectrum.words)
    if spectrum.key is not None:
        dataset.row["obs_id"] = f"{facts['stem']}_{spectrum.key}"
    if recipe.section.previews:
        pictures = line_pictures(spectrum.wavelength, spectrum.flux)
        dataset.products = kept_pictures(pictures, recipe, local, "#preview-plot")
    known = {**facts, "ra": spectrum.ra, "dec": spectrum.dec, "hdu": spectrum.hdu, "extname": ""}
    done = finished(recipe, dataset, local, known, spectrum.words, path, spectrum.hdu)
    if done.row.get("s_ra") is None or done.row.get("s_dec") is None:
        raise FormatError("it does not say where the spectrum was taken: map s_ra and s_dec")
    return done


def _row(spectrum: Spectrum) -> dict[str, Any]:
    waves = spectrum.wavelength[np.isfinite(spectrum.wavelength)]
    steps = np.abs(np.diff(waves))
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.nanmedian(waves[:-1] / (2.0 * steps)) if len(steps) else np.nan
    words = spectrum.words
    return {
        "dataproduct_type": "spectrum",
        "s_ra": spectrum.ra,
        "s_dec": spectrum.dec,
        "em_min": float(waves.min()),
        "em_max": float(waves.max()),
        "em_xel": spectrum.length,
        # two samples a resolution element: what the sampling can show at best
        "em_res_power": float(power) if np.isfinite(power) else None,
        "o_ucd": "phot.flux.density;em.wl",
        "target_name": spectrum.name or text_of(words, "OBJECT", "TARGNAME", "TARGET"),
        "facility_name": text_of(words, "TELESCOP", "OBSERVAT"),
        "instrument_name": text_of(words, "INSTRUME", "DETECTOR"),
        "flux_unit": spectrum.flux_unit,
        "t_exptime": exposure_s(words),
    }


def _when(dataset: Dataset, words: Any) -> None:
    try:
        begin = begin_of(words)
    except ValueError as problem:
        dataset.remarks.append(f"its date is not understood: {problem}")
        return
    if begin is not None:
        dataset.row["t_min"] = begin.mjd
        dataset.row["t_max"] = begin.mjd + (dataset.row["t_exptime"] or 0.0) / 86_400.0
