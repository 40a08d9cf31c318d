"""Rules of Rubin's ObsCore table that no table says: short, unique names of images that are safe as file names."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def prepare(table: pa.Table) -> pa.Table:
    """Adds ``image_id``: the kind of image without "lsst.", and visit and detector as a number, or tract, patch, band.

    Images that have neither are named by their obs_id.
    """
    kind = pc.replace_substring_regex(pc.fill_null(table["dataproduct_subtype"], "image"), r"^lsst\.", "")
    kind = pc.replace_substring_regex(kind, r"[^A-Za-z_]", "_")

    def text(name: str) -> pa.ChunkedArray:
        return table[name].cast(pa.int64()).cast(pa.string())

    coadd = pc.binary_join_element_wise(text("lsst_tract"), text("lsst_patch"), table["lsst_band"], "_")
    plain = pc.replace_substring_regex(pc.fill_null(table["obs_id"], "unknown"), r"[^0-9A-Za-z_.-]", "_")
    number = pc.coalesce(text("lsst_ccdvisitid"), coadd, plain)
    return table.append_column("image_id", pc.binary_join_element_wise(kind, number, "."))
