"""eROSITA's archive at MPE: the tiles of the first survey in eRODat's directories, calibration fields as tar archives.

The two tables of observations, which users of the archive have from a listing, are served beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from skyvault.errors import NotFound
from skyvault.sandbox import calibration_fields, tiles
from skyvault.sandbox.emulation import Emulation, Place
from skyvault.sandbox.event_files import EPOCH, HeldFile, Seen, file_bytes
from skyvault.sandbox.file_answers import Bodies, file_answer, not_found
from skyvault.sandbox.index_pages import Entry, apache_page, erodat_page
from skyvault.sandbox.tar_files import tar_gz

#: when the releases were put out
_DR1: Final = datetime(2023, 2, 1, 19, 38, 18, tzinfo=UTC)
_EDR: Final = datetime(2021, 6, 28, 12, 0, tzinfo=UTC)
_FIELDS: Final = "eROSITAObservations/CalPvObs/"
#: processing versions that are offered, the newest last
VERSIONS: Final = ("009", "010")
#: background maps exist for these bands, the others for all seven
_BACKGROUND_BANDS: Final = (1, 2, 3, 4)


class Erosita(Emulation):
    """The archive: /erosita/dr1/erodat/data/download/, /erosita/edr/eROSITAObservations/CalPvObs/, /erosita/tables/."""

    name: ClassVar[str] = "erosita"
    services: ClassVar[Mapping[str, str]] = {"dr1": "/dr1/", "edr": "/edr/", "tables": "/tables/"}

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._bodies = Bodies()

    def routes(self) -> Sequence[BaseRoute]:
        """Directories, tar archives, tables."""
        return [
            Route("/dr1/erodat/data/download/{path:path}", self._tile_answer, methods=["GET"]),
            Route("/edr/{path:path}", self._field_answer, methods=["GET"]),
            Route("/tables/{name}", self._table_answer, methods=["GET"]),
        ]

    # --- the truth, for tests --------------------------------------------------------------------------------------

    def files_of(self, mission: str, obs_id: str) -> dict[str, bytes]:
        """{path below the observation's directory: bytes as they are sent}; of a calibration field, unpacked.

        ``mission`` is "erosita_all_sky_de_dr1" or "erosita_calpv". Raises NotFound.
        """
        if mission == "erosita_all_sky_de_dr1" and obs_id in tiles.tiles():
            tile = tiles.tiles()[obs_id]
            return {file.path: file_bytes(_tile_seen(tile), file) for file in _tile_files(tile)}
        for one in calibration_fields.POINTINGS:
            if mission == "erosita_calpv" and one.obs_id == obs_id:
                return {file.path: file_bytes(_field_seen(one), file) for file in _field_files(one)}
        raise NotFound(f"the sandbox has no files of {mission}'s observation {obs_id}")

    def observations(self, mission: str) -> list[str]:
        """ObsIDs of a mission, in the order of its table."""
        if mission == "erosita_calpv":
            return [one.obs_id for one in calibration_fields.POINTINGS]
        return list(tiles.tiles())

    # --- the survey ------------------------------------------------------------------------------------------------

    def _tile_answer(self, request: Request) -> Response:
        path: str = request.path_params["path"]
        words = [word for word in path.split("/") if word]
        entries = self._tile_entries(words)
        if entries is None:
            found = self._tile_file(words)
            if found is None:
                return not_found()
            tile, file = found
            return file_answer(request, words[-1], self._tile_body("/".join(words), tile, file), _DR1)
        if path and not path.endswith("/"):
            return RedirectResponse(f"/{self.name}/dr1/erodat/data/download/{path}/", 301)
        return HTMLResponse(erodat_page(words, entries, _DR1))

    def _tile_entries(self, words: list[str]) -> list[Entry] | None:
        """What a directory holds: /<polar distance>/<right ascension>/<kind>_<version>/; None when there is none."""
        names = tiles.tiles()
        if len(words) < 2:
            start = words[0] if words else None
            inside = {name[3:] if start is None else name[:3] for name in names if start is None or name[3:] == start}
            return [Entry(f"{one}/", _DR1) for one in sorted(inside)] or None
        tile = names.get(words[1] + words[0])
        if tile is None or len(words) > 3:
            return None
        files = _tile_files(tile)
        if len(words) == 2:
            inside = {file.path.partition("/")[0] for file in files}
            return [Entry(f"{one}/", _DR1) for one in sorted(inside)]
        folder = "/".join(words[:2])
        entries = []
        for place, file in enumerate(files):
            if file.path.partition("/")[0] == words[2]:
                size = len(self._tile_body(f"{folder}/{file.path}", tile, file))
                entries.append(Entry(file.path.partition("/")[2], _DR1 - timedelta(minutes=7 * place), size))
        return entries or None

    def _tile_body(self, path: str, tile: tiles.Tile, file: HeldFile) -> bytes:
        return self._bodies.get(path, lambda: file_bytes(_tile_seen(tile), file))

    def _tile_file(self, words: list[str]) -> tuple[tiles.Tile, HeldFile] | None:
        tile = tiles.tiles().get(words[1] + words[0]) if len(words) == 4 else None
        if tile is None:
            return None
        wanted = "/".join(words[2:])
        return next(((tile, file) for file in _tile_files(tile) if file.path == wanted), None)

    # --- calibration fields ----------------------------------------------------------------------------------------

    def _field_answer(self, request: Request) -> Response:
        path: str = request.path_params["path"]
        archives = {f"{one.archive}.tar.gz": one.archive for one in calibration_fields.POINTINGS}
        if path == _FIELDS:
            entries = [Entry(name, _EDR, self._bodies.size(name, self._maker(a))) for name, a in archives.items()]
            return HTMLResponse(apache_page(f"/{self.name}/edr/{path}", sorted(entries, key=lambda one: one.name)))
        name = path.removeprefix(_FIELDS)
        if not path.startswith(_FIELDS) or name not in archives:
            return not_found()
        return file_answer(request, name, self._bodies.get(name, self._maker(archives[name])), _EDR)

    def _maker(self, archive: str) -> Callable[[], bytes]:
        return lambda: self._field_tar(archive)

    def _field_tar(self, archive: str) -> bytes:
        """The field's observations in one directory, or in one each; read-me files lie beside them."""
        members: dict[str, bytes] = {f"{archive}/README.txt": b"Simulated: no data of the mission.\n"}
        for one in calibration_fields.POINTINGS:
            if one.archive != archive:
                continue
            # archives of many observations are nested more deeply
            depth = {"A3391_A3395": f"{one.obs_id}/data/", "eFEDS": f"eFEDS_c001_V18C/{one.obs_id}/"}.get(archive, "")
            members |= {
                f"{archive}/{depth}{path}": body for path, body in self.files_of("erosita_calpv", one.obs_id).items()
            }
        return tar_gz(members, _EDR)

    def _table_answer(self, request: Request) -> Response:
        name: str = request.path_params["name"]
        texts: dict[str, Callable[[], str]] = {
            "erass_de_dr1_info.csv": tiles.table,
            "erosita_calpv_info.csv": lambda: calibration_fields.table(f"{self.place.url}/edr/{_FIELDS}"),
        }
        if name not in texts:
            return not_found()
        text = texts[name]()
        if self.place.faults.is_on("renamed-column", self.name, f"/tables/{name}"):
            text = text.replace(",RA,DEC,", ",RA_J2000,DEC,", 1).replace(",ra,dec,", ",ra_j2000,dec,", 1)
        return file_answer(request, name, text.encode(), _DR1)


def _tile_seen(tile: tiles.Tile) -> Seen:
    days = (tile.start.replace(tzinfo=UTC) - EPOCH).total_seconds() / 86400.0
    return Seen("erosita", tile.name, f"TILE {tile.name}", tile.ra, tile.dec, days, 250.0)


def _tile_files(tile: tiles.Tile) -> list[HeldFile]:
    """Of both versions; sources and upper limits, which nobody asks for, lie beside."""
    files: list[HeldFile] = []
    start = f"em01_{tile.name}_02"
    for version in VERSIONS:
        end = f"c{version}.fits.gz"
        exposed, detected = f"EXP_{version}/{start}", f"DET_{version}/{start}"
        files.append(HeldFile(f"{exposed}0_EventList_{end}", "events", "TM"))
        files += [HeldFile(f"{exposed}{band}_Image_{end}", "image", "TM") for band in range(1, 8)]
        files += [HeldFile(f"{detected}0_SensMap{band}Blik5_{end}", "expmap", "TM") for band in (1, 3)]
        files += [HeldFile(f"{detected}{band}_ApeSensMap1B_{end}", "expmap", "TM") for band in (1, 2)]
        files += [HeldFile(f"{detected}{band}_BackgrImage_{end}", "background", "TM") for band in _BACKGROUND_BANDS]
        files += [HeldFile(f"{detected}{band}_ExposureMap_{end}", "expmap", "TM") for band in range(1, 8)]
    files.append(HeldFile(f"SOU_010/{start}0_SourceSpec_00001_c010.fits.gz", "table", "TM"))
    files.append(HeldFile(f"UPP_010/{start}0_UpperLimits_c010.fits.gz", "table", "TM"))
    return files


def _field_seen(one: calibration_fields.Pointing) -> Seen:
    days = (one.start.replace(tzinfo=UTC) - EPOCH).total_seconds() / 86400.0
    return Seen("erosita", one.obs_id, one.field, one.ra, one.dec, days, one.seconds)


def _field_files(one: calibration_fields.Pointing) -> list[HeldFile]:
    on = tuple(int(digit) for digit in one.telescopes)
    return [
        HeldFile(f"fm00_{one.obs_id}_020_EventList_c001.fits", "events", "TM", telescopes=on),
        HeldFile(f"eRO_{one.obs_id}_attitude.fits", "table", "TM"),
    ]
