"""TESS's light-curve files: what their table and headers tell (Science Data Products Description Document, section 5).

All columns are kept; times are TDB at the barycentre, counted from BJDREFI + BJDREFF.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from skyvault.errors import FormatError
from skyvault.formats.fits_header import read_header
from skyvault.formats.registry import open_table
from skyvault.missions.light_curve_files import LightCurveTable, TimeAxis, with_units

_NEEDED: Final = ("TIME", "SAP_FLUX")
_STAMPS: Final = {0.0: "start", 0.5: "middle", 1.0: "end"}
#: cards of which no file has use outside its own bytes
_STRUCTURE: Final = ("TTYPE", "TFORM", "TUNIT", "TDISP", "TDIM", "TNULL", "NAXIS", "BITPIX", "XTENSION", "SIMPLE")


def read_light_curve(path: Path) -> LightCurveTable:
    """A TESS (or Kepler) light-curve file. Raises FormatError for anything else, a cut file included.

    ``about`` holds the cards of both headers ("primary", "lightcurve"); rows without a time stay, with a null.
    """
    with path.open("rb") as file:
        primary = read_header(file, name=path.name, first=True)
        assert primary is not None
        file.seek(primary.data_bytes(), 1)
        second = read_header(file, name=path.name, first=False)
    if second is None:
        raise FormatError("the file has no table of measurements", where=path.name)
    stream = open_table(path, "fits", table=1)
    batches = list(stream.batches)
    if stream.error:
        raise FormatError(stream.error, where=path.name)
    rows = pa.Table.from_batches(batches) if batches else pa.table({name: [] for name in _NEEDED})
    if missing := [name for name in _NEEDED if name not in rows.column_names]:
        raise FormatError(f"the file is no light curve: it has no column {', '.join(missing)}", where=path.name)
    # "BJD - 2457000, days" is no unit
    units = {c.name: c.unit for c in stream.table.columns if c.unit and "," not in c.unit and " (" not in c.unit}
    rows = with_units(rows, units | {"TIME": "d"})
    zero = second.number("BJDREFI", 2457000.0) + second.number("BJDREFF", 0.0)
    scale = second.text("TIMESYS", "TDB").strip().lower()
    stamp = _STAMPS.get(second.number("TIMEPIXR", 0.5), "unknown")
    axis = TimeAxis("TIME", zero, "tdb" if scale == "tdb" else "unknown", "BARYCENTER", stamp=stamp)  # type: ignore[arg-type]
    about = {"primary": _cards(primary), "lightcurve": _cards(second), "file": path.name}
    source = primary.value("TICID") or primary.value("KEPLERID") or primary.text("OBJECT", "unknown")
    return LightCurveTable(
        primary.text("TELESCOP", "TESS").strip(), str(source), rows, axis, primary.number("RA_OBJ", float("nan")),
        primary.number("DEC_OBJ", float("nan")), np.zeros(rows.num_rows, np.bool_), about,
    )  # fmt: skip


def joined(curves: list[LightCurveTable], service: str) -> LightCurveTable:
    """Light curves of one target as one, by time, with columns SECTOR, CAMERA, CCD and EXPOSURE_S appended.

    Where a sector has several files, the one of the fastest cadence (most rows) is taken. Raises FormatError when
    their times count from different zeros.
    """
    best: dict[Any, LightCurveTable] = {}
    for curve in curves:
        sector = curve.about["primary"].get("SECTOR")
        if sector not in best or len(curve) > len(best[sector]):
            best[sector] = curve
    chosen = [best[sector] for sector in sorted(best, key=lambda s: (s is None, s))]
    first = chosen[0]
    if any(curve.time != first.time for curve in chosen):
        raise FormatError(f"the light curves of {first.source_id} count time differently")
    parts = []
    for curve in chosen:
        head, rows = curve.about["primary"], curve.rows
        for name in ("SECTOR", "CAMERA", "CCD"):
            value = head.get(name)
            rows = rows.append_column(name, pa.repeat(pa.scalar(value if isinstance(value, int) else None, pa.int32()),
                                                      rows.num_rows))  # fmt: skip
        rows = rows.append_column("EXPOSURE_S", pa.repeat(pa.scalar(exposure_s(curve), pa.float64()), rows.num_rows))
        parts.append(rows)
    table = pa.concat_tables(parts, promote_options="default")
    return LightCurveTable(
        first.survey, first.source_id, table, first.time, first.ra_deg, first.dec_deg,
        np.zeros(table.num_rows, np.bool_),
        {"files": [curve.about["file"] for curve in chosen], "headers": [dict(curve.about) for curve in chosen]},
        service,
    )  # fmt: skip


def exposure_s(curve: LightCurveTable) -> float | None:
    """Seconds of light in one row: of each integration, times those summed, less those cosmic rays cost.

    INT_TIME x NUM_FRM of the header, where two of every CRBLKSZ integrations are given up on board.
    """
    head, table = curve.about["primary"], curve.about["lightcurve"]
    once, count = table.get("INT_TIME"), table.get("NUM_FRM")
    if not isinstance(once, (int, float)) or not isinstance(count, (int, float)):
        return None
    block = head.get("CRBLKSZ")
    kept = (block - 2) / block if head.get("CRMITEN") is True and isinstance(block, int) and block > 2 else 1.0
    return float(once) * float(count) * kept


def _cards(header: Any) -> dict[str, Any]:
    return {
        card.keyword: card.value
        for card in header.cards
        if card.value is not None and not card.keyword.startswith(_STRUCTURE)
    }
