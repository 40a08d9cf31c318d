"""The nearest source of a target list to a place on the sky: a tree over unit vectors, 1 M rows in a second."""

from __future__ import annotations

from typing import Any

import numpy as np

from skyvault.science.samples import Floats, Indices
from skyvault.science.star_motion import unit_vectors


class CatalogIndex:
    """Rows of a catalogue by place. Queries of many places at once cost about 2 microseconds each."""

    def __init__(self, ra_deg: Floats, dec_deg: Floats) -> None:
        from scipy.spatial import cKDTree

        self._rows = np.flatnonzero(np.isfinite(ra_deg) & np.isfinite(dec_deg))
        # median splits would sort at every level; sliding midpoints build in half the time
        self._tree = cKDTree(
            unit_vectors(ra_deg[self._rows], dec_deg[self._rows]), balanced_tree=False, compact_nodes=False
        )

    def nearest(self, ra_deg: Any, dec_deg: Any, radius_arcsec: float | None = None) -> tuple[Indices, Floats]:
        """Row and separation (arcsec) of the nearest source to each place, shape (n,); -1 and inf beyond the radius."""
        places = np.atleast_2d(unit_vectors(ra_deg, dec_deg))
        if not len(self._rows):
            return np.full(len(places), -1, np.int64), np.full(len(places), np.inf)
        bound = (
            np.inf if radius_arcsec is None else 2.0 * np.sin(np.radians(radius_arcsec / 3600.0) / 2.0) * (1 + 1e-12)
        )
        # places of one neighbourhood after another find the tree's nodes in the cache
        order = np.lexsort((places[:, 0], np.rint(places[:, 2] * 128))) if len(places) > 1000 else None
        asked = places if order is None else places[order]
        chord, found = self._tree.query(asked, distance_upper_bound=bound)
        if order is not None:
            back = np.empty_like(order)
            back[order] = np.arange(len(order))
            chord, found = chord[back], found[back]
        hit = np.isfinite(chord)
        rows = np.where(hit, self._rows[np.where(hit, found, 0)], -1)
        arcsec = np.where(hit, np.degrees(2.0 * np.arcsin(np.minimum(chord, 2.0) / 2.0)) * 3600.0, np.inf)
        return rows, arcsec
