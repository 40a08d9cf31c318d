"""What the survey's registry of files says of an image, over what the image's own header says."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

#: columns that the registry knows better, or alone
FROM_THE_BUTLER = (
    *("obs_id", "dataproduct_subtype", "calib_level", "s_region", "s_fov", "t_min", "t_max", "t_exptime"),
    *("em_min", "em_max", "facility_name", "instrument_name", "obs_title", "target_name", "lsst_band", "lsst_filter"),
    *("lsst_visit", "lsst_detector", "lsst_ccdvisitid", "lsst_tract", "lsst_patch"),
)
#: columns that ObsCore does not have
NOT_OURS = ("filter", "s_pixel_scale")


@lru_cache(maxsize=4)
def _butler(path: str, mtime_ns: int) -> dict[str, dict[str, Any]]:
    table = pq.read_table(path, columns=["uuid", *FROM_THE_BUTLER])
    return {row["uuid"]: row for row in table.to_pylist()}


def as_the_butler_says(row: dict[str, Any], path: Path, header: Any) -> dict[str, Any] | None:
    """The row with the registry's columns; None for a file the registry does not know.

    The registry's outline is padded. That of the pixels, which the WCS gives, is kept beside it.
    """
    registry = path.parent.parent / "butler.parquet"
    known = _butler(str(registry), registry.stat().st_mtime_ns).get(path.stem)
    if known is None:
        return None
    row["s_region_pixels"] = row["s_region"]
    row.update({name: known[name] for name in FROM_THE_BUTLER})
    for name in NOT_OURS:
        row.pop(name, None)
    return row
