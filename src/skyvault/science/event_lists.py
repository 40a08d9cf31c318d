"""Lists of photons (or particles) as X- and gamma-ray telescopes keep them in FITS: where, when, of which energies.

A table of events with TIME, a place on the sky (X and Y with a projection, or RA and DEC) and an energy (or its channel
PI), and tables of good time intervals (OGIP/93-003, OGIP/92-008). Read in strips: any number of events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.errors import FormatError
from skyvault.quiet import quiet
from skyvault.science.event_telescopes import TELESCOPES, EventTelescope
from skyvault.science.exposure_headers import instant_of
from skyvault.science.reprojected import in_a_line
from skyvault.science.samples import Floats

#: pixels of the binned picture along its longer side
PICTURE: Final = 512
#: a product of energy and wavelength, keV metres (CODATA 2018)
_HC_KEV_M: Final = 1.239841984e-9
#: events looked at at once
_STRIP: Final = 1_000_000
_KEV: Final = {"ev": 1e-3, "kev": 1.0, "mev": 1e3, "gev": 1e6, "tev": 1e9}
_DAY_S: Final = 86_400.0
_SCALES: Final = {"tt": "tt", "tdt": "tt", "et": "tt", "tdb": "tdb", "utc": "utc", "ut": "utc", "tai": "tai"}


@dataclass(frozen=True, slots=True)
class EventList:
    """What an event list is of. ICRS degrees, MJD (UTC), seconds, metres; None where the file does not say.

    ``outline`` is the hull of the events on the sky, shape (n, 2); ``nominal_deg`` the radius of the
    instrument's field. ``picture`` holds counts by pixel, north up, or None when events have no places.
    """

    count: int
    ra: float | None
    dec: float | None
    outline: Floats | None
    fov_deg: float | None
    nominal_deg: float | None
    begin_mjd: float | None
    end_mjd: float | None
    exposure_s: float | None
    resolution_s: float | None
    shortest_m: float | None
    longest_m: float | None
    picture: Floats | None
    words: Any
    hdu: int
    remarks: tuple[str, ...] = ()


def event_list_of(path: Path) -> EventList:
    """The first event list of a FITS file. Raises FormatError with what is wrong when there is none."""
    from astropy.io import fits

    try:
        with quiet(), fits.open(path, memmap=path.suffix.lower() not in (".gz", ".z", ".ftz", ".bz2")) as file:
            return _of(file)
    except FormatError as problem:
        raise FormatError(problem.what, where=path.name) from None
    except Exception as problem:
        raise FormatError(f"it cannot be read as an event list ({in_a_line(problem)})", where=path.name) from None


def _of(file: Any) -> EventList:
    number = _events_of(file)
    hdu = file[number]
    words = _words(file[0].header, hdu.header)
    telescope = TELESCOPES.get(str(words.get("TELESCOP", "")).strip().upper())
    names = {name.lower(): name for name in hdu.columns.names}
    remarks: list[str] = []
    count = len(hdu.data)
    place = _place(words)
    sky = _Sky.of(hdu, names, place)
    outline, picture = (None, None) if sky is None or not count else sky.seen(hdu)
    begin, end, good_s = _times(file, words, remarks)
    low, high = _energies(hdu, names, words, telescope)
    exposure = next((value for card in ("EXPOSURE", "ONTIME", "LIVETIME") if (value := _number(words, card))), good_s)
    nominal = None if telescope is None else telescope.radius_deg
    if place is None and outline is not None and sky is not None:
        place = sky.on_sky(*outline.mean(axis=0)[:, None])[0]
    on_sky = None if outline is None or sky is None else sky.on_sky(outline[:, 0], outline[:, 1])
    return EventList(
        count,
        None if place is None else float(place[0]),
        None if place is None else float(place[1]),
        on_sky,
        (2 * nominal if nominal else None) if outline is None else _extent(outline),
        nominal,
        begin,
        end,
        exposure,
        _number(words, "TIMEDEL"),
        None if high is None else _HC_KEV_M / high,
        None if low is None else _HC_KEV_M / low,
        picture,
        words,
        number,
        tuple(remarks),
    )


def _events_of(file: Any) -> int:
    """The number of the table of events."""
    tables = [(i, hdu) for i, hdu in enumerate(file) if getattr(hdu, "columns", None) is not None]
    for number, hdu in tables:
        if str(hdu.header.get("HDUCLAS1", "")).upper() == "EVENTS" or hdu.name.upper() in ("EVENTS", "STDEVT"):
            return number
    for number, hdu in tables:
        names = {name.lower() for name in hdu.columns.names}
        if "time" in names and names & {"pi", "pha", "energy", "event", "x", "rawx", "channel"} and "rate" not in names:
            return number
    raise FormatError("it holds no table of events")


def _words(first: Any, own: Any) -> Any:
    """The table's header, with what only the file's first one says."""
    whole = own.copy()
    for card in first.cards:
        if card.keyword and card.keyword not in whole and card.keyword not in ("COMMENT", "HISTORY"):
            whole.append(card)
    return whole


def _place(words: Any) -> tuple[float, float] | None:
    for lon, lat in (("RA_PNT", "DEC_PNT"), ("RA_NOM", "DEC_NOM"), ("RA_OBJ", "DEC_OBJ"), ("RA_TARG", "DEC_TARG")):
        ra, dec = _number(words, lon), _number(words, lat)
        if ra is not None and dec is not None and abs(dec) <= 90:
            return ra % 360.0, dec
    return None


def _number(words: Any, card: str) -> float | None:
    value = words.get(card)
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


# --- places ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sky:
    """Places of events in the plane that touches the sky at ``centre``: degrees to the east and north."""

    centre: tuple[float, float]
    columns: tuple[str, str]
    #: value to degrees: (value - zero) * step; None: columns are longitudes and latitudes
    axes: tuple[tuple[float, float], tuple[float, float]] | None
    limits: tuple[tuple[float, float], tuple[float, float]]

    @classmethod
    def of(cls, hdu: Any, names: Mapping[str, str], place: tuple[float, float] | None) -> _Sky | None:
        """Where the events of this table are; None when it does not say so on the sky."""
        everywhere = ((-np.inf, np.inf), (-np.inf, np.inf))
        if "x" in names and "y" in names:
            made = [_axis(hdu, names[name]) for name in ("x", "y")]
            along, up = made
            if along is not None and up is not None:
                (lon, zero_x, step_x, *limits_x), (lat, zero_y, step_y, *limits_y) = along, up
                axes = ((zero_x, step_x), (zero_y, step_y))
                limits = ((limits_x[0], limits_x[1]), (limits_y[0], limits_y[1]))
                return cls((lon % 360.0, lat), (names["x"], names["y"]), axes, limits)
        if "ra" in names and "dec" in names and place is not None:
            return cls(place, (names["ra"], names["dec"]), None, everywhere)
        return None

    def plane(self, hdu: Any) -> Iterator[tuple[Floats, Floats]]:
        """Degrees east and north of the centre, in strips."""
        columns = [hdu.data[name] for name in self.columns]
        for first in range(0, len(hdu.data), _STRIP):
            x, y = (np.asarray(column[first : first + _STRIP], np.float64) for column in columns)
            good = np.isfinite(x) & np.isfinite(y)
            for value, (low, high) in zip((x, y), self.limits, strict=True):
                good &= (value >= low) & (value <= high)
            x, y = x[good], y[good]
            if self.axes is None:
                x, y = _projected(x, y, *self.centre)
            else:
                (zero_x, step_x), (zero_y, step_y) = self.axes
                # steps to the east are negative: X grows to the right
                x, y = (x - zero_x) * step_x, (y - zero_y) * step_y
            yield x, y

    def seen(self, hdu: Any) -> tuple[Floats | None, Floats | None]:
        """The hull of all events in the plane, shape (n, 2), and their picture; None without events."""
        low, high = np.full(2, np.inf), np.full(2, -np.inf)
        for x, y in self.plane(hdu):
            if len(x):
                low = np.minimum(low, (x.min(), y.min()))
                high = np.maximum(high, (x.max(), y.max()))
        if not np.isfinite(low).all():
            return None, None
        side = float(max((high - low).max(), 1e-6)) / PICTURE
        width, height = (int(np.floor((high[i] - low[i]) / side)) + 1 for i in (0, 1))
        counts = np.zeros(height * width, np.int64)
        for x, y in self.plane(hdu):
            across = np.minimum(((high[0] - x) / side).astype(np.int64), width - 1)
            up = np.minimum(((y - low[1]) / side).astype(np.int64), height - 1)
            counts += np.bincount(up * width + across, minlength=len(counts))
        picture = counts.reshape(height, width)
        rows, columns = np.nonzero(picture)
        # corners of the outermost pixels of each row: the hull of all is the hull of these
        firsts = np.flatnonzero(np.r_[True, np.diff(rows) > 0])
        lasts = np.r_[firsts[1:], len(rows)] - 1
        corners = [
            (high[0] - (columns[ends] + right) * side, low[1] + (rows[ends] + top) * side)
            for ends, right in ((firsts, 0), (lasts, 1))
            for top in (0, 1)
        ]
        points = np.concatenate([np.stack(pair, axis=1) for pair in corners])
        return _hull(points), picture.astype(np.float64)

    def on_sky(self, x: Floats, y: Floats) -> Floats:
        """Places of the plane as ICRS degrees, shape (n, 2)."""
        ra0, dec0 = np.radians(self.centre[0]), np.radians(self.centre[1])
        east, north = np.radians(np.asarray(x)), np.radians(np.asarray(y))
        down = np.cos(dec0) - north * np.sin(dec0)
        ra = ra0 + np.arctan2(east, down)
        dec = np.arctan2(np.sin(dec0) + north * np.cos(dec0), np.hypot(east, down))
        return np.stack([np.degrees(ra) % 360.0, np.degrees(dec)], axis=1)


def _axis(hdu: Any, name: str) -> tuple[float, float, float, float, float] | None:
    """The value at the reference, its pixel, the step, least and largest pixel of a column; None where not said."""
    number = hdu.columns.names.index(name) + 1
    header = hdu.header
    kind = str(header.get(f"TCTYP{number}") or header.get(f"REF{name.upper()}CTYP") or "")
    # of other projections the plane is another
    if not kind.upper().endswith("TAN"):
        return None
    found = []
    for card, other in (("TCRVL", "CRVL"), ("TCRPX", "CRPX"), ("TCDLT", "CDLT")):
        value = _number(header, f"{card}{number}")
        value = _number(header, f"REF{name.upper()}{other}") if value is None else value
        if value is None:
            return None
        found.append(value)
    low, high = _number(header, f"TLMIN{number}"), _number(header, f"TLMAX{number}")
    return found[0], found[1], found[2], -np.inf if low is None else low, np.inf if high is None else high


def _projected(ra: Floats, dec: Floats, ra0: float, dec0: float) -> tuple[Floats, Floats]:
    """Degrees east and north in the plane that touches the sky at (ra0, dec0); what lies behind it is left out."""
    lon, lat = np.radians(ra - ra0), np.radians(dec)
    sin0, cos0 = np.sin(np.radians(dec0)), np.cos(np.radians(dec0))
    depth = sin0 * np.sin(lat) + cos0 * np.cos(lat) * np.cos(lon)
    good = depth > 0.1
    lon, lat, depth = lon[good], lat[good], depth[good]
    east = np.cos(lat) * np.sin(lon) / depth
    north = (cos0 * np.sin(lat) - sin0 * np.cos(lat) * np.cos(lon)) / depth
    return np.degrees(east), np.degrees(north)


def _hull(points: Floats) -> Floats:
    """The convex hull of points of a plane, counter-clockwise with east to the left (Andrew's monotone chain)."""
    # plain numbers: arrays of two cost ten times as much
    ordered = sorted(set(map(tuple, points.tolist())))

    def half(some: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        chain: list[tuple[float, float]] = []
        for x, y in some:
            while len(chain) >= 2:
                (ax, ay), (bx, by) = chain[-2], chain[-1]
                if (bx - ax) * (y - ay) > (by - ay) * (x - ax):
                    break
                chain.pop()
            chain.append((x, y))
        return chain[:-1]

    hull = np.array([*half(ordered), *half(reversed(ordered))])
    # no footprint needs more corners: every k-th is as good to a pixel or two
    return hull if len(hull) <= 48 else hull[:: -(-len(hull) // 48)]


def _extent(outline: Floats) -> float:
    """The longest distance between two corners, degrees."""
    apart = outline[:, None, :] - outline[None, :, :]
    return float(np.hypot(apart[..., 0], apart[..., 1]).max())


# --- times and energies ----------------------------------------------------------------------------------------------


def _times(file: Any, words: Any, remarks: list[str]) -> tuple[float | None, float | None, float | None]:
    """Begin and end (MJD, UTC), and the seconds between them that are good."""
    spans = [(float(np.min(begin)), float(np.max(end)), float(np.sum(end - begin))) for begin, end in _intervals(file)]
    good_s = spans[0][2] if spans else None
    begin = min((one[0] for one in spans), default=_number(words, "TSTART"))
    end = max((one[1] for one in spans), default=_number(words, "TSTOP"))
    zero = _reference(words)
    if begin is not None and end is not None and zero is not None:
        unit_d = 1.0 if str(words.get("TIMEUNIT", "s")).strip().lower() in ("d", "day", "days") else 1.0 / _DAY_S
        more = _number(words, "TIMEZERO") or (_number(words, "TIMEZERI") or 0.0) + (_number(words, "TIMEZERF") or 0.0)
        scale = str(words.get("TIMESYS", "")).strip().lower()
        if scale not in _SCALES:
            remarks.append(f"its time system is not known ({scale or 'none is given'}): taken as TT")
        to_utc = _utc(_SCALES.get(scale, "tt"))
        return to_utc(zero + (begin + more) * unit_d), to_utc(zero + (end + more) * unit_d), good_s
    return _date(words, "DATE-OBS", remarks), _date(words, "DATE-END", remarks), good_s


def _intervals(file: Any) -> Iterator[tuple[Floats, Floats]]:
    for hdu in file:
        columns = getattr(hdu, "columns", None)
        if columns is None or not ("GTI" in hdu.name.upper() or str(hdu.header.get("HDUCLAS1", "")).upper() == "GTI"):
            continue
        names = {name.lower(): name for name in columns.names}
        if "start" in names and "stop" in names and hdu.data is not None and len(hdu.data):
            begin, end = (np.asarray(hdu.data[names[name]], np.float64) for name in ("start", "stop"))
            good = np.isfinite(begin) & np.isfinite(end) & (end >= begin)
            if good.any():
                yield begin[good], end[good]


def _reference(words: Any) -> float | None:
    whole = _number(words, "MJDREFI")
    if whole is not None:
        return whole + (_number(words, "MJDREFF") or 0.0)
    return _number(words, "MJDREF")


def _utc(scale: str) -> Callable[[float], float]:
    def convert(mjd: float) -> float:
        from astropy.time import Time

        return float(Time(mjd, format="mjd", scale=scale).utc.mjd)

    return convert


def _date(words: Any, card: str, remarks: list[str]) -> float | None:
    text = words.get(card)
    if not isinstance(text, str) or not text.strip():
        return None
    try:
        return instant_of(text).mjd
    except ValueError as problem:
        remarks.append(f"its date is not understood: {problem}")
        return None


def _energies(
    hdu: Any, names: Mapping[str, str], words: Any, telescope: EventTelescope | None
) -> tuple[float | None, float | None]:
    """The lowest and highest energy of the events (keV): their own, or the instrument's."""
    nominal = (None, None) if telescope is None else (telescope.low_kev, telescope.high_kev)
    scale = offset = 0.0
    name = names.get("energy")
    if name is not None:
        unit = str(hdu.columns[name].unit or "").strip().lower()
        # OGIP has no default; Chandra's and XMM's are eV
        scale = _KEV.get(unit, 0.0 if unit else 1.0 if telescope is None or telescope.kev_pi is None else 1e-3)
    if not scale and "pi" in names and telescope is not None and telescope.kev_pi is not None:
        name, scale, offset = names["pi"], telescope.kev_pi, telescope.kev_0
    if name is None or not scale:
        low, high = _number(words, "E_MIN"), _number(words, "E_MAX")
        return (low, high) if low and high and 0 < low < high else nominal
    low, high = np.inf, -np.inf
    column = hdu.data[name]
    for first in range(0, len(column), _STRIP):
        values = np.asarray(column[first : first + _STRIP], np.float64).reshape(-1) * scale + offset
        values = values[np.isfinite(values) & (values > 0)]
        if nominal[0] is not None and nominal[1] is not None:
            # channels at the ends hold what the detector could not measure
            values = values[(values >= nominal[0]) & (values <= nominal[1])]
        if len(values):
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return (low, high) if np.isfinite(low) else nominal
