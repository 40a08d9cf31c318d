"""What a page tells of one table: its columns with what was measured in them, its sky, how to get at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from skyvault.model.table import Column
from skyvault.serve.page_sky import SkyPicture, sky_picture
from skyvault.serve.page_text import share
from skyvault.store.tap_schema import schema_descriptions, spelled_name
from skyvault.store.view import Shelved, View, split_name

if TYPE_CHECKING:
    from collections.abc import Iterable

#: what the pages offer for download: (format, what people call it, suffix)
DOWNLOADS = (
    ("votable", "VOTable", ".vot"),
    ("fits", "FITS", ".fits"),
    ("parquet", "Parquet", ".parquet"),
    ("csv", "CSV", ".csv"),
)
#: sizes of pictures in a list: outlines of a kilobyte or two
SMALL_PICTURE = {"finest": 4, "most_edges": 250}
#: beyond this many tables the first page shows no pictures
MOST_PICTURES = 60


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column and what ingest measured. ``filled`` is percent of the rows; texts have a length, numbers extremes."""

    column: Column
    filled: float | None = None
    minimum: object = None
    maximum: object = None
    longest: int | None = None


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table as the pages show it."""

    shelf: Shelved
    sky: SkyPicture | None = None

    @property
    def name(self) -> str:
        return self.shelf.table.name

    @property
    def path(self) -> str:
        """Below the service's root: /schema/table."""
        return "".join(f"/{quote(part, safe='')}" for part in split_name(self.name))

    @property
    def short_name(self) -> str:
        return split_name(self.name)[-1]

    @property
    def rows(self) -> int:
        return self.shelf.stored.nrows

    @property
    def kind(self) -> str | None:
        """What its datasets are, of a collection of files."""
        facts = self.shelf.extra.get("collection") or {}
        return facts.get("kind")

    @property
    def licence(self) -> str | None:
        said = self.shelf.extra.get("resource") or {}
        return said.get("licence") or said.get("rights")

    @property
    def has_images(self) -> bool:
        """Whether its datasets are images, which are shown on black."""
        facts = self.shelf.extra.get("collection") or {}
        return facts.get("kind") == "images"

    @property
    def is_positioned(self) -> bool:
        return bool(self.shelf.stored.positions)

    @property
    def columns(self) -> list[ColumnFacts]:
        """Every column with its statistics; they are in the order of the columns."""
        measured = {facts["name"]: facts for facts in self.shelf.extra.get("statistics", ())}
        found = []
        for column in self.shelf.table.columns:
            facts = measured.get(column.name, {})
            found.append(
                ColumnFacts(
                    column,
                    share(facts.get("filled"), self.rows),
                    facts.get("minimum"),
                    facts.get("maximum"),
                    facts.get("longest"),
                )
            )
        return found

    def downloads(self, root: str, most_rows: int) -> list[tuple[str, str, str]]:
        """(what, address, file name) of the whole table in each format. MAXREC is stated, or its default would hold."""
        asked = {"LANG": "ADQL", "QUERY": f"SELECT * FROM {spelled_name(self.name)}"}
        return [
            (
                label,
                f"{root}/tap/sync?{urlencode({**asked, 'MAXREC': min(self.rows, most_rows), 'FORMAT': code})}",
                f"{self.name}{suffix}",
            )
            for code, label, suffix in DOWNLOADS
        ]


def members_of(view: View, shelf: Shelved) -> list[TableFacts]:
    """The collections that a merged table is made of; none for any other."""
    return [TableFacts(view.tables[name]) for name in shelf.extra.get("members", ()) if name in view.tables]


@dataclass(frozen=True, slots=True)
class SchemaFacts:
    """A schema and its tables."""

    name: str
    description: str | None
    tables: tuple[TableFacts, ...]


def with_picture(shelf: Shelved, *, small: bool = False) -> TableFacts:
    """A table and the picture of its coverage."""
    coverage = shelf.extra.get("coverage")
    return TableFacts(shelf, sky_picture(coverage, **SMALL_PICTURE) if small else sky_picture(coverage))


def schemas(view: View) -> list[SchemaFacts]:
    """All that can be queried by schema; TAP_SCHEMA, which is about the others, comes last."""
    by_schema: dict[str, list[Shelved]] = {}
    for shelf in _sorted(view.tables.values()):
        by_schema.setdefault(split_name(shelf.table.name)[0], []).append(shelf)
    draws = len(view.tables) <= MOST_PICTURES
    descriptions = schema_descriptions(view.tables.values())
    return [
        SchemaFacts(
            name,
            descriptions.get(name.lower()),
            tuple(with_picture(shelf, small=True) if draws else TableFacts(shelf) for shelf in members),
        )
        for name, members in sorted(by_schema.items(), key=lambda item: (is_own(item[0]), item[0].lower()))
    ]


def _sorted(shelves: Iterable[Shelved]) -> list[Shelved]:
    return sorted(shelves, key=lambda shelf: shelf.table.name.lower())


def is_own(schema: str) -> bool:
    """Whether a schema is about services and tables (TAP_SCHEMA, RegTAP), not data."""
    return schema.lower() in ("tap_schema", "rr")
