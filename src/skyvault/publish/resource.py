"""What a publisher says of a collection in its resource.yaml: metadata, tables, files, services, examples, tests.

One file a collection, read by people first. Every key is checked; a wrong one is told with its line. The same
definitions make the JSON schema that editors use.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from skyvault.model.licence import licence_url
from skyvault.publish.xp_section import XpSection

#: a value as it is, or "= expression" over the file's header
MappedValue = str | int | float | bool | None
_NAME: Final = r"^[A-Za-z][A-Za-z0-9_]{0,62}$"
_ORCID: Final = r"^\d{4}-\d{4}-\d{4}-\d{3}[\dX]$"
_TERM: Final = r"^#[a-z][a-z-]*$"
_LENGTH: Final = r"^[1-9]\d{0,5}\s*[smhd]$"
_TIME: Final = r"^([01]\d|2[0-3]):[0-5]\d$"
_ADDRESS: Final = r"^https?://[^\s]+$"
_RECORD: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
#: what a text of each pattern is, for people
WANTED: Final = {
    _NAME: "a name: a letter, then letters, digits and _, at most 63",
    _ORCID: "an ORCID such as 0000-0002-1825-0097",
    _TERM: "a term of the DataLink vocabulary such as #weight",
    _LENGTH: "a length such as 30m, 6h or 1d",
    _TIME: "a time such as 03:30 (UTC)",
    _ADDRESS: "an address that begins with http:// or https://",
    _RECORD: "a name: a letter or digit, then letters, digits, _, . and -, at most 63",
}
Name = Annotated[str, Field(pattern=_NAME)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, validate_default=False)


class Person(_Section):
    """Who made the data, as a registry shows it."""

    name: str
    orcid: Annotated[str, Field(pattern=_ORCID)] | None = None
    email: str | None = None
    affiliation: str | None = None


class FrameWords(_Section):
    """A frame of places (COOSYS)."""

    system: Annotated[str, Field(description="ICRS, FK5, FK4, GALACTIC, ...")] = "ICRS"
    epoch: Annotated[str | float | None, Field(description="When the places hold: J2016.0")] = None
    equinox: Annotated[str | float | None, Field(description="Of FK4 and FK5: J2000.0")] = None
    refposition: Annotated[str | None, Field(description="BARYCENTER, GEOCENTER, TOPOCENTER")] = None


class FrameOfColumn(_Section):
    """In which frame a column gives places or times, and in which system magnitudes."""

    frame: Annotated[
        FrameWords | str | None, Field(description="Of a place: its frame, where it is not the table's")
    ] = None
    timescale: Annotated[str | None, Field(description="Of a time: TDB, UTC, TT, TCB, ...")] = None
    refposition: Annotated[
        str | None, Field(description="Of a time or place: BARYCENTER, TOPOCENTER, GEOCENTER, HELIOCENTER")
    ] = None
    timeorigin: Annotated[
        str | float | None, Field(description="Of a time: MJD-origin, JD-origin, or the Julian Date of its zero")
    ] = None
    filter: Annotated[str | None, Field(description="Of a magnitude: its filter, as SVO names it: GAIA/GAIA3.G")] = None
    magnitude_system: Annotated[str | None, Field(description="Vega, AB or ST")] = None
    zero_point: Annotated[float | None, Field(gt=0, description="Flux of magnitude 0, in jansky")] = None
    wavelength: Annotated[float | None, Field(gt=0, description="Effective wavelength of the filter, in metres")] = None


class ColumnWords(FrameOfColumn):
    """What a file does not say of a column."""

    unit: str | None = None
    ucd: str | None = None
    utype: str | None = None
    xtype: str | None = None
    description: str | None = None
    null: str | int | None = None


class TableSection(_Section):
    """A table file, or a query over what is published: its rows become a table one can query."""

    source: Annotated[
        str | None, Field(description="A table file, relative to this resource: Parquet, FITS, VOTable, CSV")
    ] = None
    query: Annotated[
        str | None, Field(description="ADQL over published tables, asked anew at each publish, after all files")
    ] = None
    title: str | None = None
    description: str | None = None
    columns: dict[str, ColumnWords] = {}
    position: list[str] | str | None = None
    frame: Annotated[FrameWords | str | None, Field(description="The frame of its places; ICRS if nothing is said")] = (
        None
    )
    id: str | None = None
    obscore: Annotated[bool, Field(description="Its rows are observations and join ivoa.ObsCore")] = False
    skip_bad: bool = False
    epntap: Annotated[bool, Field(description="It is an EPN-TAP 2 table (named epn_core)")] = False

    @model_validator(mode="after")
    def _one_origin(self) -> TableSection:
        if (self.source is None) == (self.query is None):
            raise ValueError("give one of source and query")
        return self


class ExtraColumn(FrameOfColumn):
    """A column of a collection beyond ObsCore's."""

    value: MappedValue
    type: Literal["text", "int", "long", "double", "boolean"] = "text"
    unit: str | None = None
    ucd: str | None = None
    description: str | None = None


class Companion(_Section):
    """Another file that belongs to each dataset: where it is, and what it is to the dataset."""

    semantics: Annotated[str, Field(pattern=_TERM, description="A term of the DataLink vocabulary")]
    file: Annotated[
        str | None,
        Field(description="Its path, with {stem}, {name} and {folder} of the dataset's file, or '= expression'"),
    ] = None
    url: str | None = None
    hook: Annotated[str | None, Field(description="A function of hooks.py that makes it when it is asked for")] = None
    description: Annotated[
        str | None, Field(description="For people: a text, or '= expression' over its own header and its dataset's row")
    ] = None
    local_semantics: Annotated[str | None, Field(description="Your own word for this kind of file")] = None
    content_type: str | None = None
    required: bool = False

    @model_validator(mode="after")
    def _one_place(self) -> Companion:
        if sum(one is not None for one in (self.file, self.url, self.hook)) != 1:
            raise ValueError("give one of file, url and hook")
        pattern = self.file or self.url
        if pattern is not None and not pattern.lstrip().startswith("="):
            try:
                pattern.format(stem="", name="", folder="", path="")
            except (LookupError, ValueError, AttributeError):
                raise ValueError("its path may have {stem}, {name}, {folder} and {path}") from None
        return self


class ThisFile(_Section):
    """How the links of a dataset speak of the file itself."""

    description: Annotated[str | None, Field(description="A text, or '= expression' over its header and row")] = None
    local_semantics: Annotated[str | None, Field(description="Your own word for this kind of file")] = None


class Hdf5Section(_Section):
    """Where in HDF5 files the values of datasets are: paths of data sets, from the file's root or from each group."""

    each: Annotated[
        str | None, Field(description="Groups that are a dataset each: a pattern such as /stars/*; none: the file")
    ] = None
    rows: Annotated[bool, Field(description="Each row of the values is a dataset (with the axis in common)")] = False
    wavelength: str | None = None
    time: str | None = None
    flux: Annotated[str | None, Field(description="Of spectra and light curves: the values")] = None
    error: str | None = None
    image: Annotated[str | None, Field(description="Of images: the pixels; the WCS is in attributes")] = None
    id: Annotated[str | None, Field(description="Of rows: their names")] = None
    ra: Annotated[str | None, Field(description="A data set or attribute with right ascensions, degrees")] = None
    dec: str | None = None
    units: Annotated[dict[str, str], Field(description="Of wavelength, time, flux, where the file does not say")] = {}
    missing: Annotated[list[float], Field(description="Numbers that stand for no value")] = []


class ServiceParameter(_Section):
    """What a service of one's own may be asked."""

    type: Literal["text", "integer", "real", "boolean", "timestamp"] = "text"
    unit: str | None = None
    ucd: str | None = None
    xtype: str | None = None
    description: str | None = None
    min: float | None = None
    max: float | None = None
    values: Annotated[list[str], Field(description="The choices there are")] = []
    default: str | int | float | bool | None = None
    required: bool = False


class OwnService(_Section):
    """A service on each dataset that a function of hooks.py does, at once or as a job."""

    name: Name
    hook: Annotated[str, Field(description="A function of hooks.py: given the dataset's file, and the parameters")]
    semantics: Annotated[str, Field(pattern=_TERM, description="A term of the DataLink vocabulary")] = "#proc"
    description: str | None = None
    content_type: Annotated[str, Field(description="Media type of what it gives")] = "application/octet-stream"
    parameters: dict[Name, ServiceParameter] = {}

    @model_validator(mode="after")
    def _no_names_of_ours(self) -> OwnService:
        for name in self.parameters:
            if name.lower() in ("id", "service", "context", "row", "responseformat", "phase", "runid"):
                raise ValueError(f"a parameter cannot be called {name}")
        return self


class FilesSection(_Section):
    """Files of one kind: each (or each image in them) becomes a dataset that can be found, fetched and cut out.

    Instead of files there may be rows, whose datasets a function makes when they are asked for.
    """

    kind: Literal["images", "spectra", "timeseries", "events"] = "images"
    files: Annotated[str | list[str], Field(description="Patterns below this resource's folder; ** goes deeper")] = []
    rows: Annotated[
        str | None,
        Field(description="Instead of files: a function of hooks.py that gives rows, a table file, or an ADQL query"),
    ] = None
    id: Annotated[MappedValue, Field(description="Of rows: what tells one from the others")] = "= id"
    make: Annotated[str | None, Field(description="Of rows: the function that makes a dataset of its row")] = None
    content_type: Annotated[str, Field(description="Of rows: media type of what is made")] = "application/x-votable+xml"
    hdf5: Annotated[Hdf5Section | None, Field(description="Of HDF5: where in the files the values are")] = None
    services: Annotated[list[OwnService], Field(description="Services on these datasets that hooks.py does")] = []
    ignore: str | list[str] = []
    title: str | None = None
    description: str | None = None
    hdu: Annotated[
        Literal["first", "all"] | int | str, Field(description="Which image of a file: first, all, a number or a name")
    ] = "first"
    map: Annotated[dict[str, MappedValue], Field(description="ObsCore's columns: a value, or '= expression'")] = {}
    extra: dict[Name, ExtraColumn] = {}
    hook: Annotated[
        str | None, Field(description="A function of hooks.py that is given each row and may change it")
    ] = None
    this: ThisFile = ThisFile()
    companions: list[Companion] = []
    obscore: Annotated[
        bool | str, Field(description="Whether its datasets join ivoa.ObsCore, or '= expression' over header and row")
    ] = True
    previews: Annotated[bool, Field(description="Small pictures of each dataset are made")] = True
    links: Annotated[
        Literal["open", "signed"], Field(description="signed: files are given out by addresses that expire")
    ] = "open"
    link_lifetime_s: Annotated[int, Field(gt=0, le=31_536_000, description="How long a signed address is good")] = 3600
    embargo: Annotated[
        MappedValue, Field(description="When a file becomes public: an instant, or '= expression' that gives one")
    ] = None
    embargo_for: Annotated[list[str], Field(description="Users and groups who may have it before")] = []

    @model_validator(mode="after")
    def _one_origin(self) -> FilesSection:
        if bool(self.files) == (self.rows is not None):
            raise ValueError("give one of files and rows")
        if (self.rows is None) != (self.make is None):
            raise ValueError("rows and make belong together")
        names = [one.name.lower() for one in self.services]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two services are called {name!r}")
        return self


class Example(_Section):
    """A query people may start from."""

    name: str
    query: str
    description: str | None = None


class Action(_Section):
    """A function of hooks.py that runs by itself."""

    hook: str
    name: Annotated[Name | None, Field(description="Its own name, where one function serves several actions")] = None
    every: Annotated[str | None, Field(pattern=_LENGTH, description="30m, 6h, 1d")] = None
    at: Annotated[str | None, Field(pattern=_TIME, description="HH:MM, UTC")] = None
    on: Annotated[Literal["loaded"] | None, Field(description="loaded: once after each publish")] = None
    seconds: Annotated[int, Field(gt=0, le=864_000, description="How long a run may take")] = 3600

    @model_validator(mode="after")
    def _one_time(self) -> Action:
        if sum(one is not None for one in (self.every, self.at, self.on)) != 1:
            raise ValueError("give one of every, at and on")
        return self


class RegressionTest(_Section):
    """What must stay true of the published resource."""

    name: str
    query: str | None = None
    url: Annotated[str | None, Field(description="Relative to the service's root")] = None
    status: Annotated[int, Field(ge=100, le=599, description="Of a url: the HTTP status it must have")] = 200
    content_type: Annotated[str | None, Field(description="Of a url: what its media type must begin with")] = None
    rows: int | None = None
    least_rows: int | None = None
    value: Any = None
    contains: str | None = None


class Coverage(_Section):
    """What is covered, where the data do not say it."""

    spatial: Annotated[str | None, Field(description="ASCII MOC")] = None
    temporal: list[list[float]] = []
    spectral: Annotated[list[list[float]], Field(description="Wavelengths in metres, [shortest, longest]")] = []


class ServiceElsewhere(_Section):
    """Where a service that is not ours is reached, and by which protocol."""

    type: Literal["tap", "scs", "sia", "sia2", "ssa", "slap", "datalink", "soda", "hips", "web"]
    url: Annotated[str, Field(pattern=_ADDRESS)]
    version: str | None = None
    description: str | None = None


class RecordElsewhere(_Section):
    """A registry record for a service that runs elsewhere; what it does not say, the resource it stands in says."""

    name: Annotated[
        str,
        Field(pattern=_RECORD, description="Last part of its identifier, after the schema"),
    ]
    title: str
    description: str
    services: Annotated[list[ServiceElsewhere], Field(min_length=1)]
    creators: list[Person | str] = []
    subjects: list[str] = []
    waveband: list[str] = []
    facility: list[str] = []
    instrument: list[str] = []
    rights: str | None = None
    licence: str | None = None
    references: list[str] = []
    contact: str | None = None
    publisher: str | None = None
    reference_url: Annotated[str | None, Field(description="A page about it; else its web page or first service")] = (
        None
    )
    coverage: Coverage | None = None


class Resource(_Section):
    """One collection."""

    schema_: Annotated[Name, Field(alias="schema", description="The schema its tables are named in")]
    title: str
    description: str
    creators: list[Person | str] = []
    publisher: str | None = None
    contact: str | None = None
    subjects: Annotated[list[str], Field(description="Concepts of the Unified Astronomy Thesaurus")] = []
    rights: str | None = None
    licence: Annotated[str | None, Field(description="An SPDX name (CC-BY-4.0) or an address")] = None
    references: Annotated[list[str], Field(description="DOIs, bibcodes or addresses")] = []
    bibcode: str | None = None
    doi: str | None = None
    facility: list[str] = []
    instrument: list[str] = []
    waveband: list[str] = []
    content_level: list[str] = ["Research"]
    created: str | None = None
    version: str | None = None
    root: Annotated[
        str | None,
        Field(description="Where its files are, if not beside it: a folder, with ${NAME} for environment variables"),
    ] = None
    coverage: Coverage = Coverage()
    tables: dict[Name, TableSection] = {}
    files: dict[Name, FilesSection] = {}
    xp: Annotated[dict[Name, XpSection], Field(description="Gaia XP spectra, sampled as they are published")] = {}
    services: list[Literal["scs", "sia2", "sia1", "ssa", "soda", "hips", "epntap"]] = []
    examples: list[Example] = []
    actions: list[Action] = []
    records: Annotated[
        list[RecordElsewhere], Field(description="Registry records for services that run elsewhere")
    ] = []
    tests: list[RegressionTest] = []

    @field_validator("created", "version", mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        """YAML reads 2021-05-06 as a date and 1.2 as a number."""
        return str(value) if isinstance(value, datetime.date | int | float) and value is not True else value

    @model_validator(mode="after")
    def _names_once(self) -> Resource:
        twice = set(map(str.lower, self.tables)) & set(map(str.lower, self.files))
        if twice:
            raise ValueError(f"{sorted(twice)[0]!r} names both a table and a collection of files")
        taken = [*map(str.lower, self.tables), *map(str.lower, self.files)]
        for name in map(str.lower, self.xp):
            for one in (name, f"{name}_obs"):
                if one in taken:
                    raise ValueError(f"{one!r} names both XP spectra and something else")
                taken.append(one)
        for record in self.records:
            if record.name.lower() in taken:
                raise ValueError(f"the record {record.name!r} has the name of something else in this resource")
            taken.append(record.name.lower())
        names = [action.name or action.hook for action in self.actions]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two actions are called {name!r}: give each a name")
        return self

    @property
    def schema_name(self) -> str:
        return self.schema_.lower()

    @property
    def licence_url(self) -> str | None:
        return licence_url(self.licence)
