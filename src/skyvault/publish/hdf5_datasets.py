"""Spectra, light curves and images in HDF5 files as datasets: where their values are, the resource says."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skyvault.errors import ConfigError, FormatError
from skyvault.publish.datasets import Dataset, Recipe, facts_of_file
from skyvault.publish.image_datasets import image_dataset
from skyvault.publish.light_curve_datasets import light_curve_dataset
from skyvault.publish.resource import Hdf5Section
from skyvault.publish.spectrum_datasets import spectrum_dataset
from skyvault.science.hdf5_values import Hdf5Paths, Hdf5Values, hdf5_values
from skyvault.science.spectrum_files import spectrum_of_columns
from skyvault.science.time_series_files import time_series_of_columns

if TYPE_CHECKING:
    from skyvault.science.fits_images import ImageFacts
    from skyvault.science.previews import Pictures

#: of each kind the values it needs, and what belongs to all rows
_NEEDED = {"spectra": ("wavelength", "flux"), "timeseries": ("time", "flux"), "images": ("image",)}


def hdf5_datasets(path: Path, recipe: Recipe) -> list[Dataset]:
    """The datasets of one file.

    Raises FormatError with what is wrong with it, ConfigError where the resource does not say where the values are.
    """
    section, kind = recipe.section.hdf5, recipe.section.kind
    assert section is not None
    facts = facts_of_file(path, recipe.root)
    wanted = paths_of(section, kind, recipe.table)
    return [_dataset(one, path, recipe, facts) for one in _read(path, wanted, section)]


def paths_of(section: Hdf5Section, kind: str, where: str) -> Hdf5Paths:
    """The paths a kind needs. Raises ConfigError."""
    if kind not in _NEEDED:
        raise ConfigError(f"{kind} are not read from HDF5", where=where, hint=f"There are {', '.join(_NEEDED)}.")
    given = {name: getattr(section, name) for name in ("wavelength", "time", "flux", "error", "image", "ra", "dec")}
    values = {name: place for name, place in given.items() if place is not None}
    for name in _NEEDED[kind]:
        if name not in values:
            raise ConfigError(f"hdf5: does not say where {name} is", where=where)
    return Hdf5Paths(
        values, section.each, section.rows, frozenset({"wavelength", "time"}), section.id, tuple(section.missing)
    )


def _read(path: Path, wanted: Hdf5Paths, section: Hdf5Section) -> Iterator[Hdf5Values]:
    for one in hdf5_values(path, wanted):
        one.units.update(section.units)
        for name in ("ra", "dec"):
            if name in one.arrays:
                place = np.asarray(one.arrays.pop(name), np.float64).reshape(-1)
                if len(place) != 1:
                    raise FormatError(f"its {name} is {len(place)} numbers", where=path.name)
                one.words[name.upper()] = float(place[0])
        yield one


def _dataset(one: Hdf5Values, path: Path, recipe: Recipe, facts: dict[str, Any]) -> Dataset:
    kind = recipe.section.kind
    known = {**facts, "key": one.key}
    if kind == "spectra":
        return spectrum_dataset(spectrum_of_columns(one.arrays, one.units, one.words, one.key), path, recipe, known)
    if kind == "timeseries":
        named = _as_in_tables(one.units)
        columns = {named[name]: values for name, values in one.arrays.items()}
        units = {named[name]: unit for name, unit in one.units.items() if name in named}
        series = time_series_of_columns(columns, units, one.words)
        return light_curve_dataset(series, path, recipe, known, one.key)
    image, pictures = _image(one, path, has_pictures=recipe.section.previews)
    return image_dataset(image, pictures, path, recipe, known, one.key)


def _as_in_tables(units: dict[str, str]) -> dict[str, str]:
    """The names that columns of light curves have in tables, which tell of eras and magnitudes."""
    era = units.get("time", "").strip().lower()
    time = era if era in ("mjd", "jd", "bjd", "hjd", "bmjd") else "time"
    return {"time": time, "flux": "mag" if "mag" in units.get("flux", "") else "flux", "error": "flux_err"}


def _image(one: Hdf5Values, path: Path, *, has_pictures: bool) -> tuple[ImageFacts, Pictures | None]:
    """An image whose attributes are its header, and its pictures. Raises FormatError."""
    from astropy.io import fits

    from skyvault.science.fits_images import images_in
    from skyvault.science.previews import pictures_in

    pixels = np.asarray(one.arrays["image"], np.float32)
    if pixels.ndim < 2 or not pixels.size:
        raise FormatError(f"its image has {pixels.ndim} axes", where=path.name)
    header = fits.Header()
    for name, value in one.words.items():
        if len(name) <= 8 and isinstance(value, str | int | float | bool):
            header[name] = value
    # a file in memory is read like any other
    held = io.BytesIO()
    fits.PrimaryHDU(pixels, header).writeto(held)
    held.seek(0)
    with fits.open(held) as file:
        (image,) = images_in(file, path.name, wanted="first")
        return image, pictures_in(file, image.hdu, path.name) if has_pictures else None
