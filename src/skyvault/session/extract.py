"""Plate extracts: everything measured around the target on one exposure, catalogued or not."""

from __future__ import annotations

from typing import Any

from astropy.table import Table

from skyvault.session.photometry import Photometry


class Extract(Photometry, Table):  # type: ignore[misc]
    """Measurements on one exposure, with the columns of light curves; ``exp_local_id`` names the exposure."""

    def show(self, **how: Any) -> Any:
        """Shows the sources in the WorldWide Telescope. Raises UsageError where it is not connected."""
        return self._session().wwt_layers().show_extract(self, **how)
