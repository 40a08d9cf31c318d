"""Images of FITS files as datasets: place and outline from their WCS, times and filters from their headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skyvault.publish.datasets import Dataset, Recipe, facts_of_file, finished, kept_pictures
from skyvault.science.exposure_headers import begin_of, exposure_s, filter_of, text_of, wavelengths_of
from skyvault.science.fits_images import ImageFacts, images_in, opened_fits, polygon_text
from skyvault.science.previews import Pictures, pictures_in


def image_datasets(path: Path, recipe: Recipe) -> list[Dataset]:
    """The datasets of one file. Raises FormatError with what is wrong with it."""
    facts = facts_of_file(path, recipe.root)
    with opened_fits(path) as file:
        images = images_in(file, path.name, wanted=recipe.section.hdu)
        # a header that is whole with pixels that are not: nobody should be offered such a file
        seen = [pictures_in(file, one.hdu, path.name) if recipe.section.previews else None for one in images]
    is_several = recipe.section.hdu == "all"
    return [
        image_dataset(image, pictures, path, recipe, facts, str(image.hdu) if is_several else None)
        for image, pictures in zip(images, seen, strict=True)
    ]


def image_dataset(
    image: ImageFacts, pictures: Pictures | None, path: Path, recipe: Recipe, facts: dict[str, Any], key: str | None
) -> Dataset:
    """The dataset of one image of a file; ``key`` tells it from the file's others. Raises FormatError."""
    local = str(facts["path"]) if key is None else f"{facts['path']}:{key}"
    dataset = Dataset(_row(image))
    _when(dataset, image.header)
    if key is not None:
        dataset.row["obs_id"] = facts["stem"]
    known = {**facts, "ra": image.ra, "dec": image.dec, "hdu": image.hdu, "extname": image.name}
    if pictures is not None:
        dataset.products = kept_pictures(pictures, recipe, local, "#preview-image")
    return finished(recipe, dataset, local, known, image.header, path, image.hdu)


def _row(image: ImageFacts) -> dict[str, Any]:
    header = image.header
    depth = [size for axis, size in enumerate(image.planes) if size > 1]
    name = filter_of(header)
    span = None if name is None else wavelengths_of(name)
    row: dict[str, Any] = {
        "dataproduct_type": "image" if len(depth) <= 2 else "cube",
        "s_ra": image.ra,
        "s_dec": image.dec,
        "s_fov": image.fov_deg,
        "s_region": polygon_text(image.outline),
        "s_xel1": image.planes[0],
        "s_xel2": image.planes[1],
        "s_pixel_scale": image.pixel_arcsec,
        "target_name": text_of(header, "OBJECT", "TARGNAME", "TARGET"),
        "facility_name": text_of(header, "TELESCOP", "OBSERVAT"),
        "instrument_name": text_of(header, "INSTRUME", "DETECTOR"),
        "obs_title": text_of(header, "TITLE"),
        "filter": name,
        "o_ucd": "phot.count",
        "t_exptime": exposure_s(header),
    }
    if span is not None:
        row["em_min"], row["em_max"] = span
    return row


def _when(dataset: Dataset, header: Any) -> None:
    try:
        begin = begin_of(header)
    except ValueError as problem:
        dataset.remarks.append(f"its date is not understood: {problem}")
        return
    if begin is None:
        return
    if begin.remark:
        dataset.remarks.append(begin.remark)
    dataset.row["t_min"] = begin.mjd
    dataset.row["t_max"] = begin.mjd + (dataset.row["t_exptime"] or 0.0) / 86_400.0
