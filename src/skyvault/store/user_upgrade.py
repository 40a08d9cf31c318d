"""Users' tables of an older format, written anew beside and swapped, whatever their owners' quotas say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skyvault.errors import Conflict, StoreError
from skyvault.formats.stream import TableStream
from skyvault.ledger.user_tables import UserTable
from skyvault.store.building import build_beside, rows_of
from skyvault.store.layout import FORMAT
from skyvault.store.user_keep import KNOWN, means, spec_of

if TYPE_CHECKING:
    import pyarrow as pa

    from skyvault.config import Settings
    from skyvault.ledger.ledger import Ledger
    from skyvault.store.layout import Layout


@dataclass(frozen=True, slots=True)
class Rewritten:
    """One user's table written anew: under which name its owner queries it, whose it is, the format it had."""

    name: str
    owner: str
    before: int
    nrows: int


def refuse_newer(layout: Layout, ledger: Ledger) -> None:
    """Raises StoreError for a user's table of a newer version, or one whose file is gone."""
    for table, kind in ledger.user_tables.formats():
        if kind > FORMAT:
            raise StoreError(
                f"the user table {table.name} has format {kind}; this Skyvault writes {FORMAT}",
                hint="It was made by a newer version: install that one. Nothing was changed.",
            )
        if not (layout.store / table.snapshot).is_file():
            raise StoreError(
                f"the file {table.snapshot} of the user table {table.name} is not in the store",
                hint="Drop the table, or restore the file. Nothing was changed.",
            )


def upgrade_user_tables(
    layout: Layout, ledger: Ledger, settings: Settings, *, everything: bool = False
) -> Iterator[Rewritten]:
    """Bring users' tables to this version's format, with ``everything`` those that have it, too; each one when it is
    done. Rows, life, grants and indices stay; queries finish on the file they began with.

    Raises StoreError for a frozen table whose rows would come in another order than those that were cited.
    """
    for table, before in ledger.user_tables.formats():
        if before == FORMAT and not everything:
            continue
        if _rewrite(table, layout, ledger, settings):
            user = ledger.users.by_id(table.owner)
            owner = "anonymous" if user is None else user.name
            yield Rewritten(f"tap_user.{table.name}", owner, before, table.nrows)


def _rewrite(table: UserTable, layout: Layout, ledger: Ledger, settings: Settings) -> bool:
    """Write one anew; False when it was changed or dropped meanwhile."""
    memory_bytes, threads = means(table.bytes)
    built = build_beside(
        layout,
        spec_of(table),
        TableStream(table.table, rows_of(layout, table.table, table.snapshot)),
        memory_bytes=min(memory_bytes, settings.memory_limit),
        threads=min(threads, settings.threads),
        keep_bad=True,
    )
    try:
        if table.frozen is not None and _checksum(layout, table, built.path.name) != table.frozen.get("sha256"):
            raise StoreError(f"the frozen table {table.name} would change when written anew", hint="It stays as it is.")
        kept = {key: value for key, value in table.extra.items() if key not in KNOWN}
        ledger.user_tables.rewrite(
            table,
            built.path.name,
            nrows=built.nrows,
            bytes=built.bytes,
            format=FORMAT,
            extra={**kept, **{key: value for key, value in built.extra.items() if key in KNOWN}},
        )
    except Conflict:
        built.path.unlink(missing_ok=True)
        return False
    except BaseException:
        built.path.unlink(missing_ok=True)
        raise
    return True


def _checksum(layout: Layout, table: UserTable, snapshot: str) -> str:
    from skyvault.formats import negotiate

    digest = hashlib.sha256()
    rows: Iterator[pa.RecordBatch] = rows_of(layout, table.table, snapshot)
    for chunk in negotiate("csv").write(TableStream(table.table, rows)):
        digest.update(chunk)
    return digest.hexdigest()
