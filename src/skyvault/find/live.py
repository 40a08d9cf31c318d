"""An image one can move and enlarge in a browser, with the value and the place on the sky under the pointer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.errors import ConfigError
from skyvault.find.display import picture_of
from skyvault.find.footprint import footprint_wcs
from skyvault.find.image import open_image

#: pixels a side that are sent to the browser; larger images are thinned out
_MOST_PIXELS: Final = 1500


def live_image(
    image: Any,
    path: str | os.PathLike[str],
    *,
    hdu: int | str | None = None,
    title: str = "",
    session: Any = None,
) -> Path:
    """Write an image as a page for a browser, whole in itself: grey between zscale's limits; drag, wheel, point.

    ``image`` is what :func:`open_image` takes, or an HDUList. Needs bokeh (the extra ``live``). Raises ConfigError
    without it, and what :func:`show_image` raises.
    """
    try:
        from bokeh.embed import file_html
        from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper
        from bokeh.palettes import Greys256
        from bokeh.plotting import figure
        from bokeh.resources import INLINE
    except ImportError:
        raise ConfigError(
            "images that move in a browser need bokeh", hint="Install it: pip install 'skyvault[live]'."
        ) from None
    from astropy.io import fits
    from astropy.visualization import ZScaleInterval

    opened = image if isinstance(image, fits.HDUList) else open_image(image, session=session)
    try:
        chosen = picture_of(opened, hdu)
        wcs = footprint_wcs(chosen.header)
        data = np.asarray(chosen.data, dtype=np.float32)
        data = data.reshape(-1, *data.shape[-2:])[0]
    finally:
        if opened is not image:
            opened.close()
    step = max(1, -(-max(data.shape) // _MOST_PIXELS))
    height, width = data.shape
    y, x = np.mgrid[0:height:step, 0:width:step]
    place = wcs.pixel_to_world(x, y).icrs
    low, high = ZScaleInterval().get_limits(data)
    source = ColumnDataSource(
        {
            "value": [data[::step, ::step]],
            "ra": [place.ra.deg.astype(np.float64)],
            "dec": [place.dec.deg.astype(np.float64)],
        }
    )
    shown = figure(title=title, width=700, height=700, match_aspect=True, active_scroll="wheel_zoom")
    grey = LinearColorMapper(palette=list(Greys256), low=float(low), high=float(high))
    drawn = shown.image("value", x=-0.5, y=-0.5, dw=width, dh=height, source=source, color_mapper=grey)
    under = [("value", "@value"), ("RA, Dec (ICRS)", "@ra{0.000000} @dec{0.000000}"), ("x, y", "$x{0.0} $y{0.0}")]
    shown.add_tools(HoverTool(tooltips=under, renderers=[drawn]))
    target = Path(path)
    beside = target.with_name(f"{target.name}.{os.getpid()}.part")
    beside.write_text(file_html(shown, INLINE, title or "image"), encoding="utf-8")
    os.replace(beside, target)
    return target
