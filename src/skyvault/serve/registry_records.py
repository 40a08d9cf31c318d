"""What this service tells registries of itself: one record for each published table, one for each service, and those
of the authority, the publisher and the registry itself.

Made from what is published and from the settings, so that nothing has to be said twice. A table published without a
resource.yaml has a record, too, as good as what is known of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from skyvault import __version__
from skyvault.formats.voresource import Record, record_element, to_the_second
from skyvault.formats.xml_text import attributes
from skyvault.ledger.table_json import table_from_json, table_to_json
from skyvault.serve.registry_site import Site
from skyvault.store.hips_folders import current_digest
from skyvault.store.layout import Layout
from skyvault.store.registry_shelf import BASE
from skyvault.store.tap_schema import spelled
from skyvault.store.view import Shelved, View, split_name

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.ledger.ledger import Ledger

#: schemas that describe the service itself
_OWN_SCHEMAS: Final = frozenset({"tap_schema", "rr", "tap_user", "tap_upload"})


def refresh(view: View, ledger: Ledger, settings: Settings, current: Callable[[], View]) -> int:
    """Bring the records in the ledger up to date with what is published; how many changed.

    ``current`` gives what is published when somebody has published meanwhile.
    """
    registry = ledger.registry
    for _ in range(20):
        elsewhere = [one for one in ledger.resources.all() if one.document.get("records")]
        made_from = _made_from(view, settings, [(one.name, one.published_at) for one in elsewhere])
        if registry.made_from() == made_from:
            return 0
        records = {one.key: one for one in records_of(view, settings, [one.document for one in elsewhere])}
        documents = {key: _written(one) for key, one in records.items()}
        digests = {key: hashlib.sha256(one.encode()).hexdigest()[:32] for key, one in documents.items()}
        done = registry.replace(
            digests,
            lambda key, created, updated, documents=documents: _dated(documents[key], created, updated),  # type: ignore[misc]
            made_from=made_from,
            holdings_version=view.version,
        )
        if done is not None:
            return done
        view = current()
    return 0


def _made_from(view: View, settings: Settings, elsewhere: Iterable[tuple[str, float]]) -> str:
    layout = Layout.of(settings)
    # a collection's tiles are made without a publication
    hips = sorted(f"{top.name} {current_digest(top)}" for top in (layout.home / "hips").glob("*"))
    said = [
        __version__, view.version, settings.authority, settings.publisher, settings.contact, settings.registry_full,
        settings.maxrec_default, settings.maxrec_hard, settings.async_time_s, settings.upload_bytes,
        settings.job_life_days, sorted(elsewhere), hips,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()


def _written(record: Record) -> str:
    """The document without its dates, which are put in when it is kept."""
    return record_element(record, created=0, updated=0, spell=spelled)


def _dated(document: str, created: int, updated: int) -> str:
    return document.replace(_dates(0, 0), _dates(created, updated), 1)


def _dates(created: int, updated: int) -> str:
    return attributes([("created", to_the_second(created)), ("updated", to_the_second(updated))])


def records_of(view: View, settings: Settings, resources: Iterable[Mapping[str, Any]] = ()) -> list[Record]:
    """All records of this service. Addresses of its own begin with :data:`BASE`.

    ``resources`` are documents of resource.yaml files whose ``records:`` describe services that run elsewhere.
    """
    site = Site(settings)
    shelves = [
        _without_marker(shelf)
        for shelf in view.tables.values()
        if split_name(shelf.table.name)[0].lower() not in _OWN_SCHEMAS
    ]
    tables = [site.table(view, shelf) for shelf in shelves]
    services = [site.tap(view, shelves), *site.dataset_services(view, shelves)]
    others = [record for document in resources for record in site.elsewhere(_unmarked(document))]
    found = {record.key: record for record in (*others, *tables, *services, *site.itself())}
    return list(found.values())


def _unmarked(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document without the sign that stands for our own address, should a publisher have written it."""
    text = json.dumps(document, ensure_ascii=False)
    cleaned: dict[str, Any] = json.loads(text.replace(BASE, "")) if BASE in text else dict(document)
    return cleaned


def _without_marker(shelf: Shelved) -> Shelved:
    text = table_to_json(shelf.table)
    said = shelf.extra.get("resource") or {}
    marks = (BASE, json.dumps(BASE)[1:-1])
    if any(mark in text for mark in marks):
        for mark in marks:
            text = text.replace(mark, "")
        shelf = replace(shelf, table=table_from_json(text))
    return replace(shelf, extra={**shelf.extra, "resource": _unmarked(said)}) if BASE in str(said) else shelf
