"""The WorldWide Telescope as a session's display: catalogue, photometry and cutouts as its layers (needs pywwt)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skyvault.errors import UsageError
from skyvault.session.cells import values_and_mask
from skyvault.session.columns import REFCAT_RADIUS_ARCSEC

if TYPE_CHECKING:
    from skyvault.session.session import Session

_INSTALL = "Install it with: pip install 'skyvault[live]'"


class WwtLayers:
    """What a session shows; ``widget`` is pywwt's."""

    def __init__(self, session: Session, widget: Any) -> None:
        self._session = session
        self.widget = widget
        self._layers: dict[str, Any] = {}

    @classmethod
    async def connected(cls, session: Session) -> WwtLayers:
        """Waits for the application in JupyterLab.

        Raises UsageError where pywwt is not installed, outside a notebook, or where no application answers.
        """
        try:
            from pywwt.jupyter import connect_to_app
        except ImportError:
            raise UsageError(
                "The WorldWide Telescope needs the package pywwt, which is not installed",
                hint=f"{_INSTALL}, or use sess.cutout(...) and lc.plot() instead.",
            ) from None
        from IPython import get_ipython

        if getattr(get_ipython(), "kernel", None) is None:
            raise UsageError(
                "The WorldWide Telescope is shown beside a notebook, and this program runs in none",
                hint="Open a notebook in JupyterLab, or use sess.cutout(...) and lc.plot() instead.",
            )
        try:
            widget = await connect_to_app().becomes_ready()
        except TimeoutError:
            raise UsageError(
                "No application of the WorldWide Telescope answers",
                hint=f"Open it from JupyterLab's launcher, then connect again. {_INSTALL} if it is not there.",
            ) from None
        except Exception as problem:
            # pywwt asks its makers for lists of surveys first, and reaches into the kernel's machinery
            raise UsageError(
                f"pywwt cannot start ({type(problem).__name__}: {' '.join(str(problem).split())[:120]})",
                hint="It needs ipykernel below 7, and worldwidetelescope.github.io within reach.",
            ) from None
        if widget.foreground_opacity != 0:
            widget.background = "Digitized Sky Survey (Color)"
            widget.foreground_opacity = 0
        made = cls(session, widget)
        made._centre()
        return made

    def _centre(self) -> None:
        import astropy.units as u

        try:
            place = self._session.query().pos_as_skycoord()
        except UsageError:
            return
        self.widget.center_on_coordinates(place, fov=REFCAT_RADIUS_ARCSEC * 1.2 * u.arcsec)

    def forget(self) -> None:
        """Forgets the layers, whose data are gone."""
        self._layers = {}

    def clicked_source(self) -> int:
        """The local ID of the catalogue source last clicked. Raises UsageError where none was."""
        clicked = self.widget.most_recent_source
        try:
            return int(clicked["layerData"]["local_id"])
        except (TypeError, KeyError, ValueError):
            raise UsageError(
                "No source of the reference catalogue was clicked in the WorldWide Telescope",
                hint="Show it with sess.refcat().show() and click on a source.",
            ) from None

    def show_refcat(self, table: Any, mag_limit: float | None = None, size_vmin_bias: float = 1.0) -> Any:
        """The catalogue as circles, larger for brighter stars; one layer a session."""
        return self._circles("refcat", table, "stdmag", mag_limit, size_vmin_bias)

    def show_extract(self, table: Any, mag_limit: float | None = None, size_vmin_bias: float = 1.0) -> Any:
        """The measurements of an exposure as circles; one layer an exposure."""
        key = f"extract {table.meta.get('daschlab_exposure_id', '')}"
        return self._circles(key, table, "magcal_magdep", mag_limit, size_vmin_bias)

    def show_cutout(self, exp_ref: Any) -> Any:
        """The cutout of an exposure. Raises UsageError where there is none."""
        path = self._session.cutout(exp_ref)
        if path is None:
            raise UsageError("There is no cutout of this exposure to show")
        if path not in self._layers:
            self._layers[path] = self.widget.layers.add_image_layer(str(self._session.path(path)))
        return self._layers[path]

    def _circles(self, key: str, table: Any, column: str, mag_limit: float | None, bias: float) -> Any:
        from astropy.table import Table

        if key in self._layers:
            return self._layers[key]
        values, mask = values_and_mask(table[column])
        known = values[~mask].astype(float)
        if not known.size:
            raise UsageError("There is no magnitude to show")
        limit = float(known.max()) if mag_limit is None else float(mag_limit)
        shown = Table(
            {
                "local_id": np.arange(len(table)),
                "ra": np.asarray(table["pos"].ra.deg),
                "dec": np.asarray(table["pos"].dec.deg),
                "viz_mag": np.where(mask, limit, np.minimum(values, limit)),
            }
        )
        layer = self.widget.layers.add_table_layer(shown)
        layer.lon_att, layer.lat_att, layer.lon_unit = "ra", "dec", "deg"
        layer.marker_type, layer.size_att, layer.size_scale = "circle", "viz_mag", 10
        layer.size_vmin, layer.size_vmax = limit + bias, float(known.min())
        self._layers[key] = layer
        return layer
