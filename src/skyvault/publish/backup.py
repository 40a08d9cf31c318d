"""A consistent copy of everything that is published: the ledger, and the snapshot files it points to."""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skyvault.errors import Conflict, StoreError
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import Layout
from skyvault.store.snapshot import durable

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.model.ports import Progress

#: nobody deletes a snapshot that is being copied
LEASE_S = 86_400.0


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup holds. ``copied`` counts files and ``bytes`` their size; ``kept`` those that were there already."""

    directory: Path
    tables: int
    copied: int
    kept: int
    bytes: int


def backup(
    directory: Path, *, home: Path | None = None, settings: Settings | None = None, progress: Progress | None = None
) -> BackedUp:
    """Copy ledger and snapshots into ``directory``, while others publish and query.

    The directory then is a data directory itself: to restore, copy it to a place of its own and set SKYVAULT_HOME.
    Snapshot files never change, so a second backup into the same directory copies new ones only and deletes those of
    tables that are gone. The ledger is swapped last: a backup that was stopped leaves the one before whole. Raises
    Conflict when the directory holds other things, StoreError when there is nothing to copy or the disk is full.
    """
    from skyvault.config import Settings as Configuration

    settings = settings or Configuration(**({"home": home} if home is not None else {}))
    layout = Layout.of(settings)
    target = Layout(Path(directory).absolute())
    if not layout.has_ledger():
        raise StoreError("nothing is published, so there is nothing to copy", where=str(layout.home))
    _refuse_strange(layout, target)
    try:
        return _copy(layout, target, progress)
    except OSError as problem:
        raise StoreError(
            f"the backup cannot be written ({problem.strerror or problem})",
            where=str(directory),
            hint="What the directory held before is whole; begin again when there is room.",
        ) from None


def _refuse_strange(layout: Layout, target: Layout) -> None:
    if target.home.resolve() == layout.home.resolve():
        raise Conflict(f"{target.home} is the data directory itself", hint="Name another directory.")
    if target.home.exists() and not target.home.is_dir():
        raise Conflict(f"{target.home} is a file", hint="Name a directory.")
    if target.home.is_dir() and any(target.home.iterdir()) and not (target.home / _MARK).exists():
        raise Conflict(f"{target.home} is not empty and no backup", hint="Name a new directory.")


#: the file that says "this directory is a backup"
_MARK = "SKYVAULT_BACKUP"


def _copy(layout: Layout, target: Layout, progress: Progress | None) -> BackedUp:
    target.home.mkdir(parents=True, exist_ok=True)
    target.store.mkdir(exist_ok=True)
    (target.home / _MARK).write_text(
        "This directory is a backup made by skyvault backup.\n"
        "To restore: copy it to a place of its own and set SKYVAULT_HOME to that.\n"
    )
    draft = target.home / f"ledger-{uuid.uuid4().hex[:8]}.building"
    holder = f"backup-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    with open_home_ledger(layout) as ledger:
        try:
            # leased first and copied then: what the copy names is there until it is copied
            for _ in range(20):
                wanted = ledger.holdings.live_files()
                ledger.holdings.lease(sorted(wanted), holder, LEASE_S)
                draft.unlink(missing_ok=True)
                ledger.backup(draft)
                tables = _named_by(draft)
                if tables <= wanted:
                    break
            else:
                raise StoreError("tables are published all the time", hint="Try again in a quieter hour.")
            copied, kept, size = _copy_files(layout, target, tables, progress)
            durable(draft)
            # a log beside belongs to the ledger that was there before
            for suffix in ("-wal", "-shm"):
                target.ledger.with_name(target.ledger.name + suffix).unlink(missing_ok=True)
            os.replace(draft, target.ledger)
            durable(target.ledger)
        finally:
            ledger.holdings.lease([], holder, 0)
            draft.unlink(missing_ok=True)
            if progress is not None:
                progress.finish()
    for path in target.store.iterdir():
        if path.name not in tables:
            path.unlink()
    return BackedUp(target.home, len(tables), copied, kept, size)


def _named_by(ledger: Path) -> set[str]:
    import sqlite3

    connection = sqlite3.connect(ledger)
    try:
        return {row[0] for row in connection.execute("SELECT file FROM snapshots WHERE retired_at IS NULL")}
    finally:
        connection.close()


def _copy_files(layout: Layout, target: Layout, names: set[str], progress: Progress | None) -> tuple[int, int, int]:
    copied = kept = size = 0
    if progress is not None:
        progress.start("Copying tables", len(names))
    for name in sorted(names):
        source, goal = layout.store / name, target.store / name
        bytes_ = source.stat().st_size
        if goal.exists() and goal.stat().st_size == bytes_:
            kept += 1
        else:
            beside = goal.with_suffix(".building")
            shutil.copyfile(source, beside)
            os.replace(beside, goal)
            durable(goal)
            copied, size = copied + 1, size + bytes_
        if progress is not None:
            progress.advance()
    return copied, kept, size
