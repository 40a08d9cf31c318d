"""/moc: what each published table, and all of them together, cover of the sky, as a MOC for Aladin, TOPCAT and mocpy.

    /moc                     all tables together
    /moc/lab.stars           one table; also lab.stars.fits, lab.stars.json, lab.stars.txt

RESPONSEFORMAT (fits, json, ascii) chooses the form as the ending does, ORDER the finest cells; ORDERING=NUNIQ writes
FITS that tools of MOC 1.1 read, DIMENSION=TIME the coverage of time (FITS or text).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skyvault.errors import NotFound, ParameterError
from skyvault.formats import moc_fits
from skyvault.model.region import Moc
from skyvault.serve.conditional import bytes_response
from skyvault.serve.faults import guarded
from skyvault.serve.params import Parameter, ParameterSet
from skyvault.store.coverage import coverage_of, fine_moc, published, site_coverage, site_moc

if TYPE_CHECKING:
    from skyvault.serve.service import Service

Form = Literal["fits", "json", "ascii"]
#: endings, short names and media types of the forms
FORMS: Final[dict[str, Form]] = {
    "fits": "fits",
    "application/fits": "fits",
    "image/fits": "fits",
    "json": "json",
    "application/json": "json",
    "ascii": "ascii",
    "text": "ascii",
    "txt": "ascii",
    "text/plain": "ascii",
}
_TYPES: Final[dict[Form, str]] = {
    "fits": moc_fits.CONTENT_TYPE,
    "json": "application/json",
    "ascii": "text/plain; charset=us-ascii",
}
_ENDINGS: Final = (".fits", ".json", ".txt")
PARAMETERS: Final = ParameterSet(
    (
        Parameter("RESPONSEFORMAT", doc="fits, json or ascii", aliases=("FORMAT", "FMT"), longest=100),
        Parameter("ORDER", type="integer", doc="Order of the finest cells", minimum=0, maximum=29),
        Parameter("ORDERING", doc="Coding in FITS", choices=("RANGE", "NUNIQ"), default="RANGE"),
        Parameter("DIMENSION", doc="SPACE or TIME", choices=("SPACE", "TIME"), default="SPACE"),
    )
)
#: answers that are kept
_MOST_KEPT_BYTES: Final = 64_000_000


class MocService:
    """Coverages of one service; each form is made once for what is published, and kept."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._kept: dict[tuple[Any, ...], tuple[float | None, bytes]] = {}
        self._version: int | None = None

    def routes(self) -> list[Route]:
        guard = guarded("text")
        return [
            Route("/moc", guard(self.site), methods=["GET", "HEAD"]),
            Route("/moc/{table}", guard(self.table), methods=["GET", "HEAD"]),
        ]

    async def site(self, request: Request) -> Response:
        return await self._response(request, None, None)

    async def table(self, request: Request) -> Response:
        name = str(request.path_params["table"])
        view = self.service.store.view()
        ending = next((one for one in _ENDINGS if name.lower().endswith(one)), None)
        if view.get(name) is None and ending is not None:
            return await self._response(request, name[: -len(ending)], FORMS[ending[1:]])
        return await self._response(request, name, None)

    async def _response(self, request: Request, name: str | None, form: Form | None) -> Response:
        values = PARAMETERS.read(request.query_params.multi_items())
        if form is None:
            form = form_of(values["RESPONSEFORMAT"])
        key = (name and name.lower(), form, values["ORDER"], values["ORDERING"], values["DIMENSION"])
        modified, body = await self.service.in_thread(self._body, key, name)
        return bytes_response(
            request,
            body,
            _TYPES[form],
            modified=modified,
            headers={"cache-control": "public, max-age=60", "x-content-type-options": "nosniff"},
        )

    def _body(self, key: tuple[Any, ...], name: str | None) -> tuple[float | None, bytes]:
        view = self.service.store.view()
        if self._version != view.version or sum(len(body) for _, body in self._kept.values()) > _MOST_KEPT_BYTES:
            self._kept, self._version = {}, view.version
        kept = self._kept
        if key not in kept:
            _, form, order, ordering, dimension = key
            body = self._time(name, form) if dimension == "TIME" else self._space(name, form, order, ordering)
            shelf = None if name is None else view.get(name)
            kept[key] = (shelf.published_at if shelf is not None else None, body)
        return kept[key]

    def _space(self, name: str | None, form: Form, order: int | None, ordering: Literal["RANGE", "NUNIQ"]) -> bytes:
        from skyvault.sky.moc import moc_json, moc_of, moc_text, order_of

        moc = site_moc(self.service.store) if name is None else fine_moc(self.service.store, name)
        if moc is None:
            self._refuse(name)
            raise NotFound(f"{name} has no positions, and so no coverage of the sky")
        own = order_of(moc)
        if order is not None and order < own:
            moc, own = moc_of(moc, order), order
        if form == "fits":
            return space_fits(moc, own, ordering, name=name)
        if form == "json":
            return json.dumps(moc_json(moc, own), separators=(",", ":")).encode()
        return moc_text(moc, own).encode()

    def _time(self, name: str | None, form: Form) -> bytes:
        from skyvault.serve.moc_time import time_fits, time_text

        view = self.service.store.view()
        spans = (site_coverage(view) if name is None else coverage_of(view, name)).temporal
        if name is not None and not spans:
            self._refuse(name)
            raise NotFound(f"nothing is known of the times that {name} covers")
        if form == "fits":
            return time_fits(spans, name=name)
        if form == "json":
            raise ParameterError("a coverage of time is written as FITS or text", hint="Take RESPONSEFORMAT=fits.")
        return time_text(spans).encode()

    def _refuse(self, name: str | None) -> None:
        view = self.service.store.view()
        if name is not None and view.get(name) is None:
            known = ", ".join(published(view)[:5])
            raise NotFound(f"there is no table {name[:100]!r}", hint=f"There are {known} ...")


def form_of(text: str | None) -> Form:
    """The form that RESPONSEFORMAT asks for; FITS without one. Raises ParameterError."""
    if text is None:
        return "fits"
    found = FORMS.get(text.partition(";")[0].strip().lower())
    if found is None:
        raise ParameterError(f"RESPONSEFORMAT={text[:64]!r} is not known", hint="Use fits, json or ascii.")
    return found


def space_fits(
    moc: Moc, order: int, ordering: Literal["RANGE", "NUNIQ"] = "RANGE", *, name: str | None = None
) -> bytes:
    """A coverage as FITS in one of the two codings."""
    import numpy as np

    from skyvault.sky.moc import uniq_numbers

    numbers = (moc.ranges + np.array([0, 1])).ravel() if ordering == "RANGE" else uniq_numbers(moc)
    return moc_fits.space_moc_fits(numbers, order, ordering, name=name)
