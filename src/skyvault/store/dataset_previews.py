"""Pictures of published datasets: which of their products a page may show in small."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from skyvault.model.product import Product
from skyvault.store.engine import SnapshotError, alias
from skyvault.store.products import products_of

if TYPE_CHECKING:
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.view import Shelved

#: DataLink's words for pictures, the smallest first
SMALL: Final = ("#thumbnail", "#preview-image", "#preview-plot", "#preview")
LARGE: Final = ("#preview-image", "#preview-plot", "#preview", "#thumbnail")
_PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"})


def picture(products: Iterable[Product], wanted: Sequence[str] = SMALL) -> Product | None:
    """The product to show of a dataset; None when it has no picture that a page of ours may load."""
    held = [one for one in products if one.semantics in wanted and one.place != "elsewhere" and _is_shown(one)]
    return min(held, key=lambda one: (wanted.index(one.semantics), one.number)) if held else None


def _is_shown(product: Product) -> bool:
    return product.content_type in _PICTURES and product.content_type != "image/svg+xml"


def pictures_of(store: DuckStore, dids: Sequence[str], wanted: Sequence[str] = SMALL) -> dict[str, Product]:
    """The pictures of these datasets, of those that have one."""
    found = {did: picture(products, wanted) for did, products in products_of(store, dids).items()}
    return {did: product for did, product in found.items() if product is not None}


def some_datasets(store: DuckStore, shelf: Shelved, most: int) -> list[str]:
    """Identifiers of a collection's first datasets that have a picture, at most so many."""
    if shelf.file is None or "collection" not in shelf.extra:
        return []
    marks = ", ".join("?" * len(SMALL))
    try:
        with store.engine.using((shelf.file,)):
            cursor = store.engine.cursor()
            try:
                # rows lie in the order of identifiers: the first are had without looking at all
                rows = cursor.execute(
                    f"SELECT did FROM {alias(shelf.file)}.products WHERE semantics IN ({marks})"
                    " AND place <> 'elsewhere' LIMIT ?",
                    [*SMALL, most * len(SMALL)],
                ).fetchall()
            finally:
                cursor.close()
    except SnapshotError:
        # replaced a moment ago: the page without pictures is made anew with the next view
        return []
    return list(dict.fromkeys(str(row[0]) for row in rows))[:most]
