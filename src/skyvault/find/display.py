"""Images shown as they are on the sky, with grid, outlines, arrows and the planes of their masks."""

from __future__ import annotations

import os
from typing import Any, Final

import numpy as np
import requests

from skyvault.errors import FormatError, UsageError
from skyvault.find.footprint import footprint_wcs, place_on_sky
from skyvault.find.image import open_image
from skyvault.find.mask import Mask, read_mask

#: length of the arrows to the north and east
ARROW_ARCSEC: Final = 90.0


def show_image(
    image: Any,
    *,
    target: Any = None,
    region: Any = None,
    hdu: int | str | None = None,
    mask: Any = None,
    mask_transparency: float = 60.0,
    title: str | None = None,
    has_grid: bool = True,
    has_arrows: bool = True,
    has_colour_bar: bool = False,
    save: str | os.PathLike[str] | None = None,
    session: requests.Session | None = None,
    size_in: float = 6.0,
) -> Any:
    """A matplotlib Figure of an image: grey, linear between zscale's limits, with its grid of ICRS coordinates.

    ``image`` is what :func:`open_image` takes, or an HDUList. ``target`` is marked by an orange circle, ``region`` (an
    s_region text) drawn as a violet outline; arrows of 90 arcsec point north (yellow) and east (cyan). Right ascension
    grows as the image has it, so to the left where north is up. ``hdu`` is a number or a name ("VARIANCE").

    ``mask`` lays the planes of a mask over it, each in a colour told by a legend: True for all planes of the file's
    own mask, names of planes, or a :class:`~skyvault.find.mask.Mask`. ``mask_transparency`` is in per cent.
    Raises FormatError for a file without image or mask, UsageError for a mask of another size.
    """
    from astropy.io import fits
    from astropy.visualization import ZScaleInterval
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not 0 <= mask_transparency <= 100:
        raise UsageError(f"a transparency is between 0 and 100 per cent, not {mask_transparency:g}")
    opened = image if isinstance(image, fits.HDUList) else open_image(image, session=session)
    try:
        chosen = picture_of(opened, hdu)
        wcs = footprint_wcs(chosen.header)
        data = np.asarray(chosen.data, dtype=np.float32)
        data = data.reshape(-1, *data.shape[-2:])[0]
        planes = None if mask is None or mask is False else mask_planes(opened, mask, data.shape)
    finally:
        if opened is not image:
            opened.close()
    low, high = ZScaleInterval().get_limits(data)
    figure = Figure(figsize=(size_in, size_in), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(projection=wcs)
    shown = axes.imshow(data, cmap="gray", vmin=low, vmax=high, origin="lower", interpolation="nearest")
    if planes is not None:
        _lay_over(axes, *planes, alpha=1.0 - mask_transparency / 100.0)
    axes.set_xlim(-0.5, data.shape[1] - 0.5)
    axes.set_ylim(-0.5, data.shape[0] - 0.5)
    axes.coords[0].set_axislabel("Right ascension (ICRS)")
    axes.coords[1].set_axislabel("Declination (ICRS)")
    if has_grid:
        axes.grid(color="0.7", linestyle="solid", linewidth=0.8)
    if region is not None:
        _draw_outlines(axes, wcs, region, data.shape)
    if target is not None:
        x, y = (float(value) for value in wcs.world_to_pixel(place_on_sky(target)))
        axes.plot(x, y, "o", markersize=10, markeredgewidth=2, color="none", markeredgecolor="darkorange")
        _keep_in_view(axes, [x], [y], data.shape)
    if has_arrows:
        _draw_arrows(axes, wcs, data.shape)
    if has_colour_bar:
        figure.colorbar(shown, ax=axes, shrink=0.8, label=str(chosen.header.get("BUNIT", "pixel value")))
    if title:
        axes.set_title(title)
    if save is not None:
        figure.savefig(save, dpi=100)
    return figure


def mask_planes(opened: Any, mask: Any, shape: tuple[int, ...]) -> tuple[Mask, tuple[str, ...]]:
    """The mask, and the planes of it that are to be seen."""
    found = mask if isinstance(mask, Mask) else read_mask(opened)
    if found.shape != tuple(shape):
        sizes = " and ".join(f"{one[1]} x {one[0]}" for one in (found.shape, shape))
        raise UsageError(f"mask and image are not of one size: {sizes} pixels")
    if isinstance(mask, (Mask, bool)):
        return found, tuple(found.planes)
    names = [mask] if isinstance(mask, str) else list(mask)
    for name in names:
        found.plane(name)
    return found, tuple(name.strip().upper() for name in names)


def _lay_over(axes: Any, mask: Mask, names: tuple[str, ...], *, alpha: float) -> None:
    """Paint the planes, small ones over large ones, and tell their colours."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    counts, colours = mask.counts(), mask.colours()
    painted = np.zeros((*mask.shape, 4), np.float32)
    shown = [name for name in sorted(names, key=lambda name: -counts[name]) if counts[name]]
    for name in shown:
        painted[mask.plane(name)] = (*to_rgb(colours[name]), alpha)
    if not shown:
        return
    axes.imshow(painted, origin="lower", interpolation="nearest")
    patches = [Patch(color=colours[name], label=name) for name in names if counts[name]]
    # outside, where it hides no pixels
    axes.figure.legend(handles=patches, loc="outside lower center", ncols=5, fontsize="small", title="Mask planes")


def picture_of(opened: Any, hdu: int | str | None) -> Any:
    """The HDU of this number or name; by default the first that holds an image. Raises UsageError, FormatError."""
    if isinstance(hdu, str):
        named = [one for one in opened if one.name == hdu.strip().upper() and one.is_image and one.data is not None]
        if not named:
            names = ", ".join(dict.fromkeys(one.name for one in opened if one.name))
            raise UsageError(f"there is no image named {hdu[:60]!r}", hint=f"The file's HDUs are {names}.")
        return named[0]
    if hdu is not None:
        if not 0 <= hdu < len(opened):
            raise UsageError(f"there is no HDU {hdu}: the file has {len(opened)}")
        return opened[hdu]
    for one in opened:
        if one.is_image and one.header.get("NAXIS", 0) >= 2 and one.data is not None:
            return one
    raise FormatError("the file has no image", where=str(opened.filename()))


def _draw_outlines(axes: Any, wcs: Any, region: Any, shape: tuple[int, ...]) -> None:
    from astropy.coordinates import SkyCoord

    from skyvault.find.outline import outlines

    for ra, dec in outlines(region):
        x, y = wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg", frame="icrs"))
        axes.plot(x, y, linewidth=1, color="darkviolet")
        _keep_in_view(axes, x, y, shape)


def _keep_in_view(axes: Any, x: Any, y: Any, shape: tuple[int, ...]) -> None:
    """Widen the axes for what lies around the image, up to half its size."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    height, width = shape[:2]
    near = (x > -0.5 * width) & (x < 1.5 * width) & (y > -0.5 * height) & (y < 1.5 * height)
    if not near.any():
        return
    margin = 0.02 * max(width, height)
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    axes.set_xlim(min(left, x[near].min() - margin), max(right, x[near].max() + margin))
    axes.set_ylim(min(low, y[near].min() - margin), max(high, y[near].max() + margin))


def _draw_arrows(axes: Any, wcs: Any, shape: tuple[int, ...]) -> None:
    from astropy import units as u

    height, width = shape[:2]
    middle = wcs.pixel_to_world((width - 1) / 2, (height - 1) / 2)
    x0, y0 = (width - 1) / 2, (height - 1) / 2
    for angle, letter, colour in ((0 * u.deg, "N", "yellow"), (90 * u.deg, "E", "cyan")):
        x, y = wcs.world_to_pixel(middle.directional_offset_by(angle, ARROW_ARCSEC * u.arcsec))
        axes.annotate("", (float(x), float(y)), (x0, y0), arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.4})
        axes.text(
            x0 + 1.25 * (float(x) - x0), y0 + 1.25 * (float(y) - y0), letter, color=colour, ha="center", va="center"
        )
