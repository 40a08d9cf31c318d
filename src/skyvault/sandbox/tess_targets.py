"""The sandbox's TESS: which targets were observed in which sectors, and their light curves and pixels as FITS files."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from skyvault.sandbox.light_curves import Variable
from skyvault.sandbox.sky import find_object
from skyvault.sandbox.star_fields import StarField, star_fields

Floats = np.ndarray[Any, np.dtype[np.float64]]

_SEED: Final = 20180725
#: rows of a file of 120 s: three days, where true ones have 27
ROWS: Final = 2160
#: seconds of light of a row of 120 s, and the magnitude of one electron a second
_ZERO_POINT: Final = 20.44
BJDREFI: Final = 2457000
#: what spoils a row: scattered light, an impulsive outlier
QUALITY_BAD: Final = (1 << 12, 1 << 9)


@dataclass(frozen=True, slots=True)
class Target:
    """A star of the TESS Input Catalog, the first of its field where it is a named object."""

    ticid: int
    stars: StarField
    star: int

    @property
    def variable(self) -> Variable:
        return self.stars.variable

    @property
    def ra_deg(self) -> float:
        return float(self.stars.ra_deg[self.star])

    @property
    def dec_deg(self) -> float:
        return float(self.stars.dec_deg[self.star])

    @property
    def tess_mag(self) -> float:
        return float(self.stars.mag[self.star] - 0.3 - 0.8 * np.clip(self.stars.color[self.star], 0.0, 2.0))


@dataclass(frozen=True, slots=True)
class TessObservation:
    """A target in a sector at a cadence (seconds)."""

    target: Target
    sector: int
    cadence_s: int

    @property
    def obs_id(self) -> str:
        """The name CAOM and the files have."""
        ending = "a_fast" if self.cadence_s == 20 else "s"
        return f"tess{self.stamp}-s{self.sector:04d}-{self.target.ticid:016d}-{100 + self.sector:04d}-{ending}"

    def file_name(self, what: str) -> str:
        """The name of its file: ``what`` is lc or tp."""
        return f"{self.obs_id}{'-' if self.cadence_s == 20 else '_'}{what}.fits"

    @property
    def stamp(self) -> str:
        """Year, day of the year, hours, minutes, seconds of the begin."""
        year, day = divmod(205 + 27 * (self.sector - 1), 365)
        return f"{2018 + year}{day + 1:03d}190142"

    @property
    def obsid(self) -> int:
        """CAOM's number."""
        return 60_000_000 + (self.target.ticid * 31 + self.sector * 7 + self.cadence_s) % 1_000_000_007

    @property
    def start_mjd(self) -> float:
        """The first row's time, MJD TDB at the barycentre."""
        return BJDREFI + 1325.2936 + 27.0 * (self.sector - 1) - 2400000.5

    @property
    def rows(self) -> int:
        return ROWS * (2 if self.cadence_s == 20 else 1)


@dataclass(frozen=True)
class TessTruth:
    """What a light-curve file tells and what is true; arrays of the shape (n,). Fluxes in electrons a second."""

    observation: TessObservation
    mjd_tdb: Floats
    true_flux: Floats
    flux: Floats
    error: Floats
    quality: np.ndarray[Any, np.dtype[np.int32]]
    is_spoiled: np.ndarray[Any, np.dtype[np.bool_]]


@functools.cache
def targets() -> dict[int, Target]:
    """All targets by TIC number: named objects have their true ones where the sky tells them."""
    found = {}
    for index, stars in enumerate(star_fields()):
        one = find_object(stars.variable.name)
        known = int(one.ids["TIC"]) if one is not None and "TIC" in one.ids else None
        for star in range(40):
            ticid = known if star == 0 and known is not None else 900_000_000 + index * 1000 + star
            found[ticid] = Target(ticid, stars, star)
    return found


@functools.cache
def observations() -> tuple[TessObservation, ...]:
    """Named objects were observed in three sectors, one of them at 20 s too; every eighth neighbour in one."""
    found = []
    for target in targets().values():
        base = 1 + (round(target.ra_deg / 30.0) * 2 + (0 if target.dec_deg < 0 else 13)) % 26
        if target.star == 0:
            found += [TessObservation(target, base + k, 120) for k in (0, 1, 27)]
            found.append(TessObservation(target, base + 27, 20))
        elif target.star % 8 == 0:
            found.append(TessObservation(target, base, 120))
    return tuple(found)


@functools.lru_cache(maxsize=256)
def truth(observation: TessObservation) -> TessTruth:
    """The rows of an observation's light curve."""
    target = observation.target
    rng = np.random.default_rng([_SEED, target.ticid, observation.sector, observation.cadence_s])
    steps = np.arange(observation.rows, dtype=np.float64) + 0.5
    mjd = np.asarray(observation.start_mjd + steps * (observation.cadence_s / 86400.0), np.float64)
    change = target.stars.change(target.star, mjd)
    true = 10.0 ** (0.4 * (_ZERO_POINT - target.tess_mag - change))
    error = np.sqrt(true / (0.8 * observation.cadence_s) + 40.0)
    flux = true + rng.normal(0.0, error)
    quality = np.zeros(len(mjd), np.int32)
    bad = rng.random(len(mjd)) < 0.01
    # scattered light for some hours
    begin = int(rng.integers(0, len(mjd) - 100))
    bad[begin : begin + 60] = True
    quality[bad] = QUALITY_BAD[1]
    quality[begin : begin + 60] = QUALITY_BAD[0]
    flux[bad] += rng.uniform(0.05, 0.3, int(bad.sum())) * true[bad]
    return TessTruth(observation, mjd, true, flux, error, quality, bad)


@functools.lru_cache(maxsize=64)
def light_curve_file(observation: TessObservation) -> bytes:
    """The ..._lc.fits of an observation."""
    from astropy.io import fits

    one = truth(observation)
    rows = len(one.mjd_tdb)
    time = one.mjd_tdb + 2400000.5 - BJDREFI
    # rows in which the spacecraft did something else have neither time nor flux
    idle = np.arange(rows) % 540 == 539
    nan32 = np.full(rows, np.nan, np.float32)
    pdcsap = one.flux.astype(np.float32)
    pdcsap[one.quality != 0] = np.nan
    x = 1623.9 + 0.05 * np.sin(np.arange(rows) / 700.0)
    y = 393.4 + 0.05 * np.cos(np.arange(rows) / 700.0)
    electrons, pixels = "e-/s", "pixel"
    columns = [
        ("TIME", "D", "BJD - 2457000, days", np.where(idle, np.nan, time)),
        ("TIMECORR", "E", "d", np.full(rows, 0.0009)),
        ("CADENCENO", "J", None, 70444 + np.arange(rows)),
        ("SAP_FLUX", "E", electrons, np.where(idle, np.nan, one.flux * 0.87)),
        ("SAP_FLUX_ERR", "E", electrons, np.where(idle, np.nan, one.error * 0.87)),
        ("SAP_BKG", "E", electrons, np.full(rows, 763.7)),
        ("SAP_BKG_ERR", "E", electrons, np.full(rows, 2.34)),
        ("PDCSAP_FLUX", "E", electrons, np.where(idle, np.nan, pdcsap)),
        ("PDCSAP_FLUX_ERR", "E", electrons, np.where(idle, np.nan, one.error)),
        ("QUALITY", "J", None, np.where(idle, 8, one.quality)),
        ("PSF_CENTR1", "D", pixels, nan32),
        ("PSF_CENTR1_ERR", "E", pixels, nan32),
        ("PSF_CENTR2", "D", pixels, nan32),
        ("PSF_CENTR2_ERR", "E", pixels, nan32),
        ("MOM_CENTR1", "D", pixels, x),
        ("MOM_CENTR1_ERR", "E", pixels, np.full(rows, 0.0008)),
        ("MOM_CENTR2", "D", pixels, y),
        ("MOM_CENTR2_ERR", "E", pixels, np.full(rows, 0.0009)),
        ("POS_CORR1", "E", "pixels", x - 1623.9),
        ("POS_CORR2", "E", "pixels", y - 393.4),
    ]
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, form, unit, array=array) for name, form, unit, array in columns],
        header=_second_header(observation),
        name="LIGHTCURVE",
    )
    return _bytes(observation, table, "lc")


@functools.lru_cache(maxsize=32)
def target_pixel_file(observation: TessObservation) -> bytes:
    """The ..._tp.fits of an observation: its first 50 exposures, 11 pixels a side."""
    from astropy.io import fits

    one = truth(observation)
    rows = 50
    grid_y, grid_x = np.mgrid[0:11, 0:11]
    shape = np.exp(-0.5 * ((grid_x - 5.1) ** 2 + (grid_y - 4.3) ** 2) / 0.9**2)
    flux = (one.flux[:rows, None, None] * (shape / shape.sum())[None] + 5.0).astype(np.float32)
    error = np.sqrt(np.abs(flux) / 100.0).astype(np.float32)
    time = one.mjd_tdb[:rows] + 2400000.5 - BJDREFI
    background = np.full((rows, 11, 11), 120.0, np.float32)
    columns = [
        fits.Column("TIME", "D", "BJD - 2457000, days", array=time),
        fits.Column("TIMECORR", "E", "d", array=np.full(rows, 0.0009)),
        fits.Column("CADENCENO", "J", array=70444 + np.arange(rows)),
        fits.Column("RAW_CNTS", "121J", "count", dim="(11,11)", array=(flux * 100).astype(np.int32)),
        fits.Column("FLUX", "121E", "e-/s", dim="(11,11)", array=flux),
        fits.Column("FLUX_ERR", "121E", "e-/s", dim="(11,11)", array=error),
        fits.Column("FLUX_BKG", "121E", "e-/s", dim="(11,11)", array=background),
        fits.Column("FLUX_BKG_ERR", "121E", "e-/s", dim="(11,11)", array=background / 100),
        fits.Column("QUALITY", "J", array=one.quality[:rows]),
        fits.Column("POS_CORR1", "E", "pixel", array=np.zeros(rows)),
        fits.Column("POS_CORR2", "E", "pixel", array=np.zeros(rows)),
    ]
    table = fits.BinTableHDU.from_columns(columns, header=_second_header(observation), name="PIXELS")
    return _bytes(observation, table, "tp")


def _second_header(observation: TessObservation) -> Any:
    from astropy.io import fits

    header = fits.Header()
    cadence = float(observation.cadence_s)
    words: dict[str, Any] = {
        "TELESCOP": "TESS", "INSTRUME": "TESS Photometer", "OBJECT": f"TIC {observation.target.ticid}",
        "TICID": observation.target.ticid, "RADESYS": "ICRS", "RA_OBJ": observation.target.ra_deg,
        "DEC_OBJ": observation.target.dec_deg, "EQUINOX": 2000.0, "EXPOSURE": 2.2, "TIMEREF": "SOLARSYSTEM",
        "TASSIGN": "SPACECRAFT", "TIMESYS": "TDB", "BJDREFI": BJDREFI, "BJDREFF": 0.0, "TIMEUNIT": "d",
        "TELAPSE": 3.0, "LIVETIME": 2.4, "INT_TIME": 1.98, "READTIME": 0.02, "FRAMETIM": 2.0,
        "NUM_FRM": int(cadence / 2.0), "TIMEDEL": cadence / 86400.0, "DEADC": 0.792, "TIMEPIXR": 0.5,
        "TIERRELA": 1.16e-5, "BACKAPP": True, "DEADAPP": True, "VIGNAPP": True,
    }  # fmt: skip
    header.update(words)
    return header


def _bytes(observation: TessObservation, table: Any, what: str) -> bytes:
    from astropy.io import fits

    target = observation.target
    first = fits.Header()
    words: dict[str, Any] = {
        "EXTNAME": "PRIMARY", "ORIGIN": "NASA/Ames", "DATE": "2018-08-27", "TELESCOP": "TESS",
        "INSTRUME": "TESS Photometer", "OBJECT": f"TIC {target.ticid}", "TICID": target.ticid,
        "SECTOR": observation.sector, "CAMERA": 1 + target.ticid % 4, "CCD": 1 + target.ticid % 3, "PXTABLE": 128,
        "RADESYS": "ICRS", "RA_OBJ": target.ra_deg, "DEC_OBJ": target.dec_deg, "EQUINOX": 2000.0,
        "TSTART": observation.start_mjd + 2400000.5 - BJDREFI, "PMRA": float(target.stars.pm_ra_masyr[target.star]),
        "PMDEC": float(target.stars.pm_dec_masyr[target.star]), "TESSMAG": round(target.tess_mag, 4), "TICVER": 8,
        "CRMITEN": observation.cadence_s == 120, "CRBLKSZ": 10, "CRSPOC": False,
        "FILENAME": observation.file_name(what),
    }  # fmt: skip
    first.update(words)
    aperture = np.full((11, 11), 257, np.int32)
    aperture[3:7, 4:7] = 267
    mask = fits.ImageHDU(aperture, name="APERTURE")
    scale = 0.00565
    tan: dict[str, Any] = {
        "RADESYS": "ICRS", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 6.1, "CRPIX2": 5.3,
        "CRVAL1": target.ra_deg, "CRVAL2": target.dec_deg, "CDELT1": -scale, "CDELT2": scale, "CUNIT1": "deg",
        "CUNIT2": "deg",
    }  # fmt: skip
    mask.header.update(tan)
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(header=first), table, mask]).writeto(out)
    return out.getvalue()
