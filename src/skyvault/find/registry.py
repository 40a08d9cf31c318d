"""Services of the Virtual Observatory that may have data of a place: asked of a registry by RegTAP, coverage first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import SkyvaultError
from skyvault.find.place import Place
from skyvault.find.tap import get_tap_service

if TYPE_CHECKING:
    from skyvault.config import Settings

#: protocol -> condition on the capability (RegTAP 1.2, section 8; standard identifiers in lower case)
_PROTOCOLS: Final = {
    "sia2": "standard_id LIKE 'ivo://ivoa.net/std/sia#query-2%'",
    "ssa": "standard_id LIKE 'ivo://ivoa.net/std/ssa%'",
}
_OBSCORE: Final = "ivo://ivoa.net/std/obscore%"
#: kinds of data each protocol can have
KINDS: Final = {"sia2": {"image", "cube"}, "ssa": {"spectrum", "sed", "timeseries"}}
_MOST_SERVICES: Final = 2_000


@dataclass(frozen=True, slots=True)
class VOService:
    """A service: its protocol ("obstap", "sia2", "ssa"), address, and who it is."""

    ivoid: str
    title: str
    protocol: str
    address: str

    @property
    def name(self) -> str:
        return f"{self.title} ({self.protocol})" if self.title else f"{self.ivoid} ({self.protocol})"


def services_for(
    place: Place, settings: Settings, *, kinds: frozenset[str] = frozenset(), total_s: float = 60.0
) -> tuple[list[VOService], list[str]]:
    """The services whose declared coverage holds the place, or that declare none; and notes on what was not told.

    Raises what the registry's TAP service raises.
    """
    tap = get_tap_service("registry", settings=settings, total_s=total_s)
    obstap = tap.search(
        "SELECT DISTINCT r.ivoid, r.res_title, i.access_url FROM rr.resource AS r"
        " JOIN rr.capability AS c ON r.ivoid = c.ivoid"
        " JOIN rr.interface AS i ON c.ivoid = i.ivoid AND c.cap_index = i.cap_index"
        " JOIN rr.res_detail AS d ON d.ivoid = r.ivoid"
        " WHERE c.standard_id LIKE 'ivo://ivoa.net/std/tap%' AND i.intf_role = 'std'"
        f" AND d.detail_xpath = '/capability/dataModel/@ivo-id' AND d.detail_value LIKE '{_OBSCORE}'",
        maxrec=_MOST_SERVICES,
    )
    found = [VOService(*row, "obstap", url) for row, url in _rows(obstap)]
    for protocol, condition in _PROTOCOLS.items():
        if kinds and not kinds & KINDS[protocol]:
            continue
        results = tap.search(
            "SELECT DISTINCT r.ivoid, r.res_title, i.access_url FROM rr.resource AS r"
            " JOIN rr.capability AS c ON r.ivoid = c.ivoid"
            " JOIN rr.interface AS i ON c.ivoid = i.ivoid AND c.cap_index = i.cap_index"
            f" WHERE c.{condition} AND i.intf_role = 'std'",
            maxrec=_MOST_SERVICES,
        )
        found += [VOService(*row, protocol, url) for row, url in _rows(results)]
    notes: list[str] = []
    try:
        elsewhere = _elsewhere(tap, place)
    except SkyvaultError as error:
        notes.append(f"the registry does not tell where services have data ({error}); all were asked")
        elsewhere = set()
    unique = {(one.protocol, one.address): one for one in found if one.ivoid not in elsewhere}
    return list(unique.values()), notes


def _rows(results: Any) -> list[tuple[tuple[str, str], str]]:
    table = results.arrow.to_pylist()
    rows = []
    for row in table:
        ivoid, title, url = (str(row[name] or "").strip() for name in ("ivoid", "res_title", "access_url"))
        if url.startswith(("http://", "https://")):
            rows.append(((ivoid, title), url.rstrip("?&/") if "?" not in url.rstrip("?") else url))
    return rows


def _elsewhere(tap: Any, place: Place) -> set[str]:
    """Resources that say where on the sky they have data, and have none here."""
    told = {str(row["ivoid"]) for row in tap.search("SELECT DISTINCT ivoid FROM rr.stc_spatial").arrow.to_pylist()}
    if not told:
        return set()
    here = tap.search(f"SELECT DISTINCT ivoid FROM rr.stc_spatial WHERE {covers(place, 'coverage')}")
    return told - {str(row["ivoid"]) for row in here.arrow.to_pylist()}


#: positions put into one query; more are asked in turns
POSITIONS_A_QUERY: Final = 50


def covers(place: Place, column: str, first: int = 0) -> str:
    """ADQL: ``column`` holds one of the positions (from number ``first`` on), or meets their circles or the region."""
    if place.region is not None:
        return f"1 = INTERSECTS({_adql(place.region)}, {column})"
    tests = []
    for ra, dec in list(zip(place.ra, place.dec, strict=True))[first : first + POSITIONS_A_QUERY]:
        if place.radius_deg:
            tests.append(f"1 = INTERSECTS(CIRCLE({ra:.9f}, {dec:.9f}, {place.radius_deg!r}), {column})")
        else:
            tests.append(f"1 = CONTAINS(POINT({ra:.9f}, {dec:.9f}), {column})")
    return f"({' OR '.join(tests)})"


def _adql(region: Any) -> str:
    from skyvault.errors import UsageError
    from skyvault.find.outline import outlines
    from skyvault.model.region import Circle, Polygon

    if isinstance(region, Circle):
        return f"CIRCLE({region.lon!r}, {region.lat!r}, {region.radius!r})"
    lines = outlines(region)
    if isinstance(region, Polygon) or len(lines) == 1:
        ra, dec = lines[0]
        corners = ", ".join(f"{lon % 360.0:.9f}, {lat:.9f}" for lon, lat in list(zip(ra, dec, strict=True))[:-1])
        return f"POLYGON({corners})"
    raise UsageError("services of the registry can be asked for circles, polygons and boxes only")
