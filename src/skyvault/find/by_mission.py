"""A mission's observations of a place as rows of a search."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import SkyvaultError, UsageError
from skyvault.find.place import Place
from skyvault.find.rows import nothing, rows_from
from skyvault.missions.faults import NoObsAfterFilterError
from skyvault.net.addresses import host_of
from skyvault.net.faults import Refused

if TYPE_CHECKING:
    from skyvault.config import Secret, Settings
    from skyvault.missions.mission import Mission

#: missions whose archives are asked for one place at a time: module and class
_TIME_DOMAIN: Final = {
    "dasch": ("dasch", "DASCH"),
    "ztf": ("ztf", "ZTF"),
    "tess": ("tess", "TESS"),
    "rubin": ("rubin", "Rubin"),
}
#: archives that tell what covers a point, and take no radius
_POINTS_ONLY: Final = frozenset(("dasch",))
#: archives that answer only who has a token
_TOKEN_WANTED: Final = frozenset(("rubin",))
#: what the archives of light curves and images give, where it is no image
_KINDS: Final[Mapping[str, str]] = {"tess": "timeseries"}
#: photon energy times wavelength, keV m (CODATA 2018)
_KEV_M: Final = 1.2398419843320026e-9
_MJD_EPOCH: Final = np.datetime64("1858-11-17T00:00:00", "us")
#: a field of view (radius) from which an instrument is a monitor of the sky rather than a camera pointed at a place
_WIDE_DEG: Final = 20.0
#: an archive that answers for one place is asked for so many at most
_MOST_PLACES: Final = 20


def default_missions() -> tuple[str, ...]:
    """All X-ray missions, and the archives of light curves and images that are there."""
    from skyvault.missions import X_RAY_MISSIONS

    there = [
        name for name, (module, _) in _TIME_DOMAIN.items() if importlib.util.find_spec(f"skyvault.missions.{module}")
    ]
    return (*X_RAY_MISSIONS, *there)


def closed_to_us(names: Sequence[str], settings: Settings, token: Secret | str | None) -> dict[str, str]:
    """Those of the missions whose archives want a token that nobody gave, each with how to give one."""
    if token is not None:
        return {}
    from skyvault.find.services import token_for

    closed = {}
    for name in (one for one in names if one in _TOKEN_WANTED):
        declared = class_of(name).declaration
        address = settings.endpoint(declared.archive, declared.service, declared.service_url)
        if token_for(address, settings) is None:
            closed[name] = f"{declared.pretty_name}'s archive wants a token. {_token_hint(declared, settings)}"
    return closed


def class_of(name: str) -> type[Mission]:
    """The class of a mission by any of its names. Raises MissionValueError."""
    plain = name.strip().lower()
    if plain in _TIME_DOMAIN and importlib.util.find_spec(f"skyvault.missions.{_TIME_DOMAIN[plain][0]}"):
        module, cls = _TIME_DOMAIN[plain]
        found: type[Mission] = getattr(importlib.import_module(f"skyvault.missions.{module}"), cls)
        return found
    from skyvault.missions.naming import mission_class

    return mission_class(name)


def wide_instruments(cls: type[Mission]) -> dict[str, float]:
    """The instruments that see so much of the sky that they say little of a place, where the mission has others.

    With the radius of the field of view of each, degrees.
    """
    fov = cls.declaration.fov_deg
    # plates of wide series are photographs of a field all the same
    if not isinstance(fov, Mapping) or cls.declaration.name in _TIME_DOMAIN:
        return {}
    wide = {name: radius for name, radius in fov.items() if radius > _WIDE_DEG}
    return wide if len(wide) < len(fov) else {}


def observations_of(
    cls: type[Mission],
    place: Place,
    settings: Settings,
    kinds: frozenset[str],
    token: Secret | str | None = None,
    *,
    without: Sequence[str] = (),
) -> tuple[pa.Table, Mission | None]:
    """The rows of one mission, and the mission with these chosen. None found: no rows.

    ``token`` is for missions whose archive wants one; no other sees it. Observations are those of the mission's usual
    instruments but for those of ``without``.
    """
    if kinds and not kinds & kinds_of(cls):
        return nothing(), None
    if cls.declaration.name in _TIME_DOMAIN:
        return _time_domain(cls, place, settings, token)
    usual = cls.declaration.default_instruments or cls.declaration.instruments
    insts = [name for name in usual if name not in without]
    mission = cls(insts, settings=settings) if without and insts else cls(settings=settings)
    try:
        if place.region is None:
            from astropy.coordinates import SkyCoord

            where = SkyCoord(place.ra, place.dec, unit="deg", frame="icrs")
            mission.filter_on_positions(where, place.radius_deg)
        else:
            mask = np.asarray(mission.filter_array, bool) & _touching(mission, place)
            if not mask.any():
                return nothing(), None
            mission.filter_array = mask
        if place.time is not None:
            _filter_time(mission, place)
    except NoObsAfterFilterError:
        return nothing(), None
    return rows_of(mission, place, settings), mission


def kinds_of(cls: type[Mission]) -> frozenset[str]:
    """The kinds of data (ObsCore's dataproduct_type) a mission has."""
    if cls.declaration.name in _TIME_DOMAIN:
        return frozenset(("image", "timeseries"))
    return frozenset(("event", "image")) if "image" in cls.declaration.products else frozenset(("event",))


def _filter_time(mission: Mission, place: Place) -> None:
    """Keep what touches the span of time; its ends may be open."""
    assert place.time is not None
    begin, end = (_MJD_EPOCH + np.timedelta64(round(min(max(day, -1e6), 1e6) * 86_400e6), "us") for day in
                  (place.time.lo, place.time.hi))  # fmt: skip
    table = mission.all_obs_info
    starts, ends = (table[name].to_numpy().astype("datetime64[us]") for name in ("start", "end"))
    # an observation without an end is over when it begins
    ends = np.where(np.isnat(ends), starts, ends)
    mask = np.asarray(mission.filter_array, bool) & (starts <= end) & (ends >= begin)
    if not mask.any():
        raise NoObsAfterFilterError("nothing in that time", where=mission.pretty_name)
    mission.filter_array = mask


def _touching(mission: Mission, place: Place) -> Any:
    """Observations whose field of view has a point in common with the region."""
    from skyvault.sky.predicates import intersects
    from skyvault.sky.shapes import Shapes

    assert place.region is not None
    table = mission.all_obs_info
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    radius = (place.radius_deg or 0.0) + _radius_deg(mission)
    shapes = Shapes.of_circles(ra, dec, radius)
    return np.asarray(intersects(Shapes.from_regions([place.region]), shapes), bool)


def _radius_deg(mission: Mission) -> float:
    """The field of view: that of the chosen instrument that sees most."""
    fov = mission.declaration.fov_deg
    if not isinstance(fov, Mapping):
        return float(fov)
    chosen = [float(fov[inst]) for inst in mission.chosen_instruments if inst in fov]
    return max(chosen or [float(value) for value in fov.values()])


def _time_domain(
    cls: Any, place: Place, settings: Settings, token: Secret | str | None
) -> tuple[pa.Table, Mission | None]:
    """An archive that is asked for one place at a time."""
    if place.region is not None:
        raise UsageError("the archive answers for places, not for regions", hint="Give a position and a radius.")
    if len(place) > _MOST_PLACES:
        raise UsageError(f"the archive is asked for {_MOST_PLACES} places at most, not for {len(place):,}")
    how = {"token": token} if token is not None and cls.declaration.name in _TOKEN_WANTED else {}
    tables: list[pa.Table] = []
    missions: list[Any] = []
    for index in range(len(place)):
        target = (float(place.ra[index]), float(place.dec[index]))
        try:
            radius = None if cls.declaration.name in _POINTS_ONLY else place.radius_deg
            mission = cls.around(target, radius, settings=settings, **how)
            if place.time is not None:
                _filter_time(mission, place)
        except NoObsAfterFilterError:
            continue
        except Refused as error:
            if cls.declaration.name in _TOKEN_WANTED:
                raise Refused(error.what, where=error.where, hint=_token_hint(cls.declaration, settings)) from None
            raise
        except SkyvaultError as error:
            # what has nothing at a place says so in a class of its own
            if type(error).__name__ in ("NoObservations", "NoObservationsError"):
                continue
            raise
        if len(mission):
            tables.append(rows_of(mission, place, settings))
            missions.append(mission)
    if not tables:
        return nothing(), None
    # several places are several missions, which one fetch cannot do together
    return pa.concat_tables(tables), missions[0] if len(missions) == 1 else None


def _token_hint(declared: Any, settings: Settings) -> str:
    """How to give a token, without writing it where others may read it."""
    host = host_of(settings.endpoint(declared.archive, declared.service, declared.service_url))
    kept = settings.credentials_file or "a file of mode 0600 named by SKYVAULT_CREDENTIALS_FILE"
    return f"Give find(..., token=...), or write a section [{host}] with token = ... into {kept}."


def rows_of(mission: Mission, place: Place, settings: Settings) -> pa.Table:
    """The chosen observations of a mission in ObsCore's columns."""
    table = mission.filtered_obs_info
    count = table.num_rows
    declared = mission.declaration
    names = {name.lower(): name for name in table.column_names}
    ra, dec = table["ra"].to_numpy().astype(float), table["dec"].to_numpy().astype(float)
    if declared.frame != "ICRS" and count:
        from astropy.coordinates import SkyCoord

        icrs = SkyCoord(ra, dec, unit="deg", frame="fk5").icrs
        ra, dec = icrs.ra.deg, icrs.dec.deg
    used = _instruments(mission, table)
    radius = _radii_deg(mission, used, count)
    is_optical = declared.name in _TIME_DOMAIN
    waves = declared.wavelength_m
    if declared.energy_kev is not None:
        low, high = declared.energy_kev
        waves = (_KEV_M / high, _KEV_M / low)
    columns: dict[str, Any] = {
        "mission": declared.name,
        "obs_collection": declared.pretty_name,
        "obs_id": table["ObsID"],
        "dataproduct_type": _KINDS.get(declared.name, "image" if is_optical else "event"),
        "calib_level": pa.array([2 if is_optical else 1] * count, pa.int32()),
        "s_ra": pa.array(ra),
        "s_dec": pa.array(dec),
        "s_fov": pa.array(2 * radius),
        "s_region": _regions(mission, table, ra, dec, radius),
        "t_min": _mjd(table["start"]),
        "t_max": _mjd(table["end"]),
        "t_exptime": _seconds(table["duration"]),
        "facility_name": declared.pretty_name,
        "instrument_name": "/".join(mission.chosen_instruments[:8]) if used is None else used,
        "access_url": _addresses(mission, table, settings),
    }
    if waves is not None:
        columns["em_min"], columns["em_max"] = (pa.array(np.full(count, value)) for value in waves)
    for wanted in ("target_name", "object", "name", "target"):
        if wanted in names:
            columns["target_name"] = table[names[wanted]]
            break
    for wanted in ("s_region", "access_url", "instrument_name"):
        if wanted in names:
            columns[wanted] = table[names[wanted]]
    return rows_from(columns, count, place)


def _instruments(mission: Mission, table: pa.Table) -> pa.Array | None:
    """The instrument of each row, where an observation was made with one only."""
    column = mission.declaration.fov_column
    if column is None or column not in table.column_names:
        return None
    return table[column].combine_chunks().cast(pa.string())


def _radii_deg(mission: Mission, used: pa.Array | None, count: int) -> Any:
    """The field of view of each row: that of its instrument, or of the chosen one that sees most."""
    widest = _radius_deg(mission)
    fov = mission.declaration.fov_deg
    if used is None or not isinstance(fov, Mapping):
        return np.full(count, widest)
    at = pc.index_in(used, pa.array(list(fov), pa.string()))
    radii = pc.take(pa.array(list(fov.values()), pa.float64()), at)
    return pc.fill_null(radii, widest).to_numpy()


def _regions(mission: Mission, table: pa.Table, ra: Any, dec: Any, radii: Any) -> pa.Array:
    """The outline of each row as text; null where its place is not known."""
    tiles = mission.declaration.tile_columns
    if tiles is not None and set(tiles) <= set(table.column_names):
        west, east, south, north = (_decimal(table[name].to_numpy()) for name in tiles)
        return _words("POLYGON ICRS", west, south, west, north, east, north, east, south)
    return _words("CIRCLE ICRS", _decimal(ra), _decimal(dec), pa.array(radii).cast(pa.string()))


def _decimal(values: Any) -> pa.Array:
    """Numbers as text with six decimals at most (0.004 arcsec in degrees); null for what is no number."""
    rounded = np.round(np.asarray(values, np.float64), 6)
    return pa.array(rounded, mask=~np.isfinite(rounded)).cast(pa.string())


def _words(*parts: Any) -> pa.Array:
    return pc.binary_join_element_wise(*parts, " ")


def _mjd(column: Any) -> pa.Array:
    times = column.to_numpy().astype("datetime64[us]")
    days = (times - _MJD_EPOCH) / np.timedelta64(1, "D")
    return pa.array(np.where(np.isnat(times), np.nan, days), pa.float64())


def _seconds(column: Any) -> Any:
    if pa.types.is_duration(column.type):
        unit = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[column.type.unit]
        return pc.divide(pc.cast(pc.cast(column, pa.int64()), pa.float64()), unit)
    return column


def _addresses(mission: Mission, table: pa.Table, settings: Settings) -> pa.Array | None:
    """The directory of each observation at its archive, where there is one."""
    from skyvault.missions.download import directory_urls

    declared = mission.declaration
    if declared.directory is None:
        return None
    base = settings.endpoint(declared.archive, declared.files_service, declared.files_url)
    return directory_urls(declared, table, base if base.endswith("/") else f"{base}/")
