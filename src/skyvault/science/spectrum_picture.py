"""A spectrum with its axes and its errors as a small picture, drawn quickly: what a page shows beside a star."""

from __future__ import annotations

import io
import math
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SIZE: Final = (720, 400)
#: drawn so many times as large and made smaller: smooth lines
_FINER: Final = 2
_INK: Final = (31, 78, 121)
_BAND: Final = (205, 220, 234)
_TEXT: Final = (60, 60, 60)
_LINES: Final = (226, 226, 226)
_PAPER: Final = (255, 255, 255)

Floats = NDArray[np.float64]


def spectrum_picture(
    wavelength: ArrayLike, flux: ArrayLike, error: ArrayLike | None = None, *, unit: str = "nm", flux_unit: str = ""
) -> bytes:
    """A PNG of flux over wavelength (all of shape (n,)), with the errors as a band; gaps where nothing is known.

    The axis of wavelengths is drawn whole, also where there is no flux.
    """
    from PIL import Image, ImageDraw

    x, y = (np.asarray(one, np.float64).reshape(-1) for one in (wavelength, flux))
    spread = np.zeros(len(y)) if error is None else _known(error)
    good = np.isfinite(x) & np.isfinite(y)
    width, height = (_FINER * one for one in _SIZE)
    picture = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(picture)
    left, right, top, bottom = (_FINER * one for one in (64, _SIZE[0] - 18, 26, _SIZE[1] - 48))
    low, high = _limits(y[good], spread[good])
    begin, end = (
        (float(x[np.isfinite(x)].min()), float(x[np.isfinite(x)].max())) if np.isfinite(x).any() else (0.0, 1.0)
    )
    end = end if end > begin else begin + 1.0
    power = math.floor(math.log10(max(abs(low), abs(high)))) if max(abs(low), abs(high)) > 0 else 0
    power = 0 if -2 <= power <= 3 else power

    def across(value: Any) -> Any:
        return left + (np.asarray(value) - begin) / (end - begin) * (right - left)

    def up(value: Any) -> Any:
        return bottom - (np.asarray(value) - low) / (high - low) * (bottom - top)

    font, small = _font(13), _font(12)
    for tick in _ticks(begin, end, 9):
        place = float(across(tick))
        draw.line([(place, top), (place, bottom)], fill=_LINES, width=_FINER)
        draw.text((place, bottom + 5 * _FINER), f"{tick:g}", fill=_TEXT, font=small, anchor="ma")
    for tick in _ticks(low, high, 6):
        place = float(up(tick))
        draw.line([(left, place), (right, place)], fill=_LINES, width=_FINER)
        draw.text((left - 6 * _FINER, place), f"{tick / 10.0**power:.4g}", fill=_TEXT, font=small, anchor="rm")
    for first, last in _runs(good):
        part = slice(first, last)
        edge = np.concatenate([y[part] + spread[part], (y[part] - spread[part])[::-1]])
        places = np.stack([across(np.concatenate([x[part], x[part][::-1]])), np.clip(up(edge), top, bottom)], axis=1)
        if last - first > 1:
            draw.polygon([tuple(one) for one in places.tolist()], fill=_BAND)
            line = np.stack([across(x[part]), np.clip(up(y[part]), top, bottom)], axis=1)
            draw.line([tuple(one) for one in line.tolist()], fill=_INK, width=3, joint="curve")
    draw.rectangle((left, top, right, bottom), outline=_TEXT, width=_FINER)
    draw.text(((left + right) / 2, height - 6 * _FINER), f"Wavelength ({unit})", fill=_TEXT, font=font, anchor="ms")
    scale = f"1e{power} " if power else ""
    told = f"Flux ({scale}{flux_unit})" if flux_unit or scale else "Flux"
    draw.text((left, top - 7 * _FINER), told, fill=_TEXT, font=font, anchor="ls")
    if not good.any():
        draw.text(((left + right) / 2, (top + bottom) / 2), "no flux is known", fill=_TEXT, font=font, anchor="mm")
    held = io.BytesIO()
    picture.resize(_SIZE, Image.Resampling.LANCZOS).save(held, "PNG", compress_level=4)
    return held.getvalue()


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size * _FINER)


def _known(error: ArrayLike) -> Floats:
    """Errors, 0 where none is known."""
    return np.nan_to_num(np.asarray(error, np.float64).reshape(-1), posinf=0.0, neginf=0.0)


def _limits(flux: Floats, spread: Floats) -> tuple[float, float]:
    """Flux from zero or below it to zero or above the highest; some huge errors do not flatten the rest."""
    if not len(flux):
        return 0.0, 1.0
    typical = float(np.median(spread))
    used = np.minimum(spread, 3.0 * typical) if typical > 0 else spread
    low, high = min(0.0, float((flux - used).min())), max(0.0, float((flux + used).max()))
    if not high > low:
        return low - 1.0, low + 1.0
    return low - (0.05 * (high - low) if low < 0 else 0.0), high + 0.05 * (high - low)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers within an interval, at most so many."""
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step *= next(one for one in (1, 2, 5, 10, 20) if (high - low) / (one * step) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _runs(good: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where samples without a gap begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
