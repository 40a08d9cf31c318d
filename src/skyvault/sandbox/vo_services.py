"""Services of the Virtual Observatory in small: plates by ObsTAP and SIA2, spectra by SSA, around a lensed quasar.

The same plates are published in several places, as in the real Virtual Observatory: by two ObsTAP services and an SIA2
service, with the same publisher's identifiers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from skyvault.formats.arrow import arrow_type
from skyvault.sandbox.emulation import Emulation, HeldTable
from skyvault.store.obscore import COLUMNS, obscore_table

#: the lensed quasar Q 2237+0305 (the Einstein Cross), ICRS degrees
QUASAR_DEG: Final = (340.12599, 3.35853)
#: rows with the quasar: all plates, those the second ObsTAP service mirrors, its own, images by SIA2 (and how many of
#: them are plates, too), spectra
PLATES, MIRRORED, OWN, IMAGES, SAME_IMAGES, SPECTRA = 300, 60, 120, 40, 10, 12
_SEED: Final = 2237


#: name, datatype, arraysize, unit, utype
_Field = tuple[str, str, str | None, str | None, str | None]


@functools.cache
def plates() -> tuple[dict[str, Any], ...]:
    """Plates of a century: the first PLATES hold the quasar, others lie elsewhere."""
    return tuple(_plate("plates", number, number < PLATES) for number in range(PLATES + 100))


@functools.cache
def own_plates() -> tuple[dict[str, Any], ...]:
    """What only the second ObsTAP service has."""
    return tuple(_plate("survey", number, True) for number in range(OWN))


@functools.cache
def images() -> tuple[dict[str, Any], ...]:
    """What the SIA2 service has: some plates, and images of its own."""
    return (*plates()[:SAME_IMAGES], *(_plate("ccd", number, True) for number in range(IMAGES - SAME_IMAGES)))


def _plate(collection: str, number: int, has_quasar: bool) -> dict[str, Any]:
    random = np.random.default_rng([_SEED, sum(collection.encode()), number])
    field = {"plates": 5.0, "survey": 6.0, "ccd": 0.5}[collection]
    ra, dec = QUASAR_DEG if has_quasar else (float(random.uniform(20, 300)), float(random.uniform(-60, 60)))
    dec += float(random.uniform(-0.4, 0.4)) * field
    ra += float(random.uniform(-0.4, 0.4)) * field / math.cos(math.radians(dec))
    half = field / 2
    wide = half / math.cos(math.radians(dec))
    corners = ((ra - wide, dec - half), (ra - wide, dec + half), (ra + wide, dec + half), (ra + wide, dec - half))
    first = {"plates": 12_550.0, "survey": 33_000.0, "ccd": 52_000.0}[collection]
    t_min = first + float(random.uniform(0, 20_000 if collection != "ccd" else 6_000))
    exposure = float(random.uniform(300, 5400))
    return {
        "dataproduct_type": "image",
        "calib_level": 2,
        "obs_collection": {"plates": "HDAP-like plates", "survey": "APPLAUSE-like", "ccd": "CCD survey"}[collection],
        "obs_id": f"{collection}-{number:04d}",
        "obs_publisher_did": f"ivo://sandbox/~?{collection}/{number:04d}",
        "access_format": "application/fits",
        "access_estsize": 2000,
        "target_name": None,
        "s_ra": ra % 360.0,
        "s_dec": dec,
        "s_fov": field * math.sqrt(2),
        "s_region": "POLYGON ICRS " + " ".join(f"{x % 360.0:.6f} {y:.6f}" for x, y in corners),
        "t_min": t_min,
        "t_max": t_min + exposure / 86_400,
        "t_exptime": exposure,
        "em_min": 3.6e-7,
        "em_max": 5.0e-7,
        "o_ucd": "phot.flux.density;em.opt.B",
        "facility_name": "Sandbox Observatory",
        "instrument_name": {"plates": "Bruce telescope", "survey": "Schmidt camera", "ccd": "CCD camera"}[collection],
    }


def observation_table(rows: Sequence[Mapping[str, Any]], files_url: str) -> HeldTable:
    """Rows as a service's ivoa.ObsCore."""
    table = obscore_table()
    columns = {}
    for column in COLUMNS:
        values = [row.get(column.name) for row in rows]
        if column.name == "access_url":
            values = [f"{files_url}/{row['obs_id']}.fits" for row in rows]
        columns[column.name] = pa.array(values, arrow_type(column))
    return HeldTable(table.name, pa.table(columns), described=table)


class VoServices(Emulation):
    """An observatory's services below ``/vo``: ObsTAP, SIA2, SSA, and an address where only a web page is."""

    name: ClassVar[str] = "vo"
    services: ClassVar[Mapping[str, str]] = {"tap": "/tap", "sia2": "/sia2/query", "ssa": "/ssa", "page": "/page/tap"}
    has_addresses_in_rows: ClassVar[bool] = True

    def tables(self) -> Iterable[HeldTable]:
        yield observation_table(plates(), f"{self.place.url}/files")

    def routes(self) -> Sequence[BaseRoute]:
        return (
            Route("/sia2/query", self._sia2),
            Route("/ssa", self._ssa),
            Route("/page/{rest:path}", self._page, methods=["GET", "POST"]),
            Route("/files/{name}", self._file),
        )

    async def _page(self, request: Request) -> Response:
        return HTMLResponse("<html><head><title>Welcome to our new portal</title></head><body>Moved.</body></html>")

    async def _file(self, request: Request) -> Response:
        """A picture of few pixels with the plate's WCS; the spectra's files are texts."""
        name = request.path_params["name"]
        if name.startswith("spectrum-"):
            fields: list[_Field] = [("wavelength", "double", None, "m", None), ("flux", "double", None, None, None)]
            waves = np.linspace(4e-7, 9e-7, 200)
            return _votable(
                fields, [{"wavelength": w, "flux": 1 + 0.1 * math.sin(w * 5e7)} for w in waves], is_cut=False
            )
        row = next((one for one in (*plates(), *own_plates(), *images()) if f"{one['obs_id']}.fits" == name), None)
        if row is None:
            return Response("no such file", 404, media_type="text/plain")
        return Response(_picture(row), media_type="application/fits")

    async def _sia2(self, request: Request) -> Response:
        """SIA 2.0: POS=CIRCLE (several are alternatives), TIME, COLLECTION, MAXREC; ObsCore's columns."""
        circles = []
        for text in request.query_params.getlist("POS"):
            words = text.upper().split()
            try:
                ra, dec, radius = (float(word) for word in words[1:4])
            except ValueError:
                return _error("UsageFault: POS cannot be read")
            if words[0] != "CIRCLE":
                return _error("UsageFault: only POS=CIRCLE is known here")
            circles.append((ra, dec, radius))
        rows = [row for row in images() if not circles or any(_touches(row, *circle) for circle in circles)]
        if span := request.query_params.get("TIME"):
            low, high = (float(word) for word in (span.split() * 2)[:2])
            rows = [row for row in rows if row["t_max"] >= low and row["t_min"] <= high]
        if wanted := request.query_params.getlist("COLLECTION"):
            rows = [row for row in rows if row["obs_collection"] in wanted]
        most = int(request.query_params.get("MAXREC", "1000"))
        files = f"{self.place.url}/files"
        given = [{**row, "access_url": f"{files}/{row['obs_id']}.fits"} for row in rows]
        fields: list[_Field] = [(c.name, c.datatype, c.arraysize, c.unit, c.utype) for c in COLUMNS]
        return _votable(fields, given[:most], is_cut=len(given) > most)

    async def _ssa(self, request: Request) -> Response:
        """SSA 1.1: REQUEST=queryData with POS and SIZE (a diameter)."""
        if request.query_params.get("REQUEST", "").lower() != "querydata":
            return _error("UsageFault: REQUEST must be queryData")
        try:
            ra, dec = (float(word) for word in request.query_params["POS"].split(",")[:2])
            radius = float(request.query_params.get("SIZE", "0.1")) / 2
        except (KeyError, ValueError):
            return _error("UsageFault: POS must be RA,Dec in degrees")
        near = math.hypot((ra - QUASAR_DEG[0]) * math.cos(math.radians(dec)), dec - QUASAR_DEG[1]) <= radius + 1e-3
        rows = [
            {
                "ssa_reference": f"{self.place.url}/files/spectrum-{number:02d}.vot",
                "ssa_format": "application/x-votable+xml",
                "ssa_pubDID": f"ivo://sandbox/~?spectra/{number:02d}",
                "ssa_creatorDID": f"spectrum-{number:02d}",
                "ssa_collection": "Lens monitoring",
                "ssa_targname": "Q 2237+0305",
                "ssa_location": f"{QUASAR_DEG[0]} {QUASAR_DEG[1]}",
                "ssa_timestart": 51_000.0 + 30 * number,
                "ssa_timestop": 51_000.02 + 30 * number,
                "ssa_specstart": 4.0e-7,
                "ssa_specend": 9.0e-7,
            }
            for number in range(SPECTRA if near else 0)
        ]
        return _votable(_SSA_FIELDS, rows, is_cut=False)


_SSA_FIELDS: Final = (
    ("ssa_reference", "char", "*", None, "ssa:Access.Reference"),
    ("ssa_format", "char", "*", None, "ssa:Access.Format"),
    ("ssa_pubDID", "char", "*", None, "ssa:Curation.PublisherDID"),
    ("ssa_creatorDID", "char", "*", None, "ssa:DataID.CreatorDID"),
    ("ssa_collection", "char", "*", None, "ssa:DataID.Collection"),
    ("ssa_targname", "char", "*", None, "ssa:Target.Name"),
    ("ssa_location", "double", "2", "deg", "ssa:Char.SpatialAxis.Coverage.Location.Value"),
    ("ssa_timestart", "double", None, "d", "ssa:Char.TimeAxis.Coverage.Bounds.Start"),
    ("ssa_timestop", "double", None, "d", "ssa:Char.TimeAxis.Coverage.Bounds.Stop"),
    ("ssa_specstart", "double", None, "m", "ssa:Char.SpectralAxis.Coverage.Bounds.Start"),
    ("ssa_specend", "double", None, "m", "ssa:Char.SpectralAxis.Coverage.Bounds.Stop"),
)


def _touches(row: Mapping[str, Any], ra: float, dec: float, radius: float) -> bool:
    numbers = [float(word) for word in row["s_region"].split()[2:]]
    lon, lat = numbers[0::2], numbers[1::2]
    east = (ra - min(lon) + 180) % 360 - 180
    width = max(lon) - min(lon)
    margin = radius / math.cos(math.radians(dec))
    return -margin <= east <= width + margin and min(lat) - radius <= dec <= max(lat) + radius


def _picture(row: Mapping[str, Any]) -> bytes:
    import io

    from astropy.io import fits

    random = np.random.default_rng([_SEED, sum(row["obs_id"].encode())])
    hdu = fits.PrimaryHDU(random.normal(1000, 30, (64, 64)).astype(np.float32))
    side = row["s_fov"] / math.sqrt(2)
    for key, value in (
        ("CTYPE1", "RA---TAN"),
        ("CTYPE2", "DEC--TAN"),
        ("CRVAL1", row["s_ra"]),
        ("CRVAL2", row["s_dec"]),
        ("CRPIX1", 32.5),
        ("CRPIX2", 32.5),
        ("CDELT1", -side / 64),
        ("CDELT2", side / 64),
        ("RADESYS", "ICRS"),
        ("MJD-OBS", row["t_min"]),
        ("EXPTIME", row["t_exptime"]),
    ):
        hdu.header[key] = value
    file = io.BytesIO()
    hdu.writeto(file)
    return file.getvalue()


def _votable(
    fields: Iterable[_Field],
    rows: Iterable[Mapping[str, Any]],
    *,
    is_cut: bool,
) -> Response:
    columns = list(fields)
    heads = "".join(
        f"<FIELD name={quoteattr(name)} datatype={quoteattr(datatype)}"
        + (f" arraysize={quoteattr(arraysize)}" if arraysize else "")
        + (f" unit={quoteattr(unit)}" if unit else "")
        + (f" utype={quoteattr(utype)}" if utype else "")
        + "/>"
        for name, datatype, arraysize, unit, utype in columns
    )
    body = "".join(
        "<TR>" + "".join(f"<TD>{_cell(row.get(name))}</TD>" for name, *_ in columns) + "</TR>" for row in rows
    )
    status = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>' if is_cut else ""
    document = (
        '<?xml version="1.0" encoding="UTF-8"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        '<RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/>'
        f"<TABLE>{heads}<DATA><TABLEDATA>{body}</TABLEDATA></DATA></TABLE>{status}</RESOURCE></VOTABLE>"
    )
    return Response(document, media_type="application/x-votable+xml")


def _error(message: str) -> Response:
    document = (
        '<?xml version="1.0" encoding="UTF-8"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        '<RESOURCE type="results">'
        f'<INFO name="QUERY_STATUS" value="ERROR">{escape(message)}</INFO></RESOURCE></VOTABLE>'
    )
    return Response(document, 400, media_type="application/x-votable+xml")


def _cell(value: Any) -> str:
    return "" if value is None else escape(str(value))
