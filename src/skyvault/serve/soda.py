"""SODA 1.0: /soda/sync and /soda/async: cutouts of published images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skyvault.errors import Busy, Forbidden, NotFound, QuotaError, SkyvaultError, Unauthorised, UsageError
from skyvault.model.span import Span
from skyvault.quiet import quiet
from skyvault.serve.faults import as_skyvault_error
from skyvault.serve.hook_products import HookProducts, asked_service, dids_of
from skyvault.serve.identity import Identity, identity_of
from skyvault.serve.params import FormLimits, Pairs, read_form
from skyvault.serve.product_addresses import ProductAddresses
from skyvault.serve.soda_parameters import MOST_CUTOUTS, PARAMETERS, CutoutRequest, MultiValued, read_requests
from skyvault.serve.table_response import TableResponse, collect
from skyvault.serve.uws import UwsService, UwsSettings
from skyvault.store.products import collection, products_of, table_of

if TYPE_CHECKING:
    from skyvault.jobs.context import JobContext
    from skyvault.science.fits_cutouts import Cut, OpenedImage
    from skyvault.serve.service import Service

KIND: Final = "soda"
#: pixels drawn as a picture; larger cutouts are for FITS
_MOST_DRAWN: Final = 64_000_000


class Soda:
    """Cutouts at once and as jobs."""

    def __init__(self, service: Service, addresses: ProductAddresses, hooks: HookProducts) -> None:
        self.service = service
        self.addresses = addresses
        self.hooks = hooks
        settings = service.settings
        self.uws = UwsService(
            "/soda/async",
            service.runner,
            PARAMETERS,
            UwsSettings(
                kind=KIND,
                execution_default_s=int(settings.async_time_s),
                execution_hard_s=int(settings.async_time_s),
                life_default_s=settings.job_life_days * 86_400,
                life_hard_s=settings.job_life_days * 86_400,
                wait_s=min(settings.wait_s, 55.0),
                limits=FormLimits(field_bytes=1_000_000, file_bytes=0, files=0),
            ),
            base_url=service.base_url,
            owner_of=lambda request: identity_of(request).name,
        )
        service.work[KIND] = self.run_job

    def routes(self) -> list[Route]:
        return [Route("/soda/sync", self.sync, methods=["GET", "POST"]), *self.uws.routes()]

    async def sync(self, request: Request) -> Response:
        """One cutout, its bytes as they are read."""
        try:
            async with await read_form(request) as form:
                own = asked_service(form.pairs)
                if own is not None:
                    return await self.hooks.serve(own, form.pairs, identity_of(request))
                wanted = read_requests(form.pairs, several=False)[0]
            return await self.service.in_thread(self._answer, wanted, identity_of(request))
        except Exception as problem:
            return _told(as_skyvault_error(problem))

    def _answer(self, wanted: CutoutRequest, identity: Identity) -> Response:
        name, chunks = self.cutout(wanted, identity)
        first, rest = collect(chunks)
        headers = {"cache-control": "private, max-age=300", "content-disposition": f'attachment; filename="{name}"'}
        return TableResponse(self.service, first, rest, wanted.format, headers)

    def cutout(self, wanted: CutoutRequest, identity: Identity) -> tuple[str, Iterator[bytes]]:
        """A name and the bytes of a cutout. Raises NoPixels, NotFound, Forbidden, FormatError."""
        from skyvault.science.fits_cutouts import cut_bytes, opened_image

        products = products_of(self.service.store, [wanted.did]).get(wanted.did)
        table = table_of(wanted.did)
        if not products or table is None or products[0].semantics != "#this":
            raise NotFound(f"there is no dataset {wanted.did[:200]!r} here")
        found, this = collection(self.service.store, table), products[0]
        if found.kind != "images" or "soda" not in found.services or this.place == "hook":
            raise UsageError(f"the datasets of {found.name} are not cut out here")
        known = set() if identity.user is None else {identity.user.name, *identity.groups}
        if self.addresses.is_held(this) and not known & found.embargo_for:
            raise Forbidden(f"the file is not public before {this.released}")
        image = opened_image(found.path_of(this), this.hdu or 0)
        cut = self._cut(image, wanted)
        stem = image.path.name.split(".")[0]
        if wanted.format == "image/png":
            return f"{stem}_cutout.png", iter([_picture(image, cut)])
        return f"{stem}_cutout.fits", cut_bytes(image, cut)

    def _cut(self, image: OpenedImage, wanted: CutoutRequest) -> Cut:
        from skyvault.science.fits_cutouts import NoPixels, around, whole, within

        cut = whole(image)
        if wanted.region is not None:
            cut = around(image, cut, wanted.region)
        for axis, span in enumerate(wanted.pixels):
            if span is not None:
                if axis >= len(image.planes):
                    raise NoPixels(f"the image has no axis {axis + 1}")
                cut = within(image, cut, axis, *_whole_pixels(span, image.planes[axis]))
        if wanted.band is not None or wanted.polarisations:
            from skyvault.science.cutout_ranges import channels_of, polarisation_of

            if wanted.band is not None:
                channels = channels_of(image, wanted.band)
                if channels is not None:
                    cut = within(image, cut, *channels)
                else:
                    self._look(wanted, "em_min", "em_max", wanted.band)
            planes = polarisation_of(image, wanted.polarisations) if wanted.polarisations else None
            if planes is not None:
                cut = within(image, cut, *planes)
        if wanted.time is not None:
            self._look(wanted, "t_min", "t_max", wanted.time)
        return cut

    def _look(self, wanted: CutoutRequest, low: str, high: str, span: Span) -> None:
        """An image without such an axis is of one range: inside it is whole, outside it is nothing."""
        from skyvault.science.fits_cutouts import NoPixels
        from skyvault.store.query import Limits
        from skyvault.store.tap_schema import spelled_name

        did = wanted.did.replace("'", "''")
        name = spelled_name(collection(self.service.store, str(table_of(wanted.did))).name)
        text = f"SELECT {low}, {high} FROM {name} WHERE obs_publisher_did = '{did}'"
        answer = self.service.store.query(text, Limits(rows=1, seconds=self.service.settings.sync_time_s))
        try:
            rows = [row for batch in answer.stream.batches for row in batch.to_pylist()]
        finally:
            answer.close()
        values = list(rows[0].values()) if rows else []
        if len(values) == 2 and None not in values and not span.overlaps(type(span)(values[0], values[1])):
            raise NoPixels("the image is of other times or wavelengths")

    def run_job(self, context: JobContext) -> None:
        """All cutouts of a job, one result each; what has no pixels is a text that says so."""
        from skyvault.science.fits_cutouts import NoPixels

        pairs = [(name, value) for name, values in context.parameters.items() for value in values]
        users = self.service.store.ledger.users
        identity = Identity()
        if context.owner is not None:
            user = users.get(context.owner)
            identity = Identity(user, users.groups_of(user.id))
        own = asked_service(pairs)
        if own is not None:
            self._run_hook(context, own, pairs, identity)
            return
        requests = read_requests(pairs, several=True)
        for number, wanted in enumerate(requests, start=1):
            context.raise_if_cancelled()
            name = "cutout" if len(requests) == 1 else f"cutout-{number}"
            path = context.result_path(name)
            try:
                _, chunks = self.cutout(wanted, identity)
                with path.open("wb") as file:
                    for chunk in chunks:
                        context.raise_if_cancelled()
                        file.write(chunk)
                context.set_result(name, content_type=wanted.format)
            except NoPixels as problem:
                path.write_text(f"NoPixels: {problem}\n", "utf-8")
                context.set_result(name, content_type="text/plain")
            except OSError as problem:
                import errno

                if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise QuotaError("the server's disk is full", hint="Ask for less, or tell the operator.") from None
                raise
            context.progress(fraction=number / len(requests))

    def _run_hook(self, context: JobContext, own: str, pairs: Pairs, identity: Identity) -> None:
        """What a service of hooks.py makes of each dataset of a job, one result each."""
        dids = dids_of(pairs)
        if not dids or len(dids) > MOST_CUTOUTS:
            raise UsageError(f"the job names {len(dids)} datasets", hint=f"Give 1 to {MOST_CUTOUTS:,} by ID.")
        for number, did in enumerate(dids, start=1):
            context.raise_if_cancelled()
            task = self.hooks.task(own, did, pairs, identity)
            made = self.hooks.make(task, seconds=context.remaining_s, stopping=context.cancelled)
            name = "result" if len(dids) == 1 else f"result-{number}"
            with context.result_path(name).open("wb") as file:
                for chunk in made.chunks():
                    context.raise_if_cancelled()
                    file.write(chunk)
            context.set_result(name, content_type=made.content_type)
            context.progress(fraction=number / len(dids))


def _whole_pixels(span: Span, size: int) -> tuple[int, int]:
    """Pixel numbers from 1, both ends included, as a half-open range from 0."""
    import math

    low = 1.0 if math.isinf(span.lo) else span.lo
    high = float(size) if math.isinf(span.hi) else span.hi
    return max(0, math.ceil(low) - 1), min(size, math.floor(high))


def _picture(image: OpenedImage, cut: Cut) -> bytes:
    import io

    from astropy.io import fits

    from skyvault.science.fits_cutouts import cut_bytes
    from skyvault.science.previews import pictures, reduced

    if cut.pixels > _MOST_DRAWN:
        raise UsageError("the cutout is too large for a picture", hint="Ask for application/fits.")
    with quiet(), fits.open(io.BytesIO(b"".join(cut_bytes(image, cut)))) as file:
        return pictures(reduced(file[0], 1024)).preview


def _told(problem: SkyvaultError) -> Response:
    """An error as SODA wants it (SODA 1.0, section 5.3); no pixels are no error, and no content."""
    if problem.http_status == 204:
        return Response(status_code=204)
    if isinstance(problem, MultiValued):
        name = problem.fault
    elif isinstance(problem, Unauthorised):
        name = "AuthenticationError"
    elif isinstance(problem, Forbidden):
        name = "AuthorizationError"
    elif isinstance(problem, Busy):
        name = "ServiceUnavailable"
    else:
        name = "UsageError" if isinstance(problem, UsageError) else "Error"
    headers = {"content-type": "text/plain; charset=utf-8"}
    if isinstance(problem, Busy):
        headers["retry-after"] = str(problem.retry_after_s)
    return Response(f"{name}: {problem}\n".encode(errors="replace"), problem.http_status, headers=headers)
