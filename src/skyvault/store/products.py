"""The products of published datasets: looked up by the datasets' identifiers in their collections' snapshots."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote
from weakref import WeakKeyDictionary

from skyvault.errors import NotFound
from skyvault.model.hook_service import HookService
from skyvault.model.product import Product
from skyvault.store.engine import SnapshotError, alias

if TYPE_CHECKING:
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.view import Shelved, View

_COLUMNS: Final = tuple(one.name for one in fields(Product))
#: identifiers asked for in one query
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Collection:
    """A published collection of files: where they are and how its links are given out."""

    name: str
    root: Path
    made: Path
    hooks: Path
    kind: str
    is_signed: bool
    link_lifetime_s: int
    services: tuple[str, ...]
    #: users and groups who may have what is not public yet
    embargo_for: frozenset[str]
    file: str
    #: services on its datasets by functions of hooks.py
    hook_services: tuple[HookService, ...] = ()
    #: media type of datasets that are made when asked for; None: they are files
    made_type: str | None = None

    @property
    def schema(self) -> str:
        """The schema its table is in: the name of its resource."""
        return self.name.partition(".")[0]

    def path_of(self, product: Product) -> Path:
        """Where the bytes of a product are. Raises NotFound when the file is not there, or lies elsewhere."""
        folder = self.made if product.place == "made" else self.root
        path = folder / product.path
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):
            raise NotFound(f"{_named(product)} is not there any more") from None
        # a link that was put in place of a file may lead anywhere
        if not real.is_relative_to(folder.resolve()) or not real.is_file():
            raise NotFound(f"{_named(product)} is not there any more")
        if not _is_unchanged(real, product):
            raise NotFound(
                f"{_named(product)} was changed since it was published",
                hint="Tell the operator: publishing again takes it as it is now.",
            )
        return real


def _named(product: Product) -> str:
    """A file in words for people: those beside a dataset's own by their paths, those made of it by what they are."""
    own = product.path if product.place == "source" else product.key
    return f"the file of {product.did}" if product.key == "this" else f"the file {own} of {product.did}"


def _is_unchanged(real: Path, product: Product) -> bool:
    status = real.stat()
    if product.size is not None and status.st_size != product.size:
        return False
    if product.sha256 is None or product.mtime_ns in (None, status.st_mtime_ns):
        return True
    # touched, restored or written anew: what is in it tells
    return _sha256(str(real), status.st_mtime_ns, status.st_size) == product.sha256


@lru_cache(maxsize=10_000)
def _sha256(path: str, mtime_ns: int, size: int) -> str:
    """The sum of a file, computed once for each of its states."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


#: what a view holds is looked for once, since each query asks
_KNOWN: WeakKeyDictionary[View, dict[str, Collection]] = WeakKeyDictionary()


def collections(store: DuckStore) -> dict[str, Collection]:
    """All published collections of files, by their tables' names in lower case."""
    view = store.view()
    known = _KNOWN.get(view)
    if known is None:
        found = ((name.lower(), _collection(shelf)) for name, shelf in view.tables.items())
        known = _KNOWN[view] = {name: one for name, one in found if one is not None}
    return known


def collection(store: DuckStore, name: str) -> Collection:
    """The collection of this table. Raises NotFound."""
    shelf = store.view().get(name)
    found = None if shelf is None else _collection(shelf)
    if found is None:
        raise NotFound(f"there is no collection of files {name[:100]!r}")
    return found


def _collection(shelf: Shelved) -> Collection | None:
    facts: Mapping[str, Any] | None = shelf.extra.get("collection")
    if facts is None or shelf.file is None:
        return None
    return Collection(
        shelf.table.name,
        Path(facts["root"]),
        Path(facts["made"]),
        Path(facts["hooks"]),
        str(facts["kind"]),
        facts["links"] == "signed",
        int(facts["link_lifetime_s"]),
        tuple(facts["services"]),
        frozenset(facts.get("embargo_for", ())),
        shelf.file,
        tuple(HookService.of(one) for one in facts.get("hook_services", ())),
        facts.get("content_type") if facts.get("made_of_rows") else None,
    )


def did_of(authority: str, table: str, local: str) -> str:
    """The publisher's identifier of a dataset (IVOA Identifiers 2.0, section 4.2)."""
    return f"ivo://{authority}/~?{table}/{quote(local, safe='/:._-')}"


def table_of(did: str) -> str | None:
    """The table that an identifier of ours names: ivo://authority/~?schema.table/...; None for any other."""
    if not did.startswith("ivo://"):
        return None
    _, mark, rest = did.partition("/~?")
    return rest.partition("/")[0] if mark and "/" in rest else None


def local_part(did: str) -> str:
    """What tells a dataset from others of its table: the part of its identifier after the table's name."""
    return unquote(did.partition("/~?")[2].partition("/")[2])


def products_of(store: DuckStore, dids: Sequence[str]) -> dict[str, list[Product]]:
    """The products of these datasets, "#this" first; identifiers that nothing has are left out."""
    try:
        return _products_of(store, dids)
    except SnapshotError:
        # replaced and collected between looking and opening: look once more
        store._counter = None
        return _products_of(store, dids)


def _products_of(store: DuckStore, dids: Sequence[str]) -> dict[str, list[Product]]:
    by_table: dict[str, list[str]] = {}
    for did in dict.fromkeys(dids):
        name = table_of(did)
        if name is not None:
            by_table.setdefault(name.lower(), []).append(did)
    known = collections(store) if by_table else {}
    found: dict[str, list[Product]] = {}
    for name, wanted in by_table.items():
        if name in known:
            for first in range(0, len(wanted), _AT_ONCE):
                for product in _read(store, known[name].file, wanted[first : first + _AT_ONCE]):
                    found.setdefault(product.did, []).append(product)
    return found


#: by snapshot: the columns of its products, NULL for those that came into use after it was written
_SELECTED: Final[dict[str, str]] = {}
#: snapshots that are remembered
_MOST_SELECTED: Final = 10_000


def _selected(file: str, cursor: Any) -> str:
    known = _SELECTED.get(file)
    if known is None:
        held = {row[0] for row in cursor.execute(f"DESCRIBE {alias(file)}.products").fetchall()}
        known = ", ".join(name if name in held else f"NULL AS {name}" for name in _COLUMNS)
        if len(_SELECTED) >= _MOST_SELECTED:
            _SELECTED.clear()
        _SELECTED[file] = known
    return known


def _read(store: DuckStore, file: str, dids: list[str]) -> Iterable[Product]:
    engine = store.engine
    with engine.using((file,)):
        cursor = engine.cursor()
        try:
            table = f"{alias(file)}.products"
            names = _selected(file, cursor)
            if len(dids) == 1:
                cursor.execute(f"SELECT {names} FROM {table} WHERE did = ?", dids)
            else:
                # the limits let the engine skip what lies outside, since rows are sorted
                cursor.execute(
                    f"SELECT {names} FROM {table} WHERE did BETWEEN ? AND ? AND did IN (SELECT unnest(?::VARCHAR[]))",
                    [min(dids), max(dids), dids],
                )
            rows = cursor.fetchall()
        finally:
            cursor.close()
    products = [Product(*row) for row in rows]
    products.sort(key=lambda one: (one.did, one.semantics != "#this", one.number))
    return products
