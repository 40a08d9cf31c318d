"""Light curves as archives send them: all their columns, and a plain statement of what their times mean.

Surveys count time from the Earth, the Sun's centre or the Solar System's barycentre, in UTC or TDB, which differ by
up to 9 minutes. What an archive does not tell stays unknown and is shown so; turning one into another is explicit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.missions.faults import MissionValueError
from skyvault.quiet import quiet

if TYPE_CHECKING:
    from astropy.table import Table

#: VOTable 1.4, section 3.3 and the IVOA vocabulary "refposition"
Reference = Literal["TOPOCENTER", "GEOCENTER", "HELIOCENTER", "BARYCENTER", "UNKNOWN"]
Scale = Literal["utc", "tdb", "tt", "unknown"]
Floats = np.ndarray[Any, np.dtype[np.float64]]

_MJD_ZERO: Final = 2400000.5


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """What the numbers of ``column`` mean: days since Julian date ``zero_jd``, in ``scale``, seen from ``reference``.

    ``limits_reference`` holds for rows that are upper limits, where archives treat them otherwise. ``stamp`` is the
    part of an exposure that is meant.
    """

    column: str
    zero_jd: float
    scale: Scale
    reference: Reference
    limits_reference: Reference | None = None
    stamp: Literal["start", "middle", "end", "unknown"] = "unknown"

    def __str__(self) -> str:
        return (
            f"{self.column} + JD {self.zero_jd:.10g}, {self.scale.upper()}, {self.reference}, {self.stamp} of exposure"
        )


@dataclass(frozen=True)
class LightCurveTable:
    """A source's measurements in the archive's own columns (units in the fields' metadata "unit").

    ``ra_deg`` and ``dec_deg`` (ICRS) are where the source is. ``is_limit`` marks rows that hold an upper limit only,
    shape (n,). ``about`` holds what else came with it: headers, the catalogue's ID.
    """

    survey: str
    source_id: str
    rows: pa.Table = field(repr=False)
    time: TimeAxis
    ra_deg: float
    dec_deg: float
    is_limit: np.ndarray[Any, np.dtype[np.bool_]] = field(repr=False)
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: where the rows came from
    service: str = ""

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @property
    def detections(self) -> pa.Table:
        """The rows that are no upper limits."""
        return self.rows.filter(pa.array(~self.is_limit))

    def times(self) -> Floats:
        """The time column in days as the archive gives it, shape (n,), NaN where unknown."""
        column = pc.fill_null(self.rows[self.time.column].cast(pa.float64()), float("nan"))
        return np.asarray(column.to_numpy(), np.float64)

    def mjd_tdb(self) -> Floats:
        """MJD in TDB at the Solar System's barycentre, shape (n,); NaN where the time is unknown.

        Light travel times are those of astropy's built-in ephemeris (good to 0.1 s), from the Earth's centre, so that
        an observatory's place (21 ms) is left out. Raises MissionValueError when scale or reference are unknown.
        """
        axis = self.time
        if axis.scale == "unknown" or axis.reference == "UNKNOWN":
            raise MissionValueError(
                f"the times of {self.survey} {self.source_id} cannot be turned into TDB: {axis}",
                hint="Use times() and say yourself what they are.",
            )
        days = self.times()
        # the large part first: a float64 holds days since 1858 to 1 microsecond
        mjd = days + (axis.zero_jd - _MJD_ZERO)
        if axis.scale == "tdb" and axis.reference == "BARYCENTER" and axis.limits_reference is None:
            return mjd
        result = np.full(len(mjd), np.nan)
        for reference, mask in (
            (axis.reference, ~self.is_limit),
            (axis.limits_reference or axis.reference, self.is_limit),
        ):
            chosen = mask & np.isfinite(mjd)
            if chosen.any():
                result[chosen] = _at_barycentre(mjd[chosen], axis.scale, reference, self.ra_deg, self.dec_deg)
        return result

    def to_astropy(self) -> Table:
        """An astropy table of all columns; missing values are masked, ``meta`` holds survey, source and times."""
        from astropy.table import Column, MaskedColumn, Table

        table = Table()
        for name, stored in zip(self.rows.column_names, self.rows.schema, strict=True):
            column = self.rows[name].combine_chunks()
            unit = (stored.metadata or {}).get(b"unit", b"").decode() or None
            missing = np.asarray(pc.is_null(column).to_numpy(zero_copy_only=False), np.bool_)
            fill: Any = "" if pa.types.is_string(stored.type) else False if pa.types.is_boolean(stored.type) else 0
            values = np.asarray(pc.fill_null(column, fill).to_numpy(zero_copy_only=False))
            if values.dtype == object:
                values = values.astype(np.str_)
            if missing.any():
                table[name] = MaskedColumn(values, mask=missing, unit=unit)
            else:
                table[name] = Column(values, unit=unit)
        table.meta.update(
            survey=self.survey,
            source_id=self.source_id,
            ra_deg=self.ra_deg,
            dec_deg=self.dec_deg,
            time_column=self.time.column,
            time_zero_jd=self.time.zero_jd,
            time_scale=self.time.scale,
            time_reference=self.time.reference,
            time_limits_reference=self.time.limits_reference or self.time.reference,
            time_stamp=self.time.stamp,
            service=self.service,
        )
        return table

    def _repr_html_(self) -> str:
        body: str = self.to_astropy()._repr_html_()
        return f"<p>{self.survey} {self.source_id}: {len(self)} rows; time: {self.time}</p>{body}"


def _at_barycentre(mjd: Floats, scale: str, reference: str, ra_deg: float, dec_deg: float) -> Floats:
    from astropy.time import Time

    with quiet(message="ERFA function"):
        # plates are older than UTC, for which ERFA has a guess good to a second, and than its ephemeris, which holds on
        time = Time(mjd, format="mjd", scale=scale).tdb
        days = np.asarray(time.mjd, np.float64)
        if reference == "BARYCENTER":
            return days
        if reference == "HELIOCENTER":
            # the delay changes by 0.05 s in the 8 minutes it may be
            days = days - _delay_d(time, "sun", ra_deg, dec_deg)
            time = Time(days, format="mjd", scale="tdb")
        return days + _delay_d(time, None, ra_deg, dec_deg)


def _delay_d(time: Any, centre: str | None, ra_deg: float, dec_deg: float) -> Floats:
    """Days light takes from the Earth's plane to a parallel one through ``centre``; None is the barycentre."""
    from astropy.constants import c
    from astropy.coordinates import get_body_barycentric

    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    towards = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    earth = get_body_barycentric("earth", time, ephemeris="builtin")
    if centre is not None:
        earth = earth - get_body_barycentric(centre, time, ephemeris="builtin")
    return np.asarray((towards @ earth.xyz / c).to_value("d"), np.float64)


def with_units(table: pa.Table, units: Mapping[str, str]) -> pa.Table:
    """The table with units in its fields' metadata."""
    fields = [f.with_metadata({"unit": units[f.name]}) if f.name in units else f for f in table.schema]
    return table.cast(pa.schema(fields))
