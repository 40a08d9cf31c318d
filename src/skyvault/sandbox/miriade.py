"""The ephemeris service Miriade of the IMCCE, in small: where comet 2P/Encke was in 1941, as sexagesimal text.

The comet follows one Kepler orbit (mean elements of its 1941 return, rounded), the Earth the Sun's low-precision theory
(Meeus, Astronomical Algorithms, chapter 25), light time included: some arcminutes from the truth, and smooth. As the
real service does, it tells neither the frame of the positions (there is no COOSYS) nor a unit anybody can parse.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final
from urllib.parse import unquote_plus
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skyvault.sandbox.emulation import Emulation

_MOST_DATES: Final = 5000
_NAMES: Final = frozenset(("p/encke", "2p", "2p/encke", "encke"))
_UNITS_S: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_J2000_JD: Final = 2451545.0
#: ecliptic and equator of J2000, degrees
_OBLIQUITY: Final = math.radians(23.4392911)
_LIGHT_DAYS_AU: Final = 0.0057755183
#: days a radian: one over Gauss's constant
_GAUSS: Final = 0.01720209895


@dataclass(frozen=True, slots=True)
class Orbit:
    """Perihelion (JD), its distance (au), eccentricity, and the angles of an orbit in degrees of ecliptic J2000."""

    perihelion_jd: float
    q_au: float
    eccentricity: float
    argument_deg: float
    node_deg: float
    inclination_deg: float

    def place(self, jd: float) -> tuple[float, float, float]:
        """Heliocentric ecliptic coordinates, au."""
        a = self.q_au / (1.0 - self.eccentricity)
        mean = _GAUSS / a**1.5 * (jd - self.perihelion_jd)
        anomaly = _eccentric_anomaly(math.remainder(mean, 2.0 * math.pi), self.eccentricity)
        x = a * (math.cos(anomaly) - self.eccentricity)
        y = a * math.sqrt(1.0 - self.eccentricity**2) * math.sin(anomaly)
        w, o, i = (math.radians(angle) for angle in (self.argument_deg, self.node_deg, self.inclination_deg))
        u, v = x * math.cos(w) - y * math.sin(w), x * math.sin(w) + y * math.cos(w)
        return (
            u * math.cos(o) - v * math.sin(o) * math.cos(i),
            u * math.sin(o) + v * math.cos(o) * math.cos(i),
            v * math.sin(i),
        )


ENCKE_1941: Final = Orbit(2430102.0, 0.3410, 0.8464, 185.21, 335.45, 12.35)


@dataclass(frozen=True, slots=True)
class Seen:
    """Where something stands for an observer at the Earth's centre: degrees (J2000), au, magnitude."""

    jd: float
    ra_deg: float
    dec_deg: float
    distance_au: float
    phase_deg: float
    elongation_deg: float
    mag: float


class Miriade(Emulation):
    """``/ephemcc.php?-name=c:p/encke&-ep=1941-04-01&-nbd=90&-step=1d&-mime=votable``."""

    name: ClassVar[str] = "miriade"
    services: ClassVar[Mapping[str, str]] = {"ephemcc": "/ephemcc.php"}

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/ephemcc.php", _answer)]


def _answer(request: Request) -> Response:
    asked: dict[str, str] = {}
    for part in request.url.query.split("&"):
        name, _, value = part.partition("=")
        asked[name.lstrip("-")] = unquote_plus(value)
    try:
        seen = list(_ephemeris(asked))
    except ValueError as error:
        return Response(_document([], str(error)), 400, media_type="application/x-votable+xml")
    if asked.get("mime", "votable") == "text":
        lines = [f"  {_date(one.jd)}  {_hms(one.ra_deg)}  {_dms(one.dec_deg)}  {one.distance_au:.9f}\n" for one in seen]
        return Response("# Flag: 1\n# Ephemeris of P/Encke\n" + "".join(lines), media_type="text/plain")
    return Response(_document(seen, None), media_type="application/x-votable+xml")


def _ephemeris(asked: Mapping[str, str]) -> Iterator[Seen]:
    body = asked.get("name", "").lower().strip()
    if body.removeprefix("c:").strip() not in _NAMES:
        raise ValueError(f"unknown solar system body {asked.get('name', '')[:60]!r}")
    if asked.get("mime", "votable") not in ("votable", "text"):
        raise ValueError("the sandbox writes -mime=votable and -mime=text")
    try:
        count = int(asked.get("nbd", "1"))
        step = re.fullmatch(r"(\d+(?:\.\d*)?)([dhms])", asked.get("step", "1d"))
        if step is None or not 1 <= count <= _MOST_DATES:
            raise ValueError
        step_days = float(step[1]) * _UNITS_S[step[2]] / 86400.0
        begin = _julian_day(asked.get("ep", "now"))
    except (ValueError, OverflowError):
        raise ValueError(f"-ep, -nbd (1 to {_MOST_DATES}) or -step (such as 1d) cannot be read") from None
    for number in range(count):
        yield seen_from_earth(ENCKE_1941, begin + number * step_days)


def seen_from_earth(orbit: Orbit, jd: float) -> Seen:
    """Astrometric place at a time (JD, dynamical)."""
    sun = _sun(jd)
    delay = 0.0
    for _ in range(3):
        x, y, z = orbit.place(jd - delay)
        gx, gy, gz = x + sun[0], y + sun[1], z + sun[2]
        distance = math.sqrt(gx * gx + gy * gy + gz * gz)
        delay = distance * _LIGHT_DAYS_AU
    cos, sin = math.cos(_OBLIQUITY), math.sin(_OBLIQUITY)
    ra = math.degrees(math.atan2(gy * cos - gz * sin, gx)) % 360.0
    dec = math.degrees(math.asin((gy * sin + gz * cos) / distance))
    r, solar = math.sqrt(x * x + y * y + z * z), math.sqrt(sun[0] ** 2 + sun[1] ** 2)
    phase = math.degrees(math.acos((r * r + distance**2 - solar**2) / (2.0 * r * distance)))
    elongation = math.degrees(math.acos((solar**2 + distance**2 - r * r) / (2.0 * solar * distance)))
    mag = 11.5 + 5.0 * math.log10(distance) + 10.0 * math.log10(r)
    return Seen(jd, ra, dec, distance, phase, elongation, mag)


def _eccentric_anomaly(mean: float, eccentricity: float) -> float:
    anomaly = mean + eccentricity * math.sin(mean)
    for _ in range(100):
        change = (anomaly - eccentricity * math.sin(anomaly) - mean) / (1.0 - eccentricity * math.cos(anomaly))
        # near perihelion Newton's steps overshoot
        anomaly -= max(-0.5, min(0.5, change))
        if abs(change) < 1e-13:
            break
    return anomaly


def _sun(jd: float) -> tuple[float, float, float]:
    """The Sun from the Earth, ecliptic of J2000, au."""
    t = (jd - _J2000_JD) / 36525.0
    mean = math.radians(357.52911 + 35999.05029 * t)
    centre = (
        (1.914602 - 0.004817 * t) * math.sin(mean)
        + (0.019993 - 0.000101 * t) * math.sin(2.0 * mean)
        + 0.000289 * math.sin(3.0 * mean)
    )
    # back from the equinox of date
    longitude = math.radians(280.46646 + 36000.76983 * t + centre - 1.397 * t)
    eccentricity = 0.016708634 - 0.000042037 * t
    distance = 1.000001018 * (1.0 - eccentricity**2) / (1.0 + eccentricity * math.cos(mean + math.radians(centre)))
    return distance * math.cos(longitude), distance * math.sin(longitude), 0.0


# --- how it is written -----------------------------------------------------------------------------------------------

# texts of fixed length, which astropy reads as texts and not as objects
_FIELDS: Final = (
    ("target", "char", "7", "", "meta.id;meta.name"),
    ("epoch", "char", "23", "", "time.epoch"),
    ("ra", "char", "14", "h:m:s", "pos.eq.ra;meta.main"),
    ("dec", "char", "14", "d:m:s", "pos.eq.dec;meta.main"),
    ("dist", "double", "", "au", "pos.distance"),
    ("mv", "float", "", "mag", "phot.mag;em.opt.V"),
    ("phase", "float", "", "deg", "pos.phaseAng"),
    ("elong", "float", "", "deg", "pos.angDistance"),
)


def _document(seen: Sequence[Seen], error: str | None) -> str:
    status = f'<INFO name="QUERY_STATUS" value="ERROR">{escape(error)}</INFO>' if error else ""
    ok = '<INFO name="QUERY_STATUS" value="OK"/>'
    fields = "".join(
        f'<FIELD ID="{name}" name="{name}" datatype="{kind}"{f" arraysize={size!r}" if size else ""}'
        f'{f" unit={unit!r}" if unit else ""} ucd="{ucd}"/>\n'
        for name, kind, size, unit, ucd in _FIELDS
    )
    rows = "".join(
        f"<TR><TD>P/Encke</TD><TD>{_date(one.jd)}</TD><TD>{_hms(one.ra_deg)}</TD><TD>{_dms(one.dec_deg)}</TD>"
        f"<TD>{one.distance_au:.9f}</TD><TD>{one.mag:.2f}</TD><TD>{one.phase_deg:.2f}</TD>"
        f"<TD>{one.elongation_deg:.2f}</TD></TR>\n"
        for one in seen
    )
    table = f'<TABLE name="Miriade.ephemcc">\n{fields}<DATA><TABLEDATA>\n{rows}</TABLEDATA></DATA>\n</TABLE>\n'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
        f'<RESOURCE type="results">\n{status or ok}\n{"" if error else table}</RESOURCE>\n</VOTABLE>\n'
    )


def _date(jd: float) -> str:
    date = datetime(2000, 1, 1, 12, tzinfo=UTC) + timedelta(seconds=round((jd - _J2000_JD) * 86400.0, 3))
    return date.strftime("%Y-%m-%dT%H:%M:%S.") + f"{date.microsecond // 1000:03d}"


def _julian_day(text: str) -> float:
    if re.fullmatch(r"\d+(?:\.\d*)?", text):
        day = float(text)
        # what the calendar of this language can tell
        if not 1721426.0 <= day <= 5373484.0:
            raise ValueError
        return day
    date = datetime.now(UTC) if text == "now" else datetime.fromisoformat(text)
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return _J2000_JD + (date - datetime(2000, 1, 1, 12, tzinfo=UTC)).total_seconds() / 86400.0


def _hms(ra_deg: float) -> str:
    units = round(ra_deg / 15.0 * 3600e5) % (24 * 3600 * 100000)
    hours, rest = divmod(units, 3600 * 100000)
    minutes, rest = divmod(rest, 60 * 100000)
    return f"{hours:02d}:{minutes:02d}:{rest // 100000:02d}.{rest % 100000:05d}"


def _dms(dec_deg: float) -> str:
    units = round(abs(dec_deg) * 3600e4)
    degrees, rest = divmod(units, 3600 * 10000)
    minutes, rest = divmod(rest, 60 * 10000)
    return f"{'-' if dec_deg < 0 else '+'}{degrees:02d}:{minutes:02d}:{rest // 10000:02d}.{rest % 10000:04d}"
