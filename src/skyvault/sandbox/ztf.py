"""ZTF at IRSA in the sandbox: the light-curve service, the list of images, and the images."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from skyvault.missions.ztf_api import IMAGE_TYPES, LIGHT_CURVE_TYPES
from skyvault.sandbox.emulation import Emulation
from skyvault.sandbox.light_curves import Variable, variables
from skyvault.sandbox.plates import project
from skyvault.sandbox.star_fields import separation
from skyvault.sandbox.ztf_exposures import (
    EXPOSURE_S,
    HEIGHT,
    PIXEL_ARCSEC,
    WIDTH,
    Exposures,
    ObjectRows,
    magnitudes,
    measured,
    objects,
    oid_of,
    quadrants,
)

_NAME: Final = re.compile(r"ztf_(\d{14})_(\d{6})_(z[gri])_c(\d\d)_o_q([1-4])_sciimg\.fits")
_HALF_W_ARCSEC, _HALF_H_ARCSEC = WIDTH * PIXEL_ARCSEC / 2, HEIGHT * PIXEL_ARCSEC / 2


class ZtfTruth:
    """What ZTF of the sandbox really saw; for tests that ask for science."""

    def variables(self) -> tuple[Variable, ...]:
        """All objects that are points, with kind, period, epoch and depth."""
        return variables()

    def oids(self, name: str, filtercode: str | None = None) -> list[int]:
        """The objects that are the named star, one a filter and quadrant."""
        return [
            oid for oid, (index, code, star) in objects().items()
            if star == 0 and quadrants()[index].quadrant.stars.variable.name == name and filtercode in (None, code)
        ]  # fmt: skip

    def measurements(self, oid: int) -> ObjectRows:
        """An object's true magnitudes and what was made of them: ``is_spoiled`` are the wrong ones."""
        return measured(oid)


class Ztf(Emulation):
    """``/ztf``: light curves, image search and image files with IRSA's paths."""

    name: ClassVar[str] = "ztf"
    services: ClassVar[Mapping[str, str]] = {
        "lightcurves": "/cgi-bin/ZTF/nph_light_curves",
        "search": "/ibe/search/ztf/products/sci",
        "files": "/ibe/data/ztf/products/",
    }
    truth: ClassVar[ZtfTruth] = ZtfTruth()

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/cgi-bin/ZTF/nph_light_curves", self._light_curves, methods=["GET", "POST"]),
            Route("/ibe/search/ztf/products/sci", self._search),
            Route("/ibe/data/ztf/products/sci/{year}/{day}/{fraction}/{name}", self._file),
        ]

    async def _light_curves(self, request: Request) -> Response:
        asked = {key.upper(): value for key, value in request.query_params.items()}
        if request.method == "POST":
            asked |= {key.upper(): str(value) for key, value in (await request.form()).items()}
        try:
            body, kind = await run_in_threadpool(_light_curve_answer, asked)
        except ValueError as error:
            return Response(_error_votable(str(error)), 400, media_type="text/xml")
        if self.place.faults.is_on("renamed-column", self.name, request.url.path):
            body = body.replace(b",catflags,", b",catalog_flags,")
        return Response(body, media_type=kind)

    async def _search(self, request: Request) -> Response:
        asked = {key.lower(): value for key, value in request.query_params.items()}
        try:
            listed = await run_in_threadpool(_image_list, asked)
            if self.place.faults.is_on("renamed-column", self.name, request.url.path):
                listed = listed.replace("obsdate", "date_obs", 1)
            return PlainTextResponse(listed, media_type="text/csv")
        except ValueError as error:
            return PlainTextResponse(f"Error: {error}", 400)

    async def _file(self, request: Request) -> Response:
        words = request.path_params
        found = _exposure_of(words["name"])
        if found is None or not words["name"].startswith(f"ztf_{words['year']}{words['day']}{words['fraction']}_"):
            return PlainTextResponse("404 Not Found", 404)
        exposures, row = found
        try:
            cut = _cut(request.query_params.get("center"), request.query_params.get("size"))
        except ValueError as error:
            return PlainTextResponse(f"Error: {error}", 400)
        if cut is not None:
            body = await run_in_threadpool(_image, exposures, row, cut)
            return Response(body, media_type="image/fits") if body else PlainTextResponse("no overlap", 404)
        path = await run_in_threadpool(_whole, self.place.directory, words["name"], exposures, row)
        return FileResponse(path, media_type="image/fits")


# --- light curves --------------------------------------------------------------------------------------------------


def _light_curve_answer(asked: Mapping[str, str]) -> tuple[bytes, str]:
    bands = {f"z{band.strip().lower()}" for band in asked.get("BANDNAME", "g,r,i").split(",")}
    mask = int(asked.get("BAD_CATFLAGS_MASK", "0"))
    lines = []
    for oid in _chosen(asked):
        code = objects()[oid][1]
        if code in bands:
            lines += _lines(measured(oid), code, mask)
    kind = asked.get("FORMAT", "VOTABLE").upper()
    text = "\n".join([",".join(LIGHT_CURVE_TYPES), *lines]) + "\n"
    if kind == "CSV":
        return text.encode(), "text/csv"
    if kind not in ("VOTABLE", "IPAC_TABLE"):
        raise ValueError(f"unknown FORMAT {kind[:20]}")
    from astropy.table import Table

    table = Table.read(text.splitlines(), format="ascii.csv")
    if kind == "IPAC_TABLE":
        out = io.StringIO()
        table.write(out, format="ascii.ipac")
        return out.getvalue().encode(), "text/plain"
    raw = io.BytesIO()
    table.write(raw, format="votable")
    return raw.getvalue(), "text/xml"


def _chosen(asked: Mapping[str, str]) -> list[int]:
    if "ID" in asked:
        wanted = [int(word) for word in re.split(r"[\s,]+", asked["ID"].strip())]
        return [oid for oid in wanted if oid in objects()]
    words = asked.get("POS", "").split()
    if len(words) != 4 or words[0].upper() != "CIRCLE":
        raise ValueError("POS must be CIRCLE ra dec radius")
    ra, dec, radius = (float(word) for word in words[1:])
    if not 0 < radius <= 600.0 / 3600.0 + 1e-9:
        raise ValueError("the radius is larger than 600 arcsec")
    found = []
    for exposures in quadrants():
        quadrant = exposures.quadrant
        if separation(quadrant.ra_deg, quadrant.dec_deg, ra, dec) > 1.5:
            continue
        offset = separation(quadrant.stars.ra_deg, quadrant.stars.dec_deg, ra, dec)
        for star in np.flatnonzero(offset <= radius).tolist():
            found += [oid for code in ("zg", "zr", "zi") if (oid := oid_of(quadrant, code, star)) in objects()]
    return found


def _lines(one: ObjectRows, code: str, mask: int) -> list[str]:
    exposures, quadrant = one.exposures, one.exposures.quadrant
    lines = []
    for index, row in enumerate(one.rows.tolist()):
        flags = int(one.catflags[index])
        if flags & mask:
            continue
        lines.append(
            f"{one.oid},{exposures.expid[row]},{one.hjd[index]:.8f},{exposures.mjd_utc[row]:.7f},{one.mag[index]:.7f},"
            f"{one.error[index]:.9f},{flags},{code},{one.ra_deg[index]:.7f},{one.dec_deg[index]:.7f},0.577,-0.139,"
            f"{exposures.day(row)},{quadrant.field},{quadrant.ccd},{quadrant.qid},{exposures.limit[row]:.4f},26.1893673,"
            f"0.0169076771,-0.0624779686,6.69797146e-06,30,{exposures.airmass[row]:.3f},1"
        )
    return lines


def _error_votable(told: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">UsageError: {told}</INFO></RESOURCE>'
        "</VOTABLE>"
    )


# --- images --------------------------------------------------------------------------------------------------------


def _image_list(asked: Mapping[str, str]) -> str:
    kind = asked.get("ct", "ipac_table")
    if kind != "csv":
        raise ValueError(f"this sandbox writes ct=csv only, not {kind[:20]}")
    ra, dec = (float(word) for word in asked["pos"].split(",")) if "pos" in asked else (None, None)
    half = float(asked.get("size", "0").split(",")[0]) * 1800.0
    lines = [",".join(IMAGE_TYPES)]
    for exposures in quadrants():
        quadrant = exposures.quadrant
        if ra is not None:
            east, north, front = project(ra, dec, quadrant.ra_deg, quadrant.dec_deg)
            if not front or abs(east) > _HALF_W_ARCSEC + half or abs(north) > _HALF_H_ARCSEC + half:
                continue
        lines += [_image_line(exposures, row) for row in range(len(exposures.mjd_utc))]
    return "\n".join(lines) + "\n"


def _image_line(exposures: Exposures, row: int) -> str:
    from datetime import UTC, datetime, timedelta

    quadrant, code = exposures.quadrant, exposures.filtercode[row]
    begin = datetime(1858, 11, 17, tzinfo=UTC) + timedelta(seconds=round(float(exposures.mjd_utc[row]) * 86400.0))
    rcid = 4 * (quadrant.ccd - 1) + quadrant.qid - 1
    fid = "gri".index(code[1]) + 1
    scale = PIXEL_ARCSEC / 3600.0
    corners = ",".join(f"{ra:.7f},{dec:.7f}" for ra, dec in _corners(exposures))
    return (
        f"{quadrant.ra_deg:.7f},{quadrant.dec_deg:.7f},{1 << 25 if exposures.is_bad[row] else 0},{quadrant.field},"
        f"{quadrant.ccd},{quadrant.qid},{rcid},{fid},{code},{exposures.pid[row]},{exposures.expid[row] % 10000},"
        f"{exposures.expid[row]},1,object,o,{begin:%Y-%m-%d %H:%M:%S}+00,{exposures.mjd_utc[row] + 2400000.5:.7f},30,"
        f"{exposures.day(row)},{exposures.seeing[row]:.5f},{exposures.airmass[row]:.3f},-0.5,0.01,"
        f"{exposures.limit[row]:.4f},{WIDTH / 2 + 0.5},{HEIGHT / 2 + 0.5},{quadrant.ra_deg:.7f},{quadrant.dec_deg:.7f},"
        f"{-scale:.10f},0,0,{scale:.10f},{corners},2024-06-20 00:00:00+00,2"
    )


def _corners(exposures: Exposures) -> list[tuple[float, float]]:
    quadrant = exposures.quadrant
    cosine = np.cos(np.radians(quadrant.dec_deg))
    return [
        (
            float(np.mod(quadrant.ra_deg + x * _HALF_W_ARCSEC / 3600.0 / cosine, 360.0)),
            quadrant.dec_deg + y * _HALF_H_ARCSEC / 3600.0,
        )
        for x, y in ((1, -1), (-1, -1), (-1, 1), (1, 1))
    ]


def _exposure_of(name: str) -> tuple[Exposures, int] | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    for exposures in quadrants():
        quadrant = exposures.quadrant
        if (quadrant.field, quadrant.ccd, quadrant.qid) == (int(match[2]), int(match[4]), int(match[5])):
            for row, code in enumerate(exposures.filtercode):
                if code == match[3] and exposures.day(row) == match[1]:
                    return exposures, row
    return None


def _cut(center: str | None, size: str | None) -> tuple[float, float, float] | None:
    """Place (degrees) and width (arcseconds) of a part."""
    if center is None:
        return None
    match = re.fullmatch(r"([0-9.]+),([+-]?[0-9.]+)(?:deg)?", center)
    width = re.fullmatch(r"([0-9.]+)(arcsec|arcmin|deg)", size or "")
    if match is None or width is None:
        raise ValueError("center or size cannot be read")
    unit = {"arcsec": 1.0, "arcmin": 60.0, "deg": 3600.0}[width[2]]
    return float(match[1]), float(match[2]), float(width[1]) * unit


def _whole(directory: Path, name: str, exposures: Exposures, row: int) -> Path:
    path = directory / "images" / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part")
        beside.write_bytes(_image(exposures, row, None))
        beside.replace(path)
    return path


def _image(exposures: Exposures, row: int, cut: tuple[float, float, float] | None) -> bytes:
    """The quadrant with pixels eight times as wide as the camera's, or a part with the camera's own."""
    from astropy.io import fits

    quadrant, code = exposures.quadrant, exposures.filtercode[row]
    if cut is None:
        width, height, scale, centre = WIDTH // 8, HEIGHT // 8, PIXEL_ARCSEC * 8, (0.0, 0.0)
    else:
        east, north, front = project(cut[0], cut[1], quadrant.ra_deg, quadrant.dec_deg)
        if not front or abs(east) > _HALF_W_ARCSEC or abs(north) > _HALF_H_ARCSEC:
            return b""
        width = height = max(1, min(round(cut[2] / PIXEL_ARCSEC), HEIGHT))
        scale, centre = PIXEL_ARCSEC, (float(east), float(north))
    rng = np.random.default_rng([20180317, quadrant.field, row])
    image = rng.normal(150.0, 8.0, (height, width)).astype(np.float32)
    mags = magnitudes(quadrant.stars, code)
    east, north, _ = project(quadrant.stars.ra_deg, quadrant.stars.dec_deg, quadrant.ra_deg, quadrant.dec_deg)
    x = (width - 1) / 2.0 - (east - centre[0]) / scale
    y = (height - 1) / 2.0 + (north - centre[1]) / scale
    sigma = max(0.8, float(exposures.seeing[row]) / 2.355 / scale)
    grid_y, grid_x = np.mgrid[0:height, 0:width] if height * width < 40_000 else (None, None)
    for star in np.flatnonzero((x > -20) & (x < width + 20) & (y > -20) & (y < height + 20)).tolist():
        flux = 10.0 ** (0.4 * (26.2 - mags[star])) / (2 * np.pi * sigma**2)
        if grid_x is not None:
            image += (flux * np.exp(-0.5 * ((grid_x - x[star]) ** 2 + (grid_y - y[star]) ** 2) / sigma**2)).astype("f4")
            continue
        reach = int(5 * sigma) + 2
        left, low = max(int(x[star]) - reach, 0), max(int(y[star]) - reach, 0)
        gx = np.exp(-0.5 * ((np.arange(left, min(int(x[star]) + reach, width)) - x[star]) / sigma) ** 2)
        gy = np.exp(-0.5 * ((np.arange(low, min(int(y[star]) + reach, height)) - y[star]) / sigma) ** 2)
        if len(gx) and len(gy):
            image[low : low + len(gy), left : left + len(gx)] += (flux * np.outer(gy, gx)).astype(np.float32)
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = quadrant.ra_deg, quadrant.dec_deg
    header["CRPIX1"] = (width + 1) / 2.0 + centre[0] / scale
    header["CRPIX2"] = (height + 1) / 2.0 - centre[1] / scale
    header["CD1_1"], header["CD1_2"], header["CD2_1"], header["CD2_2"] = -scale / 3600, 0.0, 0.0, scale / 3600
    words: dict[str, Any] = {
        "RADESYS": "ICRS", "OBSMJD": float(exposures.mjd_utc[row]), "EXPTIME": EXPOSURE_S, "FIELDID": quadrant.field,
        "CCDID": quadrant.ccd, "QID": quadrant.qid, "FILTER": f"ZTF_{code[1]}", "FILTERID": "gri".index(code[1]) + 1,
        "MAGZP": 26.2, "MAGLIM": float(exposures.limit[row]), "SEEING": float(exposures.seeing[row]), "GAIN": 6.2,
        "SATURATE": 50000.0, "PID": int(exposures.pid[row]), "TELESCOP": "Palomar 48-inch", "INSTRUME": "ZTF/MOSAIC",
    }  # fmt: skip
    header.update(words)
    out = io.BytesIO()
    fits.PrimaryHDU(image, header).writeto(out)
    return out.getvalue()
