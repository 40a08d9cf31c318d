"""A handful of rows is written cell by cell; what is read back is what the vectorised way gives."""

from __future__ import annotations

import pytest
from hypothesis import given

import skyvault.formats.votable_out as votable_out
from skyvault.formats.votable_in import open_votable

from .random_tables import Made, comparable, rows_of, tables


@given(made=tables())
def test_few_rows_mean_what_many_rows_mean(made: Made) -> None:
    by_cell = b"".join(votable_out.write_votable(made.stream(), "TABLEDATA"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(votable_out, "FEW", 0)
        by_column = b"".join(votable_out.write_votable(made.stream(), "TABLEDATA"))
    assert [comparable(row) for row in rows_of(open_votable(by_cell))] == [
        comparable(row) for row in rows_of(open_votable(by_column))
    ]
