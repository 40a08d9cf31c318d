"""What services of the Virtual Observatory list and link: tables of SIA, SSA and TAP, DataLink, and cutouts by SODA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from xml.etree import ElementTree

from skyvault.errors import FormatError, NotFound
from skyvault.net.client import HttpClient
from skyvault.net.faults import FetchError, WrongContent

_MOST_BYTES: Final = 200_000_000
_MOST_LINK_BYTES: Final = 20_000_000
SODA: Final = "ivo://ivoa.net/std/soda#sync"


@dataclass(frozen=True, slots=True)
class CutoutService:
    """A SODA service as a descriptor tells it (SODA 1.0, section 4.3): its address, inputs and fixed values."""

    address: str
    inputs: frozenset[str]
    fixed: tuple[tuple[str, str], ...] = ()

    def url(self, identifier: str, ra_deg: float, dec_deg: float, radius_deg: float) -> str:
        """The address of the part of a dataset within a circle. Raises NotFound where the service cuts no circles."""
        circle = f"{ra_deg:.9f} {dec_deg:.9f} {radius_deg:.9f}"
        asked = [(name, value) for name, value in self.fixed if name.upper() != "ID"]
        if "CIRCLE" in self.inputs:
            asked.append(("CIRCLE", circle))
        elif "POS" in self.inputs or not self.inputs:
            asked.append(("POS", f"CIRCLE {circle}"))
        else:
            raise NotFound(
                "the service cuts no circles", where=self.address, hint=f"It takes {', '.join(sorted(self.inputs))}."
            )
        parts = urlsplit(self.address)
        query = "&".join(one for one in (parts.query, urlencode([("ID", identifier), *asked])) if one)
        return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


@dataclass(frozen=True, slots=True)
class DataLinks:
    """Links of one dataset: rows of the table, and the services it names by their IDs."""

    identifier: str
    rows: tuple[Mapping[str, Any], ...]
    services: Mapping[str, CutoutService]

    def file(self) -> str | None:
        """The address of the dataset itself (#this)."""
        return next((str(one["access_url"]) for one in self.rows if _means(one, "#this") and one["access_url"]), None)

    def cutout(self) -> CutoutService | None:
        """The service that cuts the dataset, where there is one."""
        for one in self.rows:
            if _means(one, "#cutout", "#proc") and str(one.get("service_def") or "") in self.services:
                return self.services[str(one["service_def"])]
        return None


def _means(row: Mapping[str, Any], *terms: str) -> bool:
    return str(row.get("semantics") or "").strip() in terms


def asked(
    client: HttpClient, url: str, params: Sequence[tuple[str, str]], *, credential: Any = None, is_post: bool = False
) -> list[dict[str, Any]]:
    """All rows of a service's answer. Raises FetchError with the service's own words, WrongContent for no VOTable."""
    if is_post:
        answer = client.request(
            "POST", url, data=dict(params), credential=credential, may_repeat=True, limit_bytes=_MOST_BYTES
        )
    else:
        joined = url + ("&" if "?" in url else "?") + urlencode(list(params))
        answer = client.get(joined, credential=credential, limit_bytes=_MOST_BYTES)
    return rows_of_votable(answer.body, url)


def rows_of_votable(body: bytes, where: str) -> list[dict[str, Any]]:
    """The rows of a VOTable's first table, by lower-case names of columns; where it was cut, that is an error."""
    from skyvault.formats.votable_in import open_votable

    try:
        stream = open_votable(body, name=where)
        rows = [row for batch in stream.batches for row in batch.to_pylist()]
    except FormatError as error:
        raise WrongContent(f"the answer cannot be read: {error.what}", where=where) from None
    if stream.error:
        raise FetchError(f"the service refuses the question: {stream.error[:300]}", where=where)
    if stream.overflow:
        raise FetchError(f"the service sends {len(rows)} rows and has more", where=where, hint="Ask for less.")
    return [{str(name).lower(): value for name, value in row.items()} for row in rows]


def links_of(client: HttpClient, url: str, *, credential: Any = None) -> DataLinks:
    """The links at a DataLink address (DataLink 1.1). Raises FetchError, WrongContent."""
    answer = client.get(url, credential=credential, limit_bytes=_MOST_LINK_BYTES)
    rows = tuple(rows_of_votable(answer.body, url))
    asked_for = dict(parse_qsl(urlsplit(url).query))
    identifier = next((str(one["id"]) for one in rows if one.get("id")), asked_for.get("ID", ""))
    return DataLinks(identifier, rows, services_of(answer.body, url))


def services_of(body: bytes, where: str) -> dict[str, CutoutService]:
    """The SODA services that a VOTable describes, by the IDs of their resources."""
    if b"<!ENTITY" in body or b"<!DOCTYPE" in body:
        raise WrongContent("the answer declares entities, which are not read", where=where)
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise WrongContent(f"the answer is no XML ({str(error)[:80]})", where=where) from None
    found: dict[str, CutoutService] = {}
    for resource in root.iter():
        if _tag(resource) != "RESOURCE" or resource.get("utype", "").lower() != "adhoc:service":
            continue
        params = {str(p.get("name")): p for p in resource if _tag(p) == "PARAM"}
        standard = params["standardID"].get("value", "") if "standardID" in params else ""
        address = params["accessURL"].get("value", "") if "accessURL" in params else ""
        if not standard.lower().startswith(SODA) or not address.startswith(("http://", "https://")):
            continue
        inputs = [p for group in resource if _tag(group) == "GROUP" for p in group if _tag(p) == "PARAM"]
        fixed = tuple((str(p.get("name")), str(p.get("value"))) for p in inputs if p.get("value") and not p.get("ref"))
        names = frozenset(str(p.get("name")).upper() for p in inputs)
        found[str(resource.get("ID") or "")] = CutoutService(address, names, fixed)
    return found


def _tag(node: Any) -> str:
    return str(node.tag).rpartition("}")[2]
