"""Random tables of every datatype, with NULLs, empty text, Unicode, arrays, numbers at their limits and no rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from skyvault.formats.arrow import arrow_type, plain_schema
from skyvault.formats.stream import TableStream
from skyvault.model.table import Column, CoordinateFrame, Group, Info, Link, Table, TimeFrame

Rng = np.random.Generator
Maker = Callable[[Rng], Any]

_WORDS = [
    "",
    "a",
    "NGC 1234",
    "<b>&amp;</b>",
    "tab\tand\nline",
    '"quoted", comma',
    "ends with blank ",
    "]]>",
    "α Cen",  # noqa: RUF001 - Greek on purpose
    "日本",
    "🌟 star",
    "'",
    "\\back",
    "é",
    "null",
    "NaN",
    "T",
    "0",
]
_ASCII_WORDS = [word for word in _WORDS if word.isascii()]
_SPECIAL = [0.0, -0.0, 1.0, -1.5, 0.1, 1e-300, 1.7976931348623157e308, 5e-324, np.nan, np.inf, -np.inf, 123456789.123]


def _integers(low: int, high: int) -> Maker:
    return lambda rng: int(rng.choice([low, high, 0, 1, int(rng.integers(low, high, endpoint=True))]))


def _double(rng: Rng) -> float:
    return float(rng.choice(_SPECIAL)) if rng.random() < 0.4 else float(rng.normal() * 10.0 ** rng.integers(-20, 20))


def _single(rng: Rng) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(_double(rng)))


def _moderate(rng: Rng) -> float:
    return float(np.float32(rng.normal()))  # others take a complex number with one NaN for none


def _boolean(rng: Rng) -> bool:
    return bool(rng.random() < 0.5)


def _text(rng: Rng) -> str:
    return str(rng.choice(_WORDS)) * int(rng.integers(1, 3))


def _ascii(rng: Rng) -> str:
    return str(rng.choice(_ASCII_WORDS)) * int(rng.integers(1, 3))


def _instant(rng: Rng) -> np.datetime64:
    micros = int(rng.integers(-2_000_000_000_000_000, 4_000_000_000_000_000))
    return np.datetime64(micros if rng.random() < 0.5 else micros // 1_000_000 * 1_000_000, "us")


def _list(element: Maker, count: int | None, multiple: int = 1) -> Maker:
    def make(rng: Rng) -> list[Any]:
        size = count if count is not None else int(rng.integers(1, 4)) * multiple
        return [element(rng) for _ in range(size)]

    return make


def _words(rng: Rng) -> list[str]:
    return [str(rng.choice(["ab", "abcd", "x", "a b"])) for _ in range(int(rng.integers(1, 4)))]


def _position(rng: Rng) -> list[float]:
    return [float(rng.uniform(0, 360)), float(rng.uniform(-90, 90))]


def _polygon(rng: Rng) -> list[float]:
    return [number for _ in range(int(rng.integers(3, 6))) for number in _position(rng)]


_LONG = _integers(-(1 << 63) + 1, (1 << 63) - 1)
_SHORT = _integers(-(1 << 15) + 1, (1 << 15) - 1)

#: description of a column (its name is given later) and what makes a value
KINDS: dict[str, tuple[Column, Maker]] = {
    "boolean": (Column("", "boolean"), _boolean),
    "bit": (Column("", "bit"), _boolean),
    "byte": (Column("", "unsignedByte"), _integers(0, 255)),
    "short": (Column("", "short"), _SHORT),
    "int": (Column("", "int"), _integers(-(1 << 31) + 1, (1 << 31) - 1)),
    "long": (Column("", "long"), _LONG),
    "float": (Column("", "float"), _single),
    "double": (Column("", "double", unit="deg", ucd="pos.eq.ra;meta.main"), _double),
    "char": (Column("", "char", "*"), _text),
    "unicode": (Column("", "unicodeChar", "*"), _text),
    "char_fixed": (Column("", "char", "40"), _ascii),
    "unicode_fixed": (Column("", "unicodeChar", "40"), _text),
    "char_bounded": (Column("", "char", "60*"), _ascii),
    "instant": (Column("", "char", "*", xtype="timestamp"), _instant),
    "point": (Column("", "double", "2", xtype="point", unit="deg"), _position),
    "polygon": (Column("", "double", "*", xtype="polygon", unit="deg"), _polygon),
    "ints": (Column("", "int", "*"), _list(_integers(-9, 9), None)),
    "shorts_fixed": (Column("", "short", "3"), _list(_SHORT, 3)),
    "floats_2d": (Column("", "float", "2x3"), _list(_single, 6)),
    "longs_2d": (Column("", "long", "2x*"), _list(_LONG, None, 2)),
    "booleans": (Column("", "boolean", "*"), _list(_boolean, None)),
    "booleans_fixed": (Column("", "boolean", "2"), _list(_boolean, 2)),
    "bits": (Column("", "bit", "*"), _list(_boolean, None, 5)),
    "bits_fixed": (Column("", "bit", "11"), _list(_boolean, 11)),
    "complex": (Column("", "doubleComplex"), _list(_moderate, 2)),
    "complexes": (Column("", "floatComplex", "*"), _list(_moderate, None, 2)),
    "words": (Column("", "char", "4x*"), _words),
    "bytes": (Column("", "unsignedByte", "*"), _list(_integers(0, 255), None)),
}

#: the kinds that other programs read the way the standard says; see the tests for what is left out and why
COMMON = [kind for kind in KINDS if kind not in ("words", "longs_2d", "bits", "bits_fixed", "bit")]


def _names(count: int) -> list[str]:
    return [f"c{index}" for index in range(count)]


class Made:
    """A table and its rows, told by what it was made from."""

    def __init__(self, kinds: list[str], rows: int, null_share: float, cut: int, seed: int) -> None:
        self._recipe = f"{kinds}, {rows=}, {null_share=}, {cut=}, {seed=}"
        rng = np.random.default_rng(seed)
        self.table, self.batches = make_table(kinds, rows, rng, null_share=null_share, cut=cut)

    def __repr__(self) -> str:
        return f"Made({self._recipe})"

    def stream(self, **more: Any) -> TableStream:
        """The table on its way."""
        return stream_of(self.table, self.batches, **more)


def tables(kinds: Sequence[str] = tuple(KINDS), *, max_rows: int = 40, nulls: bool = True) -> st.SearchStrategy[Made]:
    """Tables of one to six columns of these kinds, their rows in two batches."""
    return st.builds(
        Made,
        kinds=st.lists(st.sampled_from(list(kinds)), min_size=1, max_size=6),
        rows=st.integers(0, max_rows),
        null_share=st.sampled_from([0.0, 0.2, 1.0]) if nulls else st.just(0.0),
        cut=st.integers(0, max_rows),
        seed=st.integers(0, 2**32),
    )


def make_table(
    chosen: Sequence[str], rows: int, rng: Rng, *, null_share: float = 0.2, cut: int = 0
) -> tuple[Table, list[pa.RecordBatch]]:
    """A table of the ``chosen`` kinds of columns."""
    columns = []
    arrays = []
    for name, kind in zip(_names(len(chosen)), chosen, strict=True):
        column, maker = KINDS[kind]
        column = replace(column, name=name, description='A <column> & its "meaning"')
        values = [None if rng.random() < null_share else maker(rng) for _ in range(rows)]
        columns.append(column)
        arrays.append(pa.array(values, arrow_type(column)))
    table = Table(
        name="made",
        columns=tuple(columns),
        description="Made for a test: <, & and 'quotes'",
        params=(Column("epoch", "double", unit="yr", value="2016.0"),),
        groups=(Group(name="all", description="a group", params=(Column("p", "char", "*", value="x & y"),)),),
        infos=(Info("source", "tests"),),
        links=(Link("http://example.org/?a=1&b=2", content_role="doc"),),
        frames=(CoordinateFrame("frame", "ICRS", epoch="J2016.0"),),
        time_frames=(TimeFrame("time", "TDB", "BARYCENTER", "MJD-origin"),),
    )
    batch = pa.RecordBatch.from_arrays(arrays, schema=plain_schema(table))
    cut = min(cut, rows)
    batches = [piece for piece in (batch.slice(0, cut), batch.slice(cut)) if piece.num_rows]
    return table, batches


def stream_of(table: Table, batches: list[pa.RecordBatch], **more: Any) -> TableStream:
    """The table on its way."""
    return TableStream(table=table, batches=iter(batches), **more)


def rows_of(stream: TableStream) -> list[dict[str, Any]]:
    """All rows as Python values that compare equal when they are the same, NaN included."""
    return [
        {key: comparable(value) for key, value in row.items()} for batch in stream.batches for row in batch.to_pylist()
    ]


def comparable(value: Any) -> Any:
    """NaN as text, so that it equals itself."""
    if isinstance(value, float) and value != value:
        return "NaN"
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return value
