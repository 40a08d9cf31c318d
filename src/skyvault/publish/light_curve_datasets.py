"""Light curves of files as datasets: where, from when to when, how many points, and a small picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skyvault.errors import FormatError
from skyvault.publish.datasets import Dataset, Recipe, facts_of_file, finished, kept_pictures
from skyvault.science.exposure_headers import filter_of, instant_of, text_of, wavelengths_of
from skyvault.science.line_pictures import line_pictures
from skyvault.science.time_series_files import TimeSeries, time_series_of

_DAY_S = 86_400.0
#: bands of missions whose light curves have no filter, metres
_MISSION_BANDS = {"tess": (6.0e-7, 1.0e-6), "kepler": (4.2e-7, 9.0e-7)}


def light_curve_datasets(path: Path, recipe: Recipe) -> list[Dataset]:
    """The dataset of one file. Raises FormatError with what is wrong with it."""
    facts = facts_of_file(path, recipe.root)
    return [light_curve_dataset(time_series_of(path), path, recipe, facts)]


def light_curve_dataset(
    series: TimeSeries, path: Path, recipe: Recipe, facts: dict[str, Any], key: str | None = None
) -> Dataset:
    """The dataset of one light curve of a file; ``key`` tells it from the file's others. Raises FormatError."""
    local = str(facts["path"]) if key is None else f"{facts['path']}:{key}"
    dataset = Dataset(_row(series))
    _when(dataset, series)
    if key is not None:
        dataset.row["obs_id"] = f"{facts['stem']}_{key}"
    if recipe.section.previews:
        pictures = line_pictures(series.mjd, series.value, points=True, flipped=series.is_magnitude)
        dataset.products = kept_pictures(pictures, recipe, local, "#preview-plot")
    known = {**facts, "ra": series.ra, "dec": series.dec, "hdu": series.hdu, "extname": ""}
    done = finished(recipe, dataset, local, known, series.words, path, series.hdu)
    if done.row.get("s_ra") is None or done.row.get("s_dec") is None:
        raise FormatError("it does not say which place it is of: map s_ra and s_dec")
    return done


def _row(series: TimeSeries) -> dict[str, Any]:
    times = np.sort(series.mjd[np.isfinite(series.mjd)])
    steps = np.diff(times)
    steps = steps[steps > 0]
    words = series.words
    facility = text_of(words, "TELESCOP", "MISSION")
    name = filter_of(words)
    span = wavelengths_of(name) if name else _MISSION_BANDS.get((facility or "").lower())
    row: dict[str, Any] = {
        "dataproduct_type": "timeseries",
        "s_ra": series.ra,
        "s_dec": series.dec,
        "t_xel": len(series.mjd),
        "t_resolution": float(np.median(steps)) * _DAY_S if len(steps) else None,
        "o_ucd": "phot.mag" if series.is_magnitude else "phot.flux",
        "target_name": text_of(words, "OBJECT", "TARGNAME", "TARGET"),
        "facility_name": facility,
        "instrument_name": text_of(words, "INSTRUME"),
        "filter": name,
        "time_scale": (series.scale or "").upper() or None,
        "time_reference": (series.reference or "").upper() or None,
    }
    if span is not None:
        row["em_min"], row["em_max"] = span
    return row


def _when(dataset: Dataset, series: TimeSeries) -> None:
    """ObsCore's limits are UTC: those that the header tells so, or the light curve's own, which are said not to be."""
    words = series.words
    begin, end = words.get("DATE-OBS"), words.get("DATE-END")
    if isinstance(begin, str) and isinstance(end, str):
        try:
            dataset.row["t_min"], dataset.row["t_max"] = instant_of(begin).mjd, instant_of(end).mjd
            return
        except ValueError as problem:
            dataset.remarks.append(f"its date is not understood: {problem}")
    dataset.row["t_min"], dataset.row["t_max"] = float(np.nanmin(series.mjd)), float(np.nanmax(series.mjd))
    if series.scale not in ("utc", None) or series.reference == "barycenter":
        told = " at the ".join(part for part in ((series.scale or "").upper(), series.reference or "") if part)
        dataset.remarks.append(f"t_min and t_max are of the light curve ({told}), not UTC: up to 9 minutes off")
