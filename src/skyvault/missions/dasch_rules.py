"""Rules of DASCH that no table says: names and times of exposures, which reference star is meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.missions.columns import DURATION, TIME
from skyvault.missions.faults import MissionTypeError, MissionValueError


def prepare(table: pa.Table) -> pa.Table:
    """Adds exposures' and plates' IDs, begin and end (UTC; ``expdate`` is the middle, ``exptime`` minutes)."""
    series, number = pc.utf8_lower(table["series"]), table["platenum"].cast(pa.int64())
    plate = pc.binary_join_element_wise(series, _padded(number), "")
    mosaic, solution, exposure = (
        pc.fill_null(table[name].cast(pa.int64()), -1) for name in ("mosnum", "solnum", "expnum")
    )
    is_scanned = pc.greater_equal(pc.fill_null(table["scannum"].cast(pa.int64()), -1), 0)
    with_mosaic = pc.binary_join_element_wise(plate, "m", mosaic.cast(pa.string()), "s", solution.cast(pa.string()), "")
    without = pc.binary_join_element_wise(plate, "e", pc.max_element_wise(exposure, 0).cast(pa.string()), "")
    exp_id = pc.if_else(is_scanned, with_mosaic, without)
    solved = pc.and_(pc.equal(pc.fill_null(table["wcssource"], ""), "imwcs"), pc.greater_equal(solution, 0))
    middle = _times(table["expdate"])
    minutes = pc.fill_null(table["exptime"].cast(pa.float64()), 0.0)
    length = pc.round(pc.multiply(pc.max_element_wise(minutes, 0.0), 60e6)).cast(pa.int64()).cast(DURATION)
    half = pc.divide(length.cast(pa.int64()), 2).cast(DURATION)
    # 999 and 99 stand for positions nobody wrote down; such rows are left out further on
    ra = table["ra"].cast(pa.float64())
    ra = pc.if_else(pc.less(pc.fill_null(pc.abs(ra), 999.0), 360.5), ra, pa.scalar(None, pa.float64()))
    table = table.set_column(table.schema.get_field_index("ra"), "ra", ra)
    added = {
        "exp_id": exp_id,
        "plate_id": plate,
        "start": pc.subtract(middle, half),
        "end": pc.add(middle, half),
        "duration": length,
        "has_imaging": pc.and_(is_scanned, solved),
        "is_scanned": is_scanned,
    }
    table = table.set_column(table.schema.get_field_index("series"), "series", series)
    for name, column in added.items():
        table = table.append_column(name, column)
    return table


def _padded(number: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.utf8_lpad(number.cast(pa.string()), 5, "0")


def _times(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """UTC of ISO text; "60" in the place of seconds, which the archive writes, is the next minute."""
    text = pc.utf8_rtrim(pc.fill_null(text.cast(pa.string()), ""), "Z")
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    is_sixtieth = pc.match_substring_regex(text, r":60(\.\d*)?$")
    plain = pc.replace_substring_regex(text, r":60(\.\d*)?$", r":59\1").cast(TIME)
    extra = pc.if_else(is_sixtieth, pa.scalar(1_000_000, DURATION), pa.scalar(0, DURATION))
    return pc.add(plain, extra)


def nearest(stars: pa.Table, radius_arcsec: float) -> pa.Table:
    """Stars within a circle, nearest first, with ``sep_arcsec``: the archive's box has corners."""
    dra, ddec = (np.asarray(pc.fill_null(stars[name], float("nan")).to_numpy(), np.float64) for name in
                 ("dra_asec", "ddec_asec"))  # fmt: skip
    separation = np.hypot(dra, ddec)
    order = np.argsort(separation, kind="stable")
    order = order[separation[order] <= radius_arcsec]
    return stars.append_column("sep_arcsec", pa.array(separation)).take(pa.array(order))


def star_of(source: Any, stars_near: Callable[[Any, float], pa.Table], radius_arcsec: float) -> Mapping[str, Any]:
    """The reference star a caller means; see :meth:`DASCH.light_curve`. Raises MissionValueError, MissionTypeError."""
    if isinstance(source, Mapping):
        if missing := {"ref_number", "gsc_bin_index"} - source.keys():
            raise MissionValueError(f"a reference star needs {' and '.join(sorted(missing))}")
        return source
    if isinstance(source, tuple) and len(source) == 2 and all(
        isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in source
    ) and source[0] > 360:  # fmt: skip
        return {"ref_number": int(source[0]), "gsc_bin_index": int(source[1])}
    if isinstance(source, (int, float)):
        raise MissionTypeError(
            f"{source!r} names no star", hint="Give (ref_number, gsc_bin_index), a catalogue name, or a place."
        )
    if isinstance(source, str) and "_" in source:
        near = stars_near(None, 850.0)
        found = near.filter(pc.equal(near["ref_text"], source.strip()))
        if not found.num_rows:
            raise MissionValueError(
                f"{source[:60]!r} is not among the {near.num_rows} reference stars within 850 arcsec of the search",
                hint="See reference_stars().",
            )
        return dict(found.slice(0, 1).to_pylist()[0])
    near = stars_near(source, radius_arcsec)
    if not near.num_rows:
        raise MissionValueError(f"no reference star lies within {radius_arcsec:g} arcsec of that place")
    return dict(near.slice(0, 1).to_pylist()[0])
