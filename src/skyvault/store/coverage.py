"""What published tables cover: the sky as a MOC, time as MJD, the spectrum as wavelengths.

Measured when a table is published; what its resource.yaml says under ``coverage:`` takes the place of it, axis by
axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from skyvault.errors import SkyvaultError
from skyvault.model.region import Moc
from skyvault.model.span import EnergySpan, TimeSpan
from skyvault.store import obscore
from skyvault.store.engine import SnapshotError, alias

if TYPE_CHECKING:
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.view import Shelved, View

#: h c in joule metres (CODATA 2018, exact): the energy of a photon is this over its wavelength in vacuum
_HC_J_M: Final = 6.626_070_15e-34 * 299_792_458.0
#: the order at which registries keep coverages (VODataService 1.2, section 3.3)
REGISTRY_ORDER: Final = 6
#: most ranges of a service's own coverage
_SITE_RANGES: Final = 200_000


@dataclass(frozen=True, slots=True)
class Coverage:
    """What something covers. ``spatial`` is None where nothing has a place; no spans: nothing is known."""

    spatial: Moc | None = None
    #: MJD, sorted, apart
    temporal: tuple[TimeSpan, ...] = ()
    #: wavelengths in vacuum, metres, sorted, apart
    spectral: tuple[EnergySpan, ...] = ()

    def moc(self, order: int = REGISTRY_ORDER) -> str | None:
        """The sky as ASCII MOC of at most this order; None where nothing is covered."""
        from skyvault.sky.moc import moc_of, moc_text, order_of

        if self.spatial is None or not len(self.spatial.ranges):
            return None
        return moc_text(moc_of(self.spatial, min(order, order_of(self.spatial))))

    def energies(self) -> tuple[tuple[float, float], ...]:
        """The spectrum as photon energies in joule, (lowest, highest), sorted."""
        spans = [(_HC_J_M / one.hi, _HC_J_M / one.lo if one.lo > 0 else float("inf")) for one in self.spectral]
        return tuple(sorted(spans))


def coverage_of(view: View, name: str) -> Coverage:
    """What a published table covers, as kept for records and pages; the sky at order 8 at most.

    ``ivoa.ObsCore`` covers what its collections do. Of a table that is not published: nothing.
    """
    shelf = view.get(name)
    if shelf is None:
        return Coverage()
    members = _members(view, shelf)
    if members:
        return united([coverage_of(view, one.table.name) for one in members])
    said: Mapping[str, Any] = (shelf.extra.get("resource") or {}).get("coverage") or {}
    extra = shelf.extra
    text = said.get("spatial") or extra.get("coverage")
    temporal = said.get("temporal") or extra.get("temporal") or _measured(extra, "t_min", "t_max")
    spectral = said.get("spectral") or extra.get("spectral") or _measured(extra, "em_min", "em_max")
    return Coverage(
        _moc(text) if text is not None else None,
        tuple(span for one in temporal if (span := _span(TimeSpan, one)) is not None),
        tuple(span for one in spectral if (span := _span(EnergySpan, one)) is not None and span.hi > 0),
    )


def site_coverage(view: View) -> Coverage:
    """What all published tables cover together."""
    return united([coverage_of(view, name) for name in published(view)])


def published(view: View) -> list[str]:
    """The tables that have a coverage of their own: not those that are made from others, nor the service's own."""
    return sorted(
        name
        for name, shelf in view.tables.items()
        # what has to be prepared is about services (RegTAP's tables), not data
        if shelf.file is not None and shelf.prepare is None and not _members(view, shelf)
    )


def united(coverages: Sequence[Coverage]) -> Coverage:
    """Several coverages taken together."""
    from skyvault.sky.moc import union, within

    mocs = [one.spatial for one in coverages if one.spatial is not None]
    return Coverage(
        within(union(mocs), _SITE_RANGES) if mocs else None,
        tuple(TimeSpan(lo, hi) for lo, hi in _joined([(s.lo, s.hi) for one in coverages for s in one.temporal])),
        tuple(EnergySpan(lo, hi) for lo, hi in _joined([(s.lo, s.hi) for one in coverages for s in one.spectral])),
    )


def _joined(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for lo, hi in sorted(spans):
        if found and lo <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], hi))
        else:
            found.append((lo, hi))
    return found


def _members(view: View, shelf: Shelved) -> list[Shelved]:
    """The collections that ivoa.ObsCore is made of; none when it leaves out some of their rows."""
    if shelf.table.name.lower() != obscore.NAME.lower():
        return []
    members = [view.get(str(name)) for name in shelf.extra.get("members", ())]
    found = [one for one in members if one is not None]
    has_all = len(found) == len(members)
    return found if has_all and not any("left_out" in one.extra.get("beside", ()) for one in found) else []


def _measured(extra: Mapping[str, Any], low: str, high: str) -> list[list[float]]:
    """The ends of an axis from the statistics, for tables that were published before spans were kept."""
    ends = {str(one.get("name", "")).lower(): one for one in extra.get("statistics", ())}
    first, last = ends.get(low, {}).get("minimum"), ends.get(high, {}).get("maximum")
    return [[first, last]] if isinstance(first, float | int) and isinstance(last, float | int) else []


def _moc(text: Any) -> Moc | None:
    try:
        return Moc.from_text(str(text))
    except SkyvaultError:
        return None


def _span(kind: type[Any], ends: Any) -> Any:
    try:
        return kind(float(ends[0]), float(ends[-1]))
    except (SkyvaultError, TypeError, ValueError, IndexError):
        return None


# ---------------------------------------------------------------- the fine coverage

#: fine coverages of one view: they are asked for again and again
_FINE: WeakKeyDictionary[View, dict[str, Moc | None]] = WeakKeyDictionary()
#: fine coverages that are held of a view
_MOST_HELD: Final = 64


def fine_moc(store: DuckStore, name: str) -> Moc | None:
    """The sky that a table covers, as fine as it was measured; None for one without places, or not published."""
    view = store.view()
    held = _FINE.setdefault(view, {})
    key = name.lower()
    if key not in held:
        found = _fine(store, view, name)
        if len(held) >= _MOST_HELD:
            held.clear()
        held[key] = found
    return held[key]


def site_moc(store: DuckStore) -> Moc:
    """The sky that all published tables cover together, as fine as ``fine_moc``."""
    from skyvault.sky.moc import union, within

    view = store.view()
    held = _FINE.setdefault(view, {})
    if "" not in held:
        found = union([])
        for name in published(view):
            own = _fine(store, view, name)
            found = found if own is None else within(union([found, own]), _SITE_RANGES)
        held[""] = found
    return held[""] or union([])


def _fine(store: DuckStore, view: View, name: str) -> Moc | None:
    from skyvault.sky.moc import union, within

    shelf = view.get(name)
    if shelf is None:
        return None
    members = _members(view, shelf)
    if members:
        mocs = [_fine(store, view, one.table.name) for one in members]
        return within(union([one for one in mocs if one is not None]), _SITE_RANGES)
    said = ((shelf.extra.get("resource") or {}).get("coverage") or {}).get("spatial")
    if said is None and shelf.file is not None and "coverage_order" in shelf.extra:
        try:
            return _read(store, shelf.file)
        except SnapshotError:
            # replaced and collected between looking and opening: the short form will do
            pass
    return coverage_of(view, name).spatial


def _read(store: DuckStore, file: str) -> Moc:
    import numpy as np

    from skyvault.store.coverage_build import TABLE

    with store.engine.using((file,)):
        cursor = store.engine.cursor()
        try:
            columns = cursor.execute(f'SELECT "first", "last" FROM {alias(file)}.{TABLE}').fetchnumpy()
        finally:
            cursor.close()
    return Moc(np.stack([columns["first"], columns["last"]], axis=1).astype(np.int64))
