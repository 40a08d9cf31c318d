"""Event lists of files as datasets: where and how wide, when, of which energies, and a picture of the counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skyvault.errors import FormatError
from skyvault.publish.datasets import Dataset, Recipe, facts_of_file, finished, kept_pictures
from skyvault.science.counts_picture import counts_pictures
from skyvault.science.event_lists import EventList, event_list_of
from skyvault.science.exposure_headers import text_of
from skyvault.science.fits_images import polygon_text


def event_datasets(path: Path, recipe: Recipe) -> list[Dataset]:
    """The dataset of one file. Raises FormatError with what is wrong with it."""
    facts = facts_of_file(path, recipe.root)
    found = event_list_of(path)
    local = str(facts["path"])
    dataset = Dataset(_row(found), remarks=list(found.remarks))
    if recipe.section.previews and found.picture is not None:
        dataset.products = kept_pictures(counts_pictures(found.picture), recipe, local, "#preview-image")
    known = {**facts, "ra": found.ra, "dec": found.dec, "hdu": found.hdu, "extname": ""}
    done = finished(recipe, dataset, local, known, found.words, path, found.hdu)
    if done.row.get("s_ra") is None or done.row.get("s_dec") is None:
        raise FormatError("it does not say where the telescope looked: map s_ra and s_dec")
    return [done]


def _row(found: EventList) -> dict[str, Any]:
    words = found.words
    circle = None
    if found.nominal_deg is not None and found.ra is not None and found.dec is not None:
        circle = f"CIRCLE ICRS {found.ra:.7f} {found.dec:.7f} {found.nominal_deg:g}"
    return {
        "dataproduct_type": "event",
        "obs_id": text_of(words, "OBS_ID"),
        "s_ra": found.ra,
        "s_dec": found.dec,
        "s_fov": found.fov_deg,
        "s_region": circle if found.outline is None else polygon_text(found.outline),
        "s_region_nominal": circle,
        "t_min": found.begin_mjd,
        "t_max": found.end_mjd,
        "t_exptime": found.exposure_s,
        "t_resolution": found.resolution_s,
        "em_min": found.shortest_m,
        "em_max": found.longest_m,
        "o_ucd": "phot.count",
        "target_name": text_of(words, "OBJECT", "TARGNAME", "TARGET"),
        "facility_name": text_of(words, "TELESCOP", "OBSERVAT"),
        "instrument_name": text_of(words, "INSTRUME", "DETECTOR"),
        "event_count": found.count,
    }
