"""Rules of ZTF's image list that no table says: an image's name, and which are fit for science."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from skyvault.missions.columns import TIME

#: bit 25 of ``infobits``: the image failed quality control (ZTF Science Data System, section 10.4)
_UNUSABLE = 1 << 25


def prepare(table: pa.Table) -> pa.Table:
    """Adds images' names (without what kind of file it is), begin in UTC, and whether they are usable."""

    def padded(name: str, width: int) -> pa.ChunkedArray:
        return pc.utf8_lpad(table[name].cast(pa.int64()).cast(pa.string()), width, "0")

    image_id = pc.binary_join_element_wise(
        "ztf",
        table["filefracday"].cast(pa.string()),
        padded("field", 6),
        table["filtercode"],
        pc.binary_join_element_wise("c", padded("ccdid", 2), ""),
        table["imgtypecode"],
        pc.binary_join_element_wise("q", table["qid"].cast(pa.int64()).cast(pa.string()), ""),
        "_",
    )
    bits = pc.fill_null(table["infobits"].cast(pa.int64()), 0)
    usable = pc.equal(pc.bit_wise_and(bits, _UNUSABLE), 0)
    # "2018-06-05 10:44:22.5+00"
    text = pc.replace_substring_regex(table["obsdate"].cast(pa.string()), r"\s*(Z|\+00(:?00)?)\s*$", "")
    text = pc.replace_substring_regex(text, r"(\.\d{6})\d+$", r"\1")
    for name, column in (("image_id", image_id), ("is_usable", usable), ("start", text.cast(TIME))):
        table = table.append_column(name, column)
    return table
