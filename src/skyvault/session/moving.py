"""Moving targets: exposures that should show a comet or asteroid, of a session or of any ObsTAP service."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import numpy as np

from skyvault.errors import NotFound, ParameterError
from skyvault.science.ephemeris import Ephemeris
from skyvault.science.ephemeris_match import ExposureList, ephemeris_query, match_ephemeris

if TYPE_CHECKING:
    from skyvault.session.session import Session

#: where ephemerides of designations come from (IMCCE)
MIRIADE: Final = "https://vo.imcce.fr/webservices/miriade/ephemcc.php"
_MOST_DATES: Final = 5000
#: plates whose outlines are asked for in one search; others stay circles
_MOST_OUTLINES: Final = 500
#: what ephemeris services call these columns, lower case
_TIMES: Final = ("epoch", "mjd", "jd", "datetime_jd", "time", "date", "datetime_str")
_RAS: Final = ("ra", "raj2000", "alpha", "ra2000")
_DECS: Final = ("dec", "de", "decj2000", "dej2000", "delta2000")
_MAGS: Final = ("mv", "vmag", "v", "mag", "magnitude", "tmag")


def ephemeris_of(
    session: Session,
    what: Any,
    *,
    begin: Any = None,
    days: int = 90,
    step_days: float = 1.0,
    observer: str = "500",
) -> Ephemeris:
    """An ephemeris as it is, from a table's columns, or of a designation ("p/encke") asked of Miriade.

    ``begin`` is an astropy Time, or ISO text, for ``days`` positions each ``step_days`` apart, as seen from
    ``observer`` (IAU code; 500 is the Earth's centre). The service tells no frame: positions are taken for ICRS.
    Raises NotFound for what Miriade does not know, ParameterError for a table without the columns.
    """
    if isinstance(what, Ephemeris):
        return what
    if isinstance(what, str):
        return _asked(session, what, begin, days, step_days, observer)
    names = {str(name).lower(): name for name in _column_names(what)}

    def column(candidates: tuple[str, ...], meaning: str) -> Any:
        for one in candidates:
            if one in names:
                values = what[names[one]]
                return values.to_pylist() if hasattr(values, "to_pylist") else np.ma.asarray(values)
        if not meaning:
            return None
        raise ParameterError(
            f"the table has no column of {meaning}", hint=f"Name it {candidates[0]}; there are: {', '.join(names)}."
        )

    return Ephemeris.from_columns(
        column(_TIMES, "times"),
        column(_RAS, "right ascension"),
        column(_DECS, "declination"),
        magnitude=column(_MAGS, ""),
    )


def _column_names(table: Any) -> list[str]:
    return list(getattr(table, "colnames", None) or getattr(table, "column_names", None) or ())


def _asked(session: Session, name: str, begin: Any, days: int, step_days: float, observer: str) -> Ephemeris:
    from skyvault.config import Settings
    from skyvault.find.results import read_document
    from skyvault.missions.connections import default_archives
    from skyvault.net.faults import FetchError

    if begin is None:
        raise ParameterError("an ephemeris of a designation needs a begin", hint='Give begin="1941-04-01".')
    if not 2 <= int(days) <= _MOST_DATES or not step_days > 0:
        raise ParameterError(f"an ephemeris has 2 to {_MOST_DATES} positions, some time apart")
    settings = session._settings or Settings()
    url = settings.endpoint("miriade", "ephemcc", MIRIADE)
    when = begin.utc.isot if hasattr(begin, "utc") else str(begin)
    asked = {"name": name if ":" in name else f"c:{name}", "ep": when, "nbd": str(int(days)), "step": f"{step_days:g}d",
             "observer": observer, "mime": "votable"}  # fmt: skip
    query = "&".join(f"-{key}={quote(value, safe='/:')}" for key, value in asked.items())
    try:
        answer = default_archives(settings).client.request("GET", f"{url}?{query}", limit_bytes=50_000_000)
    except FetchError as problem:
        raise NotFound(f"Miriade gives no ephemeris of {name[:60]!r}", hint=f"It said: {problem.what[:200]}") from None
    skeleton, rows = read_document(io.BytesIO(answer.body), url)
    fields = [str(field.name) for table in skeleton.iter_tables() for field in table.fields][: rows.num_columns]
    if not rows.num_rows:
        raise NotFound(f"Miriade gives no ephemeris of {name[:60]!r}", hint="See its page for how bodies are named.")
    return ephemeris_of(session, rows.rename_columns(fields))


def match_moving(
    session: Session,
    what: Any,
    service: Any = None,
    *,
    table: str = "ivoa.ObsCore",
    collection: str | None = None,
    exposures: Any = None,
    settings_of_ephemeris: dict[str, Any],
) -> Any:
    """See :meth:`skyvault.session.beyond_plates.BeyondPlates.match_ephemeris`."""
    from astropy.table import Table

    ephemeris = ephemeris_of(session, what, **settings_of_ephemeris)
    if service is not None:
        candidates = _of_service(session, service, ephemeris, table, collection)
    elif exposures is not None:
        candidates = Table(exposures)
    else:
        return _plates_match(session, ephemeris)
    return _ranked(candidates, _footprints(candidates), ephemeris)


def _plates_match(session: Session, ephemeris: Ephemeris) -> Any:
    """The session's plates: circles around them sort out most, the true outlines of the others decide."""
    from skyvault.model.region import Circle
    from skyvault.session.cells import values_and_mask
    from skyvault.session.plate_outlines import PlateOutlines
    from skyvault.sky.shapes import Shapes

    exposures, circles = session.exposures(), _plate_circles(session)
    rows = np.sort(match_ephemeris(ephemeris, circles).row)
    solutions = values_and_mask(exposures["solnum"])
    solved = np.asarray(exposures.match.has_imaging())[rows] & ~solutions[1][rows]
    names = [(str(exposures.exposure_id(int(row)).plate), int(solutions[0][row])) for row in rows]
    known = PlateOutlines(session).of(
        [name for name, is_solved in zip(names, solved, strict=True) if is_solved], most_asked=_MOST_OUTLINES
    )
    outlines = [known.get(name) if is_solved else None for name, is_solved in zip(names, solved, strict=True)]
    regions = [
        outline or Circle(circles.ra[row], circles.dec[row], min(circles.radius[row], 180.0))
        for row, outline in zip(rows.tolist(), outlines, strict=True)
    ]
    table = _plates(session)[rows]
    table["outline"] = np.array(["circle" if outline is None else "plate" for outline in outlines], dtype="U6")
    exact = ExposureList.from_footprints(
        circles.t_min[rows],
        circles.t_max[rows],
        Shapes.from_regions(regions),
        limiting_magnitude=circles.limiting_magnitude[rows],
    )
    return _ranked(table, exact, ephemeris)


def _of_service(session: Session, service: Any, ephemeris: Ephemeris, table: str, collection: str | None) -> Any:
    from astropy.table import Table

    from skyvault.find.tap import get_tap_service

    tap = get_tap_service(service, settings=session._settings) if isinstance(service, str) else service
    found = tap.search(ephemeris_query(table, collection=collection), uploads={"orbit": Table(ephemeris.segments())})
    rows = found.to_table()
    if not len(rows):
        return rows
    key = "obs_publisher_did" if "obs_publisher_did" in rows.colnames else None
    if key is None:
        return rows
    # one exposure that lasts over several segments comes back for each
    names = np.array([f"{row}" for row in rows[key].tolist()])
    span = np.array([f"{a}/{b}" for a, b in zip(rows["t_min"].tolist(), rows["t_max"].tolist(), strict=True)])
    _, first = np.unique(np.char.add(np.char.add(names, " "), span), return_index=True)
    return rows[np.sort(first)]


def _footprints(table: Any) -> ExposureList:
    from skyvault.errors import RegionError
    from skyvault.model.region import Region
    from skyvault.sky.region_text import parse_region
    from skyvault.sky.shapes import Shapes

    for name in ("t_min", "t_max", "s_region"):
        if name not in table.colnames:
            raise ParameterError(f"the exposures have no column {name}", hint="They need ObsCore's columns.")

    def region(text: Any) -> Region | None:
        if text is None or text is np.ma.masked or not str(text).strip():
            return None
        try:
            return parse_region(str(text))
        except RegionError:
            return None

    # what lies nowhere, or is written as nobody can read, matches nothing
    regions = [region(text) for text in table["s_region"]]
    depth = _numbers(table, "lim_mag") if "lim_mag" in table.colnames else None
    return ExposureList.from_footprints(
        _numbers(table, "t_min"), _numbers(table, "t_max"), Shapes.from_regions(regions), limiting_magnitude=depth
    )


def _numbers(table: Any, name: str) -> Any:
    return np.ma.filled(np.ma.asarray(table[name], dtype=np.float64), np.nan)


def _plates(session: Session) -> Any:
    from astropy.table import Table

    exposures = session.exposures()
    names = [str(exposures.exposure_id(row)) for row in range(len(exposures))]
    return Table({"exposure": names, "local_id": np.asarray(exposures["local_id"])})


def _plate_circles(session: Session) -> ExposureList:
    """Plates as circles around them: too large, since how a plate was turned is not in the table."""
    from skyvault.missions.dasch_series import half_side_deg
    from skyvault.session.cells import values_and_mask

    exposures = session.exposures()
    middle = exposures.julian_dates() - 2_400_000.5
    minutes, unknown = values_and_mask(exposures["exptime"])
    half = np.where(unknown, 0.0, np.clip(minutes, 0.0, None)) / 2880.0
    series = np.asarray(values_and_mask(exposures["series"])[0], dtype=str)
    distinct, which = np.unique(series, return_inverse=True)
    reach = np.array([half_side_deg(name) for name in distinct])[which] * np.sqrt(2.0)
    place = exposures["pos"]
    missing = np.asarray(getattr(place.ra, "mask", np.zeros(len(exposures), bool)))
    ra, dec = (np.asarray(getattr(one, "unmasked", one).deg, np.float64) for one in (place.ra, place.dec))
    ra, dec = np.where(missing, np.nan, ra), np.where(missing, np.nan, dec)
    depth, shallow = values_and_mask(exposures[f"lim_mag_{exposures.refcat_name()}"])
    return ExposureList.from_circles(
        middle - half, middle + half, ra, dec, reach, limiting_magnitude=np.where(shallow, np.nan, depth)
    )


def _ranked(table: Any, exposures: ExposureList, ephemeris: Ephemeris) -> Any:
    found = match_ephemeris(ephemeris, exposures)
    ranked = table[found.row]
    for name, unit, values in (
        ("object_mjd", "d", found.mjd),
        ("object_ra", "deg", found.ra),
        ("object_dec", "deg", found.dec),
        ("object_mag", "mag", found.magnitude),
        ("depth_margin", "mag", found.margin),
        ("motion", "arcsec", found.motion_arcsec),
        ("from_centre", "deg", found.from_centre),
        ("area", "deg2", found.area_deg2),
        ("is_inside_throughout", None, found.is_inside_throughout),
    ):
        ranked[name] = values
        ranked[name].unit = unit
    return ranked
