"""Results of a TAP query: pyvo's TAPResults, read by our own decoder, and never silently cut short.

The document is taken apart: its rows go through the fast reader into Arrow columns, the rest, a few kilobytes, through
astropy's parser, which makes the metadata objects pyvo works with. Columns become numpy arrays when they are asked for.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import IO, Any, Final

import pyarrow as pa
from pyvo.dal.tap import TAPResults

from skyvault.errors import FormatError, SkyvaultError
from skyvault.find.arrays import distinct, masked, shape_in, structured
from skyvault.find.faults import QueryRefused, ServiceFault, ServiceUnreachable, TruncatedWarning, WrongAnswer
from skyvault.net.addresses import shown_address
from skyvault.net.faults import said
from skyvault.net.retry import TRANSIENT_STATUS, retry_after_s
from skyvault.quiet import quiet

_BLOCK: Final = 1 << 20
_DATA: Final = re.compile(rb"<(?:[\w.-]+:)?DATA(?:\s[^<>]*)?>")
_DATA_END: Final = re.compile(rb"</(?:[\w.-]+:)?DATA\s*>")
#: what surrounds the rows is metadata; more than this is no honest document
_SKELETON_BYTES: Final = 64 << 20
#: of XML in the encodings there are
_BEGINNINGS: Final = (b"<", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_DEFUSED: Final = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)


class Results(TAPResults):  # type: ignore[misc]
    """What a TAP service answered. ``is_truncated``: rows were left out; ``arrow`` holds the columns."""

    def __init__(
        self,
        skeleton: Any,
        arrow: pa.Table,
        *,
        url: str | None = None,
        session: Any = None,
        asked_rows: int | None = None,
    ) -> None:
        self.arrow = arrow
        self._is_filled = False
        self._columns: dict[str, Any] = {}
        super().__init__(skeleton, url=url, session=session)
        self._client_set_maxrec = asked_rows
        self.is_truncated = self._status[0].lower() == "overflow"
        self.check_overflow_warning(asked_rows)

    @classmethod
    def read(
        cls,
        file: IO[bytes],
        *,
        url: str,
        session: Any = None,
        asked_rows: int | None = None,
        row_limit: Callable[[], int | None] | None = None,
        is_told_cut: bool = False,
    ) -> Results:
        """Results from a VOTable, a Parquet file or an Arrow stream (a seekable binary file).

        ``row_limit`` tells the service's limit where a Parquet file does not say whether it is whole; ``is_told_cut``:
        a header of the answer said it is not. Raises QueryRefused, WrongAnswer.
        """
        from skyvault.find.columnar import is_columnar, read_columnar

        file.seek(0)
        if is_columnar(file.read(8)):
            skeleton, arrow = read_columnar(
                file, shown_address(url), row_limit=row_limit or (lambda: asked_rows), is_told_cut=is_told_cut
            )
        else:
            skeleton, arrow = read_document(file, url)
        from pyvo.dal.exceptions import DALFormatError, DALQueryError

        try:
            return cls(skeleton, arrow, url=url, session=session, asked_rows=asked_rows)
        except SkyvaultError:
            raise
        except DALQueryError as error:
            raise QueryRefused(_one_line(error.reason), where=shown_address(url)) from None
        except DALFormatError as error:
            raise WrongAnswer(_one_line(error.reason), where=shown_address(url)) from None

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    @property
    def resultstable(self) -> Any:
        """The table as astropy's VOTable element; its rows are put in when they are first asked for this way."""
        if not self._is_filled:
            self._is_filled = True
            element = self._resultstable
            element.array = structured(self.arrow, element.fields)
            element._nrows = len(self)
        return self._resultstable

    @property
    def votable(self) -> Any:
        self.resultstable  # noqa: B018 (fills in the rows)
        return self._votable

    def getcolumn(self, name: str) -> Any:
        """A masked array of one column, by its name or ID. Raises KeyError."""
        if self._is_filled or name not in self.fieldnames:
            return super().getcolumn(name)
        if name not in self._columns:
            index = self.fieldnames.index(name)
            self._columns[name] = masked(self.arrow.column(index), shape_in(self._resultstable.fields[index]))
        return self._columns[name]

    def to_table(self) -> Any:
        """An astropy Table with units, UCDs and descriptions; columns of one name are numbered."""
        from astropy.table import MaskedColumn, Table

        element = self._resultstable
        names = distinct(self.fieldnames)
        columns = []
        for name, field, column in zip(names, element.fields, self.arrow.columns, strict=True):
            columns.append(MaskedColumn(masked(column, shape_in(field)), name=name, copy=False))
            field.to_table_column(columns[-1])
        known = {key: getattr(element, key, None) for key in ("ID", "name", "ref", "ucd", "utype", "description")}
        return Table(columns, meta={key: value for key, value in known.items() if value is not None}, copy=False)

    @property
    def fielddescs(self) -> Any:
        return self._resultstable.fields

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table: names, types and NULLs as they came."""
        return self.arrow

    def check_overflow_warning(self, client_set_maxrec: int | None = None) -> None:
        """Warn where rows were left out, but for exactly the number that was asked for."""
        asked = client_set_maxrec if client_set_maxrec is not None else self._client_set_maxrec
        if self._status[0].lower() != "overflow" or asked == len(self) or getattr(self, "_has_warned", False):
            return
        self._has_warned = True
        limit = "its own limit" if asked is None else f"its own limit, below the {asked:,} asked for"
        warnings.warn(
            f"the result was cut after {len(self):,} rows: the service has {limit}; set maxrec or ask for less",
            TruncatedWarning,
            stacklevel=4,
        )

    def __repr__(self) -> str:
        names = ", ".join(self.fieldnames[:8])
        return f"<Results: {len(self):,} rows of {names}{'...' if len(self.fieldnames) > 8 else ''}>"


def read_document(file: IO[bytes], url: str) -> tuple[Any, pa.Table]:
    """A VOTable as astropy's VOTableFile without rows, and the rows of its first table."""
    from skyvault.formats.votable_in import open_votable

    place = shown_address(url)
    skeleton, has_rows = _without_rows(file, place)
    document = parse_skeleton(skeleton, place)
    columns = pa.table({})
    if has_rows:
        file.seek(0)
        try:
            stream = open_votable(file, name=place)
            batches = list(stream.batches)
        except FormatError as error:
            raise WrongAnswer(f"the answer cannot be read: {error.what}", where=place) from None
        if batches:
            columns = pa.Table.from_batches(batches)
    tables = [table for resource in document.resources for table in resource.iter_tables()]
    fields = tables[0].fields if tables else []
    if columns.num_columns == 0 and fields:
        columns = _empty(file, fields, place)
    if len(fields) != columns.num_columns:
        raise WrongAnswer(f"the answer has {columns.num_columns} columns and describes {len(fields)}", where=place)
    return document, columns


def parse_skeleton(skeleton: bytes, place: str) -> Any:
    """A VOTable without rows as astropy's VOTableFile. Raises WrongAnswer."""
    import io

    from astropy.io.votable import parse
    from astropy.io.votable.exceptions import VOWarning

    _defuse(skeleton, place)
    with quiet(VOWarning):
        # small liberties of services; what matters is refused elsewhere
        try:
            return parse(io.BytesIO(skeleton))
        except Exception as error:
            raise WrongAnswer(f"the answer is no VOTable ({_one_line(str(error))})", where=place) from None


def _empty(file: IO[bytes], fields: Sequence[Any], place: str) -> pa.Table:
    """No rows, of the columns' types."""
    from skyvault.formats.arrow import plain_schema
    from skyvault.formats.votable_in import open_votable

    file.seek(0)
    try:
        return plain_schema(open_votable(file, name=place).table).empty_table()
    except FormatError as error:
        raise WrongAnswer(f"the answer cannot be read: {error.what}", where=place) from None


def _without_rows(file: IO[bytes], place: str) -> tuple[bytes, bool]:
    """The document with its first table's DATA taken out, and whether there was any."""
    head = bytearray()
    file.seek(0)
    begin = None
    while block := file.read(_BLOCK):
        searched = max(0, len(head) - 4096)
        head += block
        if (found := _DATA.search(head, searched)) is not None:
            begin = found
            break
        if len(head) > _SKELETON_BYTES:
            raise WrongAnswer("the answer describes more than it may", where=place)
    start = bytes(head[:2000]).lstrip()
    if not start.startswith(_BEGINNINGS) or b"<html" in start.lower():
        told = said(bytes(head[:4096]))
        raise WrongAnswer(f"the answer is no VOTable{f': {told!r}' if told else ''}", where=place)
    if begin is None:
        return bytes(head), False
    # the end is looked for from behind: rows are long, what follows them is short
    size = file.seek(0, 2)
    tail = b""
    position = size
    while position > begin.end():
        step = min(_BLOCK, position - begin.end())
        position -= step
        file.seek(position)
        tail = file.read(step) + tail
        ends = list(_DATA_END.finditer(tail))
        if ends:
            tail = tail[ends[-1].end() :]
            break
        if len(tail) > _SKELETON_BYTES:
            break
    else:
        raise WrongAnswer("the answer breaks off", where=place)
    return bytes(head[: begin.start()]) + tail, True


def _defuse(document: bytes | bytearray, place: str) -> None:
    if _DEFUSED.search(document):
        raise WrongAnswer("the answer declares a document type or entities, which are not read", where=place)


def _one_line(text: Any) -> str:
    words = " ".join(str(text).split())
    return words if len(words) <= 500 else f"{words[:497]}..."


def is_told_cut(response: Any) -> bool:
    """Whether a header says that rows were left out, as this project's server does for forms that cannot."""
    return bool(response.headers.get("x-skyvault-overflow", "").strip().lower() == "true")


def refuse_fault(response: Any, url: str) -> None:
    """Raise what a status of 400 or more means: a query that is wrong, a service that is not there."""
    status = response.status_code
    if status < 400:
        return
    place = shown_address(url)
    body = response.raw.read(65_536) if hasattr(response.raw, "read") else b""
    told = _query_status(body) or said(body[:4096])
    if status in TRANSIENT_STATUS:
        wish_s = retry_after_s(response.headers.get("retry-after"))
        after = f" and asks to come back after {wish_s:,.0f} s" if wish_s is not None else ""
        raise ServiceUnreachable(f"the service answers {status}{after}", where=place, code=status, retry_after_s=wish_s)
    if status in (401, 403):
        raise ServiceFault(
            f"the service refuses access ({status})",
            where=place,
            hint="Give a token: get_tap_service(..., token=...), or in the credentials file.",
            code=status,
        )
    if status == 404:
        raise ServiceFault(f"there is nothing here (404){f': {told}' if told else ''}", where=place, code=status)
    if status == 400 or _query_status(body):
        raise QueryRefused(told or f"the service answers {status}", where=place)
    raise ServiceFault(f"the service answers {status}{f': {told}' if told else ''}", where=place, code=status)


def _query_status(body: bytes) -> str:
    """What a DALI error document says (DALI 1.1, section 4.2)."""
    if b"QUERY_STATUS" not in body:
        return ""
    import html

    found = re.search(rb"""<(?:[\w.-]+:)?INFO\b[^<>]*QUERY_STATUS[^<>]*>([^<]{0,4000})""", body)
    return _one_line(html.unescape(found[1].decode("utf-8", "replace"))) if found else ""
