"""MAST in the sandbox: its JSON question service over TESS's targets and observations, and its files."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from skyvault.sandbox.emulation import Emulation
from skyvault.sandbox.light_curves import Variable, variables
from skyvault.sandbox.star_fields import separation
from skyvault.sandbox.tess_targets import (
    Target,
    TessObservation,
    TessTruth,
    light_curve_file,
    observations,
    target_pixel_file,
    targets,
    truth,
)

#: name -> type as MAST says it
_CAOM: Final = {
    "dataproduct_type": "string", "calib_level": "int", "obs_collection": "string", "obs_id": "string",
    "target_name": "string", "s_ra": "float", "s_dec": "float", "t_min": "float", "t_max": "float",
    "t_exptime": "float", "wavelength_region": "string", "filters": "string", "em_min": "float", "em_max": "float",
    "target_classification": "string", "obs_title": "string", "t_obs_release": "float", "instrument_name": "string",
    "proposal_pi": "string", "proposal_id": "string", "proposal_type": "string", "project": "string",
    "sequence_number": "int", "provenance_name": "string", "s_region": "string", "jpegURL": "string",
    "dataURL": "string", "dataRights": "string", "mtFlag": "boolean", "srcDen": "float", "intentType": "string",
    "obsid": "string", "objID": "string", "distance": "float",
}  # fmt: skip
_TIC: Final = {
    "ID": "string", "ra": "float", "dec": "float", "pmRA": "float", "pmDEC": "float", "Tmag": "float",
    "objType": "string", "typeSrc": "string", "version": "string", "GAIA": "string", "Vmag": "float",
    "GAIAmag": "float", "Teff": "float", "rad": "float", "contratio": "float", "disposition": "string",
    "dstArcSec": "float",
}  # fmt: skip
_PRODUCTS: Final = {
    "obsID": "string", "obs_collection": "string", "dataproduct_type": "string", "obs_id": "string",
    "description": "string", "type": "string", "dataURI": "string", "productType": "string",
    "productGroupDescription": "string", "productSubGroupDescription": "string",
    "productDocumentationURL": "string", "project": "string", "prvversion": "string", "proposal_id": "string",
    "productFilename": "string", "size": "int", "parent_obsid": "string", "dataRights": "string",
}  # fmt: skip


class MastTruth:
    """What TESS of the sandbox really saw; for tests that ask for science."""

    def variables(self) -> tuple[Variable, ...]:
        """All objects that are points, with kind, period, epoch and depth."""
        return variables()

    def ticid(self, name: str) -> int:
        """The number of a named object."""
        return next(t.ticid for t in targets().values() if t.star == 0 and t.variable.name == name)

    def observations(self, ticid: int) -> list[TessObservation]:
        """When a target was observed."""
        return [one for one in observations() if one.target.ticid == ticid]

    def light_curve(self, observation: TessObservation) -> TessTruth:
        """True fluxes and what was made of them: ``is_spoiled`` are the wrong ones."""
        return truth(observation)


class Mast(Emulation):
    """``/mast``: questions at ``/api/v0/invoke``, files at ``/api/v0.1/Download/file``."""

    name: ClassVar[str] = "mast"
    services: ClassVar[Mapping[str, str]] = {"api": "/api/v0/", "files": "/api/v0.1/Download/file"}
    truth: ClassVar[MastTruth] = MastTruth()

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/api/v0/invoke", self._invoke, methods=["GET", "POST"]),
            Route("/api/v0.1/Download/file", self._file, methods=["GET", "POST"]),
        ]

    async def _invoke(self, request: Request) -> Response:
        given = request.query_params if request.method == "GET" else await request.form()
        try:
            asked = json.loads(str(given["request"]))
            rows, fields = await run_in_threadpool(_answer, asked)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            told = f"Invalid request: {error}"
            return JSONResponse({"status": "ERROR", "msg": told, "data": [], "fields": [], "paging": {}})
        if self.place.faults.is_on("renamed-column", self.name, request.url.path):
            fields = {"ra_s" if name == "s_ra" else name: kind for name, kind in fields.items()}
            rows = [{"ra_s" if name == "s_ra" else name: value for name, value in row.items()} for row in rows]
        return JSONResponse(
            {
                "status": "COMPLETE",
                "msg": "",
                "data": rows,
                "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
                "paging": {
                    "page": 1,
                    "pageSize": asked.get("pagesize", 1000),
                    "pagesFiltered": 1,
                    "rows": len(rows),
                    "rowsFiltered": len(rows),
                    "rowsTotal": len(rows),
                },
            }
        )

    async def _file(self, request: Request) -> Response:
        uri = request.query_params.get("uri", "")
        name = uri.removeprefix("mast:TESS/product/")
        found = _files().get(name)
        if found is None or name == uri:
            return PlainTextResponse(f"File not found: {uri[:120]}", 404)
        path = await run_in_threadpool(_written, self.place.directory, name, found)
        return FileResponse(path, media_type="application/fits", filename=name)


# --- answers -------------------------------------------------------------------------------------------------------


def _answer(asked: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    service, params = asked["service"], asked["params"]
    if service in ("Mast.Caom.Cone", "Mast.Caom.Filtered.Position", "Mast.Caom.Filtered"):
        return _caom(service, params), _CAOM
    if service in ("Mast.Catalogs.Tic.Cone", "Mast.Catalogs.Filtered.Tic"):
        return _tic(service, params), _TIC
    if service == "Mast.Caom.Products":
        wanted = {word.strip() for word in str(params["obsid"]).split(",")}
        return [row for one in observations() if str(one.obsid) in wanted for row in _products(one)], _PRODUCTS
    raise ValueError(f"Invalid service: {str(service)[:60]}")


def _caom(service: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    place = None
    if service == "Mast.Caom.Cone":
        place = (float(params["ra"]), float(params["dec"]), float(params.get("radius", 0.2)))
    elif service == "Mast.Caom.Filtered.Position":
        ra, dec, radius = (float(word) for word in str(params["position"]).replace(",", " ").split())
        place = (ra, dec, radius)
    rows = []
    for one in observations():
        distance = 0.0
        if place is not None:
            distance = float(separation(one.target.ra_deg, one.target.dec_deg, place[0], place[1]))
            if distance > place[2]:
                continue
        row = _caom_row(one, distance * 3600.0)
        if all(_passes(row, rule) for rule in params.get("filters", ())):
            rows.append(row)
    return rows


def _passes(row: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    value = row[rule["paramName"]]
    for wanted in rule["values"]:
        if isinstance(wanted, dict):
            if float(wanted["min"]) <= float(value) <= float(wanted["max"]):
                return True
        elif str(wanted).lower() == str(value).lower():
            return True
    return False


def _caom_row(one: TessObservation, distance_arcsec: float) -> dict[str, Any]:
    ra, dec = one.target.ra_deg, one.target.dec_deg
    row: dict[str, Any] = dict.fromkeys(_CAOM)
    row |= {
        "dataproduct_type": "timeseries", "calib_level": 3, "obs_collection": "TESS", "obs_id": one.obs_id,
        "target_name": str(one.target.ticid), "s_ra": ra, "s_dec": dec, "t_min": one.start_mjd,
        "t_max": one.start_mjd + one.rows * one.cadence_s / 86400.0, "t_exptime": float(one.cadence_s),
        "wavelength_region": "Optical", "filters": "TESS", "em_min": 600.0, "em_max": 1000.0, "t_obs_release": 58458.58,
        "instrument_name": "Photometer", "proposal_pi": "Ricker, George", "proposal_id": "N/A", "project": "TESS",
        "sequence_number": one.sector, "provenance_name": "SPOC", "s_region": f"CIRCLE {ra:.8f} {dec:.8f} 0.00138889",
        "dataURL": f"mast:TESS/product/{one.file_name('lc')}", "dataRights": "PUBLIC", "mtFlag": False,
        "intentType": "science", "obsid": one.obsid, "objID": one.obsid + 7, "distance": distance_arcsec,
    }  # fmt: skip
    return row


def _tic(service: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    if service == "Mast.Catalogs.Filtered.Tic":
        rows = [_tic_row(one, None) for one in targets().values()]
        return [row for row in rows if all(_passes(row, rule) for rule in params.get("filters", ()))]
    ra, dec, radius = float(params["ra"]), float(params["dec"]), float(params["radius"])
    found = []
    for one in targets().values():
        distance = float(separation(one.ra_deg, one.dec_deg, ra, dec))
        if distance <= radius:
            found.append(_tic_row(one, distance * 3600.0))
    return sorted(found, key=lambda row: float(row["dstArcSec"]))


def _tic_row(one: Target, distance_arcsec: float | None) -> dict[str, Any]:
    mag, star = float(one.stars.mag[one.star]), one.star
    return {
        "ID": one.ticid, "ra": one.ra_deg, "dec": one.dec_deg, "pmRA": float(one.stars.pm_ra_masyr[star]),
        "pmDEC": float(one.stars.pm_dec_masyr[star]), "Tmag": round(one.tess_mag, 4), "objType": "STAR",
        "typeSrc": "gaia2", "version": "20190415", "GAIA": None, "Vmag": round(mag - 0.3, 3),
        "GAIAmag": round(mag - 0.4, 4), "Teff": 5800.0 + star if star % 5 else None, "rad": None, "contratio": 0.01,
        "disposition": None, "dstArcSec": distance_arcsec,
    }  # fmt: skip


def _products(one: TessObservation) -> list[dict[str, Any]]:
    rows = []
    for what, kind, told in (("lc", "LC", "Light curves"), ("tp", "TP", "Target pixel files")):
        name = one.file_name(what)
        row: dict[str, Any] = dict.fromkeys(_PRODUCTS)
        row |= {
            "obsID": one.obsid, "obs_collection": "TESS", "dataproduct_type": "timeseries", "obs_id": one.obs_id,
            "description": told, "type": "S", "dataURI": f"mast:TESS/product/{name}", "productType": "SCIENCE",
            "productGroupDescription": "Minimum Recommended Products", "productSubGroupDescription": kind,
            "project": "SPOC", "productFilename": name, "size": len(_body(one, what)), "parent_obsid": one.obsid,
            "dataRights": "PUBLIC",
        }  # fmt: skip
        rows.append(row)
    return rows


# --- files ---------------------------------------------------------------------------------------------------------


@functools.cache
def _files() -> dict[str, tuple[TessObservation, str]]:
    return {one.file_name(what): (one, what) for one in observations() for what in ("lc", "tp")}


def _body(one: TessObservation, what: str) -> bytes:
    return light_curve_file(one) if what == "lc" else target_pixel_file(one)


def _written(directory: Path, name: str, found: tuple[TessObservation, str]) -> Path:
    path = directory / name
    if not path.is_file():
        directory.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{np.random.default_rng().integers(1 << 30)}.part")
        beside.write_bytes(_body(*found))
        beside.replace(path)
    return path
