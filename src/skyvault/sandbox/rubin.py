"""A Rubin-like archive: TAP and DataLink behind a token, images behind signed links that expire, cutouts by SODA."""

from __future__ import annotations

import functools
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from skyvault.sandbox.emulation import Emulation, HeldTable, Place
from skyvault.sandbox.rubin_images import SIDE, file_of
from skyvault.sandbox.rubin_sky import Image, images
from skyvault.sandbox.rubin_tables import DATALINK, link_id, tables

#: the token that is taken
TOKEN: Final = "gt-sandbox"
#: identifiers one request for links may have
MOST_IDS: Final = 60
#: how long a signed link is good
LINK_LIFE_S: Final = 3600
_BUCKET: Final = "rubin-dp02"


class Rubin(Emulation):
    """The archive at ``/rubin``: TAP, links and cutouts below ``/rubin/api``, files below ``/rubin/storage``."""

    name: ClassVar[str] = "rubin"
    services: ClassVar[Mapping[str, str]] = {
        "tap": "/api/tap",
        "datalink": "/api/datalink/links",
        "cutout": "/api/cutout/sync",
    }
    tap_root: ClassVar[str] = "/api"
    has_addresses_in_rows: ClassVar[bool] = True

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._key = secrets.token_bytes(32)

    def tables(self) -> Iterable[HeldTable]:
        return tables(f"{self.place.url}/api/datalink/links")

    def routes(self) -> Sequence[BaseRoute]:
        return (
            Route("/api/datalink/links", self._links, methods=["GET", "POST"]),
            Route("/api/cutout/sync", self._cutout, methods=["GET", "POST"]),
            Route(f"/storage/{_BUCKET}/{{name}}", self._file, methods=["GET"]),
        )

    def middleware(self) -> Sequence[Middleware]:
        return (Middleware(TokenCheck),)

    # --- links -----------------------------------------------------------------------------------------------------

    async def _links(self, request: Request) -> Response:
        values = await _parameters(request)
        wanted = values.get("ID", [])
        rows: list[tuple[str | None, ...]] = []
        for one in wanted[:MOST_IDS]:
            image = _by_link().get(one)
            if image is None:
                rows.append((one, None, None, "NotFoundFault: there is no such dataset", "#error", None, None, None))
                continue
            file = self._signed(image)
            rows.append((one, file, None, None, "#this", "the image", "application/fits", None))
            rows.append((one, None, "cutout", None, "#cutout", "a part of the image", "application/fits", None))
        document = _links_document(rows, f"{self.place.url}/api/cutout/sync", is_cut=len(wanted) > MOST_IDS)
        return Response(document, media_type=DATALINK)

    # --- signed links ----------------------------------------------------------------------------------------------

    def _signed(self, image: Image, life_s: float = LINK_LIFE_S) -> str:
        """An address anybody may fetch from, for a while."""
        path = f"/storage/{_BUCKET}/{image.uuid}.fits"
        given = {
            "X-Goog-Algorithm": "GOOG4-HMAC-SHA256",
            "X-Goog-Credential": "links@sandbox/auto/storage/goog4_request",
            "X-Goog-Date": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}",
            "X-Goog-Expires": str(int(life_s)),
            "X-Goog-SignedHeaders": "host",
        }
        signature = self._signature(path, given)
        return f"{self.place.url}{path}?{urlencode({**given, 'X-Goog-Signature': signature})}"

    def _signature(self, path: str, given: Mapping[str, str]) -> str:
        return hmac.new(self._key, f"{path}?{urlencode(sorted(given.items()))}".encode(), hashlib.sha256).hexdigest()

    def _file(self, request: Request) -> Response:
        path = f"/storage/{_BUCKET}/{request.path_params['name']}"
        given = {name: value for name, value in request.query_params.items() if name != "X-Goog-Signature"}
        signature = request.query_params.get("X-Goog-Signature", "")
        if "authorization" in request.headers:
            # object stores take one way of proving who asks; a token has no business here
            return _storage_fault(400, "InvalidArgument", "Only one auth mechanism allowed")
        if not hmac.compare_digest(signature, self._signature(path, given)):
            return _storage_fault(403, "SignatureDoesNotMatch", "Access denied.")
        begun = datetime.strptime(given["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        is_over = datetime.now(UTC) > begun + timedelta(seconds=int(given["X-Goog-Expires"]))
        if is_over or self.place.faults.is_on("expired-links", self.name, request.url.path):
            return _storage_fault(400, "ExpiredToken", "The provided token has expired.")
        image = _by_uuid().get(request.path_params["name"].removesuffix(".fits"))
        if image is None:
            return _storage_fault(404, "NoSuchKey", "The specified key does not exist.")
        return FileResponse(file_of(image, self.place.directory), media_type="application/fits")

    # --- cutouts ---------------------------------------------------------------------------------------------------

    async def _cutout(self, request: Request) -> Response:
        """SODA's CIRCLE or POS=CIRCLE, of the pixels only; the answer's WCS is that of the part."""
        values = await _parameters(request)
        words = " ".join([*values.get("CIRCLE", []), *values.get("POS", [])]).upper().replace("CIRCLE", "").split()
        image = _by_link().get(next(iter(values.get("ID", [])), ""))
        if image is None:
            return Response("UsageError: ID names no dataset", 400, media_type="text/plain")
        try:
            ra, dec, radius = (float(word) for word in words)
        except ValueError:
            return Response("UsageError: give CIRCLE as RA Dec radius in degrees", 400, media_type="text/plain")
        import anyio

        part = await anyio.to_thread.run_sync(_part, image, self.place, ra, dec, radius)
        return Response(part, media_type="application/fits") if part else Response(status_code=204)


class TokenCheck:
    """Middleware: below ``/api`` nobody gets in without the token; what a client must know first is open."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or "/api/" not in path:
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if given == f"Bearer {TOKEN}" or path.endswith(("/tap/availability", "/tap/capabilities")):
            # the server behind has users of its own, and would not know this one
            headers = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
            await self.app({**scope, "headers": headers}, receive, send)
            return
        error = ', error="invalid_token"' if given else ""
        challenge = {"WWW-Authenticate": f'Bearer realm="sandbox"{error}'}
        await JSONResponse({"detail": "authentication is required"}, 401, challenge)(scope, receive, send)


def _part(image: Image, place: Place, ra: float, dec: float, radius: float) -> bytes:
    """The pixels around a position as a FITS file; empty where the image has none."""
    import io

    import numpy as np
    from astropy.io import fits
    from astropy.wcs import WCS

    with fits.open(file_of(image, place.directory), memmap=False) as hdus:
        data, header = hdus[1].data, hdus[1].header
    wcs = WCS(header, fix=False)
    x, y = (float(value) for value in wcs.all_world2pix(ra, dec, 0, quiet=True))
    if not np.isfinite((x, y)).all():
        return b""
    half = radius / (image.sides_deg[0] / SIDE)
    left, right = max(0, int(np.floor(x - half))), min(SIDE, int(np.ceil(x + half)) + 1)
    low, high = max(0, int(np.floor(y - half))), min(SIDE, int(np.ceil(y + half)) + 1)
    if left >= right or low >= high:
        return b""
    header["CRPIX1"] -= left
    header["CRPIX2"] -= low
    file = io.BytesIO()
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data[low:high, left:right], header=header, name="IMAGE")])
    hdus.writeto(file)
    return file.getvalue()


async def _parameters(request: Request) -> dict[str, list[str]]:
    """What was asked, names in capitals, from the address and a form."""
    pairs: list[tuple[str, Any]] = list(request.query_params.multi_items())
    if request.method == "POST":
        form = await request.form(max_fields=10_000)
        pairs += list(form.multi_items())
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        if isinstance(value, str):
            values.setdefault(name.upper(), []).append(value)
    return values


@functools.cache
def _by_link() -> dict[str, Image]:
    return {link_id(image): image for image in images()}


@functools.cache
def _by_uuid() -> dict[str, Image]:
    return {image.uuid: image for image in images()}


def _storage_fault(status: int, code: str, message: str) -> Response:
    document = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(document, status, media_type="application/xml; charset=UTF-8")


#: name, datatype, arraysize, UCD of the columns of a DataLink answer (DataLink 1.1, table 1)
_LINK_COLUMNS: Final = (
    ("ID", "char", "*", "meta.id;meta.main"),
    ("access_url", "char", "*", "meta.ref.url"),
    ("service_def", "char", "*", "meta.ref"),
    ("error_message", "char", "*", "meta.code.error"),
    ("semantics", "char", "*", "meta.code"),
    ("description", "char", "*", "meta.note"),
    ("content_type", "char", "*", "meta.code.mime"),
    ("content_length", "long", None, "phys.size;meta.file"),
)


def _links_document(rows: Sequence[Sequence[str | None]], cutout_url: str, *, is_cut: bool) -> str:
    """DataLink 1.1, with the descriptor of the cutout service."""
    fields = "".join(
        f'<FIELD name="{name}" datatype="{datatype}" ucd="{ucd}"'
        + (f' arraysize="{arraysize}"' if arraysize else ' unit="byte"')
        + ("/>" if name != "ID" else ' ID="datalinkID"/>')
        for name, datatype, arraysize, ucd in _LINK_COLUMNS
    )
    body = "".join("<TR>" + "".join(f"<TD>{escape(cell or '')}</TD>" for cell in row) + "</TR>" for row in rows)
    overflow = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>' if is_cut else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">
<RESOURCE type="results">
<INFO name="standardID" value="ivo://ivoa.net/std/DataLink#links-1.1"/>
<INFO name="QUERY_STATUS" value="OK"/>
<TABLE>{fields}<DATA><TABLEDATA>{body}</TABLEDATA></DATA></TABLE>{overflow}
</RESOURCE>
<RESOURCE type="meta" utype="adhoc:service" ID="cutout">
<PARAM name="standardID" datatype="char" arraysize="*" value="ivo://ivoa.net/std/SODA#sync-1.0"/>
<PARAM name="accessURL" datatype="char" arraysize="*" value="{escape(cutout_url)}"/>
<GROUP name="inputParams">
<PARAM name="ID" datatype="char" arraysize="*" ucd="meta.id;meta.main" ref="datalinkID" value=""/>
<PARAM name="CIRCLE" datatype="double" arraysize="3" xtype="circle" unit="deg" ucd="pos.outline;obs" value=""/>
<PARAM name="POS" datatype="char" arraysize="*" ucd="pos.outline;obs" value=""/>
</GROUP>
</RESOURCE>
</VOTABLE>
"""
