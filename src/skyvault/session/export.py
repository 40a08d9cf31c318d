"""Tables of a session for other programs: CSV, FITS, VOTable, Parquet, ECSV, and lightkurve's light curves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from skyvault.errors import ParameterError, UsageError
from skyvault.formats.arrow import column_of, conform, plain_schema
from skyvault.formats.registry import negotiate
from skyvault.formats.stream import TableStream
from skyvault.model.table import Column, Table
from skyvault.session.cells import values_and_mask
from skyvault.session.files import written_beside
from skyvault.session.plate_times import old_utc_is_fine
from skyvault.session.table_files import write_table

if TYPE_CHECKING:
    from skyvault.session.lightcurve import Lightcurve

#: format -> endings of file names
FORMATS: Final = {
    "csv": (".csv",),
    "ecsv": (".ecsv",),
    "fits": (".fits", ".fit"),
    "votable": (".vot", ".xml", ".votable"),
    "parquet": (".parquet", ".pq"),
}

#: what daschlab's CSV of photometry holds
_PHOTOMETRY_CSV: Final = """
time ref_number magcal_magdep limiting_mag_local ra_deg dec_deg fwhm_world ellipticity theta_j2000 iso_area_world
aflags bflags local_bin_reject_flag series platenum mosnum solnum expnum image_x image_y magcal_local_rms
magcal_local_error drad_rms2 extinction magcor_local blended_mag npoints_local background fwhm_image kron_radius
time_accuracy catalog_ra catalog_dec pm_ra_cosdec pm_dec plate_dist source_lc_index source_lc_row merge_n_hits
"""
_EXPOSURE_CSV: Final = """
series platenum mosnum expnum solnum class exptime obs_date wcssource center_distance edge_distance lim_mag_apass
lim_mag_atlas n_solutions_apass n_magdep_apass median_colorterm_apass result_id_apass n_solutions_atlas
n_magdep_atlas median_colorterm_atlas result_id_atlas ra_deg dec_deg
"""


def export(table: Any, path: str | Path, format: str | None = None, *, drop_rejects: bool = True) -> None:
    """Writes a table of photometry or exposures to ``path`` (not relative to the session).

    ``format``: csv (the columns most people want), ecsv, fits, votable or parquet (all columns, with units and
    descriptions); None: by the file's ending. Times become Julian dates in ``time`` (ISO text for exposures in CSV),
    positions ``ra_deg`` and ``dec_deg`` (ICRS). Without ``drop_rejects`` rejected rows stay, with column ``reject``.
    Raises ParameterError for other formats and StoreError where the file cannot be written.
    """
    target = Path(path)
    kind = format or next((name for name, ends in FORMATS.items() if target.suffix.lower() in ends), None)
    if kind not in FORMATS:
        raise ParameterError(
            f"There is no export to {format or target.suffix or 'a file without an ending'!r}",
            hint=f"There are: {', '.join(FORMATS)}.",
        )
    rows = table[~table.is_rejected()] if drop_rejects else table
    with old_utc_is_fine():
        _write(rows, target, kind, drop_rejects)


def _write(rows: Any, target: Path, kind: str, drop_rejects: bool) -> None:
    if kind == "ecsv":
        write_table(rows, target)
        return
    if kind == "csv":
        flat = flattened(rows, dates_as_text=True)
        wanted = _EXPOSURE_CSV if "wcssource" in rows.colnames else _PHOTOMETRY_CSV
        names = [name for name in wanted.split() if name in flat] + ([] if drop_rejects else ["reject"])
        with written_beside(target) as beside:
            pacsv.write_csv(pa.table({name: flat[name][0] for name in names}), beside)
        return
    flat = flattened(rows)
    if drop_rejects:
        del flat["reject"]
    table = Table(name=target.stem or "table", columns=tuple(column for _, column in flat.values()))
    cells = [conform(array, column) for array, column in flat.values()]
    batch = pa.RecordBatch.from_arrays(cells, schema=plain_schema(table))
    with written_beside(target) as beside, beside.open("wb") as file:
        for block in negotiate(kind).write(TableStream(table, iter([batch]))):
            file.write(block)


def flattened(table: Any, *, dates_as_text: bool = False) -> dict[str, tuple[pa.Array, Column]]:
    """Each column as an Arrow array and its description, null where missing.

    Times become Julian dates (or ISO text), positions two columns in degrees.
    """
    from astropy.coordinates import SkyCoord
    from astropy.time import Time

    made: dict[str, tuple[pa.Array, Column]] = {}

    def add(name: str, values: Any, mask: Any, unit: str | None, about: str) -> None:
        if values.dtype.kind == "U":
            array = pa.array(values.astype(object), type=pa.string(), mask=mask)
        else:
            array = pa.array(values, mask=mask)
        described = column_of(pa.field(name, array.type))
        assert described is not None
        made[name] = (array, replace(described, unit=unit, description=about or None))

    for name in table.colnames:
        column = table[name]
        about = column.info.description or table.meaning(name)
        if isinstance(column, SkyCoord):
            for ending, angle in (("ra", column.icrs.ra), ("dec", column.icrs.dec)):
                key = f"{ending}_deg" if name == "pos" else f"{name}_{ending}_deg"
                degrees = np.asarray(angle.deg)
                add(key, degrees, ~np.isfinite(degrees), "deg", f"{about} ({ending})")
        elif isinstance(column, Time):
            mask = np.broadcast_to(np.asarray(column.mask), column.shape)
            if dates_as_text and column.format == "isot":
                add(name, np.asarray(getattr(column.isot, "unmasked", column.isot)), mask, None, about)
            else:
                days = np.asarray(getattr(column.jd, "unmasked", column.jd))
                add(name, days, mask, "d", f"{about}; Julian date")
        else:
            values, mask = values_and_mask(column)
            unit = getattr(column, "unit", None)
            add(name, values, mask, _vounit(unit), about)
    return made


def _vounit(unit: Any) -> str | None:
    """A unit as VOUnit writes it: mas.yr**-1 for mas / yr."""
    return None if unit is None else str(unit.to_string("vounit"))


def to_lightkurve(curve: Lightcurve) -> Any:
    """See :meth:`skyvault.session.lightcurve.Lightcurve.to_lightkurve`."""
    try:
        import lightkurve
    except ImportError:
        raise UsageError(
            "Turning a light curve into lightkurve's needs the package lightkurve, which is not installed",
            hint="Install it with: pip install lightkurve, or use lc.export(...).",
        ) from None
    good = np.flatnonzero(curve.is_good())
    magnitude, sigma = curve.magnitudes()[good], curve.uncertainties()[good]
    flux = 10 ** (-0.4 * (magnitude - magnitude.mean()))
    return lightkurve.LightCurve(time=curve["time"][good], flux=flux, flux_err=flux * sigma * 0.4 * np.log(10))
