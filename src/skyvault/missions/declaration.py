"""What makes a mission: services, columns, ObsIDs, instruments, fields of view, rules and products, as plain values.

A mission file holds one :class:`Declaration` and nothing that runs; rules no table can express are named functions
beside it. Angles are degrees (radius, or half of the longest side, of a field of view), energies keV.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from skyvault.missions.targets import TARGET_TYPES
from skyvault.missions.wanted_files import Bundle, Narrowing, Wanted

#: how an archive's values become ours: "time" is MJD or ISO text or a timestamp (UTC), "duration" is seconds
Kind = Literal["float", "int", "text", "bool", "time", "duration"]
#: which file of an observation a template leads to
ProductKind = Literal["events", "image", "expmap", "background"]
#: {sub-exposure or instrument: usable?} of what is known about an observation
Assessment = Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ObsColumn:
    """One column of a mission's table and the archive's column(s) it is made of.

    ``source`` None: the column is derived (end, duration, science_usable, proprietary_usable) or the ``constant``.
    Several sources are joined with commas. ``nulls`` are values that stand for "unknown". ``after`` is a function of
    text that is applied to each different value.
    """

    name: str
    source: str | tuple[str, ...] | None
    kind: Kind = "text"
    nulls: tuple[float, ...] = ()
    constant: str | bool | None = None
    after: Callable[[str], str] | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class CategoryRule:
    """Words of the archive for a target's kind, turned into codes; what is not listed is ``default``.

    Rows that are still ``default`` get a second chance by the column ``fallback``.
    """

    source: str
    codes: Mapping[str, str]
    default: str = "MISC"
    fallback: str | None = None
    fallback_codes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        strange = {*self.codes.values(), *self.fallback_codes.values(), self.default} - TARGET_TYPES.keys()
        if strange:
            raise ValueError(f"{', '.join(sorted(strange))}: no codes of the target taxonomy")


@dataclass(frozen=True, slots=True)
class Selector:
    """How a choice of instruments selects observations: the values of ``column`` that each instrument stands for.

    ``otherwise`` are the values let through when none of these instruments is chosen; None lets all through.
    """

    column: str
    values: Mapping[str, tuple[str, ...]]
    otherwise: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """Where a downloaded file lies below its observation's directory.

    ``template`` may hold {oi} (the ObsID as the archive writes it in file names), {inst} (the instrument's name in
    files), {band} and the wild-card *.
    """

    template: str
    inst_names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Band:
    """An energy band in keV, and the name files give it."""

    lo_kev: float
    hi_kev: float
    name: str = ""


@dataclass(frozen=True, slots=True)
class Politeness:
    """How hard the archive may be asked."""

    connections: int = 4
    requests_per_minute: int = 300


@dataclass(frozen=True)
class Declaration:
    """A mission, said in values."""

    name: str
    pretty_name: str
    id_pattern: str
    columns: tuple[ObsColumn, ...]
    instruments: tuple[str, ...]
    default_instruments: tuple[str, ...]
    #: one radius in degrees for all, or one for each instrument
    fov_deg: float | Mapping[str, float]
    frame: Literal["FK5", "ICRS"] = "FK5"
    aliases: Mapping[str, str] = field(default_factory=dict)
    #: archive and service of the table (as endpoints are configured), default address, table name
    archive: str = "heasarc"
    service: str = "tap"
    service_url: str = "https://heasarc.gsfc.nasa.gov/xamin/vo/tap"
    table: str = ""
    #: "tap": ``table`` is asked for by ADQL; "csv": it is a file below the service's address
    table_kind: Literal["tap", "csv"] = "tap"
    #: the service cuts long answers without saying so, unless it is asked for so many rows
    counts_rows_first: bool = False
    #: the same mission at another archive, which is asked when this one cannot answer
    alternative: Declaration | None = None
    #: rows are kept where these archive columns hold one of these words (compared in lower case)
    keep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: rows are kept whose ObsID matches
    keep_ids: str | None = None
    #: observations are usable where one of these columns is positive
    usable_if_positive: tuple[str, ...] = ()
    #: the column with an instrument's time on target: without any, it did not observe
    exposures: Mapping[str, str] = field(default_factory=dict)
    #: choices of instruments that select observations: one instrument an observation
    selectors: tuple[Selector, ...] = ()
    #: the column that names the key of ``fov_deg`` that holds for a row
    fov_column: str | None = None
    #: columns with west, east, south and north edge (degrees) of a survey's tiles
    tile_columns: tuple[str, str, str, str] | None = None
    category: CategoryRule | None = None
    #: ISO-dated things to know
    notes: tuple[str, ...] = ()
    products: Mapping[ProductKind, Mapping[str, Product]] = field(default_factory=dict)
    #: energy bands of the products, by instrument
    bands: Mapping[str, tuple[Band, ...]] = field(default_factory=dict)
    #: what the mission sees: photon energies in keV, or wavelengths in metres
    energy_kev: tuple[float, float] | None = None
    wavelength_m: tuple[float, float] | None = None
    #: the service that has the files, and its default address
    files_service: str = "files"
    files_url: str = "https://heasarc.gsfc.nasa.gov/FTP/"
    #: an observation's directory below it: {oi}, {oi[a:b]} (characters), columns of the table and ``url_words`` of an
    #: ObsID may stand in it
    directory: str | None = None
    #: the files wanted from that directory, or the tar archive they come in
    files: tuple[Wanted, ...] = ()
    #: what directories that several observations share lie below
    shared_directory: str = ""
    bundle: Bundle | None = None
    narrowing: Narrowing | None = None
    url_words: Callable[[str], dict[str, str]] | None = None
    is_file_id_lower: bool = False
    politeness: Politeness = field(default_factory=Politeness)
    assess: Assessment | None = None
    #: the ObsID within an identifier of a processing step (first group, or all)
    ident_pattern: str | None = None
    #: names of fields and what else users call them
    field_aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: what no ObsColumn can say: ``prepare`` reads the archive's columns ``needs`` and adds the columns ``makes``
    needs: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    prepare: Callable[[Any], Any] | None = None
    #: ObsIDs with a known misprint, and what they are
    replaced_ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        re.compile(self.id_pattern)
        known = set(self.instruments)
        for what, used in (
            ("default instruments", self.default_instruments),
            ("aliases", self.aliases.values()),
            ("exposures", self.exposures),
        ):
            if strange := set(used) - known:
                raise ValueError(f"mission {self.name}: {what} name {', '.join(sorted(strange))}, no instrument of it")
        names = [column.name for column in self.columns]
        if missing := {"ra", "dec", "ObsID", "science_usable", "start", "end", "duration"} - set(names):
            raise ValueError(f"mission {self.name}: no columns {', '.join(sorted(missing))}")
        if len(set(names)) != len(names):
            raise ValueError(f"mission {self.name}: a column is declared twice")

        if not self.files_url.endswith("/") or (self.directory is not None and not self.directory.endswith("/")):
            raise ValueError(f"mission {self.name}: addresses of directories end with a slash")
        words = {inst for one in self.wanted() for inst in (*one.inst_words, *one.only_for)}
        if strange := words - known:
            raise ValueError(f"mission {self.name}: files of {', '.join(sorted(strange))}, no instrument of it")

    def wanted(self) -> tuple[Wanted, ...]:
        """The files that are wanted of an observation."""
        return self.files if self.bundle is None else self.bundle.wanted

    @property
    def has_versions(self) -> bool:
        """Whether the archive keeps several pipeline versions of an observation, to be chosen from."""
        return any("{version}" in one.folder for one in self.wanted())

    @property
    def is_one_inst_per_obs(self) -> bool:
        """Whether each observation was made with one instrument only."""
        return bool(self.selectors)

    def sources(self) -> tuple[str, ...]:
        """The archive's columns this declaration reads, in order, each once."""
        wanted: list[str] = []
        for column in self.columns:
            wanted += [column.source] if isinstance(column.source, str) else column.source or ()
        wanted = [name for name in wanted if name not in self.makes]
        wanted += self.needs
        wanted += self.keep
        if self.category:
            wanted += [self.category.source, *([self.category.fallback] if self.category.fallback else ())]
        return tuple(dict.fromkeys(wanted))


def observation(
    *,
    start: str = "time",
    end: str | None = "end_time",
    duration: str | None = None,
    obs_id: str = "obsid",
    usable: str | None = None,
) -> tuple[ObsColumn, ...]:
    """The seven columns every mission has, by the archive's names for them; None is derived from the others."""
    return (
        ObsColumn("ra", "ra", "float"),
        ObsColumn("dec", "dec", "float"),
        ObsColumn("ObsID", obs_id),
        ObsColumn("science_usable", usable, "bool"),
        ObsColumn("start", start, "time"),
        ObsColumn("end", end, "time"),
        ObsColumn("duration", duration, "duration"),
    )


def proprietary(source: str = "public_date", nulls: tuple[float, ...] = (0.0,)) -> tuple[ObsColumn, ...]:
    """The end of the time in which an observation belongs to its proposers, and whether it is over."""
    return (ObsColumn("proprietary_end_date", source, "time", nulls), ObsColumn("proprietary_usable", None, "bool"))


#: the kind of target, by the mission's CategoryRule
CATEGORY = ObsColumn("target_category", None)


def seconds(*names: str, **renamed: str) -> tuple[ObsColumn, ...]:
    """Columns of times on target, which archives hold in seconds; keywords give ours=theirs."""
    return tuple(ObsColumn(ours, theirs, "duration") for ours, theirs in {**{n: n for n in names}, **renamed}.items())
