"""What the demo leaves behind: a map of the whole sky, and a page that tells what was done."""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.table import Table

    from skyvault.cli.demo import Step

Floats = NDArray[np.float64]

SKY: Final = "#0b1026"
INK: Final = "#dfe6f5"
FRAME: Final = "#5ad1c8"
CONE: Final = "#ffb000"
ROWS_SHOWN: Final = 8
EDGE_POINTS: Final = 12


def write_report(
    directory: Path,
    steps: list[Step],
    *,
    stars: Table,
    footprints: Table,
    centre: tuple[float, float],
    radius_deg: float,
    image_url: str | None,
    more: tuple[str, ...] = (),
) -> tuple[Path, Path]:
    """Write sky.png and report.html (which contains it and ``more`` pictures of the folder); returns their paths.

    ``stars`` has ra, dec (ICRS degrees), mag_vt and bv; ``footprints`` has s_region as STC-S polygons.
    """
    picture = directory / "sky.png"
    draw_sky(picture, stars, footprints, centre, radius_deg, image_url)
    page = directory / "report.html"
    page.write_text(_page(steps, [picture, *(directory / name for name in more)]), encoding="utf-8")
    return picture, page


def draw_sky(
    path: Path,
    stars: Table,
    footprints: Table,
    centre: tuple[float, float],
    radius_deg: float,
    image_url: str | None,
) -> None:
    """All the sky in Hammer's equal-area projection, north up and east left, with one of the images beside it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    # the object interface: no display, no global state
    figure = Figure(figsize=(11, 4.7), dpi=110, facecolor=SKY, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(1, 2, width_ratios=[3.3, 1])
    sky = figure.add_subplot(grid[0])
    sky.set_axis_off()
    sky.set_aspect("equal")
    _draw_graticule(sky)
    lines = [line for text in footprints["s_region"] for line in outline(str(text))]
    sky.add_collection(LineCollection(lines, colors=FRAME, linewidths=0.6, alpha=0.7), autolim=False)
    mag = np.nan_to_num(_values(stars["mag_vt"]), nan=6.5)
    sky.scatter(
        *projected(_values(stars["ra"]), _values(stars["dec"])),
        s=0.4 * 10 ** (0.25 * (6.5 - mag)),
        c=np.nan_to_num(_values(stars["bv"]), nan=0.6),
        cmap="RdYlBu_r",
        vmin=-0.4,
        vmax=1.9,
        linewidths=0,
        zorder=3,
    )
    ring = np.stack(projected(*_ring(*centre, radius_deg)), axis=-1)
    sky.add_collection(LineCollection([ring], colors=CONE, linewidths=1.8, zorder=4), autolim=False)
    sky.set_title(
        f"{len(stars):,} stars by TAP, {len(footprints):,} image footprints by ObsCore, and the cone",
        color=INK,
        fontsize=10,
    )
    side = figure.add_subplot(grid[1])
    _draw_image(side, image_url, centre)
    figure.savefig(path, facecolor=SKY)
    _fewer_colours(path)


def _draw_graticule(sky: Any) -> None:
    """Meridians every two hours, parallels every 30 degrees, and the edge of the map."""
    from matplotlib.collections import LineCollection

    along = np.linspace(-90, 90, 91)
    around = np.linspace(-179.999, 179.999, 181)
    lines = [np.stack(projected(np.full(91, lon), along), axis=-1) for lon in np.arange(-150.0, 180.0, 30.0)]
    lines += [np.stack(projected(around, np.full(181, lat)), axis=-1) for lat in np.arange(-60.0, 90.0, 30.0)]
    sky.add_collection(LineCollection(lines, colors=INK, linewidths=0.4, alpha=0.18), autolim=False)
    for edge in (-179.9999, 179.9999):
        sky.plot(*projected(np.full(91, edge), along), color=INK, linewidth=0.9)
    for lon in range(-120, 150, 60):
        x, y = projected(np.array([float(lon)]), np.array([0.0]))
        sky.text(x[0], y[0], f"{lon % 360 // 15}h", color=INK, alpha=0.7, fontsize=7, ha="center", va="bottom")
    for lat in (-60, -30, 30, 60):
        x, y = projected(np.array([179.999]), np.array([float(lat)]))
        sky.text(x[0] - 0.04, y[0], f"{lat:+d}°", color=INK, alpha=0.7, fontsize=7, ha="right", va="center")
    sky.set_xlim(-3.05, 2.9)
    sky.set_ylim(-1.46, 1.46)


def _fewer_colours(path: Path) -> None:
    """A palette instead of true colour: a third of the bytes, and nobody sees the difference."""
    from PIL import Image

    with Image.open(path) as picture:
        smaller = picture.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE)
    smaller.save(path, optimize=True)


def _draw_image(axes: Any, image_url: str | None, centre: tuple[float, float]) -> None:
    axes.set_axis_off()
    axes.set_anchor("C")
    if image_url is None or urlsplit(image_url).scheme != "file":
        return
    from astropy.io import fits
    from astropy.wcs import WCS

    path = Path(unquote(urlsplit(image_url).path))
    with fits.open(path) as document:
        pixels, header = document[0].data, document[0].header
    low, high = np.percentile(pixels, [20, 99.7])
    axes.imshow(np.arcsinh((pixels - low) / (0.05 * (high - low) + 1)), origin="lower", cmap="magma")
    x, y = WCS(header).wcs_world2pix(*centre, 0)
    axes.plot(float(x), float(y), "o", mfc="none", mec=CONE, ms=14, mew=1.4)
    axes.set_title(f"{path.stem}, filter {header['FILTER']}:\nfound by its s_region", color=INK, fontsize=9)


def outline(s_region: str) -> list[Floats]:
    """The sides of an STC-S polygon as lines on the map (shape (n, 2)), cut where they leave its edge."""
    words = s_region.split()
    numbers = [float(word) for word in words if word[0] in "+-.0123456789"]
    if words[:1] != ["POLYGON"] or len(numbers) < 6:
        return []
    lon, lat = np.radians(np.array(numbers).reshape(-1, 2)).T
    corners = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    steps = np.linspace(0, 1, EDGE_POINTS)[:, None]
    sides = [(1 - steps) * a + steps * b for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
    path = np.concatenate(sides)
    path /= np.linalg.norm(path, axis=1, keepdims=True)
    lon_deg = np.degrees(np.arctan2(path[:, 1], path[:, 0]))
    points = np.stack(projected(lon_deg, np.degrees(np.arcsin(path[:, 2]))), axis=-1)
    breaks = np.flatnonzero(np.abs(np.diff(lon_deg)) > 180) + 1
    return [part for part in np.split(points, breaks) if len(part) > 1]


def projected(lon_deg: Floats, lat_deg: Floats) -> tuple[Floats, Floats]:
    """Hammer's projection of ICRS degrees; x grows to the west, as one sees the sky."""
    half = np.radians((np.asarray(lon_deg) + 180) % 360 - 180) / 2
    lat = np.radians(lat_deg)
    scale = np.sqrt(2 / (1 + np.cos(lat) * np.cos(half)))
    return -2 * scale * np.cos(lat) * np.sin(half), scale * np.sin(lat)


def _ring(lon_deg: float, lat_deg: float, radius_deg: float) -> tuple[Floats, Floats]:
    """A small circle (not for the poles), ICRS degrees."""
    angle = np.linspace(0, 2 * np.pi, 60)
    return lon_deg + radius_deg * np.cos(angle) / np.cos(np.radians(lat_deg)), lat_deg + radius_deg * np.sin(angle)


def _values(column: Any) -> Floats:
    """A column as plain numbers, NaN where it is masked."""
    return np.asarray(np.ma.filled(np.ma.asarray(column, dtype=float), np.nan))


def _page(steps: list[Step], pictures: list[Path]) -> str:
    from jinja2 import Environment

    from skyvault import __version__
    from skyvault.cli.demo import duration

    template = (files("skyvault") / "demo_data" / "report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        version=__version__,
        pictures=[base64.b64encode(picture.read_bytes()).decode("ascii") for picture in pictures],
        total=duration(sum(step.seconds for step in steps)),
        steps=[
            {
                "title": step.title,
                "chapter": step.chapter,
                "text": step.text,
                "time": duration(step.seconds),
                "outcome": step.outcome,
                "table": None if step.rows is None or not len(step.rows) else _cells(step.rows),
                "more": 0 if step.rows is None else max(0, len(step.rows) - ROWS_SHOWN),
            }
            for step in steps
        ],
    )


def _cells(rows: Table) -> dict[str, list[Any]]:
    """Heads and the first rows, as texts a person can read."""
    names = [name for name in rows.colnames if name not in ("s_region", "access_url")]
    heads = [f"{name} [{rows[name].unit}]" if rows[name].unit else name for name in names]
    body = [[_cell(rows[name][index]) for name in names] for index in range(min(len(rows), ROWS_SHOWN))]
    return {"heads": heads, "body": body}


def _cell(value: Any) -> str:
    if np.ma.is_masked(value):
        return ""
    if isinstance(value, np.float32):
        return f"{value:.6g}"
    return f"{value:.9g}" if isinstance(value, float | np.floating) else str(value)
