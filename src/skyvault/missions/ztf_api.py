"""The Zwicky Transient Facility at IRSA: light curves by place or object, and the list of its images.

Light curves: https://irsa.ipac.caltech.edu/docs/program_interface/ztf_lightcurve_api.html; images:
https://irsa.ipac.caltech.edu/docs/program_interface/ztf_api.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.missions.faults import MissionValueError
from skyvault.missions.light_curve_files import LightCurveTable, TimeAxis, with_units
from skyvault.missions.search import Search
from skyvault.missions.service import ArchiveService, csv_of
from skyvault.net.remote_file import RemoteFile

#: the light-curve service refuses wider circles
MOST_RADIUS_ARCSEC: Final = 600.0
_MOST_BYTES: Final = 500_000_000
_F, _I, _T = pa.float64(), pa.int64(), pa.string()

#: IRSA's columns of the image list that are asked for
IMAGE_TYPES: Final = {
    "ra": _F, "dec": _F, "infobits": _I, "field": _I, "ccdid": _I, "qid": _I, "rcid": _I, "fid": _I, "filtercode": _T,
    "pid": _I, "nid": _I, "expid": _I, "itid": _I, "imgtype": _T, "imgtypecode": _T, "obsdate": _T, "obsjd": _F,
    "exptime": _F, "filefracday": _T, "seeing": _F, "airmass": _F, "moonillf": _F, "moonesb": _F, "maglimit": _F,
    "crpix1": _F, "crpix2": _F, "crval1": _F, "crval2": _F, "cd11": _F, "cd12": _F, "cd21": _F, "cd22": _F, "ra1": _F,
    "dec1": _F, "ra2": _F, "dec2": _F, "ra3": _F, "dec3": _F, "ra4": _F, "dec4": _F, "ipac_pub_date": _T,
    "ipac_gid": _I,
}  # fmt: skip
_NEEDED_OF_IMAGES: Final = (
    "ra", "dec", "infobits", "field", "ccdid", "qid", "filtercode", "pid", "expid", "imgtypecode", "obsdate", "exptime",
    "filefracday",
)  # fmt: skip
#: columns of a light curve; ``ccdid`` and ``qid`` come as numbers or as 0x..., so they stay text
LIGHT_CURVE_TYPES: Final = {
    "oid": _I, "expid": _I, "hjd": _F, "mjd": _F, "mag": _F, "magerr": _F, "catflags": _I, "filtercode": _T, "ra": _F,
    "dec": _F, "chi": _F, "sharp": _F, "filefracday": _T, "field": _I, "ccdid": _T, "qid": _T, "limitmag": _F,
    "magzp": _F, "magzprms": _F, "clrcoeff": _F, "clrcounc": _F, "exptime": _F, "airmass": _F, "programid": _I,
}  # fmt: skip
_NEEDED: Final = ("oid", "mjd", "mag", "magerr", "catflags", "filtercode", "ra", "dec")
_UNITS: Final = {
    "hjd": "d", "mjd": "d", "mag": "mag", "magerr": "mag", "ra": "deg", "dec": "deg", "limitmag": "mag",
    "magzp": "mag", "magzprms": "mag", "exptime": "s",
}  # fmt: skip


class ZtfApi(ArchiveService):
    """IRSA's services for ZTF. New data come every two months."""

    archive: ClassVar[str] = "ztf"
    addresses: ClassVar[Mapping[str, str]] = {
        "lightcurves": "https://irsa.ipac.caltech.edu/cgi-bin/ZTF/nph_light_curves",
        "search": "https://irsa.ipac.caltech.edu/ibe/search/ztf/products/sci",
        "files": "https://irsa.ipac.caltech.edu/ibe/data/ztf/products/",
    }

    def observations(self, search: Search, *, refresh: bool = False) -> tuple[pa.Table, str]:
        """Images that touch a box of half-side ``radius_deg`` around a place (a point: that hold it)."""
        url = self.address("search")
        params = {"POS": f"{search.ra_deg:.7f},{search.dec_deg:.7f}", "ct": "csv"}
        if search.radius_deg > 0:
            params["SIZE"] = f"{2 * search.radius_deg:.7f}"
        table = self.asked(
            url,
            lambda body: csv_of(body, url, needed=_NEEDED_OF_IMAGES, types=IMAGE_TYPES),
            params=params,
            refresh=refresh,
            limit_bytes=_MOST_BYTES,
        )
        return table, url

    def light_curves(
        self, *, place: tuple[float, float] | None = None, radius_arcsec: float = 2.0, oids: tuple[int, ...] = (),
        bands: tuple[str, ...] = (), bad_flags: int | None = None, refresh: bool = False,
    ) -> pa.Table:  # fmt: skip
        """The rows of all objects in a circle, or of those named; an object has one filter, field and quadrant."""
        url = self.address("lightcurves")
        params = {"FORMAT": "CSV"}
        if oids:
            params["ID"] = ",".join(str(checked_oid(oid)) for oid in oids)
        elif place is not None:
            if not 0.0 < radius_arcsec <= MOST_RADIUS_ARCSEC:
                raise MissionValueError(
                    f"a radius of {radius_arcsec:g} arcsec is not possible: up to {MOST_RADIUS_ARCSEC:g} are"
                )
            params["POS"] = f"CIRCLE {place[0]:.7f} {place[1]:.7f} {radius_arcsec / 3600.0:.9f}"
        else:
            raise MissionValueError("light curves of ZTF are asked for by a place or by object IDs")
        if bands:
            params["BANDNAME"] = ",".join(checked_band(band) for band in bands)
        if bad_flags is not None:
            params["BAD_CATFLAGS_MASK"] = str(int(bad_flags))
        return self.asked(
            url, lambda body: light_curve_rows(body, url), params=params, refresh=refresh, limit_bytes=_MOST_BYTES
        )

    def image_of(
        self, row: Mapping[str, Any], *, place: tuple[float, float] | None = None, size_arcsec: float | None = None,
        kind: str = "sciimg.fits",
    ) -> RemoteFile:  # fmt: skip
        """The science image of an observation, or the part of ``size_arcsec`` a side around a place."""
        url = self.address("files").rstrip("/") + "/" + image_path(row, kind)
        label = f"ZTF image {row['ObsID']}"
        if place is not None:
            width = 60.0 if size_arcsec is None else float(size_arcsec)
            if not 0.0 < width <= 7200.0:
                raise MissionValueError(f"an image of {width:g} arcsec is not possible: up to 7200 are")
            url += f"?center={place[0]:.7f},{place[1]:.7f}deg&size={width:.3f}arcsec&gzip=false"
            label += f", {width:g} arcsec around ({place[0]:.5f}, {place[1]:.5f})"
        return RemoteFile(url=url, label=label, content="fits" if kind.endswith(".fits") else "any")


def light_curve_rows(body: bytes, where: str) -> pa.Table:
    """The rows of a CSV answer. Raises WrongContent."""
    table = csv_of(body, where, needed=_NEEDED, types=LIGHT_CURVE_TYPES)
    return with_units(table, {name: unit for name, unit in _UNITS.items() if name in table.column_names})


def light_curve_table(rows: pa.Table, source_id: str, place: Any, where: str) -> LightCurveTable:
    """Rows of any number of objects as one light curve; ``filtercode`` and ``oid`` tell them apart.

    ``mjd`` is UTC at the telescope when the exposure began: in IRSA's rows ``hjd``, which is of its middle, is later by
    half of the 30 s (15.0 s, the median of 1,852 rows).
    """
    if place is None:
        ra, dec = (np.asarray(rows[name].drop_null().to_numpy(), np.float64) for name in ("ra", "dec"))
        place = _median_place(ra, dec)
    rows = rows.take(pc.sort_indices(rows, sort_keys=[("mjd", "ascending"), ("oid", "ascending")]))
    axis = TimeAxis("mjd", 2400000.5, "utc", "TOPOCENTER", stamp="start")
    return LightCurveTable("ZTF", source_id, rows, axis, place[0], place[1], np.zeros(len(rows), np.bool_), {}, where)


def _median_place(ra: Any, dec: Any) -> tuple[float, float]:
    if not len(ra):
        return float("nan"), float("nan")
    # right ascensions on both sides of 0 have a median, too
    from_first = np.mod(ra - ra[0] + 180.0, 360.0) - 180.0
    return float(np.mod(ra[0] + np.median(from_first), 360.0)), float(np.median(dec))


def image_path(row: Mapping[str, Any], kind: str = "sciimg.fits") -> str:
    """Where an image lies below the files' address, made of the row's own numbers."""
    day = str(row["filefracday"])
    if not re.fullmatch(r"\d{14}", day) or not re.fullmatch(r"[a-z]{2}", str(row["filtercode"])):
        raise MissionValueError(f"{day[:40]!r}, {str(row['filtercode'])[:10]!r} name no image of ZTF")
    name = (
        f"ztf_{day}_{int(row['field']):06d}_{row['filtercode']}_c{int(row['ccdid']):02d}_"
        f"{row['imgtypecode']}_q{int(row['qid'])}_{kind}"
    )
    return f"sci/{day[:4]}/{day[4:8]}/{day[8:]}/{name}"


def checked_oid(oid: Any) -> int:
    """An object's number. Raises MissionValueError."""
    text = str(oid).strip()
    if isinstance(oid, bool) or not re.fullmatch(r"\d{15,16}", text):
        raise MissionValueError(f"{text[:40]!r} is no object of ZTF", hint="Their IDs have 15 or 16 digits.")
    return int(text)


def checked_band(band: str) -> str:
    """g, r or i. Raises MissionValueError."""
    word = str(band).strip().lower().removeprefix("z")
    if word not in ("g", "r", "i"):
        raise MissionValueError(f"{str(band)[:20]!r} is no filter of ZTF", hint="There are zg, zr and zi.")
    return word
