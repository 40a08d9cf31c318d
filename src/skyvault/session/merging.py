"""The merged light curve of a source that the catalogue has split; the rule is in skyvault.science.lightcurve_merge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skyvault.errors import ParameterError
from skyvault.science.lightcurve_merge import MergedRows, SplitCurve, exposure_numbers, merge_rows
from skyvault.session.cells import values_and_mask
from skyvault.session.lightcurve import Lightcurve


def merge(curves: Sequence[Lightcurve]) -> Lightcurve:
    """One light curve with one row for each exposure, sorted by time, of light curves of the same source.

    It has the first curve's columns and metadata, and ``source_lc_index``, ``source_lc_row`` (where a row was taken
    from) and ``merge_n_hits`` (0: no accepted detection). Rejected rows count as no detection; where an exposure has no
    other, the first curve's row stays with what it holds. Raises ParameterError for no curve at all.
    """
    curves = list(curves)
    if not curves:
        raise ParameterError("There is no light curve to merge")
    exposures = exposure_numbers(
        [curve.exposure_rows() for curve in curves],
        *([values_and_mask(curve[name])[0] for curve in curves] for name in ("series", "platenum", "mosnum", "solnum")),
    )
    merged = merge_rows(
        [
            SplitCurve(curve.julian_dates(), exposure, curve.magnitudes(), curve.uncertainties(), curve.is_good())
            for curve, exposure in zip(curves, exposures, strict=True)
        ]
    )
    gather = _Gather(curves, merged)
    columns = {name: gather.column(name) for name in curves[0].colnames}
    columns["local_id"] = np.arange(len(merged.row), dtype=np.int64)
    columns["source_lc_index"] = merged.curve.astype(np.uint64)
    columns["source_lc_row"] = merged.row.astype(np.uint64)
    columns["merge_n_hits"] = merged.n_hits.astype(np.uint8 if merged.n_hits.max(initial=0) < 256 else np.uint32)
    return type(curves[0])(columns, meta=curves[0].meta, copy=False)


class _Gather:
    """Takes the merged rows' cells out of the curves, column by column."""

    def __init__(self, curves: Sequence[Lightcurve], merged: MergedRows) -> None:
        self._curves = curves
        self._size = len(merged.row)
        places = [np.flatnonzero(merged.curve == index) for index in range(len(curves))]
        #: curve, places in the result, rows in the curve; curves that give nothing are left out
        self._pieces = [
            (curve, place, merged.row[place]) for curve, place in zip(curves, places, strict=True) if place.size
        ]

    def column(self, name: str) -> Any:
        from astropy.coordinates import SkyCoord
        from astropy.time import Time

        first = self._curves[0][name]
        if isinstance(first, Time):
            return self._times(name, first)
        if isinstance(first, SkyCoord):
            return self._positions(name, first)
        return self._numbers(name, first)

    def _arrays(self, parts: Sequence[tuple[Any, Any, Any]], like: Any) -> tuple[Any, Any]:
        """Values and mask of the result from (values and mask, places, rows)."""
        kinds = (
            [like.dtype, *(values.dtype for (values, _), _, _ in parts)] if like.dtype.kind in "US" else [like.dtype]
        )
        values = np.zeros(self._size, dtype=np.result_type(*kinds))
        mask = np.zeros(self._size, dtype=bool)
        for (cells, missing), place, rows in parts:
            values[place] = cells[rows]
            mask[place] = missing[rows]
        return values, mask

    def _numbers(self, name: str, first: Any) -> Any:
        from astropy.table import Column, MaskedColumn
        from astropy.units import Quantity
        from astropy.utils.masked import Masked

        unit = getattr(first, "unit", None)
        parts = []
        lacks = False
        for curve, place, rows in self._pieces:
            if name not in curve.colnames:
                parts.append(((np.zeros(len(curve), first.dtype), np.ones(len(curve), dtype=bool)), place, rows))
                lacks = True
                continue
            cells = curve[name]
            if isinstance(first, Quantity) and cells.unit != unit:
                cells = cells.to(unit)
            parts.append((values_and_mask(cells), place, rows))
        values, mask = self._arrays(parts, values_and_mask(first)[0])
        if isinstance(first, Quantity):
            quantity = Quantity(values, unit, copy=False, dtype=values.dtype)
            if isinstance(first, Masked) or mask.any():
                return Masked(quantity, mask=mask, copy=False)
            return quantity
        told = {"unit": unit, "description": first.info.description, "format": first.info.format}
        if isinstance(first, MaskedColumn) or mask.any() or lacks:
            return MaskedColumn(values, mask=mask, name=name, copy=False, **told)
        return Column(values, name=name, copy=False, **told)

    def _times(self, name: str, first: Any) -> Any:
        from astropy.time import Time

        halves = []
        for half in ("jd1", "jd2"):
            parts = [
                (values_and_mask(getattr(_in_scale(curve[name], first.scale), half)), place, rows)
                for curve, place, rows in self._pieces
            ]
            halves.append(self._arrays(parts, np.zeros(0))[0])
        made = Time(*halves, format="jd", scale=first.scale, precision=first.precision)
        made.format = first.format
        return made

    def _positions(self, name: str, first: Any) -> Any:
        import astropy.units as u
        from astropy.coordinates import SkyCoord

        angles = []
        for angle in ("ra", "dec"):
            parts = []
            for curve, place, rows in self._pieces:
                degrees = np.asarray(getattr(curve[name].icrs, angle).deg)
                parts.append(((degrees, np.zeros(len(curve), dtype=bool)), place, rows))
            angles.append(self._arrays(parts, np.zeros(0))[0])
        return SkyCoord(angles[0] * u.deg, angles[1] * u.deg, frame="icrs")


def _in_scale(time: Any, scale: str) -> Any:
    return time if time.scale == scale else getattr(time, scale)
