"""Addresses of products: open ones, and signed ones that are good for a while."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from skyvault.errors import Forbidden
from skyvault.model.product import Product
from skyvault.store.products import Collection

if TYPE_CHECKING:
    from skyvault.serve.secret import Keys

_PURPOSE: Final = "product"


class ProductAddresses:
    """Makes and checks addresses of products below /get/."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def address(self, product: Product, collection: Collection, base: str) -> str:
        """Where a product is to be fetched now."""
        if product.place == "elsewhere":
            return product.path
        # the identifier holds the dataset's name quoted as an address needs it
        path = f"/get/{collection.name}/{product.did.partition('/~?')[2].partition('/')[2]}"
        key = product.key
        query = [] if key == "this" else [f"part={quote(key)}"]
        if collection.is_signed:
            until = int(time.time()) + collection.link_lifetime_s
            query += [f"until={until}", f"sig={self._signature(product, until)}"]
        return f"{base}{path}{'?' + '&'.join(query) if query else ''}"

    def check(self, product: Product, collection: Collection, until: str | None, signature: str | None) -> None:
        """Raises Forbidden for a link that is over, was changed, or is missing where one is needed."""
        if not collection.is_signed:
            return
        if until is None or signature is None or not until.isdigit() or len(until) > 12:
            raise Forbidden("this file is given out by signed links only", hint="Ask /datalink/links for one.")
        if not self.keys.is_signed(_PURPOSE, _text(product, int(until)), signature):
            raise Forbidden("the link's signature is wrong", hint="Ask /datalink/links for a new one.")
        if int(until) < time.time():
            at = datetime.fromtimestamp(int(until), UTC).strftime("%Y-%m-%d %H:%M:%S")
            raise Forbidden(f"the link expired at {at} UTC", hint="Ask /datalink/links for a new one.")

    def _signature(self, product: Product, until: int) -> str:
        return self.keys.sign(_PURPOSE, _text(product, until))

    def is_held(self, product: Product) -> bool:
        """Whether a product is not public yet. A date that cannot be read holds it: better closed than open."""
        if product.released is None:
            return False
        try:
            at = datetime.fromisoformat(product.released.rstrip("Zz"))
        except ValueError:
            return True
        return (at if at.tzinfo else at.replace(tzinfo=UTC)) > datetime.now(UTC)


def _text(product: Product, until: int) -> str:
    return f"{product.did}\n{product.key}\n{until}"
