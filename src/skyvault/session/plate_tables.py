"""What exposures and plate photometry have in common: actions on chosen rows, rejections, meanings of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np

from skyvault.session.cells import Bools
from skyvault.session.columns import meaning_of
from skyvault.session.rejections import TAGS_KEY, RejectionFile, bit_of
from skyvault.session.selection import Action, Selector

if TYPE_CHECKING:
    from skyvault.session.session import Session

S = TypeVar("S", bound=Selector[Any])


class PlateTable(Generic[S]):
    """A table whose rows can be chosen and rejected; mixed into astropy's tables.

    Subsets and copies carry the rejections they were made with, but only the session's own table keeps them on disk.
    """

    #: which declaration describes the columns
    _columns_kind: ClassVar[str]
    _selector: ClassVar[type[Selector[Any]]]
    #: where the rejections of this very table are kept; None for subsets and copies
    rejection_file: RejectionFile | None = None

    if TYPE_CHECKING:  # what astropy's tables give
        colnames: list[str]
        meta: dict[str, Any]

        def __len__(self) -> int: ...
        def __getitem__(self, item: Any) -> Any: ...
        def __setitem__(self, item: Any, value: Any) -> None: ...

    # --- choosing rows ---

    def _choose(self, action: Action) -> S:
        return self._selector(self, action)  # type: ignore[return-value]

    @property
    def match(self) -> S:
        """``table.match.SELECTION()``: which rows match, booleans of shape (n,)."""
        return self._choose(_match)

    @property
    def count(self) -> S:
        """``table.count.SELECTION()``: how many rows match."""
        return self._choose(_count)

    @property
    def keep_only(self) -> S:
        """``table.keep_only.SELECTION(verbose=True)``: a new table of the rows that match."""
        return self._choose(_keep)

    @property
    def drop(self) -> S:
        """``table.drop.SELECTION(verbose=True)``: a new table without the rows that match."""
        return self._choose(_drop)

    @property
    def split_by(self) -> S:
        """``table.split_by.SELECTION()``: two new tables, of the rows that match and of the others."""
        return self._choose(_split)

    @property
    def reject(self) -> S:
        """``table.reject.SELECTION(tag="why", verbose=True, dry_run=False)``: reject the rows that match."""
        return self._choose(_reject)

    @property
    def reject_unless(self) -> S:
        """``table.reject_unless.SELECTION(tag="why")``: reject the rows that do not match."""
        return self._choose(_reject_others)

    @property
    def unreject(self) -> S:
        """``table.unreject.SELECTION(tag=None, verbose=True, dry_run=False)``: accept the rows that match again.

        With a tag only that rejection is taken back; others of the same rows stay.
        """
        return self._choose(_unreject)

    # --- rejections ---

    def rejection_tags(self) -> dict[str, int]:
        """The tags in use, with their bits in column ``reject`` (from 0)."""
        return dict(self.meta.get(TAGS_KEY) or {})

    def is_rejected(self) -> Bools:
        """Which rows are rejected for any reason; shape (n,)."""
        return np.asarray(np.asarray(self["reject"]) != 0)

    def save_rejections(self) -> None:
        """Keeps the rejections on disk. The actions do so themselves; call it after writing to ``table["reject"]``."""
        if self.rejection_file is not None:
            self.rejection_file.save(self)

    # --- what else ---

    def meaning(self, column: str) -> str:
        """What a column holds, in words; "" for a column of one's own."""
        return meaning_of(self._columns_kind, column)

    def julian_dates(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The rows' times as Julian dates, NaN where unknown; shape (n,)."""
        raise NotImplementedError

    def _session(self) -> Session:
        from skyvault.session.open_sessions import session_of

        return session_of(self)


# --- the actions -----------------------------------------------------------------------------------------------------


def _match(table: PlateTable[Any], rows: Bools) -> Bools:
    return rows


def _count(table: PlateTable[Any], rows: Bools) -> int:
    return int(rows.sum())


def _keep(table: PlateTable[Any], rows: Bools, *, verbose: bool = True) -> Any:
    if verbose:
        print(f"Dropped {len(table) - int(rows.sum())} rows; {int(rows.sum())} remaining")
    return table[rows]


def _drop(table: PlateTable[Any], rows: Bools, *, verbose: bool = True) -> Any:
    return _keep(table, ~rows, verbose=verbose)


def _split(table: PlateTable[Any], rows: Bools) -> tuple[Any, Any]:
    return table[rows], table[~rows]


def _reject(table: PlateTable[Any], rows: Bools, *, tag: str = "", verbose: bool = True, dry_run: bool = False) -> None:
    tags = table.rejection_tags()
    bit = bit_of(tags, tag)
    is_new = tag not in tags
    before = np.asarray(table["reject"]).astype(np.uint64)
    after = np.where(rows, before | np.uint64(1 << bit), before)
    n_new, n_all = int(((before == 0) & rows).sum()), int((after != 0).sum())
    if verbose and is_new:
        print(f"{'WOULD assign' if dry_run else 'Assigned'} rejection tag `{tag}` to bit number {bit + 1}")
    if dry_run:
        if verbose:
            print(f"DID NOT mark {n_new} new rows as rejected; {n_all} total would be rejected")
        return
    is_changed = is_new or not np.array_equal(before, after)
    table["reject"][:] = after
    table.meta[TAGS_KEY] = tags | {tag: bit}
    if verbose:
        print(f"Marked {n_new} new rows as rejected; {n_all} total are rejected")
    if is_changed:
        table.save_rejections()


def _reject_others(table: PlateTable[Any], rows: Bools, **how: Any) -> None:
    _reject(table, ~rows, **how)


def _unreject(
    table: PlateTable[Any], rows: Bools, *, tag: str | None = None, verbose: bool = True, dry_run: bool = False
) -> None:
    tags = table.rejection_tags()
    before = np.asarray(table["reject"]).astype(np.uint64)
    if tag is None:
        cleared = np.zeros_like(before)
    else:
        from skyvault.errors import ParameterError

        if tag not in tags:
            known = ", ".join(tags) or "none"
            raise ParameterError(f"There is no rejection tag {tag!r}", hint=f"There are: {known}.")
        cleared = before & ~np.uint64(1 << tags[tag])
    after = np.where(rows, cleared, before)
    n_new, n_all = int(((before != 0) & (after == 0)).sum()), int((after != 0).sum())
    if dry_run:
        if verbose:
            print(f"DID NOT accept {n_new} rows again; {n_all} total would be rejected")
        return
    table["reject"][:] = after
    unused = [name for name, bit in tags.items() if not (after >> np.uint64(bit) & np.uint64(1)).any()]
    table.meta[TAGS_KEY] = {name: bit for name, bit in tags.items() if name not in unused}
    if verbose:
        print(f"Accepted {n_new} rows again; {n_all} total are rejected")
    table.save_rejections()
