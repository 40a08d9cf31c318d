"""A page for one dataset: its picture, what is known of it, its files, and a form that cuts a piece out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from skyvault.errors import Forbidden, NotFound, SkyvaultError
from skyvault.model.product import Product
from skyvault.model.table import Column
from skyvault.serve.data_origin import page_address
from skyvault.serve.faults import form_for_people, guarded
from skyvault.serve.identity import identity_of
from skyvault.serve.links import WORDS
from skyvault.serve.page_citation import Origin, origin_of
from skyvault.serve.page_frame import around, root_path
from skyvault.serve.page_reply import Document, document, render
from skyvault.serve.page_text import angle, day, instant, sexagesimal, wavelength, web_address
from skyvault.store.dataset_previews import LARGE, picture
from skyvault.store.products import Collection, collections, products_of, table_of
from skyvault.store.query import Limits
from skyvault.store.tap_schema import spelled_name

if TYPE_CHECKING:
    from skyvault.serve.product_addresses import ProductAddresses
    from skyvault.serve.service import Service

#: cards of a FITS header that are shown, and letters of one
_MOST_CARDS: Final = 400
_MOST_LETTERS: Final = 300
#: a header is looked for in files up to this size, if they must be unpacked to be read
_PACKED_BYTES: Final = 50_000_000
#: columns that the page shows in other ways, or not at all
_ELSEWHERE: Final = frozenset({
    "obs_publisher_did", "access_url", "access_format", "access_estsize", "s_region", "s_region_nominal",
})  # fmt: skip
#: so long a browser may keep where a picture is; signed links live at least as long
_KEEP_S: Final = 60


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is known of a dataset."""

    name: str
    value: str
    unit: str | None = None
    about: str | None = None


@dataclass(frozen=True, slots=True)
class LinkShown:
    """One product of a dataset; ``address`` is None where this reader may not have it yet."""

    description: str
    semantics: str
    content_type: str | None
    size: int | None
    address: str | None
    released: str | None = None


@dataclass(frozen=True, slots=True)
class DatasetPage:
    """What the page shows."""

    did: str
    title: str
    table: str
    table_title: str | None
    facts: tuple[Fact, ...]
    more: tuple[Fact, ...]
    links: tuple[LinkShown, ...]
    picture: str | None
    header: tuple[str, ...]
    origin: Origin | None
    cutout: str | None = None
    is_cube: bool = False
    is_image: bool = True


class DatasetPages:
    """Pages and small pictures of datasets."""

    def __init__(self, service: Service, addresses: ProductAddresses) -> None:
        self.service = service
        self.addresses = addresses

    def routes(self) -> list[Route]:
        guard = guarded(form_for_people)
        return [
            Route("/dataset", guard(self.dataset), methods=["GET", "HEAD"]),
            Route("/thumbnail", guard(self.thumbnail), methods=["GET", "HEAD"]),
        ]

    async def dataset(self, request: Request) -> Response:
        """GET /dataset?ID=: everything about one dataset."""
        did = request.query_params.get("ID", "")[:2000]
        content = around(self.service, request)

        def make() -> Document:
            return document(render("dataset.html.j2", **content, page=self.page(request, did)), level=1)

        made = await self.service.in_thread(make)
        # signed links in it are good for a while only
        return made.response(request, cache="private, no-store")

    async def thumbnail(self, request: Request) -> Response:
        """GET /thumbnail?ID=: leads to the small picture of a dataset, by a fresh link where links are signed."""
        did = request.query_params.get("ID", "")[:2000]
        found, products = await self.service.in_thread(self._products, did)
        shown = picture(products)
        if shown is None:
            raise NotFound("this dataset has no picture")
        if not self._may_have(request, shown, found):
            raise Forbidden(f"the picture is not public before {shown.released}")
        headers = {"cache-control": f"private, max-age={min(_KEEP_S, max(0, found.link_lifetime_s // 2))}"}
        return RedirectResponse(self.addresses.address(shown, found, root_path(self.service, request)), 307, headers)

    def page(self, request: Request, did: str) -> DatasetPage:
        """Everything about a dataset. Raises NotFound."""
        found, products = self._products(did)
        base, root = self.service.base_url(request), root_path(self.service, request)
        view = self.service.store.view()
        shelf = view.get(found.name)
        if shelf is None:
            raise NotFound("there is no such dataset here")
        columns, values = self._row(found.name, did)
        this = products[0]
        links = tuple(self._link(request, one, found, root) for one in products)
        shown = picture(products, LARGE)
        facts, more = _facts(columns, values)
        named = dict(zip((column.name for column in columns), values, strict=True))
        may_have = self._may_have(request, this, found)
        return DatasetPage(
            did,
            str(named.get("obs_title") or named.get("target_name") or named.get("obs_id") or did),
            found.name,
            shelf.table.title,
            facts,
            more,
            links,
            self.addresses.address(shown, found, root) if shown and self._may_have(request, shown, found) else None,
            _header(found, this) if may_have else (),
            origin_of(shelf, page_address(found.name, base), self.service.settings.publisher),
            _cutout(found, this, named) if may_have else None,
            named.get("dataproduct_type") == "cube",
            found.kind == "images",
        )

    def _products(self, did: str) -> tuple[Collection, list[Product]]:
        products = products_of(self.service.store, [did]).get(did) if did else None
        found = collections(self.service.store).get(str(table_of(did)).lower())
        if not products or found is None:
            raise NotFound("there is no such dataset here")
        return found, products

    def _row(self, table: str, did: str) -> tuple[tuple[Column, ...], tuple[str | None, ...]]:
        from skyvault.serve.page_query import texts_of

        quoted = did.replace("'", "''")
        text = f"SELECT * FROM {spelled_name(table)} WHERE obs_publisher_did = '{quoted}'"
        answer = self.service.store.query(text, Limits(rows=1, seconds=self.service.settings.sync_time_s))
        try:
            columns = answer.stream.table.columns
            rows = [row for batch in answer.stream.batches for row in texts_of(batch, columns)]
        finally:
            answer.close()
        return columns, rows[0] if rows else (None,) * len(columns)

    def _link(self, request: Request, product: Product, found: Collection, root: str) -> LinkShown:
        return LinkShown(
            product.description or WORDS.get(product.semantics) or product.semantics.lstrip("#"),
            product.semantics,
            product.content_type,
            product.size,
            self._address(product, found, root) if self._may_have(request, product, found) else None,
            product.released if self.addresses.is_held(product) else None,
        )

    def _address(self, product: Product, found: Collection, root: str) -> str | None:
        """Where a product is; an address elsewhere came from somebody's header, and may be anything."""
        address = self.addresses.address(product, found, root)
        return web_address(address) if product.place == "elsewhere" else address

    def _may_have(self, request: Request, product: Product, found: Collection) -> bool:
        """Whether this reader gets the bytes: all get what is public, those whom the collection names the rest."""
        if not self.addresses.is_held(product):
            return True
        identity = identity_of(request)
        return identity.user is not None and bool({identity.user.name, *identity.groups} & found.embargo_for)


def dataset_address(root: str, did: str) -> str:
    """The page of a dataset below the service's root."""
    return f"{root}/dataset?{urlencode({'ID': did})}"


def thumbnail_address(root: str, did: str) -> str:
    """Where a dataset's small picture is."""
    return f"{root}/thumbnail?{urlencode({'ID': did})}"


def _facts(columns: Sequence[Column], values: Sequence[str | None]) -> tuple[tuple[Fact, ...], tuple[Fact, ...]]:
    """What people look for, in their units, and the collection's own columns; all of ObsCore's words apart."""
    told = [
        (column, Fact(column.name, value, column.unit, column.description))
        for column, value in zip(columns, values, strict=True)
        if value not in (None, "", "NaN") and column.name not in _ELSEWHERE
    ]
    named = {column.name: fact.value for column, fact in told}
    own = [
        fact for column, fact in told if not column.std and column.name not in ("obs_title", "s_pixel_scale", "filter")
    ]
    return (*_for_people(named), *own), tuple(fact for column, fact in told if column.std)


def _for_people(named: Mapping[str, str]) -> Iterator[Fact]:
    """ObsCore's numbers as an astronomer would say them."""

    def number(name: str) -> float | None:
        try:
            return float(named[name])
        except (KeyError, ValueError):
            return None

    lon, lat, fov, scale = (number(name) for name in ("s_ra", "s_dec", "s_fov", "s_pixel_scale"))
    for label, name in (("Object", "target_name"), ("Kind", "dataproduct_type"), ("Observation", "obs_id")):
        if name in named:
            yield Fact(label, named[name])
    if lon is not None and lat is not None:
        yield Fact("Position", f"{sexagesimal(lon, lat)} ({lon:.5f}, {lat:+.5f})", None, "ICRS; degrees in brackets")
    if fov is not None:
        sides = [named[name] for name in ("s_xel1", "s_xel2") if name in named]
        pixels = f", {' x '.join(sides)} pixels" if len(sides) == 2 else ""
        grain = f" of {scale:.3g} arcsec" if scale is not None and pixels else ""
        yield Fact("Field of view", f"{angle(fov)}{pixels}{grain}")
    begin, end, exposure = number("t_min"), number("t_max"), number("t_exptime")
    if begin is not None:
        last = "" if end is None or end - begin < 1.0 else f" to {day(end)}"
        yield Fact("Time", f"{instant(begin)}{last}", "UTC" if not last else None)
    if exposure is not None:
        yield Fact("Exposure", f"{exposure:.6g}", "s")
    low, high = number("em_min"), number("em_max")
    filter_name = f"{named['filter']}, " if "filter" in named else ""
    if low is not None and high is not None:
        yield Fact("Wavelengths", f"{filter_name}{wavelength(low)} to {wavelength(high)}")
    elif filter_name:
        yield Fact("Filter", named["filter"])
    made = [named[name] for name in ("facility_name", "instrument_name") if name in named]
    if made:
        yield Fact("Instrument", ", ".join(made))


def _cutout(found: Collection, this: Product, named: dict[str, str | None]) -> str | None:
    """The circle that the form suggests: a quarter of the image around its middle."""
    if "soda" not in found.services or found.kind != "images" or this.semantics != "#this":
        return None
    try:
        lon, lat, width = (float(named[name] or "nan") for name in ("s_ra", "s_dec", "s_fov"))
    except (KeyError, ValueError):
        return None
    return f"{lon:.6g} {lat:.6g} {width / 8:.3g}" if lon == lon and lat == lat and width > 0 else None


def _header(found: Collection, this: Product) -> tuple[str, ...]:
    """The cards of a FITS file's header, as they stand there; nothing for other files and broken ones."""
    if this.place != "source" or "fits" not in (this.content_type or ""):
        return ()
    try:
        path = found.path_of(this)
    except SkyvaultError:
        return ()
    return _cards(path, this.hdu or 0, path.stat().st_mtime_ns)


@lru_cache(maxsize=128)
def _cards(path: Path, hdu: int, mtime_ns: int) -> tuple[str, ...]:
    """The header of one HDU; packed files must be unpacked up to it, which is done once for each state of a file."""
    from astropy.io import fits

    from skyvault.quiet import quiet

    is_packed = path.suffix.lower() in (".gz", ".bz2", ".z")
    try:
        if is_packed and path.stat().st_size > _PACKED_BYTES:
            return ()
        with quiet(), fits.open(path, memmap=True, lazy_load_hdus=True) as file:
            header = file[hdu].header
            cards = [str(card)[:_MOST_LETTERS].rstrip() for card in header.cards[:_MOST_CARDS]]
    except Exception:
        # the page is there without it
        return ()
    return tuple("".join(char if char >= " " else " " for char in card) for card in cards)
