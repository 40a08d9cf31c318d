"""Numbers, sizes, dates and addresses as people read them on the pages."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

from skyvault.model.table import Column, TimeFrame

_SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB")


def count(number: int | None) -> str:
    """1234567 -> "1,234,567"; nothing for what is not known."""
    return "" if number is None else f"{number:,}"


def size(number: float) -> str:
    """Bytes in decimal units, three digits: 1234567 -> "1.23 MB"."""
    power = 0
    while number >= 999.5 and power < len(_SIZES) - 1:
        number /= 1000
        power += 1
    return f"{number:.3g} {_SIZES[power]}" if power else f"{number:.0f} {_SIZES[0]}"


def date(seconds: float) -> str:
    """Seconds since 1970 as a day and minute, UTC; nothing for zero."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC") if seconds else ""


def value(number: object) -> str:
    """A smallest or largest value: floats to seven digits, whole numbers whole, texts (times) as they are."""
    if number is None:
        return ""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return str(number)
    if isinstance(number, int):
        return str(number)
    return f"{number:.7g}"


def share(part: int | None, whole: int | None) -> float | None:
    """Percent; None where it is not known."""
    return None if part is None or not whole else 100.0 * part / whole


def percent(number: float | None) -> str:
    """Percent as text: 100 and 0 only where it is exactly that."""
    if number is None:
        return ""
    if number in (0.0, 100.0):
        return f"{number:.0f} %"
    if number < 0.1:
        return "< 0.1 %"
    if number > 99.9:
        return "> 99.9 %"
    return f"{number:.1f} %"


def area(deg2: float) -> str:
    """Square degrees to three digits or whole: 35,700; 12.3; 0.0123."""
    return f"{deg2:,.0f}" if deg2 >= 1000 else f"{deg2:.3g}"


def kind(column: Column) -> str:
    """The type of a column as people name it: double, char(12), double[3], char(*) timestamp."""
    text: str = column.datatype
    if column.is_text and column.arraysize not in (None, ""):
        text += f"({column.arraysize})"
    elif column.is_array:
        text += f"[{column.arraysize}]"
    return f"{text} {column.xtype}" if column.xtype else text


def sentence(text: str) -> str:
    """With a capital at its beginning and a stop at its end."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else text + "."


def web_address(text: str | None) -> str | None:
    """The text if it is an address a page may link to (http, https), else None: no script, no file."""
    if not text or not re.match(r"https?://[^\s/]", text, re.IGNORECASE):
        return None
    try:
        return text if urlsplit(text).hostname else None
    except ValueError:
        return None


def contact_address(text: str | None) -> str | None:
    """Where a link for the service's contact leads: a page, or mailto: for a mail address."""
    if text and re.fullmatch(r"[^\s@<>()?&%,;:\"]+@[^\s@<>()?&%,;:\"]+", text):
        return f"mailto:{quote(text, safe='@+.')}"
    return web_address(text)


def day(mjd: float) -> str:
    """A Modified Julian Date as a day of the calendar; the number itself where no calendar has it."""
    try:
        return (datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=mjd)).strftime("%Y-%m-%d")
    except (OverflowError, ValueError):
        return f"MJD {mjd:g}"


def instant(mjd: float) -> str:
    """A Modified Julian Date to the second."""
    try:
        at = datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=mjd)
        return (at + timedelta(microseconds=500_000)).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError):
        return f"MJD {mjd:g}"


def sexagesimal(lon: float, lat: float) -> str:
    """A position in degrees as hours and degrees: 05:36:12.76 -01:12:06.9."""
    hundredths = round(lon % 360 / 15 * 360_000) % (24 * 360_000)
    tenths = round(abs(lat) * 36_000)
    hours = f"{hundredths // 360_000:02d}:{hundredths // 6_000 % 60:02d}:{hundredths % 6_000 / 100:05.2f}"
    degrees = f"{tenths // 36_000:02d}:{tenths // 600 % 60:02d}:{tenths % 600 / 10:04.1f}"
    return f"{hours} {'-' if lat < 0 else '+'}{degrees}"


def angle(degrees: float) -> str:
    """An angle in degrees, arcminutes or arcseconds, whichever reads best."""
    for factor, unit in ((1.0, "\u00b0"), (60.0, "'")):
        if degrees * factor >= 1.0:
            return f"{degrees * factor:.3g}{unit}"
    return f'{degrees * 3600:.3g}"'


def frame_of_times(frame: TimeFrame) -> str:
    """A scale of time as people say it: "UTC, topocenter, MJD"; "TDB, barycenter, days since JD 2454833.0"."""
    origin = (frame.timeorigin or "").strip()
    zero = {"MJD-origin": "MJD", "JD-origin": "JD", "": ""}.get(origin, f"since JD {origin}")
    return ", ".join(one for one in (frame.timescale, frame.refposition.lower(), zero) if one)


def wavelength(metres: float) -> str:
    """A wavelength in the unit its astronomers use: "551 nm", "21 cm", "0.12 nm"."""
    for limit, factor, unit in (
        (1e-12, 1e15, "fm"),
        (1e-9, 1e12, "pm"),
        (1e-6, 1e9, "nm"),
        (1e-3, 1e6, "\u00b5m"),
        (1e-2, 1e3, "mm"),
        (1.0, 1e2, "cm"),
    ):
        if metres < limit:
            return f"{metres * factor:.3g} {unit}"
    return f"{metres:.3g} m"


#: what templates may use
FILTERS = (
    count,
    size,
    area,
    date,
    value,
    percent,
    kind,
    sentence,
    web_address,
    contact_address,
    day,
    wavelength,
    frame_of_times,
)


# ---------------------------------------------------------------- how to ask from elsewhere


def pyvo_snippet(tap: str, query: str, *, upload: bool = False) -> str:
    """Python that runs a query with pyvo. ``tap`` is the absolute address of the TAP service."""
    is_plain = "\\" not in query and '"""' not in query
    text = f'"""\n{query}\n"""' if is_plain else repr(query)
    lines = ["import pyvo", "", f"tap = pyvo.dal.TAPService({tap!r})"]
    if upload:
        lines = [
            "import astropy.units as u",
            "from astropy.table import Table",
            *lines,
            'mine = Table({"ra": [83.82, 84.05] * u.deg, "dec": [-5.39, -1.2] * u.deg})',
            f'rows = tap.search({text}, uploads={{"mine": mine}}).to_table()',
        ]
    else:
        lines.append(f"rows = tap.search({text}).to_table()")
    return "\n".join([*lines, "print(rows)"])


def curl_snippet(tap: str, query: str, *, upload: bool = False) -> str:
    """A shell command that runs a query with curl and prints CSV."""
    address = shlex.quote(f"{tap}/sync")
    asked = shlex.quote(f"QUERY={query}")
    if upload:
        parts = ["-F LANG=ADQL", "-F FORMAT=csv", "-F UPLOAD=mine,param:mine", "-F mine=@mine.vot"]
        parts.append(f"--form-string {asked}")
    else:
        parts = ["-d LANG=ADQL", "-d FORMAT=csv", f"--data-urlencode {asked}"]
    return f"curl {address} \\\n  " + " \\\n  ".join(parts)
