"""Harvard's plate archive in the sandbox: the data interface of DASCH's release 7 over simulated plates."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from skyvault.missions.dasch_api import EXPOSURE_TYPES, REFCAT_TYPES
from skyvault.sandbox import dasch_rows
from skyvault.sandbox.emulation import Emulation, Place
from skyvault.sandbox.light_curves import Variable, variables
from skyvault.sandbox.plate_images import astrometry_header, cutout, md5_base64, mosaic_file
from skyvault.sandbox.plates import PlateMeasurements, measure, plates
from skyvault.sandbox.signed_files import SignedFiles
from skyvault.sandbox.star_fields import StarField, fields_near, star_fields

#: whole plates of full size are only there binned: they would be gigabytes
_MOST_PIXELS: Final = 8_000_000
_MJD_ZERO: Final = datetime(1858, 11, 17, tzinfo=UTC)
Handler = Callable[[Request], Awaitable[Response]]


class _Refusal(Exception):
    """What the interface says no to, with its status."""

    def __init__(self, status: int, told: str) -> None:
        super().__init__(told)
        self.status = status


class DaschTruth:
    """What the plates of the sandbox really saw; for tests that ask for science."""

    def variables(self) -> tuple[Variable, ...]:
        """All objects that are points, with kind, period, epoch and depth."""
        return variables()

    def field(self, name: str) -> StarField:
        """The stars around an object, which is the first."""
        return next(one for one in star_fields() if one.variable.name == name)

    def neighbours(self, name: str) -> Mapping[int, Variable]:
        """The variables among the other stars around an object, by their number in its field."""
        return self.field(name).neighbours

    def measurements(self, name: str, star: int = 0) -> PlateMeasurements:
        """A star's true magnitudes and what was made of them: ``is_spoiled`` are wrong, ``defect`` says why."""
        return measure(self.field(name), star)


class Dasch(Emulation):
    """``/dasch/public``: querycat, queryexps, lightcurve, platephot, cutout, mosaic_package, plates, calibrations.

    The same below ``/dasch/full`` for those who send a key. No answer is larger than ``most_bytes``.
    """

    name: ClassVar[str] = "dasch"
    #: of the gateway in front of the real one
    most_bytes: int = 6_291_556
    services: ClassVar[Mapping[str, str]] = {"api": "/public/"}
    truth: ClassVar[DaschTruth] = DaschTruth()

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.store = SignedFiles(place, "/store", self._file)

    def routes(self) -> Sequence[BaseRoute]:
        asked: dict[str, Callable[[dict[str, Any]], Any]] = {
            "querycat": self._querycat,
            "queryexps": self._queryexps,
            "lightcurve": self._lightcurve,
            "platephot": self._platephot,
            "cutout": self._cutout,
            "mosaic_package": self._mosaic_package,
        }
        found: list[BaseRoute] = [Route("/store/{key:path}", self.store.answer)]
        for base, guard in (("/public", _anybody), ("/full", _with_key)):
            api = f"{base}/dasch/dr7"
            found += [
                Route(f"{api}/{endpoint}", guard(self._posted(answer)), methods=["POST"])
                for endpoint, answer in asked.items()
            ]
            found += [
                Route(f"{api}/asset/photcal_asdf/{{hexid}}", guard(self._photcal)),
                Route(f"{base}/plates/p/{{plate_id}}", guard(self._plate)),
                Route(f"{base}/health", guard(_health)),
            ]
        return found

    def _posted(self, answer: Callable[[dict[str, Any]], Any]) -> Handler:
        async def route(request: Request) -> Response:
            try:
                asked = json.loads(await request.body())
                if not isinstance(asked, dict):
                    raise ValueError("an object is needed")
            except ValueError:
                return _refused(400, "illegal JSON")
            try:
                made = JSONResponse(await run_in_threadpool(answer, asked))
            except _Refusal as refusal:
                return _refused(refusal.status, str(refusal))
            if len(made.body) > self.most_bytes:
                return JSONResponse({"message": f"Response payload size exceeded {self.most_bytes} bytes"}, 413)
            return made

        return route

    # --- questions -------------------------------------------------------------------------------------------------

    def _querycat(self, asked: dict[str, Any]) -> list[str]:
        _refcat(asked)
        ra, dec = _place(asked, "ra_deg", "dec_deg")
        radius = _number(asked, "radius_arcsec")
        if not 0 < radius < 3600:
            raise _Refusal(400, "illegal radius_arcsec")
        lines = [",".join(REFCAT_TYPES)]
        for field in fields_near(ra, dec, radius / 3600.0):
            lines += dasch_rows.refcat_lines(field, ra, dec, radius)
        # by bin, as a server walks its store
        return [lines[0], *sorted(lines[1:], key=lambda line: int(line.split(",")[2]))]

    def _queryexps(self, asked: dict[str, Any]) -> list[str]:
        ra, dec = _place(asked, "ra_deg", "dec_deg")
        span = tuple(_date(asked[word]) if asked.get(word) else None for word in ("midpoint_min", "midpoint_max"))
        header = ",".join(EXPOSURE_TYPES)
        if self.place.faults.is_on("renamed-column", self.name, "/public/dasch/dr7/queryexps"):
            header = header.replace("expdate", "exposure_date")
        return [header, *dasch_rows.exposure_lines(ra, dec, span[0], span[1])]

    def _lightcurve(self, asked: dict[str, Any]) -> list[str]:
        _refcat(asked)
        number, gsc_bin = asked.get("ref_number"), asked.get("gsc_bin_index")
        if not isinstance(number, int) or not isinstance(gsc_bin, int):
            raise _Refusal(400, "ref_number and gsc_bin_index must be integers")
        found = dasch_rows.star_of(number, gsc_bin)
        lines = [dasch_rows.PHOTOMETRY_HEADER]
        return lines if found is None else lines + dasch_rows.light_curve_lines(*found)

    def _platephot(self, asked: dict[str, Any]) -> list[str]:
        _refcat(asked)
        row = self._exposure(asked)
        ra, dec = _place(asked, "center_ra_deg", "center_dec_deg")
        return [dasch_rows.PHOTOMETRY_HEADER, *dasch_rows.plate_lines(row, ra, dec)]

    def _cutout(self, asked: dict[str, Any]) -> str:
        row = self._exposure(asked)
        ra, dec = _place(asked, "center_ra_deg", "center_dec_deg")
        if not plates().pixel_of(ra, dec)[2][row]:
            raise _Refusal(422, "the target does not overlap the solution")
        return cutout(row, ra, dec)

    def _exposure(self, asked: dict[str, Any]) -> int:
        rows = plates().rows_of(str(asked.get("plate_id")))
        if not rows:
            raise _Refusal(404, f"no such plate {str(asked.get('plate_id'))[:40]}")
        if not plates().is_scanned[rows[0]]:
            raise _Refusal(404, "the plate has not been scanned")
        solved = [row for row in rows if plates().is_solved[row]]
        if not solved:
            raise _Refusal(404, "the plate has no astrometric solution")
        number = asked.get("solution_number")
        if not isinstance(number, int) or not 0 <= number < len(solved):
            raise _Refusal(400, "illegal solution_number")
        return next(row for row in solved if plates().solnum[row] == number)

    def _mosaic_package(self, asked: dict[str, Any]) -> dict[str, Any]:
        plate_id, binning = str(asked.get("plate_id")), asked.get("binning")
        all_plates, rows = plates(), plates().rows_of(plate_id)
        if not rows:
            raise _Refusal(404, f"no such plate {plate_id[:40]}")
        row = rows[0]
        if not all_plates.is_scanned[row]:
            raise _Refusal(404, "the plate has not been scanned")
        if binning not in (1, 16):
            raise _Refusal(400, "illegal binning")
        width, height = int(all_plates.width[row]), int(all_plates.height[row])
        if binning == 1 and width * height > _MOST_PIXELS:
            raise _Refusal(404, "this sandbox holds only small plates unbinned")
        file = mosaic_file(self.place.directory / "mosaics", plate_id, int(binning))
        # sizes are of the image as it is stored, turned
        stored = (width, height) if int(all_plates.rotation[row]) % 180 == 0 else (height, width)
        metadata: dict[str, Any] = {
            "series": all_plates.series[row],
            "plateNumber": int(all_plates.number[row]),
            "mosaic": {
                "b01Width": stored[0],
                "b01Height": stored[1],
                "b01OrigFileMD5": md5_base64(file) if binning == 1 else "",
                "b01OrigFileSize": file.stat().st_size if binning == 1 else 0,
                "b16OrigFileMD5": md5_base64(file) if binning == 16 else "",
                "b16OrigFileSize": file.stat().st_size if binning == 16 else 0,
                "creationDate": "2018-11-09T09:21:34",
                "legacyRotation": int(all_plates.rotation[row]),
                "mosNum": int(all_plates.mosnum[row]),
                "scanNum": 0,
                "resultId": "AAAAAAAAAAAAAAAAAAAAAA==",
                "s3KeyTemplate": f"mosaics/{plate_id}_{{bin}}.fits.fz",
            },
        }
        solved = [one for one in rows if all_plates.is_solved[one]]
        if solved:
            metadata["astrometry"] = {
                "b01HeaderGz": astrometry_header(plate_id),
                "resultId": "AQEBAQEBAQEBAQEBAQEBAQ==",
                "rotationDelta": int(all_plates.rotation[row]),
                "exposures": [dasch_rows.exposure_of_plate(one) for one in solved],
            }
            metadata["photometry"] = {
                "medianColortermApass": float(all_plates.colorterm[row]),
                "nSolutionsApass": len(solved),
                "nMagdepApass": 1,
                "resultIdApass": "AgICAgICAgICAgICAgICAg==",
            }
        return {
            "baseFitsUrl": self.store.link(f"mosaics/{file.name}"),
            "baseFitsSize": file.stat().st_size,
            "metadata": metadata,
        }

    async def _plate(self, request: Request) -> Response:
        plate_id = request.path_params["plate_id"]
        rows = plates().rows_of(plate_id)
        if not rows:
            return _refused(404, "Plate not found")
        return JSONResponse(
            {
                "plate_id": plate_id,
                "jacket_images": [{"plate_id": plate_id, "portion": "jacket_front", "image_type": "jacket"}],
                "plate_images": [{"plate_id": plate_id, "portion": "plate", "image_type": "plate"}],
                "jacket_thumbnail": [],
                "plate_thumbnail": [],
                "mosaics": [{"plate_id": plate_id, "bin_factor": 16, "flags": 0, "rotation": 0, "mosaic_num": 0}],
                "exposures": [],
                "catalog_exposures": [dasch_rows.exposure_of_plate(one) for one in rows],
                "telescope": dasch_rows.telescope_of(plate_id),
                "location": {"name": "Cambridge, Massachusetts", "lat": 42.38, "lon": -71.13, "elevation": 24.0},
                "has_markings": 1,
                "markings_cleaned": 0,
                "plate_comment": None,
                "comment_astronomers": [],
                "mentions": [],
            }
        )

    async def _photcal(self, request: Request) -> Response:
        hexid = request.path_params["hexid"]
        if not re.fullmatch(r"[0-9a-f]{32}", hexid):
            return _refused(400, "illegal id")
        return JSONResponse({"location": self.store.link(f"photcal/{hexid}.asdf")})

    # --- files -----------------------------------------------------------------------------------------------------

    def _file(self, key: str) -> Path | None:
        folder, _, name = key.partition("/")
        if folder == "mosaics" and (match := re.fullmatch(r"([a-z]+\d{5})_(01|16)\.fits\.fz", name)):
            return mosaic_file(self.place.directory / "mosaics", match[1], int(match[2])) if self._has(match) else None
        if folder == "photcal" and re.fullmatch(r"[0-9a-f]{32}\.asdf", name):
            path = self.place.directory / "photcal" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"#ASDF 1.0.0\n--- !core/asdf-1.1.0\nrefcat: apass\nplateid: {name[:5]}\n...\n")
            return path
        return None

    @staticmethod
    def _has(match: re.Match[str]) -> bool:
        rows = plates().rows_of(match[1])
        pixels = int(plates().width[rows[0]]) * int(plates().height[rows[0]]) if rows else 0
        return bool(rows) and (match[2] == "16" or pixels <= _MOST_PIXELS)

    @cached_property
    def checksum_of_star_fields(self) -> str:
        """Of what the sky's stars are: the same in every run."""
        return hashlib.sha256(repr([f.ref_number for f in star_fields()]).encode()).hexdigest()


def _anybody(route: Handler) -> Handler:
    return route


def _with_key(route: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        if not request.headers.get("x-api-key"):
            return JSONResponse({"message": "Forbidden"}, 403)
        return await route(request)

    return guarded


def _refused(status: int, told: str) -> Response:
    return JSONResponse({"status_code": status, "error": told}, status)


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ready"})


def _refcat(asked: dict[str, Any]) -> None:
    if asked.get("refcat") not in ("apass", "atlas"):
        raise _Refusal(400, "illegal refcat")


def _number(asked: dict[str, Any], word: str) -> float:
    value = asked.get(word)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise _Refusal(400, f"illegal {word}")
    return float(value)


def _place(asked: dict[str, Any], ra_word: str, dec_word: str) -> tuple[float, float]:
    ra, dec = _number(asked, ra_word), _number(asked, dec_word)
    if not 0 <= ra <= 360:
        raise _Refusal(400, f"illegal {ra_word}")
    if not -90 <= dec <= 90:
        raise _Refusal(400, f"illegal {dec_word}")
    return ra, dec


def _date(text: Any) -> float:
    if not isinstance(text, str) or not text.endswith("Z"):
        raise _Refusal(400, "illegal midpoint")
    try:
        return (datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC) - _MJD_ZERO) / timedelta(days=1)
    except ValueError:
        raise _Refusal(400, "illegal midpoint") from None
