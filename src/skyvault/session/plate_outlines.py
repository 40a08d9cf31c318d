"""The true outlines of plates on the sky: the edges of their scans through their astrometric solutions.

The table of exposures tells only where a plate's centre is. How it lay in the telescope is in its solution, which comes
with the plate's metadata: some kilobytes a plate, asked once and kept with the session.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import FormatError, NotFound, RegionError, SkyvaultError
from skyvault.model.region import Polygon
from skyvault.quiet import quiet
from skyvault.session.archive import MosaicArchive
from skyvault.session.files import written_beside
from skyvault.session.mosaic_header import solutions_of

if TYPE_CHECKING:
    from skyvault.session.session import Session

Floats = np.ndarray[Any, np.dtype[np.float64]]
#: places along each edge: straight in the projection is straight on the sky, but distortion bends it
_PER_EDGE: Final = 8
_MOST_KEPT_BYTES: Final = 100_000_000


class PlateOutlines:
    """Outlines of a session's plates by plate and solution, kept in ``.skyvault/outlines.json``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._path: Path = session.path(".skyvault", "outlines.json")
        self._known: dict[str, list[list[float] | None]] = _kept(self._path)

    def of(self, wanted: Iterable[tuple[str, int]], *, most_asked: int) -> dict[tuple[str, int], Polygon]:
        """The outlines of (plate, solution from 0), as far as they are known, or the archive tells them.

        At most ``most_asked`` plates are asked for; those it does not answer for stay without an outline.
        """
        pairs = list(dict.fromkeys((str(plate), int(solution)) for plate, solution in wanted))
        missing = [plate for plate in dict.fromkeys(plate for plate, _ in pairs) if plate not in self._known]
        archive: object = self._session.archive if missing else None
        if isinstance(archive, MosaicArchive):
            asked = False
            for plate in missing[:most_asked]:
                try:
                    told = archive.mosaic_package(plate, 16).get("metadata")
                    self._known[plate] = outlines_of(told) if isinstance(told, dict) else []
                    asked = True
                except (FormatError, NotFound):
                    self._known[plate] = []
                except SkyvaultError as problem:
                    # this one may come another time; so would be the answers of the others
                    self._session._tell.warn(f"outlines of plates are not known: {problem}")
                    break
            if asked:
                with written_beside(self._path, is_precious=False) as beside:
                    beside.write_text(json.dumps(self._known), encoding="utf-8")
        found = {}
        for plate, solution in pairs:
            outlines = self._known.get(plate, [])
            flat = outlines[solution] if 0 <= solution < len(outlines) else None
            if flat is not None:
                found[plate, solution] = Polygon(tuple(zip(flat[::2], flat[1::2], strict=True)))
        return found


def outlines_of(told: Mapping[str, Any]) -> list[list[float] | None]:
    """For each solution of a plate's metadata its edge: lon, lat, lon, lat ... (ICRS degrees); None: cannot be drawn.

    Raises FormatError where the astrometry is damaged.
    """
    astrometry, mosaic = told.get("astrometry"), told.get("mosaic")
    if not isinstance(astrometry, dict) or not isinstance(mosaic, dict):
        return []
    try:
        width, height = int(mosaic["b01Width"]), int(mosaic["b01Height"])
        turned = int(astrometry.get("rotationDelta") or 0) % 180 != 0
    except (KeyError, TypeError, ValueError):
        raise FormatError("The archive does not tell the plate's size in pixels") from None
    # sizes are of the image as it is stored, solutions of the image as it was solved
    width, height = (height, width) if turned else (width, height)
    if not (0 < width < 1_000_000 and 0 < height < 1_000_000):
        raise FormatError(f"A plate cannot have {width} x {height} pixels")
    return [_edge(solution, width, height) for solution in solutions_of(astrometry.get("b01HeaderGz"))]


def _edge(solution: Mapping[str, Any], width: int, height: int) -> list[float] | None:
    from astropy.wcs import WCS, FITSFixedWarning

    step = np.arange(_PER_EDGE) / _PER_EDGE
    x = np.concatenate([step, np.ones(_PER_EDGE), 1.0 - step, np.zeros(_PER_EDGE)]) * width + 0.5
    y = np.concatenate([np.zeros(_PER_EDGE), step, np.ones(_PER_EDGE), 1.0 - step]) * height + 0.5
    words = dict(solution) | {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "CUNIT1": "deg", "CUNIT2": "deg",
                              "NAXIS": 2, "RADESYS": "ICRS"}  # fmt: skip
    try:
        with quiet(FITSFixedWarning):
            lon, lat = WCS(words).all_pix2world(x, y, 1)
        flat = np.stack([lon, lat], axis=1).reshape(-1)
        if not np.isfinite(flat).all():
            return None
        Polygon(tuple(zip(flat[::2].tolist(), flat[1::2].tolist(), strict=True)))
    except (ValueError, RegionError, ArithmeticError):
        return None
    return [round(float(value), 7) for value in flat]


def _kept(path: Path) -> dict[str, list[list[float] | None]]:
    """What is on disk; a damaged file counts as none."""
    try:
        if path.stat().st_size > _MOST_KEPT_BYTES:
            return {}
        told = json.loads(path.read_text(encoding="utf-8"))
        known: dict[str, list[list[float] | None]] = {}
        for plate, outlines in told.items():
            known[str(plate)] = [None if flat is None else [float(value) for value in flat] for flat in outlines]
            if any(flat is not None and (len(flat) < 6 or len(flat) % 2) for flat in known[str(plate)]):
                return {}
        return known
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
