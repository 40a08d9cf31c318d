"""The formats a table comes in and goes out as: names, media types, file suffixes; which one is meant.

DALI short names and media types (DALI 1.1, section 3.4.3; TAP 1.1, section 2.7.3) and the names DaCHS understands.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from skyvault.errors import FormatError, ParameterError
from skyvault.formats.source import DEFAULT_LIMITS, ByteSource, ReadLimits, TableSource
from skyvault.formats.stream import TableStream

Writer: TypeAlias = Callable[[TableStream], Iterator[bytes]]

VOTABLE = "application/x-votable+xml"
PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True, slots=True)
class TableFormat:
    """One way a table is written: what it is called and what its files look like.

    ``content_type`` is answered when it is asked for by one of ``short_names``; ``media_types`` are what it may be
    asked for by, too. ``can_tell_overflow``: whether the bytes themselves say that rows were left out.
    """

    name: str
    content_type: str
    suffix: str
    short_names: tuple[str, ...]
    media_types: tuple[str, ...]
    can_tell_overflow: bool = True
    #: IVOA identifier in capabilities (TAPRegExt 1.0, section 2.4)
    ivo_id: str | None = None


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """The format chosen for one answer, sent as ``content_type``."""

    name: str
    content_type: str
    suffix: str
    can_tell_overflow: bool
    writer: Writer

    def write(self, stream: TableStream) -> Iterator[bytes]:
        """The stream's bytes in this format, block by block; the first block comes when the first batch is there."""
        return self.writer(stream)


_TAPREGEXT = "ivo://ivoa.net/std/TAPRegExt#output-votable-"

#: Every format that can be written, in the order it is offered.
OUTPUT_FORMATS: tuple[TableFormat, ...] = (
    TableFormat("votable", VOTABLE, ".vot", ("votable",), (VOTABLE, "application/x-votable", "text/x-votable+xml")),
    TableFormat(
        "votable/td",
        f"{VOTABLE};serialization=TABLEDATA",
        ".vot",
        ("votable/td", "votabletd", "votable_td"),
        ("text/xml", "application/xml"),
        ivo_id=_TAPREGEXT + "td",
    ),
    TableFormat(
        "votable/b2",
        f"{VOTABLE};serialization=BINARY2",
        ".vot",
        ("votable/b2", "votableb2", "votable_b2"),
        (),
        ivo_id=_TAPREGEXT + "binary2",
    ),
    TableFormat(
        "votable/b",
        f"{VOTABLE};serialization=BINARY",
        ".vot",
        ("votable/b", "votableb", "votable/binary"),
        (),
        ivo_id=_TAPREGEXT + "binary",
    ),
    TableFormat(
        "votable/mivot",
        f"{VOTABLE};version=1.5;content=mivot",
        ".vot",
        ("votable/mivot", "mivot", "vodml"),
        (),
    ),
    TableFormat("csv", "text/csv;header=present", ".csv", ("csv", "csv_header", "csv_bare"), ("text/csv",), False),
    TableFormat("tsv", "text/tab-separated-values", ".tsv", ("tsv",), ("text/tab-separated-values",), False),
    TableFormat("text", "text/plain;charset=utf-8", ".txt", ("text", "txt"), ("text/plain",), False),
    TableFormat("fits", "application/fits", ".fits", ("fits",), ("application/fits", "application/x-fits")),
    TableFormat(
        "parquet", PARQUET, ".parquet", ("parquet",), (PARQUET, "application/x-parquet", "application/parquet")
    ),
    TableFormat("arrow", ARROW, ".arrows", ("arrow", "ipc"), (ARROW,)),
    TableFormat("json", "application/json", ".json", ("json",), ("application/json", "text/json")),
    TableFormat("ecsv", "text/ecsv", ".ecsv", ("ecsv",), ("text/ecsv", "application/x-ecsv")),
    TableFormat("html", "text/html;charset=utf-8", ".html", ("html",), ("text/html", "application/xhtml+xml")),
)

_BY_NAME = {name: entry for entry in OUTPUT_FORMATS for name in entry.short_names}
_BY_MEDIA_TYPE = {media: entry for entry in OUTPUT_FORMATS for media in entry.media_types}
#: media type parameters that are understood; others (charset, q ...) change nothing
_SERIALIZATIONS = {
    "tabledata": "votable/td",
    "td": "votable/td",
    "binary2": "votable/b2",
    "b2": "votable/b2",
    "binary": "votable/b",
    "b": "votable/b",
}
_VERSIONS = ("1.4", "1.5")
_TOKEN = re.compile(r"""\s*;\s*([A-Za-z0-9_.+-]+)\s*=\s*(?:"([^"]*)"|([^\s;"]*))\s*""")


def short_names() -> tuple[str, ...]:
    """The first short name of every format that can be written."""
    return tuple(entry.short_names[0] for entry in OUTPUT_FORMATS)


def negotiate(text: str | None) -> OutputFormat:
    """The format a RESPONSEFORMAT (or FORMAT) parameter asks for; None or "" is the default, a VOTable in BINARY2.

    A short name is answered with its own media type, a media type with itself. Upper and lower case do not matter;
    a blank may stand for the "+" that an unquoted URL has lost. Raises ParameterError naming what is accepted.
    """
    asked = (text or "").strip()
    if not asked:
        return _chosen(_BY_NAME["votable"], VOTABLE, {})
    if len(asked) > 200:
        raise _unknown(asked[:60] + "...")
    lowered = asked.lower()
    entry = _BY_NAME.get(lowered)
    if entry is not None:
        implied = {"version": "1.5"} if entry.name == "votable/mivot" else {}
        return _chosen(entry, entry.content_type, implied)
    base, _, rest = lowered.partition(";")
    base = base.strip().replace("votable xml", "votable+xml")
    parameters = _parameters(";" + rest if rest else "", asked)
    entry = _BY_MEDIA_TYPE.get(base) or _BY_NAME.get(base)
    if entry is None:
        raise _unknown(asked)
    if base in _BY_NAME:
        base = entry.content_type.partition(";")[0]
    if "votable" in entry.name:
        serialization = parameters.get("serialization")
        if serialization is not None:
            if serialization not in _SERIALIZATIONS:
                raise ParameterError(
                    f"The serialization {serialization!r} is not VOTable's",
                    hint="There are TABLEDATA, BINARY2, BINARY.",
                )
            entry = _BY_NAME[_SERIALIZATIONS[serialization]]
        if parameters.get("content") == "mivot":
            parameters.setdefault("version", "1.5")
        version = parameters.get("version")
        if version is not None and version not in _VERSIONS:
            raise ParameterError(f"VOTable {version} cannot be written", hint=f"Versions {', '.join(_VERSIONS)} can.")
    elif entry.name == "csv" and parameters.get("header") == "absent":
        raise ParameterError("CSV is always written with a header line", hint="Ask for text/csv;header=present.")
    told = base
    for key in ("serialization", "version", "content", "header"):
        if key in parameters:
            value = parameters[key].upper() if key == "serialization" else parameters[key]
            told += f";{key}={value}"
    if entry.name in ("text", "html"):
        told += ";charset=utf-8"
    return _chosen(entry, told, parameters)


def _parameters(text: str, asked: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            if text[place:].strip(" ;"):
                raise _unknown(asked)
            break
        parameters[match[1]] = match[2] if match[2] is not None else match[3]
        place = match.end()
    if any(not re.fullmatch(r"[A-Za-z0-9._+ /-]*", value) for value in parameters.values()):
        raise _unknown(asked)
    return parameters


def _unknown(asked: str) -> ParameterError:
    return ParameterError(
        f"The format {asked!r} is not known", hint=f"Accepted are {', '.join(short_names())} and their media types."
    )


def _chosen(entry: TableFormat, content_type: str, parameters: dict[str, str]) -> OutputFormat:
    return OutputFormat(
        name=entry.name,
        content_type=content_type,
        suffix=entry.suffix,
        can_tell_overflow=entry.can_tell_overflow,
        writer=_writer(entry.name, parameters.get("version", "1.4"), parameters.get("content")),
    )


def _writer(name: str, version: str, content: str | None = None) -> Writer:
    """The function that writes a format; its module is loaded when it is first needed."""
    if name.startswith("votable"):
        from skyvault.formats.votable_out import write_votable

        kinds: dict[str, Any] = {"votable/td": "TABLEDATA", "votable/b": "BINARY"}
        # who asks for 1.5 knows of annotations, which came with it
        mivot: Any = (
            "asked" if name == "votable/mivot" or content == "mivot" else "some" if version == "1.5" else "none"
        )
        return partial(write_votable, serialization=kinds.get(name, "BINARY2"), version=version, mivot=mivot)
    if name == "csv":
        from skyvault.formats.flat import write_csv

        return write_csv
    if name in ("tsv", "text"):
        from skyvault.formats.flat import write_tsv

        return write_tsv
    if name == "fits":
        from skyvault.formats.fits_out import write_fits

        return write_fits
    if name == "parquet":
        from skyvault.formats.parquet import write_parquet

        return write_parquet
    if name == "arrow":
        from skyvault.formats.parquet import write_arrow

        return write_arrow
    if name == "json":
        from skyvault.formats.json_out import write_json

        return write_json
    if name == "ecsv":
        from skyvault.formats.ecsv import write_ecsv

        return write_ecsv
    from skyvault.formats.html import write_html

    return write_html


# --- reading --------------------------------------------------------------------------------------------------------

#: What can be read, and the file names it usually has.
INPUT_FORMATS: dict[str, tuple[str, ...]] = {
    "votable": (".vot", ".votable", ".xml", ".vo"),
    "fits": (".fits", ".fit", ".fts", ".ftz"),
    "parquet": (".parquet", ".parq", ".pq"),
    "arrow": (".arrow", ".arrows", ".feather", ".ipc"),
    "ecsv": (".ecsv",),
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
}

#: first bytes of files that are known but not read, and what helps
_STRANGERS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF", "HDF5", "Convert it to Parquet or FITS."),
    (b"PK\x03\x04", "a ZIP archive", "Unpack it and name the file inside."),
    (b"\x1f\x9d", "compressed by the old compress", "Unpack it with uncompress."),
    (b"%PDF", "PDF", "It holds no table that can be read."),
    (b"\x93NUMPY", "numpy's own format", "Save it as Parquet or FITS."),
    (b"SQLite format 3", "an SQLite database", "Export the table as CSV or Parquet."),
    (b"\xd0\xcf\x11\xe0", "an old office document", "Save the sheet as CSV."),
)


def format_of_suffix(path: str | os.PathLike[str]) -> str:
    """The short name of the format a file of this name is to be written in. Raises ParameterError if none fits."""
    name = os.path.basename(os.fspath(path)).lower()
    for kind, suffixes in INPUT_FORMATS.items():
        if name.endswith(suffixes):
            return kind
    for entry in OUTPUT_FORMATS:
        if name.endswith(entry.suffix):
            return entry.short_names[0]
    raise ParameterError(
        f"The file name {os.path.basename(os.fspath(path))!r} tells no format",
        hint=f"Formats are {', '.join(short_names())}.",
    )


def sniff(source: ByteSource) -> str:
    """Which of INPUT_FORMATS the bytes are; the name decides only between CSV and TSV.

    Raises FormatError for what is not recognised.
    """
    start = source.peek(4096)
    if not start:
        raise FormatError("The file is empty", where=source.name)
    if start.startswith(b"SIMPLE"):
        return "fits"
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    for magic, kind, hint in _STRANGERS:
        if start.startswith(magic):
            raise FormatError(f"The file is {kind}, which is not read", where=source.name, hint=hint)
    if start[257:262] == b"ustar":
        raise FormatError("The file is a tar archive, which is not read", where=source.name, hint="Unpack it first.")
    stripped = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if stripped.startswith(b"<") or start.startswith((b"\xff\xfe", b"\xfe\xff", b"<\x00", b"\x00<")):
        return "votable"
    if re.match(rb"#\s*%ECSV", stripped):
        return "ecsv"
    if stripped.startswith((b"{", b"[")):
        raise FormatError(
            "The file is JSON, which is not read", where=source.name, hint="Convert it to CSV or Parquet."
        )
    if b"\x00" in start or start[:256].translate(None, _TEXT):
        raise FormatError(
            "The file is in no format that is known here",
            where=f"{source.name}, byte 0",
            hint=f"Read are {', '.join(INPUT_FORMATS)}, also compressed with gzip.",
        )
    name = source.name.lower().removesuffix(".gz")
    return "tsv" if name.endswith(INPUT_FORMATS["tsv"]) else "csv"


_TEXT = bytes([9, 10, 12, 13, *range(32, 127), *range(128, 256)])


def open_table(
    source: TableSource,
    format: str | None = None,
    *,
    table: int | str | None = None,
    limits: ReadLimits = DEFAULT_LIMITS,
    name: str | None = None,
) -> TableStream:
    """Any table file or bytes as a stream of Arrow batches.

    ``format`` None recognises VOTable, FITS, Parquet, Arrow, ECSV, CSV and TSV by their content, compressed or not.
    ``table`` chooses in files that hold several: a position, a name or an ID in a VOTable, the number (primary = 0)
    or EXTNAME of an HDU in FITS. Raises FormatError (what, at which byte or row, what would help), NotFound for a
    missing file, TooLarge beyond ``limits``, ParameterError for an unknown ``format``.
    """
    asked = (format or "").strip().lower()
    if asked and asked not in INPUT_FORMATS:
        known = _BY_NAME.get(asked) or _BY_MEDIA_TYPE.get(asked.partition(";")[0].strip())
        asked = known.name.partition("/")[0] if known else asked
        if asked not in INPUT_FORMATS:
            raise ParameterError(
                f"The format {format!r} cannot be read", hint=f"Formats are {', '.join(INPUT_FORMATS)}."
            )
    origin = ByteSource(source, limits=limits, name=name)
    try:
        return _open(origin, asked or sniff(origin), table, limits)
    except BaseException:
        origin.close()
        raise


def _open(origin: ByteSource, kind: str, table: int | str | None, limits: ReadLimits) -> TableStream:
    if kind == "votable":
        from skyvault.formats.votable_in import open_votable

        return open_votable(origin, table=table, limits=limits)
    if kind == "fits":
        from skyvault.formats.fits_in import open_fits

        return open_fits(origin, hdu=table, limits=limits)
    if table is not None:
        raise ParameterError(f"A {kind} file holds one table only, so table {table!r} cannot be chosen")
    if kind == "parquet":
        from skyvault.formats.parquet import open_parquet

        return open_parquet(origin, limits=limits)
    if kind == "arrow":
        from skyvault.formats.parquet import open_arrow

        return open_arrow(origin, limits=limits)
    if kind == "ecsv":
        from skyvault.formats.ecsv import open_ecsv

        return open_ecsv(origin, limits=limits)
    from skyvault.formats.flat import open_flat

    return open_flat(origin, delimiter="\t" if kind == "tsv" else None, limits=limits)
