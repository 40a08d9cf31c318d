"""Snapshots of an older format are written anew beside, and the tables' pointers swapped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skyvault.errors import Conflict, StoreError
from skyvault.formats.stream import TableStream
from skyvault.ledger.holdings import Holding
from skyvault.publish.publisher import Publisher
from skyvault.store import obscore
from skyvault.store.building import beside_of, rows_of
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import FORMAT, Layout
from skyvault.store.snapshot import Spec
from skyvault.store.user_upgrade import refuse_newer, upgrade_user_tables

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.model.ports import Progress


#: what the ledger keeps of a table beside what was measured when it was built
KEPT = ("obscore", "beside", "collection", "resource", "registry")


@dataclass(frozen=True, slots=True)
class Upgraded:
    """One table written anew: its name, the format it had, the format it has."""

    name: str
    before: int
    after: int
    nrows: int


def upgrade(
    *,
    home: Path | None = None,
    settings: Settings | None = None,
    everything: bool = False,
    progress: Progress | None = None,
) -> list[Upgraded]:
    """Bring all published tables, and users' own, to this version's format; with ``everything`` those that have it.

    Queries go on meanwhile and finish on the snapshot they began with. May be stopped and started again: each table
    is done for itself. Raises StoreError, before anything is changed, when a table was written by a newer version or
    its file is gone.
    """
    from skyvault.config import Settings as Configuration

    settings = settings or Configuration(**({"home": home} if home is not None else {}))
    layout = Layout.of(settings)
    if not layout.has_ledger():
        return []
    done = []
    # opening the ledger migrates it
    with open_home_ledger(layout) as ledger:
        layout.make()
        current = list(ledger.holdings.current().values())
        for holding in current:
            _refuse(holding, layout)
        refuse_newer(layout, ledger)
        publisher = Publisher(layout, ledger.holdings, settings, progress)
        merged = next((h for h in current if h.name.lower() == obscore.NAME.lower()), None)
        for holding in current:
            if holding is merged or (holding.format == FORMAT and not everything):
                continue
            if _rebuild(holding, publisher):
                done.append(Upgraded(holding.name, holding.format, FORMAT, holding.nrows))
        members = {h.name: h.snapshot for h in ledger.holdings.current().values() if h.extra.get("obscore")}
        if merged is None:
            is_stale = bool(members)
        else:
            is_stale = merged.format != FORMAT or merged.extra.get("member_snapshots") != members
        if is_stale or (merged is not None and everything):
            publisher.merge_obscore()
            fresh = ledger.holdings.find(obscore.NAME)
            if fresh is not None:
                done.append(Upgraded(fresh.name, merged.format if merged else 0, FORMAT, fresh.nrows))
        for one in upgrade_user_tables(layout, ledger, settings, everything=everything):
            done.append(Upgraded(f"{one.name} of {one.owner}", one.before, FORMAT, one.nrows))
    return done


def _refuse(holding: Holding, layout: Layout) -> None:
    if holding.format > FORMAT:
        raise StoreError(
            f"{holding.name} has format {holding.format}; this Skyvault writes {FORMAT}",
            hint="It was published by a newer version: install that one. Nothing was changed.",
        )
    if not (layout.store / holding.snapshot).is_file():
        raise StoreError(
            f"the snapshot {holding.snapshot} of {holding.name} is not in the store",
            hint="Publish the table again, or unpublish it. Nothing was changed.",
        )


def _rebuild(holding: Holding, publisher: Publisher) -> bool:
    """Write one table anew; False when somebody has published it meanwhile, and so in today's format."""
    place: dict[str, int | None] = {}
    for one in holding.extra.get("positions", ()):
        place |= {axis: number for axis, number in one.items() if number is not None}
    regions = tuple(region["column"] for region in holding.extra.get("regions", ()))
    spec = Spec(holding.table, place.get("lon"), place.get("lat"), place.get("point"), regions)
    stream = TableStream(holding.table, rows_of(publisher.layout, holding.table, holding.snapshot))
    more = {key: holding.extra[key] for key in KEPT if key in holding.extra}
    with beside_of(publisher.layout, holding.snapshot, more.get("beside", ())) as beside:
        built = publisher.build(spec, stream, skip_bad=True, beside=beside)
    try:
        publisher.commit(spec, built, more, replaces=holding.version)
    except Conflict:
        return False
    return True
