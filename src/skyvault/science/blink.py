"""Blink animations: the plates of a star one after the other in one place, as a blink comparator shows them (GIF)."""

from __future__ import annotations

import io
import math
from typing import Any, Final

import numpy as np

from skyvault.errors import ParameterError
from skyvault.science.epoch_frames import EpochFrames

_STRIP: Final = 22
#: pixels of the picture's side, at least
_SMALLEST: Final = 300
_ORANGE: Final = 255
_SHADES: Final = 255


def blink(
    frames: EpochFrames, *, milliseconds: int = 400, mark_arcsec: float | None = None, skip_blank: bool = True
) -> bytes:
    """An animated GIF that repeats for ever, one frame an epoch, oldest first; north up, east left.

    Each frame holds its date and name, and a circle of ``mark_arcsec`` around the target (a seventh of the frame's half
    if None). ``skip_blank`` leaves out plates that end before the target. Raises ParameterError when none is left.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not 20 <= milliseconds <= 60_000:
        raise ParameterError(f"a frame lasts from 20 to 60,000 milliseconds, not {milliseconds}")
    chosen = [frame for frame in frames.frames if frame.shows_target or not skip_blank]
    if not chosen:
        raise ParameterError("no image shows the target, so there is nothing to blink")
    grid = frames.grid
    zoom = max(1, math.ceil(_SMALLEST / grid.width))
    width, height = grid.width * zoom, grid.height * zoom
    radius = mark_arcsec if mark_arcsec is not None else grid.width * grid.pixel_arcsec / 14.0
    radius_px = radius / grid.pixel_arcsec * zoom
    font = ImageFont.load_default(12)
    palette = _palette()
    pictures: list[Any] = []
    for frame in chosen:
        indices = np.zeros((height + _STRIP, width), np.uint8)
        grey = frame.grey[::-1].repeat(zoom, axis=0).repeat(zoom, axis=1)
        # the last place of the palette is the mark's
        indices[:height] = np.minimum(grey, _SHADES - 1)
        indices[height:] = _SHADES - 1
        picture = Image.frombytes("P", (width, height + _STRIP), indices.tobytes())
        picture.putpalette(palette)
        draw = ImageDraw.Draw(picture)
        draw.fontmode = "1"
        x, y = width / 2.0, height / 2.0
        box = (x - radius_px, y - radius_px, x + radius_px, y + radius_px)
        draw.ellipse(box, outline=_ORANGE, width=max(1, zoom))
        draw.text((4, height + 4), f"{frame.cutout.date()}  {frame.cutout.name}"[:90], fill=0, font=font)
        pictures.append(picture)
    out = io.BytesIO()
    pictures[0].save(
        out, format="GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0, optimize=False,
        disposal=1,
    )  # fmt: skip
    return out.getvalue()


def _palette() -> list[int]:
    shades = [value for level in range(_SHADES) for value in (level, level, level)]
    return [*shades, 0xD5, 0x5E, 0x00]
