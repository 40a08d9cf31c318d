"""Where a result comes from, said in it: who published it, by what request, whose data they are, how to cite them.

INFOs of the IVOA Note "Data Origin in the VO" (1.1), which astropy reads with ``extract_data_origin``: those of the
query, and those of each table that it read.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode
from weakref import WeakKeyDictionary

from skyvault.model.table import Info
from skyvault.store import obscore
from skyvault.store.view import Shelved, View, split_name

if TYPE_CHECKING:
    from skyvault.formats.stream import TableStream
    from skyvault.serve.service import Service

TAP: Final = "ivo://ivoa.net/std/TAP"
#: letters of a request that are repeated
_LONGEST_REQUEST: Final = 4000
#: of more collections of ivoa.ObsCore than this only the most necessary is told in each result
_MOST_MEMBERS: Final = 12
_BRIEF: Final = frozenset({"reference_url", "citation", "rights_uri"})
_MOST_TOLD: Final = 200
_MOST_PERSONS: Final = 30
#: how the registry records of our services are named, by their protocols
_SERVICES: Final = {TAP: "tap", "ivo://ivoa.net/std/SIA#query-2.0": "sia2", "ivo://ivoa.net/std/SSA": "ssa"}
#: INFOs of a source file that say whose the data are
_OF_DATASETS: Final = frozenset({
    "data_ivoid", "citation", "resource_version", "rights_uri", "rights", "creator", "journal", "editor", "article",
    "cites", "is_derived_from", "original_date",
})  # fmt: skip

#: what was made of a view's tables, by the tables and the address of the service
_KNOWN: WeakKeyDictionary[View, dict[tuple[str, ...], tuple[Info, ...]]] = WeakKeyDictionary()


def with_origin(
    stream: TableStream, service: Service, tables: Iterable[str], base: str, protocol: str, request: str | None = None
) -> None:
    """Add to a result where it comes from.

    ``tables`` are the qualified names of what was read, ``base`` the address of the service's root, ``protocol`` the
    standard's identifier, ``request`` the address that would give the same (:func:`request_address`).
    """
    origin = _of_tables(service, tuple(tables), base)
    query = (*_of_query(service, protocol, request), *origin)
    stream.infos = (*stream.infos, *query)


def request_address(address: str, pairs: Sequence[tuple[str, str]]) -> str | None:
    """The request as one address; None for one too long to repeat. Addresses of uploads may be secret."""
    text = urlencode([(name, value) for name, value in pairs if name.upper() != "UPLOAD"])
    return f"{address}?{text}" if len(text) <= _LONGEST_REQUEST else None


def _of_query(service: Service, protocol: str, request: str | None) -> Iterator[Info]:
    settings = service.settings
    if settings.publisher:
        yield Info("publisher", settings.publisher, "Data centre that produced this document")
    yield Info("server_software", _software())
    yield Info("service_protocol", protocol)
    if (name := _SERVICES.get(protocol)) is not None and is_registered(settings.authority):
        yield Info("service_ivoid", f"ivo://{settings.authority}/{name}".lower())
    if request:
        yield Info("request", request)
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    yield Info("request_date", now, "When it was asked for (UTC)")
    if settings.contact:
        yield Info("contact", settings.contact, "Where to ask")


def _software() -> str:
    from skyvault import __version__

    return f"Skyvault/{__version__}"


def _of_tables(service: Service, tables: tuple[str, ...], base: str) -> tuple[Info, ...]:
    view, authority = service.store.view(), service.settings.authority
    kept = _KNOWN.setdefault(view, {})
    key = (base, *tables)
    found = kept.get(key)
    if found is None:
        if len(kept) > 1000:
            kept.clear()
        told = (one for name in tables for one in _of_table(view, name, base, authority))
        found = kept[key] = tuple(dict.fromkeys(told))
    return found


def _of_table(view: View, name: str, base: str, authority: str) -> Iterator[Info]:
    shelf = view.tables.get(name)
    # what somebody uploaded or keeps for himself he knows; TAP_SCHEMA is about the others
    if shelf is None or shelf.file is None:
        return
    if name.lower() != obscore.NAME.lower():
        yield from dataset_infos(shelf, base, authority)
        return
    members = [view.tables[one] for one in shelf.extra.get("members", ()) if one in view.tables]
    yield Info("reference_url", page_address(name, base), "Page of all collections")
    is_brief = len(members) > _MOST_MEMBERS
    for member in members[:_MOST_TOLD]:
        told = dataset_infos(member, base, authority)
        yield from (info for info in told if not is_brief or info.name in _BRIEF)


def is_registered(authority: str) -> bool:
    """Whether identifiers of ours mean anything to a registry: the operator has named an authority."""
    return not authority.lower().endswith(".invalid")


def dataset_infos(shelf: Shelved, base: str, authority: str) -> Iterator[Info]:
    """What one published table says of its origin."""
    table = shelf.table
    if is_registered(authority):
        yield Info("data_ivoid", f"ivo://{authority}/{'/'.join(split_name(table.name))}".lower())
    said: Mapping[str, Any] = shelf.extra.get("resource") or {}
    yield Info("reference_url", page_address(table.name, base), f"Page of {table.name}")
    if shelf.extra.get("coverage"):
        yield Info("coverage", f"{base}/moc/{quote(table.name, safe='.')}", "The covered sky, as a MOC")
    if not said:
        yield from (
            Info(info.name.lower(), info.value, info.text) for info in table.infos if info.name.lower() in _OF_DATASETS
        )
    for person in said.get("creators", ())[:_MOST_PERSONS]:
        orcid = person.get("orcid")
        yield Info("creator", str(person["name"]), f"https://orcid.org/{orcid}" if orcid else None)
    if citation := citation_of(said):
        yield Info("citation", citation, "Please cite this where you use the data")
    if said.get("bibcode"):
        yield Info("article", f"bibcode:{said['bibcode']}")
    for reference in said.get("references", ())[:_MOST_PERSONS]:
        yield Info("cites", str(reference))
    if said.get("licence_url"):
        yield Info("rights_uri", str(said["licence_url"]))
    if rights := said.get("rights") or said.get("licence"):
        yield Info("rights", str(rights))
    if said.get("version"):
        yield Info("resource_version", str(said["version"]))
    if said.get("created"):
        yield Info("publication_date", str(said["created"]))
    if shelf.published_at:
        day = datetime.fromtimestamp(shelf.published_at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        yield Info("last_update_date", day)


def citation_of(said: Mapping[str, Any]) -> str | None:
    """The identifier to cite a resource by: its DOI, else the bibcode of its article."""
    if said.get("doi"):
        return "doi:" + str(said["doi"]).removeprefix("doi:").removeprefix("https://doi.org/")
    return f"bibcode:{said['bibcode']}" if said.get("bibcode") else None


def page_address(table: str, base: str) -> str:
    """The page of a table."""
    return base + "".join(f"/{quote(part, safe='')}" for part in split_name(table))
