"""ZTF: the northern sky every two nights in three filters since 2018, from Palomar; as served by IRSA."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from skyvault.missions.arguments import angle_deg
from skyvault.missions.declaration import Declaration, ObsColumn, Politeness, Selector, observation
from skyvault.missions.faults import MissionValueError
from skyvault.missions.light_curve_files import LightCurveTable
from skyvault.missions.search import Search, place_of
from skyvault.missions.service import ArchiveService
from skyvault.missions.time_domain import TimeDomainMission
from skyvault.missions.ztf_api import ZtfApi, checked_oid, light_curve_table
from skyvault.missions.ztf_rules import prepare

#: nothing further south is observed
_SOUTH_END_DEG = -31.0


class ZTF(TimeDomainMission):
    """Images of single CCD quadrants (0.87 degrees wide), instruments are the filters.

    ``ZTF.around(target, radius)`` finds the images that touch a box of that half-side; without a radius those that
    hold the point. Light curves are asked for by place or by ZTF's object IDs, whatever images the mission has.
    """

    service_class: ClassVar[type[ArchiveService]] = ZtfApi
    id_columns: ClassVar[tuple[str, ...]] = ("pid", "expid", "filefracday")
    archive: ZtfApi
    declaration = Declaration(
        name="ztf",
        pretty_name="ZTF",
        id_pattern=r"^ztf_[0-9]{14}_[0-9]{6}_z[gri]_c[0-9]{2}_[a-z]_q[1-4]$",
        archive="ztf",
        service="search",
        service_url="https://irsa.ipac.caltech.edu/ibe/search/ztf/products/sci",
        frame="ICRS",
        columns=(
            *observation(start="start", end=None, duration="exptime", obs_id="image_id", usable="is_usable"),
            ObsColumn("field", "field", "int"),
            ObsColumn("ccdid", "ccdid", "int"),
            ObsColumn("qid", "qid", "int"),
            ObsColumn("filtercode", "filtercode"),
            ObsColumn("filefracday", "filefracday"),
            ObsColumn("imgtypecode", "imgtypecode"),
            ObsColumn("pid", "pid", "int"),
            ObsColumn("expid", "expid", "int"),
            ObsColumn("infobits", "infobits", "int"),
            ObsColumn("seeing", "seeing", "float", optional=True),
            ObsColumn("airmass", "airmass", "float", optional=True),
            ObsColumn("maglimit", "maglimit", "float", optional=True),
        ),
        needs=("filefracday", "field", "filtercode", "ccdid", "imgtypecode", "qid", "infobits", "obsdate"),
        makes=("image_id", "is_usable", "start"),
        prepare=prepare,
        instruments=("zg", "zr", "zi"),
        default_instruments=("zg", "zr", "zi"),
        aliases={"g": "zg", "r": "zr", "i": "zi"},
        selectors=(Selector("filtercode", {"zg": ("zg",), "zr": ("zr",), "zi": ("zi",)}),),
        fov_column="filtercode",
        fov_deg={"zg": 0.435, "zr": 0.435, "zi": 0.435},
        wavelength_m=(4.0e-7, 9.0e-7),
        politeness=Politeness(connections=2, requests_per_minute=60),
    )

    def light_curve(
        self,
        source: Any = None,
        *,
        radius_arcsec: float = 2.0,
        bands: str | Sequence[str] | None = None,
        bad_flags: int | None = None,
        refresh: bool = False,
        **how: Any,
    ) -> LightCurveTable:
        """All measurements of an object, by its ID or a list of IDs, or of all objects within a circle around a place.

        None means the place of the search. ``bands`` defaults to the chosen filters; rows with any of the bits
        ``bad_flags`` in catflags are left out (32768 is IRSA's advice). Nothing found gives a table without rows.
        Raises MissionValueError for places south of -31 degrees, which ZTF cannot see.
        """
        chosen = tuple(self._chosen if bands is None else [bands] if isinstance(bands, str) else bands)
        filters = () if set(chosen) == {"zg", "zr", "zi"} else chosen
        oids = _oids(source)
        where = self.archive.address("lightcurves")
        if oids:
            rows = self.archive.light_curves(oids=oids, bands=filters, bad_flags=bad_flags, refresh=refresh)
            return light_curve_table(rows, ",".join(map(str, oids)), None, where)
        if source is None and self.search is None:
            raise MissionValueError("this mission was made of a table, and knows no place", hint="Give one.")
        place = (
            (self.search.ra_deg, self.search.dec_deg)
            if source is None and self.search is not None
            else place_of(source, self.resolver)
        )
        if place[1] < _SOUTH_END_DEG:
            raise MissionValueError(f"ZTF sees nothing south of {_SOUTH_END_DEG:g} degrees, and {place[1]:.4f} is")
        rows = self.archive.light_curves(
            place=place, radius_arcsec=radius_arcsec, bands=filters, bad_flags=bad_flags, refresh=refresh
        )
        return light_curve_table(rows, f"{place[0]:.6f} {place[1]:+.6f}", place, where)

    def image(self, obs_id: str, *, position: Any = None, size: Any = None, refresh: bool = False) -> Path:
        """The path of an image, or of its part of ``size`` (Quantity or degrees, by default 1 arcmin) a side."""
        row = self.row_of(obs_id)
        if position is None:
            if size is not None:
                raise MissionValueError("a size needs a position", hint="Give position=(ra, dec).")
            remote = self.archive.image_of(row)
            return self.archive.fetched(remote, self.folder / obs_id / f"{obs_id}_sciimg.fits", refresh=refresh)
        place = place_of(position, self.resolver)
        width = 60.0 if size is None else float(angle_deg(size, "size")) * 3600.0
        remote = self.archive.image_of(row, place=place, size_arcsec=width)
        key = Search(place[0], place[1], width / 3600.0).key
        return self.archive.fetched(remote, self.folder / obs_id / f"{obs_id}_{key}.fits", refresh=refresh)


def _oids(source: Any) -> tuple[int, ...]:
    """Object IDs, where a caller gives such."""
    if isinstance(source, bool) or source is None or hasattr(source, "transform_to"):
        return ()
    if isinstance(source, str):
        return (checked_oid(source),) if source.strip().isdigit() else ()
    try:
        values = list(source)
    except TypeError:
        return (checked_oid(source),)
    if values and all(not isinstance(v, float) and str(v).strip().isdigit() and len(str(v)) > 10 for v in values):
        return tuple(checked_oid(value) for value in values)
    return ()
