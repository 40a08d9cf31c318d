"""Tables of a session for other programs: CSV, FITS, VOTable, Parquet, ECSV, and lightkurve's light curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import ParameterError, UsageError
from skyvault.session.cells import values_and_mask
from skyvault.session.files import written_beside
from skyvault.session.plate_times import old_utc_is_fine
from skyvault.session.table_files import write_table

if TYPE_CHECKING:
    from astropy.table import Table

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
_PHOTOMETRY_CSV: Final = (
    "time ref_number magcal_magdep limiting_mag_local ra_deg dec_deg fwhm_world ellipticity theta_j2000 iso_area_world "
    "aflags bflags local_bin_reject_flag series platenum mosnum solnum expnum image_x image_y magcal_local_rms "
    "magcal_local_error drad_rms2 extinction magcor_local blended_mag npoints_local background fwhm_image kron_radius "
    "time_accuracy catalog_ra catalog_dec pm_ra_cosdec pm_dec plate_dist source_lc_index source_lc_row merge_n_hits"
).split()
_EXPOSURE_CSV: Final = (
    "series platenum mosnum expnum solnum class exptime obs_date wcssource center_distance edge_distance lim_mag_apass "
    "lim_mag_atlas n_solutions_apass n_magdep_apass median_colorterm_apass result_id_apass n_solutions_atlas "
    "n_magdep_atlas median_colorterm_atlas result_id_atlas ra_deg dec_deg"
).split()


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
    flat = flattened(rows, dates_as_text=kind == "csv")
    if kind == "csv":
        wanted = [*(_EXPOSURE_CSV if "wcssource" in rows.colnames else _PHOTOMETRY_CSV)]
        names = [name for name in wanted if name in flat.colnames] + ([] if drop_rejects else ["reject"])
        flat = flat[names]
    elif drop_rejects:
        flat.remove_column("reject")
    with written_beside(target) as beside:
        if kind == "fits":
            _fits_safe(flat).write(beside, format="fits", overwrite=True)
        elif kind == "votable":
            _votable_safe(flat).write(beside, format="votable", overwrite=True)
        elif kind == "csv":
            flat.write(beside, format="ascii.csv", overwrite=True)
        else:
            _write_parquet(flat, beside)


def flattened(table: Any, *, dates_as_text: bool = False) -> Table:
    """A plain astropy table: times as Julian dates (or ISO text), positions as degrees, quantities as columns."""
    from astropy.coordinates import SkyCoord
    from astropy.table import Column, MaskedColumn, Table
    from astropy.time import Time

    made: dict[str, Any] = {}
    for name in table.colnames:
        column = table[name]
        about = column.info.description or table.meaning(name) or None
        if isinstance(column, SkyCoord):
            for ending, angle in (("ra", column.icrs.ra), ("dec", column.icrs.dec)):
                key = f"{ending}_deg" if name == "pos" else f"{name}_{ending}_deg"
                made[key] = Column(np.asarray(angle.deg), unit="deg", description=f"{about} ({ending})")
        elif isinstance(column, Time):
            mask = np.broadcast_to(np.asarray(column.mask), column.shape)
            if dates_as_text and column.format == "isot":
                made[name] = MaskedColumn(np.asarray(getattr(column.isot, "unmasked", column.isot)), mask=mask)
                continue
            days = np.asarray(getattr(column.jd, "unmasked", column.jd))
            told = {"unit": "d", "description": f"{about}; Julian date"}
            made[name] = MaskedColumn(days, mask=mask, **told) if mask.any() else Column(days, **told)
        else:
            values, mask = values_and_mask(column)
            shown: dict[str, Any] = {"unit": getattr(column, "unit", None), "description": about}
            made[name] = MaskedColumn(values, mask=mask, **shown) if mask.any() else Column(values, **shown)
    flat = Table(made)
    flat.meta = {key: value for key, value in table.meta.items() if isinstance(value, str | int | float)}
    flat.meta.pop("daschlab_sess_key", None)
    return flat


def _fits_safe(table: Table) -> Table:
    """FITS has no missing integers without a code: columns become the next larger type that has room for one."""
    from astropy.table import MaskedColumn

    table.meta = {}
    for name in table.colnames:
        column = table[name]
        if not isinstance(column, MaskedColumn):
            continue
        values, mask = values_and_mask(column)
        about = {"unit": column.unit, "description": column.description}
        if values.dtype.kind in "iu":
            wide = np.where(mask, -1 if values.dtype.itemsize < 8 else 0, values.astype(np.int64))
            made = MaskedColumn(wide, mask=mask, **about)
            made.fill_value = np.iinfo(np.int64).min
            table[name] = made
        elif values.dtype.kind == "f":
            from astropy.table import Column

            table[name] = Column(np.where(mask, np.nan, values).astype(values.dtype), **about)
        else:
            from astropy.table import Column

            table[name] = Column(np.where(mask, "", values), **about)
    return table


def _votable_safe(table: Table) -> Table:
    """VOTable has no unsigned integers beyond 8 bits."""
    from astropy.table import MaskedColumn

    table.meta = {}
    for name in table.colnames:
        column = table[name]
        values, mask = values_and_mask(column)
        wider = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64, "int8": np.int16}.get(values.dtype.name)
        if wider is not None:
            table[name] = MaskedColumn(
                values.astype(wider), mask=mask, unit=column.unit, description=column.info.description
            )
    return table


def _write_parquet(table: Table, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields, arrays = [], []
    for name in table.colnames:
        column = table[name]
        values, mask = values_and_mask(column)
        array = pa.array(values.astype(object) if values.dtype.kind == "U" else values, mask=mask)
        about = {"unit": str(column.unit or ""), "description": column.info.description or ""}
        fields.append(pa.field(name, array.type, metadata={key: told for key, told in about.items() if told}))
        arrays.append(array)
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), path, compression="zstd")


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
