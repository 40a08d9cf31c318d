"""What coverages and HiPS cost: MOCs of positions and footprints, serving them, tiles of images; JSON on stdout.

    python benchmarks/bench_coverage.py [--rows 1000000] [--footprints 10000] [--images 8]

Peers in the same run: mocpy for coverages, reproject.hips for tiles.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa


def seconds(act: Callable[[], Any]) -> tuple[float, Any]:
    """CPU time of this process and its children."""

    def spent() -> float:
        own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in own)

    began = spent()
    result = act()
    return round(spent() - began, 3), result


def footprints(count: int) -> dict[str, Any]:
    """Coverage of fields of 6 arcmin, here and by mocpy."""
    import astropy.units as u
    from astropy.coordinates import SkyCoord
    from mocpy import MOC

    from skyvault.sky.moc import moc_of_footprints, sky_fraction, union
    from skyvault.sky.shape_text import shapes_of_texts

    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(1, 359, count), np.clip(np.degrees(np.arcsin(rng.uniform(-1, 1, count))), -80, 80)
    half = 0.05 / np.cos(np.radians(lat))
    corners = [np.stack([lon + sx * half, lat + sy * 0.05], axis=1) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    boxes = np.stack(corners, axis=1)
    texts = ["POLYGON ICRS " + " ".join(f"{value:.6f}" for value in box.ravel()) for box in boxes]

    def ours() -> Any:
        shapes = shapes_of_texts(pa.array(texts))
        parts = range(0, count, 2000)
        return union(moc_of_footprints(shapes.take(np.arange(i, min(i + 2000, count))), 12, 200) for i in parts)

    def theirs() -> Any:
        outlines = [SkyCoord(box * u.deg) for box in boxes]
        return MOC.from_polygons(outlines, max_depth=12)

    own_s, own = seconds(ours)
    peer_s, peer = seconds(theirs)
    whole = peer[0].union(*peer[1:]) if isinstance(peer, list) else peer
    return {
        "footprints": count,
        "cpu_s": own_s,
        "mocpy_cpu_s": peer_s,
        "square_degrees": round(sky_fraction(own) * 41252.96, 2),
        "mocpy_square_degrees": round(float(whole.sky_fraction) * 41252.96, 2),
    }


def published(rows: int, folder: Path) -> dict[str, Any]:
    """What the coverage adds to publishing a catalogue, and its forms."""
    import duckdb

    from skyvault.config import Settings
    from skyvault.publish.publisher import publish
    from skyvault.serve.moc import space_fits
    from skyvault.sky.moc import moc_json, moc_text, order_of
    from skyvault.store.coverage import fine_moc
    from skyvault.store.duckdb_store import DuckStore

    rng = np.random.default_rng(2)
    table = pa.table(
        {
            "id": np.arange(rows),
            "ra": rng.uniform(0, 360, rows),
            "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, rows))),
        }
    )
    import pyarrow.parquet as pq

    pq.write_table(table, folder / "stars.parquet")
    publish_s, done = seconds(lambda: publish(folder / "stars.parquet", name="lab.stars", home=folder / "home"))
    with DuckStore(Settings(home=folder / "home")) as store:
        shelf = store.view().get("lab.stars")
        assert shelf is not None
        assert shelf.file is not None
        from skyvault.store.coverage_build import _of_positions

        connection = duckdb.connect(str(folder / "home" / "store" / shelf.file), read_only=True)
        measure_s, _ = seconds(lambda: _of_positions(connection))
        connection.close()
        read_s, moc = seconds(lambda: fine_moc(store, "lab.stars"))
    assert moc is not None
    order = order_of(moc)
    forms = {
        name: seconds(act)[0]
        for name, act in (
            ("fits_s", lambda: space_fits(moc, order)),
            ("ascii_s", lambda: moc_text(moc)),
            ("json_s", lambda: json.dumps(moc_json(moc))),
        )
    }
    return {
        "rows": done.nrows,
        "publish_cpu_s": publish_s,
        "of_which_coverage_cpu_s": measure_s,
        "order": order,
        "ranges": len(moc.ranges),
        "read_cpu_s": read_s,
        **forms,
    }


def hips(count: int, folder: Path) -> dict[str, Any]:
    """Tiles of images of 1,000 x 1,000 pixels of an arcsecond, here and by reproject.hips (one image after the other)."""
    from astropy.io import fits
    from reproject import reproject_interp
    from reproject.hips import reproject_to_hips

    from skyvault.config import Settings
    from skyvault.publish.hips import make_hips
    from skyvault.publish.resource_publisher import publish_resource

    rng = np.random.default_rng(3)
    (folder / "images").mkdir()
    for number in range(count):
        header = fits.Header()
        header.update(
            CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=150.0 + 0.25 * number, CRVAL2=2.0, CRPIX1=500.5,
            CRPIX2=500.5, CDELT1=-1 / 3600, CDELT2=1 / 3600,
        )  # fmt: skip
        pixels = rng.normal(100, 5, (1000, 1000)).astype(np.float32)
        fits.PrimaryHDU(pixels, header).writeto(folder / "images" / f"{number}.fits")
    (folder / "resource.yaml").write_text(
        "schema: sky\ntitle: T\ndescription: D\nfiles:\n  images: {files: 'images/*.fits', previews: false}\n"
    )
    settings = Settings(home=folder / "home")
    publish_resource(folder, settings=settings)
    own_s, made = seconds(lambda: make_hips("sky.images", settings=settings, processes=1))

    def peer() -> None:
        for number in range(count):
            reproject_to_hips(
                str(folder / "images" / f"{number}.fits"),
                coord_system_out="equatorial",
                reproject_function=reproject_interp,
                output_directory=str(folder / f"peer{number}"),
                level=made.order,
            )

    peer_s, _ = seconds(peer)
    return {"images": count, "order": made.order, "tiles": made.tiles, "cpu_s": own_s, "reproject_hips_cpu_s": peer_s}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--footprints", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=8)
    given = parser.parse_args()
    found: dict[str, Any] = {"footprints": footprints(given.footprints)}
    for name, act, count in (("catalogue", published, given.rows), ("hips", hips, given.images)):
        with tempfile.TemporaryDirectory() as folder:
            found[name] = act(count, Path(folder))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
