"""Choosing rows by what they are: ``table.keep_only.narrow()``, ``table.reject.not_.detected(tag="faint")``.

A table's property names the action (``match``, ``count``, ``keep_only``, ``drop``, ``split_by``, ``reject``,
``reject_unless``, ``unreject``), the method after it the rows. ``not_`` between them takes all others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import numpy as np

from skyvault.errors import ParameterError
from skyvault.session.cells import Bools, values_and_mask
from skyvault.session.series import SeriesKind, is_one_of, names_of_kind

if TYPE_CHECKING:
    from skyvault.session.plate_tables import PlateTable

T = TypeVar("T", bound="PlateTable[Any]")
Result = TypeVar("Result")

#: does something with a table and the rows chosen
Action = Callable[..., Any]


class Selector(Generic[T]):
    """Rows of one table, chosen by their properties, for one action.

    Every method returns what the action returns, and passes further keywords on to it.
    """

    def __init__(self, table: T, action: Action, *, is_inverted: bool = False) -> None:
        self._table = table
        self._action = action
        self._is_inverted = is_inverted

    def _apply(self, rows: Any, **how: Any) -> Any:
        rows = np.asarray(rows, dtype=bool)
        return self._action(self._table, ~rows if self._is_inverted else rows, **how)

    @property
    def not_(self) -> Self:
        """The rows that do not match what follows (among them those without the value in question)."""
        return type(self)(self._table, self._action, is_inverted=not self._is_inverted)

    # --- what every table of plates has ---

    def where(self, row_mask: Any, **how: Any) -> Any:
        """Rows by a boolean array of the table's length."""
        rows = np.asarray(row_mask)
        if rows.dtype != bool or rows.shape != (len(self._table),):
            raise ParameterError(
                f"where() takes an array of {len(self._table)} booleans, not {rows.dtype} of shape {rows.shape}"
            )
        return self._apply(rows, **how)

    def rejected(self, **how: Any) -> Any:
        """Rows with any rejection."""
        return self._apply(self._table.is_rejected(), **how)

    def rejected_with(self, tag: str, *, strict: bool = False, **how: Any) -> Any:
        """Rows rejected under a tag. With ``strict`` an unknown tag raises ParameterError, else it has no rows."""
        bit = self._table.rejection_tags().get(tag)
        if bit is None:
            if strict:
                known = ", ".join(self._table.rejection_tags()) or "none yet"
                raise ParameterError(f"There is no rejection tag {tag!r}", hint=f"There are: {known}.")
            return self._apply(np.zeros(len(self._table), dtype=bool), **how)
        bits = np.asarray(self._table["reject"]).astype(np.uint64)
        return self._apply((bits >> np.uint64(bit)) & np.uint64(1) != 0, **how)

    def local_id(self, local_id: int, **how: Any) -> Any:
        """The row of a local identifier."""
        return self._apply(np.asarray(self._table["local_id"]) == local_id, **how)

    def series(self, series: str, **how: Any) -> Any:
        """Rows from plates of a series, whatever its case."""
        return self._apply(is_one_of(self._table["series"], (series,)), **how)

    def narrow(self, **how: Any) -> Any:
        """Rows from cameras of narrow field (up to 400 arcsec/mm)."""
        return self._kind(SeriesKind.NARROW, how)

    def patrol(self, **how: Any) -> Any:
        """Rows from patrol cameras (400 to 900 arcsec/mm)."""
        return self._kind(SeriesKind.PATROL, how)

    def meteor(self, **how: Any) -> Any:
        """Rows from meteor cameras (from about 900 arcsec/mm)."""
        return self._kind(SeriesKind.METEOR, how)

    def emulsion(self, color: str, **how: Any) -> Any:
        """Rows from series whose name tells the emulsion: "blue", "red" or "yellow" (the Damon cameras).

        Few series do; ``colorterm_range`` of exposures reaches all calibrated plates.
        """
        from skyvault.session.series import EMULSION_HINTS

        if color not in EMULSION_HINTS.values():
            raise ParameterError(f"{color!r} is no emulsion that series names tell", hint="Take blue, red or yellow.")
        return self._apply(
            is_one_of(self._table["series"], (name for name, told in EMULSION_HINTS.items() if told == color)), **how
        )

    def _kind(self, kind: SeriesKind, how: dict[str, Any]) -> Any:
        return self._apply(is_one_of(self._table["series"], names_of_kind(kind)), **how)

    # --- for the selectors of single tables ---

    def _numbers(self, name: str, default: float = np.nan) -> np.ndarray[Any, np.dtype[np.float64]]:
        """A column as float64 with ``default`` where it is missing; all of it where the table has no such column."""
        if name not in self._table.colnames:
            return np.full(len(self._table), default)
        values, mask = values_and_mask(self._table[name])
        return np.where(mask, default, values.astype(np.float64))

    def _between(self, name: str, lowest: float | None, highest: float | None) -> Bools:
        values = self._numbers(name)
        rows = np.isfinite(values)
        if lowest is not None:
            rows &= values >= lowest
        if highest is not None:
            rows &= values <= highest
        return np.asarray(rows)
