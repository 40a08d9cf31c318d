"""The query form: what a person filled in, the result as a page or a file, and where in the text a mistake is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import unquote

from starlette.responses import Response

from skyvault.errors import ParameterError, QueryError
from skyvault.serve.data_origin import TAP, with_origin
from skyvault.serve.dataset_links import PUBLISHER_DID, with_links
from skyvault.serve.page_reply import SECURITY
from skyvault.serve.page_text import web_address
from skyvault.serve.params import Form, ParameterSet
from skyvault.serve.table_response import TableResponse, collect
from skyvault.serve.tap_query import PARAMETERS, encoded, read_query, start
from skyvault.store.dataset_previews import pictures_of

if TYPE_CHECKING:
    import pyarrow as pa
    from starlette.datastructures import UploadFile

    from skyvault.model.table import Column
    from skyvault.serve.service import Service
    from skyvault.store.user_space import Reader

#: what the form offers: (FORMAT, what people call it)
FORM_FORMATS = (
    ("html", "Page"),
    ("votable", "VOTable"),
    ("fits", "FITS"),
    ("parquet", "Parquet"),
    ("csv", "CSV"),
    ("tsv", "TSV"),
    ("ecsv", "ECSV"),
    ("json", "JSON"),
)
#: rows of a result page when nothing is said, and at most; cells at most; letters of a cell at most
PAGE_ROWS = 500
MOST_PAGE_ROWS = 5000
MOST_PAGE_CELLS = 100_000
MOST_CELL_LETTERS = 1000
#: letters of a line shown before and after a mistake
MOST_AROUND = 120
_ACTIONS = ("run", "job", "edit")
#: how addresses of the links of our datasets begin
_LINKS = "/datalink/links?ID="
#: what a cell may lead to
LinkKind: TypeAlias = Literal["address", "bibcode", "doi", "dataset"]


@dataclass(frozen=True, slots=True)
class FormValues:
    """What the form says. ``maxrec`` is as it was typed."""

    query: str = ""
    format: str = "html"
    maxrec: str = ""
    action: str = "run"


@dataclass(frozen=True, slots=True)
class ResultPage:
    """A result as a page shows it: texts of all cells (None: NULL), a row a tuple, and what each column links to.

    ``pictures`` are identifiers of datasets of ours with a picture, by row; empty where no row has one.
    """

    columns: tuple[Column, ...]
    rows: Sequence[tuple[str | None, ...]]
    links: tuple[LinkKind | None, ...]
    pictures: tuple[str | None, ...]
    overflow: bool
    limit: int | None
    error: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Mistake:
    """The lines of a query around a mistake: (number, text), and the wrong piece within the last of them."""

    lines: tuple[tuple[int, str], ...]
    number: int
    before: str
    wrong: str
    after: str


def read_values(pairs: Sequence[tuple[str, str]]) -> FormValues:
    """The form's values; of repeated ones the last, which is the button that was pressed."""
    given = {name.upper(): text for name, text in pairs}
    action, form = given.get("ACTION", "run").lower(), given.get("FORMAT", "html").lower()
    return FormValues(
        given.get("QUERY", "").replace("\r\n", "\n"),
        form if any(form == known for known, _ in FORM_FORMATS) else "html",
        given.get("MAXREC", "").strip()[:20],
        action if action in _ACTIONS else "run",
    )


def uploaded(form: Form) -> UploadFile | None:
    """The table sent with the form; a browser sends an empty part when none was chosen."""
    file = form.files.get("mine")
    return file if file is not None and file.size else None


def run_as_page(service: Service, values: FormValues, form: Form, reader: Reader, base: str) -> ResultPage:
    """Run the query and take in at most what a page can show. Raises QueryError and others of skyvault.errors."""
    began = time.perf_counter()
    query = read_query(*_parameters(values, form, values.maxrec or str(PAGE_ROWS)), service.settings)
    query.limits.rows = min(query.limits.rows or 0, MOST_PAGE_ROWS)
    answer = start(query, service.store, reader=reader)
    try:
        stream = answer.stream
        with_links(stream, service, base)
        columns = stream.table.columns
        most = max(50, MOST_PAGE_CELLS // max(1, len(columns)))
        rows: list[tuple[str | None, ...]] = []
        for batch in stream.batches:
            rows += texts_of(batch.slice(0, most - len(rows)), columns)
            if len(rows) >= most:
                break
        is_cut = len(rows) >= most
        return ResultPage(
            columns,
            rows,
            tuple(_link_kind(column, [row[i] for row in rows[:20]], base) for i, column in enumerate(columns)),
            _pictures(service, columns, rows, base),
            stream.overflow or is_cut,
            len(rows) if stream.overflow or is_cut else stream.limit,
            stream.error,
            time.perf_counter() - began,
        )
    finally:
        with contextlib.suppress(AttributeError):
            answer.stream.batches.close()  # type: ignore[attr-defined]
        answer.close()


def texts_of(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> Iterator[tuple[str | None, ...]]:
    """The rows of a batch as texts, cut to what a cell of a page can show."""
    import pyarrow.compute as pc

    from skyvault.formats.cell_text import cell_texts

    if batch.num_rows == 0:
        return iter(())
    texts = [
        pc.utf8_slice_codeunits(cell_texts(array, column), 0, MOST_CELL_LETTERS).to_pylist()
        for array, column in zip(batch.columns, columns, strict=True)
    ]
    return zip(*texts, strict=True)


def _link_kind(column: Column, some: list[str | None], base: str) -> LinkKind | None:
    """What the cells of a column are links to: told by the UCD, and by the values where they are addresses."""
    known = [text for text in some if text]
    if not column.is_text or not known:
        return None
    ucds = (column.ucd or "").lower().split(";")
    if "meta.bib.bibcode" in ucds:
        return "bibcode"
    if "meta.ref.doi" in ucds or "meta.bib.doi" in ucds:
        return "doi"
    if all(text.startswith(f"{base}{_LINKS}") for text in known):
        return "dataset"
    return "address" if all(web_address(text) for text in known) else None


def _pictures(
    service: Service, columns: tuple[Column, ...], rows: Sequence[tuple[str | None, ...]], base: str
) -> tuple[str | None, ...]:
    """For each row the identifier of its dataset, if that has a picture; nothing where no row has."""
    place = next((i for i, one in enumerate(columns) if (one.utype or "").lower().endswith(PUBLISHER_DID)), None)
    beginning = ""
    if place is None:
        # addresses of links hold the identifier, too
        beginning = f"{base}{_LINKS}"
        place = next((i for i in range(len(columns)) if rows and (rows[0][i] or "").startswith(beginning)), None)
    if place is None:
        return ()
    texts = [row[place] or "" for row in rows]
    dids = [unquote(text.removeprefix(beginning)) if beginning else text for text in texts]
    shown = pictures_of(service.store, [did for did in dids if did])
    return tuple(did if did in shown else None for did in dids) if shown else ()


def run_as_file(service: Service, values: FormValues, form: Form, reader: Reader, base: str) -> Response:
    """Run the query and send its result as a file to keep."""
    query = read_query(*_parameters(values, form, values.maxrec), service.settings)
    answer = start(query, service.store, reader=reader)
    with_origin(answer.stream, service, answer.plan.tables, base, TAP)
    with_links(answer.stream, service, base)
    first, rest = collect(encoded(query, answer))
    headers = {
        **SECURITY,
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="result{query.format.suffix}"',
    }
    if rest is None:
        headers["x-skyvault-overflow"] = "true" if answer.stream.overflow else "false"
        if answer.stream.error and not query.format.can_tell_overflow:
            raise ParameterError(answer.stream.error)
    return TableResponse(service, first, rest, query.format.content_type, headers)


def _parameters(values: FormValues, form: Form, maxrec: str) -> tuple[dict[str, Any], dict[str, Callable[[], Any]]]:
    """The form as TAP's parameters, and the uploaded file's opener."""
    file = uploaded(form)
    pairs = [("LANG", "ADQL"), ("QUERY", values.query), ("FORMAT", values.format), ("MAXREC", maxrec)]
    if file is not None:
        pairs.append(("UPLOAD", "mine,param:mine"))
    return ParameterSet(PARAMETERS).read(pairs), {} if file is None else {"mine": _opener(file.file)}


def _opener(file: Any) -> Callable[[], Any]:
    @contextlib.contextmanager
    def opened() -> Iterator[IO[bytes]]:
        file.seek(0)  # the form closes it
        yield file

    return opened


def mistake(query: str, problem: QueryError) -> Mistake | None:
    """The line a query error points at, two lines before it, and the piece that is wrong."""
    lines = query.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not 1 <= problem.line <= len(lines):
        return None
    line = lines[problem.line - 1]
    begin = min(max(problem.column - 1, 0), len(line))
    token = problem.token or ""
    end = begin + len(token) if token and line[begin:].startswith(token) else min(begin + 1, len(line))
    left, right = line[:begin], line[end:]
    # a query may be one long line that a program wrote
    left = left if len(left) <= MOST_AROUND else "\u2026" + left[-MOST_AROUND:]
    right = right if len(right) <= MOST_AROUND else right[:MOST_AROUND] + "\u2026"
    first = max(0, problem.line - 3)
    before = tuple((first + i + 1, text[:MOST_AROUND]) for i, text in enumerate(lines[first : problem.line - 1]))
    return Mistake(before, problem.line, left, line[begin:end] or " ", right)
