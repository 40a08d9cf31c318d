"""/hips: tiles of image collections for Aladin and other sky browsers (HiPS 1.0).

/hips/hipslist                                what there is
/hips/sky.images/properties                   of one collection
/hips/sky.images/Norder5/Dir0/Npix1234.png    a tile
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from skyvault.errors import NotFound
from skyvault.serve.conditional import bytes_response, is_known, validators
from skyvault.serve.faults import guarded
from skyvault.store.hips_folders import current_hips

if TYPE_CHECKING:
    from skyvault.serve.service import Service

#: all that may be asked for below a HiPS
_FILES: Final = re.compile(
    r"properties|Moc\.fits|Norder3/Allsky\.(?:fits|png)"
    r"|Norder[0-9]{1,2}/Dir[0-9]{1,10}/Npix[0-9]{1,10}\.(?:fits|png)"
)
_TYPES: Final = {".fits": "application/fits", ".png": "image/png", "": "text/plain; charset=utf-8"}


class HipsService:
    """Hands out the tiles of published collections."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def routes(self) -> list[Route]:
        guard = guarded("text")
        methods = ["GET", "HEAD"]
        return [
            Route("/hips/hipslist", guard(self.listed), methods=methods),
            Route("/hips/{table}", guard(self.top), methods=methods),
            Route("/hips/{table}/{path:path}", guard(self.file), methods=methods),
        ]

    def _folder(self, name: str) -> Path:
        shelf = self.service.store.view().get(name)
        folder = None
        # a collection that is withdrawn takes its tiles with it
        if shelf is not None and "collection" in shelf.extra:
            folder = current_hips(self.service.store.layout, shelf.table.name)
        if folder is None:
            raise NotFound(f"there is no HiPS of {name[:100]!r}", hint="See /hips/hipslist.")
        return folder

    async def listed(self, request: Request) -> Response:
        """The services as records with blank lines between (HiPS 1.0, section 5.1)."""
        base = self.service.base_url(request)
        body = await self.service.in_thread(self._list, base)
        return bytes_response(request, body, _TYPES[""], headers={"cache-control": "no-cache"})

    def _list(self, base: str) -> bytes:
        records = []
        layout = self.service.store.layout
        for name, shelf in sorted(self.service.store.view().tables.items()):
            folder = current_hips(layout, name) if "collection" in shelf.extra else None
            if folder is None:
                continue
            text = (folder / "properties").read_text("utf-8")
            wanted = ("creator_did", "obs_title", "hips_release_date", "hips_status", "hips_frame", "hips_order",
                      "hips_tile_format", "dataproduct_type", "moc_sky_fraction")  # fmt: skip
            lines = [line for line in text.splitlines() if line.partition("=")[0].strip() in wanted]
            records.append("\n".join([*lines, f"{'hips_service_url':<20} = {base}/hips/{name}"]))
        return ("\n\n".join(records) + "\n").encode()

    async def top(self, request: Request) -> Response:
        """The address of a HiPS leads to what is said of it."""
        self._folder(request.path_params["table"])
        base = self.service.base_url(request)
        return RedirectResponse(f"{base}/hips/{request.path_params['table']}/properties", status_code=303)

    async def file(self, request: Request) -> Response:
        name, wanted = request.path_params["table"], request.path_params["path"]
        folder = await self.service.in_thread(self._folder, name)
        if not wanted:
            return await self.top(request)
        path = folder / wanted
        if not _FILES.fullmatch(wanted) or not path.is_file():
            # where nothing was observed there is no tile: clients expect this answer
            raise NotFound(f"there is no such tile of {name}")
        if wanted == "properties":
            text = path.read_text("utf-8")
            address = f"{'hips_service_url':<20} = {self.service.base_url(request)}/hips/{name}\n"
            body = (text + address).encode()
            return bytes_response(
                request, body, _TYPES[""], modified=path.stat().st_mtime, headers={"cache-control": "no-cache"}
            )
        known = path.stat()
        # a state of a HiPS bears a name of its own, so that a tile's tag changes with it
        headers = {
            **validators(f'"{folder.name}-{known.st_size:x}-{known.st_mtime_ns:x}"', known.st_mtime),
            "cache-control": "public, max-age=3600",
            "x-content-type-options": "nosniff",
        }
        if is_known(request, headers["etag"], known.st_mtime):
            return Response(status_code=304, headers=headers)
        return FileResponse(path, media_type=_TYPES[path.suffix], headers=headers)
