"""/get/{schema.table}/{dataset}: the bytes of products, whole or in ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from skyvault.errors import Forbidden, NotFound
from skyvault.model.product import Product
from skyvault.serve.faults import guarded
from skyvault.serve.hook_products import HookProducts
from skyvault.serve.identity import identity_of
from skyvault.serve.product_addresses import ProductAddresses
from skyvault.serve.table_products import TableProducts
from skyvault.store.products import Collection, collection, did_of, products_of

if TYPE_CHECKING:
    from skyvault.serve.service import Service

#: what browsers may show; all else is offered for saving
_SHOWN: Final = frozenset({"image/png", "image/jpeg", "text/plain", "application/pdf"})


class ProductFiles:
    """Hands out the files of published datasets, and nothing else."""

    def __init__(self, service: Service, addresses: ProductAddresses, hooks: HookProducts) -> None:
        self.service = service
        self.addresses = addresses
        self.hooks = hooks
        self.tables = TableProducts(service)

    def routes(self) -> list[Route]:
        return [Route("/get/{table}/{local:path}", guarded("text")(self.get), methods=["GET", "HEAD"])]

    async def get(self, request: Request) -> Response:
        table, local = request.path_params["table"], request.path_params["local"]
        part = request.query_params.get("part", "this")
        found, product = await self.service.in_thread(self._product, table, local, part)
        self.addresses.check(product, found, request.query_params.get("until"), request.query_params.get("sig"))
        if self.addresses.is_held(product) and not self._may_see(request, found):
            raise Forbidden(
                f"the file is not public before {product.released}", hint="Log in as one of those who may see it."
            )
        if product.place == "hook":
            return await self.hooks.product(product, found)
        if product.place == "table":
            return await self.service.in_thread(self.tables.answer, product, found)
        path = await self.service.in_thread(found.path_of, product)
        # packed FITS goes as it lies: astropy and others unpack it by its name
        content_type = product.content_type or "application/octet-stream"
        headers = {
            "cache-control": "private, no-store" if found.is_signed or product.released else "public, max-age=300",
            "x-content-type-options": "nosniff",
            "content-security-policy": "sandbox",
        }
        if product.sha256:
            headers["repr-digest"] = f"sha-256=:{_base64(product.sha256)}:"
        response = FileResponse(
            path,
            media_type=content_type,
            filename=path.name,
            content_disposition_type="inline" if content_type in _SHOWN else "attachment",
            headers=headers,
        )
        if product.sha256:
            # the bytes are known by their sum: two copies of a file have one tag
            response.headers["etag"] = f'"{product.sha256[:32]}"'
        return response

    def _product(self, table: str, local: str, part: str) -> tuple[Collection, Product]:
        found = collection(self.service.store, table)
        did = did_of(self.service.settings.authority, found.name, local)
        for product in products_of(self.service.store, [did]).get(did, ()):
            if product.key == part and product.place != "elsewhere":
                return found, product
        raise NotFound("there is no such file here")

    def _may_see(self, request: Request, found: Collection) -> bool:
        """Those whom the collection names see what is not public yet."""
        identity = identity_of(request)
        return identity.user is not None and bool({identity.user.name, *identity.groups} & found.embargo_for)


def _base64(hexadecimal: str) -> str:
    import base64

    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()
