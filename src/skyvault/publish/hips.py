"""A HiPS of a published collection of images: made beside what is served, gone on with when it was stopped.

Below the data directory: hips/<schema.table>/<digest>/ holds the tiles of one state of the collection; the file
``current`` beside it names the digest that is served, and is replaced when the last tile is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import NotFound, UsageError
from skyvault.science import hips_tiles
from skyvault.science.hips_tiles import ALLSKY_ORDER, TileImage
from skyvault.store.building import disk_faults
from skyvault.store.hips_folders import CURRENT, current_digest, hips_top
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import Layout

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.ledger.holdings import Holding
    from skyvault.model.ports import Progress
    from skyvault.sky.shapes import Shapes

#: tiles of the finest order one HiPS may have: a million megabytes
MOST_TILES: Final = 1_000_000
#: tiles a process makes at a time
_AT_ONCE: Final = 16
#: tiles whose pixels are looked at to choose the grey
_SAMPLED: Final = 200


@dataclass(slots=True)
class MadeHips:
    """A HiPS as it was made; ``is_new`` is False when the collection has not changed since the last one."""

    table: str
    folder: Path
    order: int
    images: int
    tiles: int
    seconds: float
    is_new: bool
    #: images that could not be read, with what is wrong
    problems: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be made: the finest order, which images reach into which of its tiles."""

    order: int
    images: list[TileImage]
    cells: Any
    rows: Any
    shapes: Shapes

    def tiles(self) -> Iterator[tuple[int, list[TileImage]]]:
        starts = np.flatnonzero(np.r_[True, self.cells[1:] != self.cells[:-1]])
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(self.cells)], strict=True):
            yield int(self.cells[start]), [self.images[row] for row in self.rows[start:end].tolist()]


def make_hips(
    name: str,
    *,
    settings: Settings | None = None,
    home: Path | None = None,
    order: int | None = None,
    subtract_sky: bool = True,
    dids: Iterable[str] | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> MadeHips:
    """Make the HiPS of a published collection of images, or bring it up to date.

    ``order`` is that of the finest tiles (None: as fine as the images). ``dids`` are the images to take (None: all).
    With ``subtract_sky`` each image's own sky level is taken off, so that exposures join. Images that are not public
    yet are left out. Raises NotFound, UsageError (nothing to show), StoreError (disk full).
    """
    from skyvault.config import Settings as Configuration

    began = time.perf_counter()
    settings = settings or Configuration(**({"home": home} if home is not None else {}))
    layout = Layout.of(settings)
    with open_home_ledger(layout) as ledger:
        holding = ledger.holdings.find(name)
    if holding is None or "collection" not in holding.extra:
        raise NotFound(f"there is no collection of images {name!r}", hint="skyvault publish a resource with files.")
    wanted = None if dids is None else frozenset(dids)
    rows = [row for row in _images(layout, holding) if wanted is None or row["did"] in wanted]
    if not rows:
        raise UsageError(f"there is no image in {holding.name} that everybody may see", hint="Nothing was made.")
    plan = _plan(rows, order)
    digest = _digest(rows, plan.order, subtract_sky)
    top = hips_top(layout, holding.name)
    folder = top / digest
    count = len(np.unique(plan.cells))
    if count > MOST_TILES:
        raise UsageError(
            f"{holding.name} would have {count:,} tiles of order {plan.order}; {MOST_TILES:,} is the limit",
            hint="Give a lower --order.",
        )
    made = MadeHips(holding.name, folder, plan.order, len(rows), count, 0.0, current_digest(top) != digest)
    if made.is_new or not (folder / "properties").is_file():
        with disk_faults(settings.home):
            folder.mkdir(parents=True, exist_ok=True)
            _build(plan, folder, made, subtract_sky, processes or settings.threads, progress)
            _describe(plan, folder, holding, settings, rows)
            _point(top, digest)
    made.seconds = time.perf_counter() - began
    return made


# ---------------------------------------------------------------- what goes in


def _images(layout: Layout, holding: Holding) -> Iterator[dict[str, Any]]:
    """Images of the collection that are public now: identifier, file, HDU, outline, size of a pixel."""
    import duckdb

    facts = holding.extra["collection"]
    names = set(holding.table.column_names)
    scale = "d.s_pixel_scale" if "s_pixel_scale" in names else "NULL"
    connection = duckdb.connect(str(layout.store / holding.snapshot), read_only=True)
    try:
        cursor = connection.execute(
            f"SELECT p.did, p.place, p.path, p.hdu, p.size, p.sha256, d.s_region, {scale} AS scale, d.s_fov,"
            " d.s_xel1, d.s_xel2 FROM products AS p JOIN data AS d ON d.obs_publisher_did = p.did"
            " WHERE p.semantics = '#this' AND p.number = 0 AND d.dataproduct_type = 'image' AND d.s_region IS NOT NULL"
            " AND p.place = 'source' AND (p.released IS NULL OR TRY_CAST(p.released AS TIMESTAMP) <= now()::TIMESTAMP)"
            " ORDER BY p.did"
        )
        columns = [one[0] for one in cursor.description or ()]
        while rows := cursor.fetchmany(5_000):
            for row in rows:
                found = dict(zip(columns, row, strict=True))
                found["file"] = Path(facts["root"]) / found["path"]
                yield found
    finally:
        connection.close()


def _plan(rows: Sequence[dict[str, Any]], order: int | None) -> _Plan:
    import pyarrow as pa

    from skyvault.sky.cover import cells_touched
    from skyvault.sky.shape_text import shapes_of_texts

    if order is None:
        scales = [scale for row in rows if (scale := _pixel_arcsec(row))]
        order = hips_tiles.order_for(float(np.median(scales))) if scales else ALLSKY_ORDER
    elif not ALLSKY_ORDER <= order <= hips_tiles.FINEST_ORDER:
        raise UsageError(f"the order of a HiPS is from {ALLSKY_ORDER} to {hips_tiles.FINEST_ORDER}, not {order}")
    shapes = shapes_of_texts(pa.array([row["s_region"] for row in rows], pa.string()))
    touching, cells = cells_touched(shapes, order)
    return _Plan(order, [TileImage(row["file"], row["hdu"] or 0) for row in rows], cells, touching, shapes)


def _pixel_arcsec(row: dict[str, Any]) -> float | None:
    if row["scale"]:
        return float(row["scale"])
    if row["s_fov"] and row["s_xel1"] and row["s_xel2"]:
        return float(row["s_fov"] * 3600.0 / np.hypot(row["s_xel1"], row["s_xel2"]))
    return None


def _digest(rows: Sequence[dict[str, Any]], order: int, subtract_sky: bool) -> str:
    facts = [[row["did"], row["sha256"] or row["size"], row["hdu"], row["s_region"]] for row in rows]
    return hashlib.sha256(json.dumps([1, order, subtract_sky, facts]).encode()).hexdigest()[:16]


# ---------------------------------------------------------------- tiles


def tile_path(folder: Path, order: int, index: int, ending: str) -> Path:
    """Where a tile lies (HiPS 1.0, section 4.1)."""
    return folder / f"Norder{order}" / f"Dir{index // 10_000 * 10_000}" / f"Npix{index}.{ending}"


def _build(
    plan: _Plan, folder: Path, made: MadeHips, subtract_sky: bool, processes: int, progress: Progress | None
) -> None:
    work = [
        (index, images)
        for index, images in plan.tiles()
        if not tile_path(folder, plan.order, index, "fits").is_file()
        and not _empty(folder, plan.order, index).is_file()
    ]
    if progress is not None:
        progress.start(f"Tiles of {made.table}", len(work))
    told: dict[Path, str] = {}
    parts = [work[first : first + _AT_ONCE] for first in range(0, len(work), _AT_ONCE)]
    for problems, count in _worked(parts, plan.order, folder, subtract_sky, processes):
        told.update(problems)
        if progress is not None:
            progress.advance(count)
    made.problems = [(path.name, what) for path, what in sorted(told.items())]
    finest = sorted({index for index, _ in plan.tiles() if tile_path(folder, plan.order, index, "fits").is_file()})
    made.tiles = len(finest)
    if not finest:
        raise UsageError(f"no image of {made.table} has pixels to show", hint="Nothing was made.")
    levels = _parents(folder, plan.order, finest)
    if progress is not None:
        progress.finish()
        progress.start(f"Pictures of {made.table}", sum(map(len, levels.values())))
    sky = _grey(folder, plan.order, finest)
    for order, indices in levels.items():
        for index in indices:
            source, target = (tile_path(folder, order, index, ending) for ending in ("fits", "png"))
            if not target.is_file():
                _write(target, hips_tiles.png_tile(hips_tiles.read_fits_tile(source), sky))
            if progress is not None:
                progress.advance(1)
    top = hips_tiles.allsky(
        (index, hips_tiles.read_fits_tile(tile_path(folder, ALLSKY_ORDER, index, "fits")))
        for index in levels[ALLSKY_ORDER]
    )
    _write(folder / f"Norder{ALLSKY_ORDER}" / "Allsky.png", hips_tiles.png_tile(top, sky))
    _write(folder / f"Norder{ALLSKY_ORDER}" / "Allsky.fits", hips_tiles.fits_tile(top))
    if progress is not None:
        progress.finish()


def _worked(
    parts: list[Any], order: int, folder: Path, subtract_sky: bool, processes: int
) -> Iterator[tuple[dict[Path, str], int]]:
    """The parts done, in processes where there is enough to do."""
    import multiprocessing

    if len(parts) <= 1 or processes <= 1:
        for part in parts:
            yield _made(part, order, folder, subtract_sky)
        return
    # a fork of this process would copy locks of threads that are not copied
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(min(processes, len(parts)), mp_context=context) as pool:
        waiting = [pool.submit(_made, part, order, folder, subtract_sky) for part in parts]
        try:
            for one in waiting:
                yield one.result()
        finally:
            for one in waiting:
                one.cancel()


def _made(
    part: list[tuple[int, list[TileImage]]], order: int, folder: Path, subtract_sky: bool
) -> tuple[dict[Path, str], int]:
    maker = hips_tiles.TileMaker(subtract_sky=subtract_sky)
    told: dict[Path, str] = {}
    for index, images in part:
        pixels, problems = maker.tile(order, index, images)
        told.update(problems)
        if np.isfinite(pixels).any():
            _write(tile_path(folder, order, index, "fits"), hips_tiles.fits_tile(pixels, order, index))
        else:
            # beside the image after all: not to be tried again
            _write(_empty(folder, order, index), b"")
    return told, len(part)


def _empty(folder: Path, order: int, index: int) -> Path:
    return tile_path(folder / ".empty", order, index, "none")


def _parents(folder: Path, order: int, finest: list[int]) -> dict[int, list[int]]:
    """Tiles of all coarser orders; gives the numbers of the tiles of each order, the finest first."""
    levels = {order: finest}
    for own in range(order - 1, -1, -1):
        levels[own] = sorted({index >> 2 for index in levels[own + 1]})
        for index in levels[own]:
            target = tile_path(folder, own, index, "fits")
            if target.is_file():
                continue
            children = [tile_path(folder, own + 1, 4 * index + i, "fits") for i in range(4)]
            pixels = [hips_tiles.read_fits_tile(path) if path.is_file() else None for path in children]
            _write(target, hips_tiles.fits_tile(hips_tiles.parent_tile(pixels), own, index))
    return levels


def _grey(folder: Path, order: int, finest: list[int]) -> Any:
    """Level and noise of the sky over the whole HiPS: one grey for all tiles."""
    from skyvault.science.stretch import sky_of

    step = max(1, len(finest) // _SAMPLED)
    found = [
        hips_tiles.samples(hips_tiles.read_fits_tile(tile_path(folder, order, index, "fits")))
        for index in finest[::step]
    ]
    return sky_of(np.concatenate(found))


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: a run that is stopped leaves no half tile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


# ---------------------------------------------------------------- what is said of it


def _describe(plan: _Plan, folder: Path, holding: Holding, settings: Settings, rows: Sequence[dict[str, Any]]) -> None:
    """Moc.fits and properties, the last of all: their being there says that the HiPS is whole."""
    from skyvault.formats.moc_fits import space_moc_fits
    from skyvault.sky.moc import moc_of_footprints, order_of, sky_fraction, union, uniq_numbers
    from skyvault.store.coverage import Coverage

    # cells of 16 x 16 pixels
    fine = plan.order + 5
    moc = union(moc_of_footprints(plan.shapes.take(np.arange(i, min(i + 500, len(rows)))), fine, 4_000)
                for i in range(0, len(rows), 500))  # fmt: skip
    _write(folder / "Moc.fits", space_moc_fits(uniq_numbers(moc), order_of(moc), "NUNIQ", name=holding.name))
    shutil.rmtree(folder / ".empty", ignore_errors=True)
    lines = _properties(plan, folder, holding, settings, sky_fraction(moc), Coverage(moc))
    text = "".join(f"{key:<20} = {value}\n" for key, value in lines if value not in (None, ""))
    _write(folder / "properties", text.encode())


def _properties(
    plan: _Plan, folder: Path, holding: Holding, settings: Settings, fraction: float, coverage: Any
) -> list[tuple[str, Any]]:
    from skyvault.sky.cover import bounding_caps

    said = holding.extra.get("resource") or {}
    statistics = {one["name"]: one for one in holding.extra.get("statistics", ())}

    def end(column: str, which: str) -> Any:
        return statistics.get(column, {}).get(which)

    now = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime())
    lon, lat, radius = bounding_caps(plan.shapes)
    first = int(np.nanargmax(radius))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    creators = ", ".join(str(one.get("name")) for one in said.get("creators", ()))
    return [
        ("creator_did", f"ivo://{settings.authority}/hips/{holding.name}"),
        ("publisher_id", f"ivo://{settings.authority}"),
        ("obs_collection", _line(holding.table.title or holding.name)),
        ("obs_title", _line(said.get("title") or holding.table.title or holding.name)),
        ("obs_description", _line(holding.table.description)),
        ("obs_ack", _line(said.get("rights"))),
        ("obs_copyright", _line(said.get("licence"))),
        ("obs_copyright_url", said.get("licence_url")),
        ("bib_reference", said.get("bibcode") or said.get("doi")),
        ("prov_progenitor", _line(said.get("publisher"))),
        ("hips_creator", _line(creators)),
        ("hips_builder", _builder()),
        ("hips_version", "1.4"),
        ("hips_creation_date", now),
        ("hips_release_date", now),
        ("hips_status", "public master clonableOnce"),
        ("hips_frame", "equatorial"),
        ("hips_order", plan.order),
        ("hips_order_min", 0),
        ("hips_tile_width", hips_tiles.TILE),
        ("hips_tile_format", "png fits"),
        ("hips_pixel_bitpix", -32),
        ("hips_pixel_scale", f"{hips_tiles.pixel_arcsec(plan.order) / 3600:.6g}"),
        ("hips_hierarchy", "mean"),
        ("hips_estsize", size // 1024),
        ("hips_initial_ra", f"{lon[first]:.5f}"),
        ("hips_initial_dec", f"{lat[first]:+.5f}"),
        ("hips_initial_fov", f"{min(180.0, 2.5 * radius[first]):.5g}"),
        ("dataproduct_type", "image"),
        ("moc_sky_fraction", f"{fraction:.6g}"),
        ("em_min", end("em_min", "minimum")),
        ("em_max", end("em_max", "maximum")),
        ("t_min", end("t_min", "minimum")),
        ("t_max", end("t_max", "maximum")),
    ]


def _line(text: str | None) -> str | None:
    """In one line: a property has no other way to be written."""
    return None if text is None else " ".join(text.split())[:1000]


def _builder() -> str:
    from skyvault import __version__

    return f"Skyvault/{__version__}"


def _point(top: Path, digest: str) -> None:
    """The last act: what is served from now on. The state before goes; clients come back for its tiles."""
    before = current_digest(top)
    _write(top / CURRENT, digest.encode())
    for path in top.iterdir():
        if path.is_dir() and path.name not in (digest, before):
            shutil.rmtree(path, ignore_errors=True)


def remove_hips(name: str, *, settings: Settings) -> bool:
    """Take a collection's HiPS away; False when there was none."""
    layout = Layout.of(settings)
    with open_home_ledger(layout) as ledger:
        holding = ledger.holdings.find(name)
    top = hips_top(layout, holding.name if holding is not None else name)
    if top.parent != layout.home / "hips" or not top.is_dir():
        return False
    (top / CURRENT).unlink(missing_ok=True)
    shutil.rmtree(top)
    return True
