"""Coverages (MOCs) as cells one can look up: so that a search by place does not read every coverage of a registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from skyvault.adql.storage import KEY_STRIDE

if TYPE_CHECKING:
    import pyarrow as pa

#: orders of cells in the index, and cells of one coverage; one that has more is taken coarser, which finds too much
#: rather than too little
FINEST: Final = 9
_MOST: Final = 2_000
ORDERS: Final = tuple(range(FINEST + 1))


def cells_of_coverages(rows: Iterable[tuple[int, str | None]]) -> pa.Table:
    """A table (key, row) of the cells of ASCII MOCs; ``rows`` are pairs of (row number, MOC). What is no MOC has none.

    Keys are order * KEY_STRIDE + cell, as in the region indices of published tables.
    """
    import numpy as np
    import pyarrow as pa

    keys: list[Any] = []
    numbers: list[Any] = []
    for number, text in rows:
        cells = _cells(text)
        if cells is not None:
            keys.append(cells)
            numbers.append(np.full(len(cells), number, np.int64))
    schema = pa.schema([pa.field("key", pa.int64()), pa.field("row", pa.int64())])
    if not keys:
        return schema.empty_table()
    return pa.table([pa.array(np.concatenate(keys)), pa.array(np.concatenate(numbers))], schema=schema)


def _cells(text: str | None) -> Any:
    import numpy as np
    from mocpy import MOC

    if not text:
        return None
    try:
        moc = MOC.from_string(text, format="ascii")
        order = min(moc.max_order, FINEST)
        if moc.max_order > order:
            moc = moc.degrade_to_order(order)
        uniq = moc.uniq_hpx
        while len(uniq) > _MOST and order > 0:
            order -= 1
            moc = moc.degrade_to_order(order)
            uniq = moc.uniq_hpx
    except Exception:  # whatever somebody else's parser makes of a text that is no MOC
        return None
    uniq = np.asarray(uniq, np.int64)
    # a cell's number within all orders is 4 * 4**order + cell (MOC 2.0, section 4.3.1)
    orders = np.floor(np.log2(uniq.astype(np.float64) / 4.0) / 2.0).astype(np.int64)
    return orders * KEY_STRIDE + (uniq - 4 * 4**orders)
