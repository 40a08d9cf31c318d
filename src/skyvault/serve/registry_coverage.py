"""Where, when and at which energies a published table has data, in the words of registries (VODataService 1.2, 3.2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from skyvault.formats.voresource import Coverage
from skyvault.store.coverage import REGISTRY_ORDER, coverage_of

if TYPE_CHECKING:
    from skyvault.store.coverage import Coverage as Measured
    from skyvault.store.view import View

#: ranges of a MOC in a record, which shall be a few dozen kilobytes at most
_MOST_RANGES: Final = 3_000
#: Planck's constant times the speed of light (J m): a photon's energy is this by its wavelength
HC: Final = 1.986445857e-25

#: terms of the vocabulary http://www.ivoa.net/rdf/messenger and the wavelengths (m) they stand for
_BANDS: Final = (
    ("Radio", 1e-2, math.inf),
    ("Millimeter", 1e-4, 1e-2),
    ("Infrared", 1e-6, 1e-4),
    ("Optical", 3e-7, 1e-6),
    ("UV", 1e-7, 3e-7),
    ("EUV", 1e-8, 1e-7),
    ("X-ray", 1e-11, 1e-8),
    ("Gamma-ray", 0.0, 1e-11),
)


def coverage_of_table(view: View, name: str, wavebands: Sequence[str] = ()) -> Coverage:
    """What a published table covers; bands that nobody has named are those of its wavelengths."""
    found = in_record(coverage_of(view, name))
    return replace(found, wavebands=tuple(wavebands)) if wavebands else found


def in_record(measured: Measured) -> Coverage:
    """A coverage as a record has it; limits that are not finite are left out."""
    spectral = [(low, high) for low, high in measured.energies() if math.isfinite(high)]
    return Coverage(
        spatial=_coarse(measured),
        temporal=tuple(
            (span.lo, span.hi) for span in measured.temporal if math.isfinite(span.lo) and math.isfinite(span.hi)
        ),
        spectral=tuple(spectral),
        wavebands=bands_of((span.lo, span.hi) for span in measured.spectral),
    )


def bands_of(lengths: Iterable[tuple[float, float]]) -> tuple[str, ...]:
    """Names of the bands that intervals of wavelength (m) touch."""
    found = {name for low, high in lengths for name, least, most in _BANDS if low < most and high > least}
    return tuple(name for name, _, _ in _BANDS if name in found)


def cone_within(moc: str | None) -> tuple[float, float, float] | None:
    """A cone (ra, dec, radius in degrees) in which there are data: around a cell of the coverage."""
    if not moc:
        return None
    from skyvault.sky.cells import cell_centers, largest_cell_radius

    order, _, words = moc.split()[0].partition("/")
    cell = words.split("-")[0].rstrip(",")
    if not (order.isdigit() and cell.isdigit()):
        return None
    lon, lat = cell_centers(int(order), [int(cell)])
    radius = math.degrees(float(largest_cell_radius(int(order))))
    return round(float(lon[0]), 4), round(float(lat[0]), 4), round(min(radius * 1.01, 90.0), 3)


def _coarse(measured: Measured) -> str | None:
    for order in range(REGISTRY_ORDER, -1, -1):
        text = measured.moc(order)
        if text is None or text.count(" ") < _MOST_RANGES:
            return text
    return None
