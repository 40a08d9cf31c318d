"""Outlines of regions as lines on the sky, for plots: polygons as they are, circles as many-cornered ones."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from skyvault.errors import RegionError

_STEPS: Final = 72


def outlines(region: Any) -> list[tuple[Any, Any]]:
    """Closed lines (right ascension, declination; ICRS degrees) around a region or the text of one (s_region).

    Raises RegionError for a text that is no region.
    """
    from skyvault.model import region as shapes
    from skyvault.sky.region_text import parse_region

    if isinstance(region, str):
        region = parse_region(region)
    if isinstance(region, shapes.Circle):
        return [circle(region.lon, region.lat, region.radius)]
    if isinstance(region, shapes.Polygon):
        return [_closed(np.array(region.vertices, float))]
    if isinstance(region, shapes.Box):
        # its upper and lower sides are parallels: no straight lines on the sphere
        ra = np.linspace(region.lon1, region.lon1 + region.width, _STEPS // 2 + 1)
        low, high = np.full_like(ra, region.lat1), np.full_like(ra, region.lat2)
        return [(np.concatenate([ra, ra[::-1], ra[:1]]), np.concatenate([low, high, low[:1]]))]
    if isinstance(region, shapes.Union):
        return [line for one in region.regions for line in outlines(one)]
    if isinstance(region, shapes.Point):
        return []
    if isinstance(region, shapes.Moc):
        return _cells(region)
    raise RegionError(f"{type(region).__name__} has no outline")


def circle(ra_deg: float, dec_deg: float, radius_deg: float, steps: int = _STEPS) -> tuple[Any, Any]:
    """A small circle on the sphere as a closed line."""
    angle = np.linspace(0.0, 2 * math.pi, steps + 1)
    dec0, radius = math.radians(dec_deg), math.radians(radius_deg)
    sin_dec = math.sin(dec0) * math.cos(radius) + math.cos(dec0) * math.sin(radius) * np.cos(angle)
    dec = np.arcsin(np.clip(sin_dec, -1.0, 1.0))
    d_ra = np.arctan2(np.sin(angle) * math.sin(radius) * math.cos(dec0), math.cos(radius) - math.sin(dec0) * sin_dec)
    return ra_deg + np.degrees(d_ra), np.degrees(dec)


def _closed(vertices: Any) -> tuple[Any, Any]:
    """Corners as a closed line whose right ascension has no jump of a whole turn."""
    ra = np.rad2deg(np.unwrap(np.deg2rad(np.append(vertices[:, 0], vertices[0, 0]))))
    return ra, np.append(vertices[:, 1], vertices[0, 1])


def _cells(moc: Any) -> list[tuple[Any, Any]]:
    import cdshealpix
    from astropy import units as u

    lines = []
    for order, cell in moc.cells()[:20_000]:
        lon, lat = cdshealpix.nested.vertices(np.array([cell], dtype=np.uint64), order)
        lines.append(_closed(np.column_stack([lon[0].to_value(u.deg), lat[0].to_value(u.deg)])))
    return lines
