"""A handful of rows as TABLEDATA, cell by cell: quicker than calling a vectorised function for each column.

Large results are made column by column (:mod:`skyvault.formats.cell_text`); what is written means the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.formats.arrow import element_count, is_fixed_geometry
from skyvault.formats.cell_text import VOTABLE_SPECIALS, cell_texts, xml_texts
from skyvault.model.table import Column

#: so many rows are a handful
FEW: Final = 40
_AWKWARD: Final = re.compile("[&<>\x00-\x08\x0b-\x1f\ufffe\uffff]")


def few_rows(batch: pa.RecordBatch, columns: Sequence[Column]) -> bytes:
    """The TR elements of a batch of at most FEW rows."""
    cells = [_texts(array, column) for array, column in zip(batch.columns, columns, strict=True)]
    return "".join(f"<TR><TD>{'</TD><TD>'.join(row)}</TD></TR>\n" for row in zip(*cells, strict=True)).encode()


def blank_cell(column: Column) -> str:
    """NULL's text: an empty TD is NULL for every type, but validators want a shape's numbers to be there."""
    return " ".join(["NaN"] * (element_count(column.arraysize) or 0)) if is_fixed_geometry(column) else ""


def _texts(array: pa.Array, column: Column) -> list[str]:
    kind = array.type
    text: Callable[[Any], str]
    if pa.types.is_string(kind) and not column.is_timestamp:
        text = _escaped
    elif pa.types.is_float64(kind):
        text = _double
    elif pa.types.is_float32(kind):
        text = _single
    elif pa.types.is_integer(kind):
        text = str
    else:
        texts = cell_texts(array, column, specials=VOTABLE_SPECIALS, null_element=column.null or "0")
        if column.is_text and not column.is_timestamp:
            texts = xml_texts(texts)
        return list(pc.fill_null(texts, blank_cell(column)).to_pylist())
    blank = blank_cell(column) if array.null_count else ""
    return [blank if value is None else text(value) for value in array.to_pylist()]


def _escaped(value: str) -> str:
    return str(xml_texts(pa.array([value]))[0].as_py()) if _AWKWARD.search(value) else value


def _double(value: float) -> str:
    return repr(value) if math.isfinite(value) else _special(value)


def _single(value: float) -> str:
    return str(np.float32(value)) if math.isfinite(value) else _special(value)


def _special(value: float) -> str:
    nan, plus, minus = VOTABLE_SPECIALS
    return nan if value != value else plus if value > 0 else minus
