"""The parameters of EPN-TAP 2.0: names, units, UCDs, meanings, and the words some of them may hold.

EPN-TAP 2.0 (REC 2022), section 4 and the table of parameters of its appendix. All mandatory ones are columns of the
table, most may be empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from skyvault.model.table import Column

UTYPE: Final = "ivo://ivoa.net/std/epntap#table-2.0"
#: the name the table must have in its schema
TABLE: Final = "epn_core"

EpnType = Literal["text", "double", "int", "timestamp"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; ``is_required``: it is never empty."""

    name: str
    type: EpnType
    unit: str | None
    ucd: str | None
    description: str
    is_required: bool = False
    is_mandatory: bool = True

    def column(self) -> Column:
        if self.type == "timestamp":
            return Column(
                self.name, "char", "*", "timestamp", ucd=self.ucd, description=self.description, principal=True
            )
        if self.type == "text":
            xtype = "adql:REGION" if self.name == "s_region" else None
            return Column(self.name, "char", "*", xtype, ucd=self.ucd, description=self.description, principal=True)
        return Column(
            self.name,
            self.type,
            unit=self.unit,
            ucd=self.ucd,
            description=self.description,
            principal=True,
        )


def _text(name: str, ucd: str, description: str, *, required: bool = False) -> Parameter:
    return Parameter(name, "text", None, ucd, description, required)


def _pair(name: str, unit: str | None, ucd: str | None, what: str) -> tuple[Parameter, Parameter]:
    """Both ends of a range: name_min and name_max."""
    joint = "" if name in ("c1", "c2", "c3") else "_"
    return (
        Parameter(f"{name}{joint}min", "double", unit, ucd and f"{ucd};stat.min", f"Smallest {what}"),
        Parameter(f"{name}{joint}max", "double", unit, ucd and f"{ucd};stat.max", f"Largest {what}"),
    )


MANDATORY: Final[tuple[Parameter, ...]] = (
    _text("granule_uid", "meta.id", "Identifier of the granule, unique in the service", required=True),
    _text("granule_gid", "meta.id", "Shared by granules of the same kind", required=True),
    _text("obs_id", "meta.id;obs", "Shared by granules that derive from the same data", required=True),
    _text("dataproduct_type", "meta.code.class", "How the data are organised: im, sp, ts ...", required=True),
    _text("target_name", "meta.id;src", "Target, as the IAU names it"),
    _text("target_class", "src.class", "Kind of target: planet, asteroid, sky ...", required=True),
    Parameter("time_min", "double", "d", "time.start;obs", "Begin (JD, UTC)"),
    Parameter("time_max", "double", "d", "time.end;obs", "End (JD, UTC)"),
    *_pair("time_sampling_step", "s", "time.resolution", "step between measurements"),
    *_pair("time_exp", "s", "time.duration;obs.exposure", "integration time"),
    *_pair("spectral_range", "Hz", "em.freq", "frequency"),
    *_pair("spectral_sampling_step", "Hz", "em.freq;stat.interval", "step in frequency"),
    *_pair("spectral_resolution", None, "spect.resolution", "resolving power"),
    *_pair("c1", None, None, "first coordinate"),
    *_pair("c2", None, None, "second coordinate"),
    *_pair("c3", None, None, "third coordinate"),
    _text("s_region", "pos.outline;obs.field", "Footprint, in the frame of c1 and c2"),
    *_pair("c1_resol", None, None, "resolution in the first coordinate"),
    *_pair("c2_resol", None, None, "resolution in the second coordinate"),
    *_pair("c3_resol", None, None, "resolution in the third coordinate"),
    _text("spatial_frame_type", "meta.code.class;pos.frame", "Kind of coordinates; none where there are none",
          required=True),
    *_pair("incidence", "deg", "pos.incidenceAng", "incidence angle"),
    *_pair("emergence", "deg", "pos.emergenceAng", "emergence angle"),
    *_pair("phase", "deg", "pos.phaseAng", "phase angle"),
    _text("instrument_host_name", "meta.id;instr.obsty", "Observatory or spacecraft"),
    _text("instrument_name", "meta.id;instr", "Instrument"),
    _text("measurement_type", "meta.ucd", "UCDs of what was measured"),
    Parameter("processing_level", "int", None, "meta.calibLevel", "1 raw telemetry, 2 raw, 3 calibrated, 5 derived,"
              " 6 ancillary"),
    Parameter("creation_date", "timestamp", None, "time.creation", "When the granule came into the service", True),
    Parameter("modification_date", "timestamp", None, "time.processing", "When it was changed last", True),
    Parameter("release_date", "timestamp", None, "time.release", "When it became public", True),
    _text("service_title", "meta.title", "Title of the service", required=True),
)  # fmt: skip

#: optional parameters that are described when a table has them
OPTIONAL: Final[tuple[Parameter, ...]] = tuple(
    replace(one, is_mandatory=False)
    for one in (
        _text("access_url", "meta.ref.url;meta.file", "Address of the data"),
        _text("access_format", "meta.code.mime", "Media type of the data"),
        Parameter("access_estsize", "int", "kbyte", "phys.size;meta.file", "Size of the data"),
        _text("access_md5", "meta.checksum;meta.file", "MD5 sum of the file"),
        _text("thumbnail_url", "meta.ref.url;meta.preview", "Address of a small picture"),
        _text("file_name", "meta.id;meta.file", "Name of the file"),
        _text("datalink_url", "meta.ref.url", "Address of its links (DataLink)"),
        _text("species", "meta.id;phys.atmol", "Chemical species"),
        _text("messenger", "instr.bandpass", "Band"),
        _text("alt_target_name", "meta.id;src", "Other names of the target"),
        _text("target_region", "meta.id;src;obs.field", "Region of the target"),
        _text("feature_name", "meta.id;src;obs.field", "Feature on the target"),
        _text("publisher", "meta.curation", "Publisher of the resource"),
        _text("bib_reference", "meta.bib", "Bibcode or DOI of the granule"),
        _text("internal_reference", "meta.id.cross", "Related granules"),
        _text("external_link", "meta.ref.url", "Page about the granule"),
        _text("spatial_coordinate_description", "meta.code.class;pos.frame", "Coordinate system and its version"),
        _text("spatial_origin", "meta.ref;pos.frame", "Origin of the frame"),
        _text("time_refposition", "meta.ref;time.scale", "Where the time was measured"),
        _text("time_scale", "time.scale", "Time scale: UTC"),
        *_pair("subsolar_longitude", "deg", "pos.bodyrc.lon", "longitude of the sub-solar point"),
        *_pair("subsolar_latitude", "deg", "pos.bodyrc.lat", "latitude of the sub-solar point"),
        *_pair("subobserver_longitude", "deg", "pos.bodyrc.lon", "longitude of the sub-observer point"),
        *_pair("subobserver_latitude", "deg", "pos.bodyrc.lat", "latitude of the sub-observer point"),
        Parameter("ra", "double", "deg", "pos.eq.ra;meta.main", "Right ascension"),
        Parameter("dec", "double", "deg", "pos.eq.dec;meta.main", "Declination"),
        *_pair("solar_longitude", "deg", "pos.ecliptic.lon;pos.heliocentric", "solar longitude Ls"),
        *_pair("local_time", "h", "time.phase;time.period.rotation", "local time"),
        *_pair("target_distance", "km", "pos.distance", "distance of observer and target"),
        *_pair("earth_distance", "AU", "pos.distance", "distance of Earth and target"),
        *_pair("sun_distance", "AU", "pos.distance", "distance of Sun and target"),
        _text("filter", "meta.id;instr.filter", "Filter"),
        _text("proposal_id", "meta.id;obs.proposal", "Proposal"),
        _text("observer_name", "obs.observer;meta.main", "Observer"),
        Parameter("diameter", "double", "km", "phys.size.diameter", "Diameter of the target"),
        Parameter("mean_radius", "double", "km", "phys.size.radius", "Mean radius of the target"),
        Parameter("mass", "double", "kg", "phys.mass", "Mass of the target"),
        Parameter("magnitude", "double", "mag", "phys.magAbs", "Absolute magnitude"),
        Parameter("albedo", "double", None, "phys.albedo", "Albedo of the target"),
    )
)
BY_NAME: Final[Mapping[str, Parameter]] = {one.name: one for one in (*MANDATORY, *OPTIONAL)}

#: section 4.2.1: codes of data products, with the words that people write for them
PRODUCT_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "im": ("image",),
    "ma": ("map",),
    "sp": ("spectrum", "sed", "polarized-spectrum", "slit-spectrum"),
    "ds": ("dynamic-spectrum",),
    "sc": ("spectral-cube",),
    "pr": ("profile",),
    "pf": ("photometric-function",),
    "vo": ("volume",),
    "mo": ("movie", "time-cube"),
    "cu": ("cube", "polarization-cube", "visibility"),
    "ts": ("timeseries", "time-series", "light-curve", "velocity-curve"),
    "ca": ("catalogue", "catalog", "measurements", "event-list"),
    "ci": ("catalogue-item", "catalog-item"),
    "sv": ("spatial-vector",),
    "ev": ("event",),
}
#: section 4.2.2
TARGET_CLASSES: Final = (
    "asteroid", "dwarf_planet", "planet", "satellite", "comet", "exoplanet", "interplanetary_medium", "sample", "sky",
    "spacecraft", "spacejunk", "star", "calibration",
)  # fmt: skip
FRAME_TYPES: Final = ("celestial", "body", "cartesian", "spherical", "cylindrical", "none", "healpix")

#: unit and UCD of the coordinates by frame (table 2 of the appendix)
_FRAMES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "celestial": (("deg", "pos.eq.ra"), ("deg", "pos.eq.dec"), ("AU", "pos.distance")),
    "body": (("deg", "pos.bodyrc.lon"), ("deg", "pos.bodyrc.lat"), ("km", "pos.bodyrc.alt")),
    "cartesian": (("km", "pos.cartesian.x"), ("km", "pos.cartesian.y"), ("km", "pos.cartesian.z")),
    "spherical": (("m", "pos.spherical.r"), ("deg", "pos.spherical.colat"), ("deg", "pos.spherical.azi")),
    "cylindrical": (("km", "pos.cylindrical.r"), ("deg", "pos.cylindrical.azi"), ("km", "pos.cylindrical.z")),
}


def in_frame(column: Column, frame: str) -> Column:
    """A coordinate's column with its unit and UCD in a kind of frame; all others as they are."""
    axes = _FRAMES.get(frame)
    for number in (1, 2, 3):
        if not column.name.startswith(f"c{number}"):
            continue
        if axes is None:
            return replace(column, unit=None, ucd=None)
        unit, ucd = axes[number - 1]
        end = column.name[-3:]
        if "resol" in column.name:
            kind = "pos.angResolution" if unit == "deg" else "pos.resolution"
            return replace(column, unit=unit, ucd=f"{kind};stat.{end}")
        return replace(column, unit=unit, ucd=f"{ucd};stat.{end}")
    return column
