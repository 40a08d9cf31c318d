"""Catalogues of universities' pages in the sandbox: Gaia EDR3 white dwarfs, as a packed FITS table to download.

The columns are those of Gentile Fusillo et al. 2021 (MNRAS 508, 3877) that batch work needs.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from skyvault.sandbox.emulation import Emulation
from skyvault.sandbox.sky import SkyObject, named_objects

_PATH: Final = "/fac/sci/physics/research/astro/research/catalogues/gaiaedr3_wd_main.fits.gz"
_SEED: Final = 20210816
#: white dwarfs without a name of their own, all over the sky
_OTHERS: Final = 1200


class Catalogs(Emulation):
    """``/catalogs``: the white dwarfs at the path they have at Warwick."""

    name: ClassVar[str] = "catalogs"
    services: ClassVar[Mapping[str, str]] = {"white_dwarfs": _PATH}

    def routes(self) -> Sequence[BaseRoute]:
        return [Route(_PATH, self._white_dwarfs)]

    @property
    def truth(self) -> tuple[SkyObject, ...]:
        """The named white dwarfs in the catalogue."""
        return tuple(one for one in named_objects() if one.otype == "WD*")

    async def _white_dwarfs(self, request: Request) -> Response:
        path = await run_in_threadpool(_written, self.place.directory)
        return FileResponse(path, media_type="application/gzip")


def _written(directory: Path) -> Path:
    path = directory / "GaiaEDR3_WD_main.fits.gz"
    if not path.is_file():
        directory.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part")
        beside.write_bytes(white_dwarf_file())
        beside.replace(path)
    return path


def white_dwarf_file() -> bytes:
    """The catalogue: a FITS table sorted by right ascension, gzipped; the same bytes every time."""
    from astropy.io import fits

    rows = white_dwarfs()
    units = {"ra": "deg", "dec": "deg", "pmra": "mas/yr", "pmdec": "mas/yr", "parallax": "mas", "teff_H": "K"}
    forms = {"i8": "K", "f8": "D", "f4": "E"}
    columns = [
        fits.Column(
            name,
            f"{rows[name].dtype.itemsize}A" if rows[name].dtype.kind == "S" else forms[rows[name].dtype.str[1:]],
            "mag" if "mag" in name else units.get(name),
            array=rows[name],
        )
        for name in rows.dtype.names or ()
    ]
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="WD")]).writeto(out)
    return gzip.compress(out.getvalue(), compresslevel=6, mtime=0)


def white_dwarfs() -> np.ndarray[Any, Any]:
    """The rows of the catalogue as a structured array."""
    rng = np.random.default_rng(_SEED)
    named = [one for one in named_objects() if one.otype == "WD*"]
    count = len(named) + _OTHERS
    ra = np.concatenate([[one.ra_deg for one in named], rng.uniform(0.0, 360.0, _OTHERS)])
    dec = np.concatenate([[one.dec_deg for one in named], np.degrees(np.arcsin(rng.uniform(-1, 1, _OTHERS)))])
    mag = np.concatenate([[one.mag for one in named], 20.5 - rng.exponential(1.2, _OTHERS)])
    numbers = [int(one.ids["Gaia DR3"]) for one in named]
    numbers += (rng.permutation(_OTHERS).astype(np.int64) * 5_000_000_000_001 + 1_000_000_000_000_000).tolist()
    color = rng.normal(0.3, 0.4, count)
    kinds = [
        ("WDJ_name", "S22"), ("source_id", "i8"), ("ra", "f8"), ("dec", "f8"), ("parallax", "f8"),
        ("parallax_error", "f4"), ("pmra", "f8"), ("pmra_error", "f4"), ("pmdec", "f8"), ("pmdec_error", "f4"),
        ("phot_g_mean_mag", "f4"), ("phot_g_mean_mag_error", "f4"), ("phot_bp_mean_mag", "f4"),
        ("phot_bp_mean_mag_error", "f4"), ("phot_rp_mean_mag", "f4"), ("phot_rp_mean_mag_error", "f4"),
        ("Pwd", "f8"), ("teff_H", "f4"), ("logg_H", "f4"), ("mass_H", "f4"),
    ]  # fmt: skip
    rows = np.zeros(count, kinds)
    rows["WDJ_name"] = [_name(r, d).encode() for r, d in zip(ra, dec, strict=True)]
    rows["source_id"], rows["ra"], rows["dec"] = numbers, ra, dec
    rows["parallax"] = 10.0 ** (0.2 * (12.0 - np.minimum(mag, 20.0)) + 1.0)
    rows["parallax_error"], rows["pmra_error"], rows["pmdec_error"] = 0.1, 0.12, 0.11
    rows["pmra"], rows["pmdec"] = rng.normal(0, 60, count), rng.normal(0, 60, count)
    rows["phot_g_mean_mag"], rows["phot_g_mean_mag_error"] = mag, 0.003
    rows["phot_bp_mean_mag"], rows["phot_bp_mean_mag_error"] = mag + 0.4 * color, 0.02
    rows["phot_rp_mean_mag"], rows["phot_rp_mean_mag_error"] = mag - 0.6 * color, 0.02
    rows["Pwd"], rows["teff_H"] = rng.uniform(0.75, 1.0, count), 25000.0 * np.exp(-np.maximum(color, -1.0))
    rows["logg_H"], rows["mass_H"] = rng.normal(8.0, 0.2, count), rng.normal(0.62, 0.1, count)
    return rows[np.argsort(rows["ra"], kind="stable")]


def _name(ra_deg: float, dec_deg: float) -> str:
    hundredths = int(ra_deg / 15.0 * 360000.0)
    hours, hundredths = divmod(hundredths, 360000)
    minutes, hundredths = divmod(hundredths, 6000)
    tenths = int(abs(dec_deg) * 36000.0)
    degrees, tenths = divmod(tenths, 36000)
    arcmin, tenths = divmod(tenths, 600)
    sign = "+" if dec_deg >= 0 else "-"
    return (
        f"WDJ{hours:02d}{minutes:02d}{hundredths // 100:02d}.{hundredths % 100:02d}"
        f"{sign}{degrees:02d}{arcmin:02d}{tenths // 10:02d}.{tenths % 10}"
    )
