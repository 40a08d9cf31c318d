"""Where, when and at which energies a published table has data, as registries want it (VODataService 1.2, 3.2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from skyvault.formats.voresource import Coverage

if TYPE_CHECKING:
    from skyvault.store.view import Shelved

#: order of the MOC in a record: cells of a degree (VODataService 1.2, section 3.2)
ORDER: Final = 6
#: ranges of a coverage in a record; it stays a few dozen kilobytes
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


def coverage_of_table(shelf: Shelved, facts: Mapping[str, Any]) -> Coverage:
    """What a table covers: as its resource says, else as measured when it was published."""
    said = facts.get("coverage") or {}
    statistics = {one["name"].lower(): one for one in shelf.extra.get("statistics", ())}
    temporal = [(float(low), float(high)) for low, high in said.get("temporal", ())]
    if not temporal:
        temporal = _limits(statistics, "t_min", "t_max")
    lengths = [(float(low), float(high)) for low, high in said.get("spectral", ())]
    if not lengths:
        lengths = [(low, high) for low, high in _limits(statistics, "em_min", "em_max") if low > 0]
    wavebands = tuple(facts.get("waveband") or ()) or bands_of(lengths)
    return Coverage(
        spatial=_spatial(said.get("spatial") or shelf.extra.get("coverage")),
        temporal=tuple(temporal),
        spectral=tuple((HC / high, HC / low) for low, high in lengths),
        wavebands=wavebands,
    )


def bands_of(lengths: Iterable[tuple[float, float]]) -> tuple[str, ...]:
    """Names of the bands that intervals of wavelength (m) touch."""
    found = {name for low, high in lengths for name, least, most in _BANDS if low < most and high > least}
    return tuple(name for name, _, _ in _BANDS if name in found)


def cone_within(moc: str | None) -> tuple[float, float, float] | None:
    """A cone (ra, dec, radius in degrees) in which there are data: a cell of the coverage."""
    if not moc:
        return None
    from skyvault.sky.cells import cell_centers

    order, _, words = moc.split()[0].partition("/")
    cell = words.split("-")[0].rstrip(",")
    if not (order.isdigit() and cell.isdigit()):
        return None
    lon, lat = cell_centers(int(order), [int(cell)])
    # half the diagonal of a cell
    return round(float(lon[0]), 4), round(float(lat[0]), 4), round(min(60.0 / 2 ** int(order) + 0.05, 90.0), 3)


def _limits(statistics: Mapping[str, Mapping[str, Any]], first: str, last: str) -> list[tuple[float, float]]:
    low = (statistics.get(first) or {}).get("minimum")
    high = (statistics.get(last) or {}).get("maximum")
    if isinstance(low, int | float) and isinstance(high, int | float) and low <= high:
        return [(float(low), float(high))]
    return []


def _spatial(text: str | None) -> str | None:
    if not text:
        return None
    from mocpy import MOC

    try:
        moc = MOC.from_string(text, format="ascii")
    except Exception:  # whatever a parser of somebody else's makes of a text that is no MOC
        return None
    for order in range(ORDER, -1, -1):
        if moc.max_order > order:
            moc = moc.degrade_to_order(order)
        written = " ".join(str(moc.to_string(format="ascii")).split())
        if written.count(" ") < _MOST_RANGES:
            return written or None
    return None
