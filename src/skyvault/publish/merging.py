"""ivoa.ObsCore is merged once for a resource, however many of its collections are published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.model.ports import Progress

#: merges that were put off; None: nobody puts them off
_PUT_OFF: Final[ContextVar[list[str] | None]] = ContextVar("skyvault_merges_put_off", default=None)


def is_put_off(why: str) -> bool:
    """Whether a merge is done later, together with others; it is noted then."""
    waiting = _PUT_OFF.get()
    if waiting is None:
        return False
    waiting.append(why)
    return True


@contextmanager
def merged_once(settings: Settings, progress: Progress | None = None) -> Iterator[None]:
    """What is published within is merged into ivoa.ObsCore at the end, also when not all of it can be published."""
    from skyvault.publish.publisher import Publisher
    from skyvault.store.home_ledger import open_home_ledger
    from skyvault.store.layout import Layout

    waiting: list[str] = []
    token = _PUT_OFF.set(waiting)
    try:
        yield
    finally:
        _PUT_OFF.reset(token)
        if waiting:
            layout = Layout.of(settings)
            with open_home_ledger(layout) as ledger:
                Publisher(layout, ledger.holdings, settings, progress).merge_obscore()


def catch_up(settings: Settings) -> bool:
    """Merge ivoa.ObsCore where a publish was killed before it could; whether there was anything to do."""
    from skyvault.publish.publisher import Publisher
    from skyvault.store.home_ledger import open_home_ledger
    from skyvault.store.layout import Layout

    layout = Layout.of(settings).make()
    with open_home_ledger(layout) as ledger:
        publisher = Publisher(layout, ledger.holdings, settings, None)
        if publisher.is_merged():
            return False
        publisher.merge_obscore()
        return True
