"""The records of one site: its tables and collections, its services, its publisher, and services that run elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from skyvault.errors import NotFound
from skyvault.formats.capability import (
    Capability,
    ConeSearchCapability,
    HarvestCapability,
    ImageCapability,
    Interface,
    SpectralCapability,
)
from skyvault.formats.voresource import (
    Contact,
    Coverage,
    Creator,
    Record,
    Relationship,
)
from skyvault.formats.vosi_xml import SchemaDescription
from skyvault.model.licence import licence_url
from skyvault.serve import sia1, sia2, soda_parameters, ssa
from skyvault.serve.dataset_links import LINKS
from skyvault.serve.registry_coverage import HC, cone_within, coverage_of_table, in_record
from skyvault.serve.vosi import tap_capabilities
from skyvault.store import obscore
from skyvault.store.coverage import coverage_of, united
from skyvault.store.hips_folders import current_digest, hips_top
from skyvault.store.layout import Layout
from skyvault.store.registry_shelf import BASE
from skyvault.store.tap_schema import SCHEMA_DESCRIPTIONS, spelled, spelled_name
from skyvault.store.view import Shelved, View, split_name
from skyvault.vocabularies import vocabulary

if TYPE_CHECKING:
    from skyvault.config import Settings

_STD: Final = "ivo://ivoa.net/std/"
#: the utype by which tables of observations are found (ObsCore 1.1's data model as a table)
_OBSCORE_TABLE: Final = "ivo://ivoa.net/std/ObsCore#table-1.1"
_HIPS: Final = f"{_STD}HiPS#hips-1.0"
#: said of a table nobody has said more of
_SUBJECT: Final = "astronomy-databases"
#: what may not stand in the path of an identifier (VOResource 1.1, "ResourceKey")
_NO_KEY: Final = re.compile(r"[^\w.\-~!*'()+=]", re.ASCII)
#: kinds of files -> the protocol that finds them
_PROTOCOLS: Final = {"images": "sia2", "spectra": "ssa", "timeseries": "ssa", "xp": "ssa"}


@dataclass(frozen=True, slots=True)
class Site:
    """The publisher of the records, as the settings name it."""

    settings: Settings

    @property
    def publisher(self) -> str:
        return self.settings.publisher or self.settings.authority

    def ivoid(self, *path: str) -> str:
        """An identifier below the authority; what may not stand in one becomes an underscore."""
        keys = (_NO_KEY.sub("_", part) for part in path)
        return "/".join((f"ivo://{self.settings.authority}", *keys)).lower()

    def _contact(self, said: str | None) -> Contact:
        """Whom to ask; a contact may be a mail address or a page."""
        text = said or self.settings.contact
        is_mail = text is not None and "@" in text and "/" not in text
        return Contact(self.publisher, email=text if is_mail else None, address=None if is_mail else text)

    def _curated(self, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What all records say of who publishes, who made the data and what one may do with them."""
        facts = facts or {}
        creators = tuple(
            Creator(one["name"], (f"orcid:{one['orcid']}",) if one.get("orcid") else ())
            for one in facts.get("creators", ())
        )
        licence = facts.get("licence")
        rights = facts.get("rights") or licence
        doi, bibcode = facts.get("doi"), facts.get("bibcode")
        identifiers = [f"doi:{_bare_doi(doi)}" if doi else None, f"bibcode:{bibcode}" if bibcode else None]
        dates = [(facts["created"], "Created")] if _is_date(facts.get("created")) else []
        references = [one for one in facts.get("references", ()) if one not in (doi, bibcode)]
        return {
            "publisher": facts.get("publisher") or self.publisher,
            "publisher_id": self.ivoid("org") if not facts.get("publisher") else None,
            "contacts": (self._contact(facts.get("contact")),),
            "creators": creators,
            "subjects": _terms("uat", facts.get("subjects")) or (_SUBJECT,),
            "rights": ((rights, licence_url(licence)),) if rights else (),
            "alt_identifiers": tuple(one for one in identifiers if one),
            "dates": tuple(dates),
            "version": facts.get("version"),
            "source": (bibcode, "bibcode") if bibcode else None,
            "content_levels": tuple(facts.get("content_level") or ()) or ("Research",),
            "relationships": (Relationship("Cites", tuple((one, None) for one in references)),) if references else (),
            "facilities": tuple(facts.get("facility") or ()),
            "instruments": tuple(facts.get("instrument") or ()),
        }

    # -- tables ----------------------------------------------------------------------------------------------------

    def table(self, view: View, shelf: Shelved) -> Record:
        """The record of one published table or collection of files."""
        table, facts = shelf.table, shelf.extra.get("resource") or {}
        schema, name = _schema_and_name(table.name)
        page = f"{BASE}/{quote(schema)}/{quote(name)}"
        coverage = coverage_of_table(view, table.name, _terms("messenger", facts.get("waveband")))
        collection = shelf.extra.get("collection") or {}
        capabilities = [_auxiliary(f"{_STD}TAP#aux", f"{BASE}/tap", "1.1")]
        served_by = [("TAP", self.ivoid("tap"))]
        types = ["Catalog"]
        is_obscore = table.name.lower() == obscore.NAME.lower()
        # observations of all kinds are found by TAP, and clients look for records of this type only
        has_cone = bool(shelf.stored.positions) and not is_obscore
        if has_cone:
            cone = cone_within(coverage.spatial)
            capabilities.append(
                ConeSearchCapability(
                    f"{_STD}ConeSearch",
                    (Interface(f"{page}/scs?", use="base", version="1.03"),),
                    max_records=self.settings.maxrec_hard,
                    test_cone=cone,
                )
            )
        protocol = _PROTOCOLS.get(collection.get("kind", ""))
        if protocol is not None:
            standard, address, version = {
                "sia2": (f"{_STD}SIA#query-aux-2.0", f"{BASE}/sia2/query", "2.0"),
                "ssa": (f"{_STD}SSA#aux", f"{BASE}/ssa?", "1.1"),
            }[protocol]
            capabilities.append(_auxiliary(standard, address, version))
            served_by.append((protocol.upper(), self.ivoid(protocol)))
            types = ["Archive"]
        if current_digest(hips_top(Layout.of(self.settings), table.name)) is not None:
            capabilities.append(_auxiliary(_HIPS, f"{BASE}/hips/{table.name}", "1.0"))
        capabilities.append(Capability(None, (Interface(page, kind="vr:WebBrowser", role=None),)))
        curated = self._curated(facts)
        curated["relationships"] += (Relationship("IsServedBy", tuple(served_by)),)
        curated["dates"] += ((_day(shelf.published_at), "Updated"),)
        if is_obscore:
            table = replace(table, utype=_OBSCORE_TABLE)
        return Record(
            "vs:CatalogService" if has_cone else "vs:CatalogResource",
            self.ivoid(schema, name),
            table.title or _title(facts.get("title"), table.name),
            table.description or facts.get("description") or f"The table {table.name}, published by {self.publisher}.",
            page,
            short_name=name,
            types=tuple(types),
            capabilities=tuple(capabilities),
            coverage=replace(coverage, footprint=f"{BASE}/moc/{table.name}" if coverage.spatial else None),
            schemas=(
                SchemaDescription(
                    spelled(schema),
                    (replace(table, name=spelled_name(table.name)),),
                    description=SCHEMA_DESCRIPTIONS.get(schema.lower(), facts.get("description")),
                    title=facts.get("title"),
                ),
            ),
            **curated,
        )

    # -- services --------------------------------------------------------------------------------------------------

    def tap(self, view: View, shelves: Iterable[Shelved]) -> Record:
        """The record of the TAP service. Of its tables only the names: each has a record of its own."""
        by_schema: dict[str, list[Shelved]] = {}
        for shelf in sorted(shelves, key=lambda one: one.table.name.lower()):
            by_schema.setdefault(split_name(shelf.table.name)[0], []).append(shelf)
        schemas = tuple(
            SchemaDescription(
                spelled(name),
                tuple(
                    replace(one.table, name=spelled_name(one.table.name), columns=(), foreign_keys=()) for one in all_
                ),
                description=SCHEMA_DESCRIPTIONS.get(name.lower()),
            )
            for name, all_ in by_schema.items()
        )
        return Record(
            "vs:CatalogService",
            self.ivoid("tap"),
            f"{self.publisher} TAP service",
            f"All tables of {self.publisher}, to be queried in ADQL; users may upload tables of their own.",
            f"{BASE}/",
            short_name=f"{self.publisher} TAP",
            types=("Catalog",),
            capabilities=tuple(tap_capabilities(BASE, view, self.settings)),
            schemas=schemas,
            **self._curated(),
        )

    def dataset_services(self, view: View, shelves: Iterable[Shelved]) -> list[Record]:
        """Records of the services that find images and spectra, where there are any."""
        by_protocol: dict[str, list[Shelved]] = {}
        for shelf in shelves:
            protocol = _PROTOCOLS.get((shelf.extra.get("collection") or {}).get("kind", ""))
            if protocol is not None:
                by_protocol.setdefault(protocol, []).append(shelf)
        texts = {
            "sia2": (
                "images",
                "Images and cubes of all collections, found by position, time, band and more (SIA 2.0).",
            ),
            "ssa": (
                "spectra",
                "Spectra and time series of all collections, found by position, time and band (SSA 1.1).",
            ),
        }
        records = []
        for protocol, members in sorted(by_protocol.items()):
            what, description = texts[protocol]
            collections = tuple((one.table.title or one.table.name, self.ivoid(*_schema_and_name(one.table.name)))
                                for one in members)  # fmt: skip
            curated = self._curated()
            curated["relationships"] += (Relationship("IsServiceFor", collections),)
            covered = united([coverage_of(view, one.table.name) for one in members])
            records.append(
                Record(
                    "vs:CatalogService",
                    self.ivoid(protocol),
                    f"{self.publisher}: {what}",
                    description,
                    f"{BASE}/",
                    short_name=f"{self.publisher} {protocol}",
                    types=("Archive",),
                    capabilities=tuple(self._dataset_capabilities(protocol)),
                    coverage=in_record(covered),
                    **curated,
                )
            )
        return records

    def _dataset_capabilities(self, protocol: str) -> Iterable[Capability]:
        if protocol == "ssa":
            yield SpectralCapability(
                ssa.STANDARD,
                (Interface(f"{BASE}/ssa?", use="base", version="1.1"),),
                max_records=self.settings.maxrec_hard,
                default_records=self.settings.maxrec_default,
            )
        else:
            yield _auxiliary(sia2.STANDARD, f"{BASE}/sia2/query", "2.0")
            yield ImageCapability(
                sia1.STANDARD,
                (Interface(f"{BASE}/sia1?", use="base", version="1.0"),),
                max_records=self.settings.maxrec_hard,
            )
            for kind, standard in soda_parameters.STANDARDS.items():
                yield _auxiliary(standard, f"{BASE}/soda/{kind}", "1.0")
        yield _auxiliary(LINKS, f"{BASE}/datalink/links", "1.1")
        for what in ("capabilities", "availability"):
            yield Capability(f"{_STD}VOSI#{what}", (Interface(f"{BASE}/{protocol}/{what}"),))

    # -- the publisher and the registry ----------------------------------------------------------------------------

    def itself(self) -> list[Record]:
        """The authority, the organisation and the registry: without them no registry takes the others."""
        curated = self._curated()
        curated |= {"subjects": ("virtual-observatories",), "reference_url": f"{BASE}/"}
        authority = self.settings.authority
        registry = Record(
            "vg:Registry",
            self.ivoid("registry"),
            f"{self.publisher} registry",
            f"The publishing registry of {self.publisher}: records of its tables and services by OAI-PMH.",
            short_name="registry",
            types=("Registry",),
            capabilities=(
                HarvestCapability(
                    f"{_STD}Registry",
                    (Interface(f"{BASE}/oai", use="base", version="1.0", kind="vg:OAIHTTP"),),
                    max_records=self.settings.oai_page_records,
                ),
                _auxiliary(f"{_STD}TAP#aux", f"{BASE}/tap", "1.1"),
                *(
                    Capability(f"{_STD}VOSI#{what}", (Interface(f"{BASE}/tap/{what}"),))
                    for what in ("capabilities", "availability", "tables")
                ),
            ),
            managed_authorities=(authority.lower(),),
            is_full=self.settings.registry_full,
            **curated,
        )
        organisation = Record(
            "vr:Organisation",
            self.ivoid("org"),
            self.publisher,
            f"{self.publisher}, publisher of data in the Virtual Observatory.",
            short_name=self.publisher,
            types=("Organisation",),
            **curated,
        )
        owner = Record(
            "vg:Authority",
            self.ivoid(),
            f"Naming authority {authority}",
            f"{self.publisher} gives out identifiers that begin with ivo://{authority}.",
            short_name=authority,
            types=("Other",),
            managing_org=self.publisher,
            **curated,
        )
        return [registry, organisation, owner]

    # -- services that run elsewhere -------------------------------------------------------------------------------

    def elsewhere(self, document: Mapping[str, Any]) -> Iterable[Record]:
        """Records of services that run elsewhere and are described in a resource.yaml."""
        for given in document.get("records", ()):
            facts = {**document, **{key: value for key, value in given.items() if value not in (None, [], "")}}
            facts["creators"] = [{"name": one} if isinstance(one, str) else one for one in facts.get("creators", ())]
            capabilities = tuple(_foreign(one) for one in given.get("services", ()))
            pages = [one["url"] for one in given.get("services", ()) if one["type"] == "web"]
            spectral = tuple(_energies(*pair) for pair in (facts.get("coverage") or {}).get("spectral", ()))
            coverage = facts.get("coverage") or {}
            yield Record(
                "vs:DataService",
                self.ivoid(document["schema"], given["name"]),
                given["title"],
                given["description"],
                given.get("reference_url") or (pages[0] if pages else given["services"][0]["url"]),
                short_name=given["name"],
                types=("Archive",),
                capabilities=capabilities,
                coverage=Coverage(
                    coverage.get("spatial"),
                    tuple((float(low), float(high)) for low, high in coverage.get("temporal", ())),
                    spectral,
                    wavebands=_terms("messenger", facts.get("waveband")),
                ),
                **self._curated(facts),
            )


def _terms(vocabulary_name: str, words: Iterable[str] | None) -> tuple[str, ...]:
    """Words as the vocabulary writes them; what is not in it stays as it is."""
    try:
        known = vocabulary(vocabulary_name)
    except NotFound:
        return tuple(words or ())
    found = ((known.find(word), word) for word in words or ())
    return tuple(dict.fromkeys(word if term is None else term.name for term, word in found))


def _auxiliary(standard: str, url: str, version: str | None) -> Capability:
    return Capability(standard, (Interface(url, use="base", version=version),))


#: a service type of resource.yaml -> its standard, and the version of its interface
FOREIGN: Final[Mapping[str, tuple[str | None, str | None]]] = {
    "tap": (f"{_STD}TAP", "1.1"),
    "scs": (f"{_STD}ConeSearch", "1.03"),
    "sia": (f"{_STD}SIA", "1.0"),
    "sia2": (f"{_STD}SIA#query-2.0", "2.0"),
    "ssa": (f"{_STD}SSA", "1.1"),
    "slap": (f"{_STD}SLAP", "1.0"),
    "datalink": (f"{_STD}DataLink#links-1.1", "1.1"),
    "soda": (f"{_STD}SODA#sync-1.0", "1.0"),
    "hips": (f"{_STD}HiPS#hips-1.0", "1.0"),
    "web": (None, None),
}


def _foreign(service: Mapping[str, Any]) -> Capability:
    standard, version = FOREIGN[service["type"]]
    if standard is None:
        return Capability(None, (Interface(service["url"], kind="vr:WebBrowser", role=None),))
    interface = Interface(service["url"], use="base", version=service.get("version") or version)
    return Capability(standard, (interface,), service.get("description"))


def _energies(shortest_m: float, longest_m: float) -> tuple[float, float]:
    return HC / longest_m, HC / shortest_m


def _schema_and_name(name: str) -> tuple[str, str]:
    """Both parts of a table's name, whatever it consists of."""
    schema, *rest = split_name(name)
    return (schema, ".".join(rest)) if rest else ("data", schema)


def _title(title: str | None, name: str) -> str:
    plain = split_name(name)[-1]
    return f"{title}: {plain}" if title else f"Table {name}"


def _bare_doi(doi: str) -> str:
    for beginning in ("https://doi.org/", "http://doi.org/", "http://dx.doi.org/", "https://dx.doi.org/", "doi:"):
        if doi.lower().startswith(beginning):
            return doi[len(beginning) :]
    return doi


def _is_date(text: object) -> bool:
    from datetime import datetime

    try:
        datetime.fromisoformat(str(text))
    except ValueError:
        return False
    return True


def _day(time_s: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_s, UTC).date().isoformat()
