"""An image one can move and enlarge in a browser, with the value and the place on the sky under the pointer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.errors import ConfigError, UsageError
from skyvault.find.display import mask_planes, picture_of
from skyvault.find.footprint import footprint_wcs, place_on_sky
from skyvault.find.image import open_image

#: pixels a side that are sent to the browser; larger images are thinned out
_MOST_PIXELS: Final = 1500


def live_image(
    image: Any,
    path: str | os.PathLike[str],
    *,
    hdu: int | str | None = None,
    target: Any = None,
    mask: Any = None,
    mask_transparency: float = 60.0,
    title: str = "",
    session: Any = None,
) -> Path:
    """Write an image as a page for a browser, whole in itself; see :func:`live_figure`."""
    shown = live_figure(
        image, hdu=hdu, target=target, mask=mask, mask_transparency=mask_transparency, title=title, session=session
    )
    from bokeh.embed import file_html
    from bokeh.resources import INLINE

    place = Path(path)
    beside = place.with_name(f"{place.name}.{os.getpid()}.part")
    beside.write_text(file_html(shown, INLINE, title or "image"), encoding="utf-8")
    os.replace(beside, place)
    return place


def live_figure(
    image: Any,
    *,
    hdu: int | str | None = None,
    target: Any = None,
    mask: Any = None,
    mask_transparency: float = 60.0,
    title: str = "",
    session: Any = None,
) -> Any:
    """A bokeh model of an image: grey with a colour bar, first between zscale's limits; drag, wheel, point.

    ``image`` is what :func:`open_image` takes, or an HDUList. ``target`` is marked by an orange circle; ``mask`` lays
    planes over it as :func:`show_image` does, and a slider changes how transparent they are; another one the limits of
    grey. Images of more than 1500 pixels a side are thinned, masks so that no set bit is lost.
    Needs bokeh (the extra ``live``). Raises ConfigError without it, and what :func:`show_image` raises.
    """
    try:
        from bokeh.layouts import column
        from bokeh.models import ColorBar, ColumnDataSource, HoverTool, LinearColorMapper, RangeSlider
        from bokeh.palettes import Greys256
        from bokeh.plotting import figure
    except ImportError:
        raise ConfigError(
            "images that move in a browser need bokeh", hint="Install it: pip install 'skyvault[live]'."
        ) from None
    from astropy.io import fits
    from astropy.visualization import ZScaleInterval

    if not 0 <= mask_transparency <= 100:
        raise UsageError(f"a transparency is between 0 and 100 per cent, not {mask_transparency:g}")
    opened = image if isinstance(image, fits.HDUList) else open_image(image, session=session)
    try:
        chosen = picture_of(opened, hdu)
        wcs = footprint_wcs(chosen.header)
        data = np.asarray(chosen.data, dtype=np.float32)
        data = data.reshape(-1, *data.shape[-2:])[0]
        planes = None if mask is None or mask is False else mask_planes(opened, mask, data.shape)
        unit = str(chosen.header.get("BUNIT", "pixel value"))
    finally:
        if opened is not image:
            opened.close()
    step = max(1, -(-max(data.shape) // _MOST_PIXELS))
    height, width = data.shape
    y, x = np.mgrid[0:height:step, 0:width:step]
    place = wcs.pixel_to_world(x, y).icrs
    low, high = (float(value) for value in ZScaleInterval().get_limits(data))
    source = ColumnDataSource(
        {
            "value": [data[::step, ::step]],
            "ra": [place.ra.deg.astype(np.float64)],
            "dec": [place.dec.deg.astype(np.float64)],
        }
    )
    shown = figure(title=title, width=760, height=700, match_aspect=True, active_scroll="wheel_zoom")
    grey = LinearColorMapper(palette=list(Greys256), low=low, high=high, nan_color="rgba(0, 0, 0, 0)")
    # the picture of a thinned image reaches as far as its last pixels do
    reach = {"x": -0.5, "y": -0.5, "dw": step * x.shape[1], "dh": step * x.shape[0]}
    drawn = shown.image("value", source=source, color_mapper=grey, **reach)
    shown.add_layout(ColorBar(color_mapper=grey, title=unit, width=12), "right")
    under = [("value", "@value"), ("RA, Dec (ICRS)", "@ra{0.000000} @dec{0.000000}"), ("x, y", "$x{0.0} $y{0.0}")]
    shown.add_tools(HoverTool(tooltips=under, renderers=[drawn]))
    room = max(high - low, 1e-6)
    limits = RangeSlider(
        start=low - room, end=high + 4.0 * room, value=(low, high), step=room / 200.0, width=380,
        title=f"black and white ({unit})",
    )  # fmt: skip
    limits.js_on_change("value", _callback("grey.low = cb_obj.value[0]; grey.high = cb_obj.value[1]", grey=grey))
    parts = [shown, limits]
    if planes is not None:
        parts += _lay_over(shown, *planes, step, reach, mask_transparency)
    if target is not None:
        at_x, at_y = (float(value) for value in wcs.world_to_pixel(place_on_sky(target)))
        shown.scatter([at_x], [at_y], size=22, fill_alpha=0.0, line_color="darkorange", line_width=2)
    return column(*parts)


def _callback(code: str, **models: Any) -> Any:
    from bokeh.models import CustomJS

    return CustomJS(args=models, code=code)


def _lay_over(shown: Any, mask: Any, names: Any, step: int, reach: dict[str, float], transparency: float) -> list[Any]:
    """Paints planes, small ones over large ones; the slider and the legend that go with them."""
    from bokeh.models import Div, Slider
    from matplotlib.colors import to_hex, to_rgb

    counts, colours = mask.counts(), mask.colours()
    # a thinned pixel has every bit that one of its pixels has
    bits = np.bitwise_or.reduceat(
        np.bitwise_or.reduceat(mask.bits, np.arange(0, mask.shape[0], step), axis=0),
        np.arange(0, mask.shape[1], step),
        axis=1,
    )
    painted = np.zeros((*bits.shape, 4), np.uint8)
    seen = [name for name in sorted(names, key=lambda name: -counts[name]) if counts[name]]
    for name in seen:
        is_set = (bits >> bits.dtype.type(mask.planes[name])) & bits.dtype.type(1) != 0
        painted[is_set] = (*(int(255 * part) for part in to_rgb(colours[name])), 255)
    over = shown.image_rgba([painted.view(np.uint32)[:, :, 0]], global_alpha=1.0 - transparency / 100.0, **reach)
    slider = Slider(start=0, end=100, step=1, value=transparency, title="transparency of the mask (%)", width=380)
    slider.js_on_change("value", _callback("glyph.global_alpha = 1 - cb_obj.value / 100", glyph=over.glyph))
    # names of planes come from files
    legend = " &nbsp; ".join(
        f'<span style="color:{to_hex(colours[name])}">&#9632;</span> {_plain(name)}' for name in names if counts[name]
    )
    return [slider, Div(text=f"Mask planes: {legend or 'none is set'}", width=740)]


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum() or letter in "_-")
