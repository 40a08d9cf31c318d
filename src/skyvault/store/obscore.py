"""ivoa.ObsCore: one merged, sky-sorted table over all collections that are published into it (ObsCore 1.1).

Every collection stays a table of its own; the merged one is rebuilt from them when one is published or withdrawn, so
that a query costs the same whatever the number of collections.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from skyvault.errors import IngestError
from skyvault.model.frames import time_name
from skyvault.model.table import Column, CoordinateFrame, Table, TimeFrame

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "ivoa.ObsCore"
UTYPE = "ivo://ivoa.net/std/ObsCore#core-1.1"

_ROWS: tuple[tuple[str, str, str | None, str | None, str | None, str, str, str], ...] = (
    # name, datatype, arraysize, xtype, unit, ucd, utype, description (ObsCore 1.1, tables 1 and 5)
    ("dataproduct_type", "char", "*", None, None, "meta.code.class", "ObsDataset.dataProductType", "Logical data product type (image, cube, spectrum, ...)"),
    ("calib_level", "int", None, None, None, "meta.code;obs.calib", "ObsDataset.calibLevel", "Calibration level, 0 (raw) to 4 (analysis product)"),
    ("obs_collection", "char", "*", None, None, "meta.id", "DataID.Collection", "Name of the data collection"),
    ("obs_id", "char", "*", None, None, "meta.id", "DataID.observationID", "Observation identifier"),
    ("obs_publisher_did", "char", "*", None, None, "meta.ref.ivoid", "Curation.PublisherDID", "Dataset identifier given by the publisher"),
    ("access_url", "char", "*", "adql:CLOB", None, "meta.ref.url", "Access.Reference", "URL used to access the dataset"),
    ("access_format", "char", "*", None, None, "meta.code.mime", "Access.Format", "Media type of the dataset"),
    ("access_estsize", "long", None, None, "kbyte", "phys.size;meta.file", "Access.Size", "Estimated size of the dataset"),
    ("target_name", "char", "*", None, None, "meta.id;src", "Target.Name", "Object observed"),
    ("s_ra", "double", None, None, "deg", "pos.eq.ra", "Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C1", "Central right ascension, ICRS"),
    ("s_dec", "double", None, None, "deg", "pos.eq.dec", "Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C2", "Central declination, ICRS"),
    ("s_fov", "double", None, None, "deg", "phys.angSize;instr.fov", "Char.SpatialAxis.Coverage.Bounds.Extent.diameter", "Diameter of the covered region"),
    ("s_region", "char", "*", "adql:REGION", None, "pos.outline;obs.field", "Char.SpatialAxis.Coverage.Support.Area", "Region covered, ICRS"),
    ("s_resolution", "double", None, None, "arcsec", "pos.angResolution", "Char.SpatialAxis.Resolution.Refval.value", "Spatial resolution (FWHM)"),
    ("s_xel1", "long", None, None, None, "meta.number", "Char.SpatialAxis.numBins1", "Elements along the first spatial axis"),
    ("s_xel2", "long", None, None, None, "meta.number", "Char.SpatialAxis.numBins2", "Elements along the second spatial axis"),
    ("t_min", "double", None, None, "d", "time.start;obs.exposure", "Char.TimeAxis.Coverage.Bounds.Limits.StartTime", "Start time (MJD, UTC)"),
    ("t_max", "double", None, None, "d", "time.end;obs.exposure", "Char.TimeAxis.Coverage.Bounds.Limits.StopTime", "Stop time (MJD, UTC)"),
    ("t_exptime", "double", None, None, "s", "time.duration;obs.exposure", "Char.TimeAxis.Coverage.Support.Extent", "Total exposure time"),
    ("t_resolution", "double", None, None, "s", "time.resolution", "Char.TimeAxis.Resolution.Refval.value", "Temporal resolution"),
    ("t_xel", "long", None, None, None, "meta.number", "Char.TimeAxis.numBins", "Elements along the time axis"),
    ("em_min", "double", None, None, "m", "em.wl;stat.min", "Char.SpectralAxis.Coverage.Bounds.Limits.LoLimit", "Shortest wavelength"),
    ("em_max", "double", None, None, "m", "em.wl;stat.max", "Char.SpectralAxis.Coverage.Bounds.Limits.HiLimit", "Longest wavelength"),
    ("em_res_power", "double", None, None, None, "spect.resolution", "Char.SpectralAxis.Resolution.ResolPower.refVal", "Spectral resolving power"),
    ("em_xel", "long", None, None, None, "meta.number", "Char.SpectralAxis.numBins", "Elements along the spectral axis"),
    ("o_ucd", "char", "*", None, None, "meta.ucd", "Char.ObservableAxis.ucd", "UCD of the observable"),
    ("pol_states", "char", "*", None, None, "meta.code;phys.polarization", "Char.PolarizationAxis.stateList", "Polarisation states"),
    ("pol_xel", "long", None, None, None, "meta.number", "Char.PolarizationAxis.numBins", "Number of polarisation samples"),
    ("facility_name", "char", "*", None, None, "meta.id;instr.tel", "Provenance.ObsConfig.facility.name", "Telescope or facility"),
    ("instrument_name", "char", "*", None, None, "meta.id;instr", "Provenance.ObsConfig.instrument.name", "Instrument"),
)  # fmt: skip

#: columns an archive may add, by name: unit, UCD, utype (ObsCore 1.1, table 5)
_OPTIONAL: Mapping[str, tuple[str | None, str, str]] = {
    "dataproduct_subtype": (None, "meta.code.class", "ObsDataset.dataProductSubtype"),
    "target_class": (None, "src.class", "Target.Class"),
    "obs_creation_date": (None, "time;meta.dataset", "DataID.Date"),
    "obs_creator_name": (None, "meta.id", "DataID.Creator"),
    "obs_creator_did": (None, "meta.id", "DataID.CreatorDID"),
    "obs_title": (None, "meta.title;obs", "DataID.Title"),
    "publisher_id": (None, "meta.ref.ivoid", "Curation.PublisherID"),
    "bib_reference": (None, "meta.bib", "Curation.Reference"),
    "data_rights": (None, "meta.code", "Curation.Rights"),
    "obs_release_date": (None, "time.release", "Curation.releaseDate"),
    "s_pixel_scale": ("arcsec", "phys.angSize;instr.pixel", "Char.SpatialAxis.Sampling.RefVal.SamplingPeriod"),
    "s_calib_status": (None, "meta.code.qual", "Char.SpatialAxis.calibrationStatus"),
    "t_calib_status": (None, "meta.code.qual", "Char.TimeAxis.calibrationStatus"),
    "em_calib_status": (None, "meta.code.qual", "Char.SpectralAxis.calibrationStatus"),
    "o_calib_status": (None, "meta.code.qual", "Char.ObservableAxis.calibStatus"),
    "proposal_id": (None, "meta.id;obs.proposal", "Provenance.Proposal.identifier"),
}

#: columns that may not be NULL (ObsCore 1.1, table 1)
NEEDED = frozenset({"calib_level", "obs_collection", "obs_id", "obs_publisher_did"})


@dataclass(frozen=True, slots=True)
class Rule:
    """What a row of ObsCore may not hold: an SQL condition on ``columns`` (in braces) that is true for wrong rows.

    ``kind`` is what the columns must be for the rule to make sense: "text", "number" or "any".
    """

    columns: tuple[str, ...]
    kind: Literal["text", "number", "any"]
    condition: str
    what: str
    hint: str
    severity: Literal["error", "warning", "note"] = "error"


#: ObsCore 1.1, table 5 and the IVOA vocabulary http://www.ivoa.net/rdf/product-type
PRODUCT_TYPES: tuple[str, ...] = (
    "image",
    "cube",
    "spectrum",
    "sed",
    "timeseries",
    "visibility",
    "event",
    "measurements",
    "dynamic-spectrum",
    "event-list",
    "light-curve",
    "spatially-resolved-dataset",
    "spatial-profile",
    "time-cube",
    "velocity-time-cube",
)
_KINDS = ", ".join(f"'{kind}'" for kind in PRODUCT_TYPES)
RULES: tuple[Rule, ...] = (
    Rule(("calib_level",), "number", "{calib_level} NOT IN (0, 1, 2, 3, 4)", "calib_level is none of 0 to 4",
         "0 is raw, 1 instrumental, 2 calibrated, 3 enhanced, 4 an analysis product (ObsCore 1.1, section 4.2)."),
    Rule(("dataproduct_type",), "text", f"{{dataproduct_type}} NOT IN ({_KINDS})",
         "dataproduct_type is not in the vocabulary", f"Use one of {', '.join(PRODUCT_TYPES[:8])}, or NULL.", "warning"),
    Rule(("obs_id",), "any", "{obs_id} IS NULL OR CAST({obs_id} AS VARCHAR) = ''", "obs_id is empty",
         "Every observation needs an obs_id (ObsCore 1.1, table 1)."),
    Rule(("obs_collection",), "any", "{obs_collection} IS NULL", "obs_collection is empty",
         "The table's name stands in for it in ivoa.ObsCore.", "note"),
    Rule(("obs_publisher_did",), "any", "{obs_publisher_did} IS NULL", "obs_publisher_did is empty",
         "An identifier made from obs_id stands in for it in ivoa.ObsCore.", "note"),
    Rule(("calib_level",), "number", "{calib_level} IS NULL", "calib_level is empty",
         "2 (calibrated) stands in for it in ivoa.ObsCore: say which level it is.", "warning"),
    Rule(("t_min", "t_max"), "number", "{t_min} > {t_max}", "t_min is after t_max", "Both are MJD in days."),
    Rule(("t_min",), "number", "{t_min} > 1000000", "t_min looks like a Julian Date",
         "ObsCore wants MJD: subtract 2400000.5.", "warning"),
    Rule(("em_min", "em_max"), "number", "{em_min} > {em_max}", "em_min is above em_max",
         "Both are wavelengths in metres, the shorter one first."),
    Rule(("em_max",), "number", "{em_max} > 1000000", "em_max is more than a thousand km",
         "Spectral limits are wavelengths in metres.", "warning"),
    Rule(("s_fov",), "number", "{s_fov} < 0 OR {s_fov} > 360", "s_fov is no angle", "It is a diameter in degrees."),
    Rule(("s_region", "s_ra"), "any", "{s_region} IS NULL AND {s_ra} IS NULL", "neither s_region nor s_ra is given",
         "No search by position finds such rows.", "note"),
    Rule(("access_url",), "text", "{access_url} IS NULL", "access_url is empty", "Nobody can fetch these.", "note"),
)  # fmt: skip
_INDEXED = frozenset({"s_ra", "s_dec", "s_region"})
#: t_min and t_max are Modified Julian Dates (ObsCore 1.1), here in UTC as the observatories keep it
_TIMES = TimeFrame("", "UTC", "TOPOCENTER", "MJD-origin")
TIMES = replace(_TIMES, id=time_name(_TIMES))
PLACES = CoordinateFrame("icrs", "ICRS")
_FRAMES = {"s_ra": PLACES.id, "s_dec": PLACES.id, "s_region": PLACES.id, "t_min": TIMES.id, "t_max": TIMES.id}

COLUMNS: tuple[Column, ...] = tuple(
    Column(
        name,
        datatype,  # type: ignore[arg-type]
        arraysize,
        xtype=xtype,
        unit=unit,
        ucd=ucd,
        utype=f"obscore:{utype}",
        description=description,
        principal=True,
        std=True,
        nullable=name not in NEEDED,
        indexed=name in _INDEXED,
        ref=_FRAMES.get(name),
    )
    for name, datatype, arraysize, xtype, unit, ucd, utype, description in _ROWS
)


def obscore_table(extensions: Iterable[Column] = ()) -> Table:
    """The description of ivoa.ObsCore with extension columns after the standard ones."""
    return Table(
        NAME,
        # an extension's own frame is not that of all collections
        (*COLUMNS, *(replace(c, std=False, indexed=False, ref=None) for c in extensions)),
        description="Observations of all collections of this service, as ObsCore 1.1 describes them",
        utype=UTYPE,
        frames=(PLACES,),
        time_frames=(TIMES,),
    )


def in_standard_words(column: Column) -> Column:
    """A column with the standard's unit, UCD and utype, if it bears the name of one that archives may add."""
    known = _OPTIONAL.get(column.name.lower())
    if known is None or column.is_array:
        return column
    unit, ucd, utype = known
    return replace(column, unit=column.unit or unit, ucd=ucd, utype=f"obscore:{utype}")


def as_observations(table: Table) -> Table:
    """A collection's own table with the standard's descriptions on the columns that bear its names.

    Raises IngestError when columns are missing that no observation can do without.
    """
    standard = {column.name: column for column in COLUMNS}
    names = {column.name.lower() for column in table.columns}
    missing = [name for name in ("obs_id", "s_ra", "s_dec") if name not in names]
    if missing:
        raise IngestError(
            f"the column {missing[0]} is missing", where=table.name, hint="ObsCore rows need obs_id, s_ra and s_dec."
        )
    columns = []
    held = {frame.id for frame in table.frames} | {frame.id for frame in table.time_frames}
    for column in table.columns:
        known = standard.get(column.name.lower())
        if known is not None and _fits(column, known):
            ref = column.ref if column.ref in held else TIMES.id if known.ref == TIMES.id else None
            columns.append(replace(known, principal=True, indexed=False, ref=ref, nullable=column.nullable))
        else:
            columns.append(in_standard_words(column))
    has_times = any(column.ref == TIMES.id for column in columns) and TIMES.id not in held
    return replace(table, columns=tuple(columns), time_frames=(*table.time_frames, *((TIMES,) if has_times else ())))


def _fits(column: Column, known: Column) -> bool:
    """Whether a collection's column holds the kind of values the standard's column holds."""
    if column.is_array or column.is_timestamp:
        return False
    if known.name == "s_region" and not column.is_text:
        return False
    return column.is_text == known.is_text


def extensions(tables: Iterable[Table]) -> list[Column]:
    """Columns beyond the standard's, each name once, the first description wins."""
    known = {column.name for column in COLUMNS}
    found: dict[str, Column] = {}
    for table in tables:
        for column in table.columns:
            name = column.name.lower()
            if name not in known and name not in found:
                found[name] = column
    return list(found.values())


def conformed(
    batches: Iterator[pa.RecordBatch], table: Table, target: Table, authority: str
) -> Iterator[pa.RecordBatch]:
    """A collection's batches with the columns of ``target``; what a row must have and lacks is filled in."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from skyvault.formats.arrow import arrow_type

    place = {column.name.lower(): i for i, column in enumerate(table.columns)}
    collection = table.name.rpartition(".")[2]
    schema = pa.schema([pa.field(column.name, arrow_type(column)) for column in target.columns])
    defaults: Mapping[str, object] = {"calib_level": 2, "obs_collection": collection}
    for batch in batches:
        arrays = []
        for column, field in zip(target.columns, schema, strict=True):
            i = place.get(column.name.lower())
            array = pa.nulls(batch.num_rows, field.type) if i is None else batch.column(i)
            if i is not None and column.name == "s_region":
                array = _region_texts(array, table.columns[i])
            if not array.type.equals(field.type):
                compatible = not pa.types.is_list(array.type) and not pa.types.is_list(field.type)
                array = array.cast(field.type, safe=False) if compatible else pa.nulls(batch.num_rows, field.type)
            if array.null_count and column.name in defaults:
                array = pc.fill_null(array, pa.scalar(defaults[column.name], field.type))
            if array.null_count and column.name == "obs_publisher_did":
                ids = batch.column(place["obs_id"]).cast(pa.string())
                made = pc.binary_join_element_wise(f"ivo://{authority}/~?{table.name}/", ids, "")
                array = pc.coalesce(array, made)
            arrays.append(array)
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _region_texts(array: pa.Array, column: Column) -> pa.Array:
    """A typed region column (DALI circle or polygon) as the text that ObsCore has: "POLYGON ICRS ..."."""
    import pyarrow as pa
    import pyarrow.compute as pc

    xtype = (column.xtype or "").lower()
    if not pa.types.is_list(array.type) or xtype not in ("circle", "polygon"):
        return array
    numbers = pc.binary_join(pc.cast(array, pa.list_(pa.string())), " ")
    texts = pc.binary_join_element_wise(f"{xtype.upper()} ICRS", numbers, " ")
    return pc.if_else(pc.greater(pc.list_value_length(array), 0), texts, pa.scalar(None, pa.string()))
