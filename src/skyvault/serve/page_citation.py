"""Whose data a table holds and how to cite them, as its page shows it: persons, licence, references, BibTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from skyvault.serve.page_text import web_address

if TYPE_CHECKING:
    from skyvault.store.view import Shelved

_ORCID: Final = re.compile(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]")
#: 19 characters: year, journal, volume, section, page, author (ADS's bibcodes)
_BIBCODE: Final = re.compile(r"\d{4}[A-Za-z][A-Za-z0-9.&]{12}[A-Za-z0-9.:]{0,1}[A-Za-z.]")
_DOI: Final = re.compile(r"10\.\d{4,9}/\S{1,200}")
_ARXIV: Final = re.compile(r"(?:[a-z-]+(?:\.[A-Z]{2})?/\d{7}|\d{4}\.\d{4,5})(?:v\d+)?")
_LATEX: Final = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip
#: persons named in full in a citation
_MOST_AUTHORS: Final = 10


@dataclass(frozen=True, slots=True)
class Person:
    """A creator and the address of the ORCID record."""

    name: str
    orcid: str | None = None
    affiliation: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """Something to read: what it is called, and where it is (None: nowhere that may be linked to)."""

    label: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """What a resource.yaml says of a table's origin, ready to be shown."""

    creators: tuple[Person, ...] = ()
    licence: Reference | None = None
    rights: str | None = None
    references: tuple[Reference, ...] = ()
    doi: Reference | None = None
    bibcode: Reference | None = None
    words: tuple[tuple[str, str], ...] = ()
    contact: str | None = None
    citation: str = ""
    bibtex: str = ""


def origin_of(shelf: Shelved, page: str, publisher: str | None) -> Origin | None:
    """Whose data they are; None where nothing was said. ``page`` is the absolute address of the table's page."""
    said: Mapping[str, Any] = shelf.extra.get("resource") or {}
    if not said:
        return None
    creators = tuple(
        Person(
            str(one.get("name", "")),
            f"https://orcid.org/{one['orcid']}" if _ORCID.fullmatch(str(one.get("orcid") or "")) else None,
            one.get("affiliation"),
        )
        for one in said.get("creators", ())
        if one.get("name")
    )
    given_doi = str(said.get("doi") or "")
    is_whole = given_doi.lower().startswith(("doi:", "http"))
    doi = reference(given_doi if is_whole else f"doi:{given_doi}") if given_doi else None
    bibcode = reference(str(said["bibcode"])) if said.get("bibcode") else None
    licence = said.get("licence")
    listed = (
        ("Subjects", said.get("subjects")), ("Facility", said.get("facility")), ("Instrument", said.get("instrument")),
        ("Waveband", said.get("waveband")),
    )  # fmt: skip
    words = [(name, ", ".join(map(str, values))) for name, values in listed if values]
    words += [(name, str(said[key])) for name, key in (("Made", "created"), ("Version", "version")) if said.get(key)]
    title = str(shelf.table.title or said.get("title") or shelf.table.name)
    given_by = str(said.get("publisher") or publisher or "") or None
    return Origin(
        creators,
        None if not licence else Reference(str(licence), web_address(said.get("licence_url"))),
        said.get("rights"),
        tuple(reference(str(one)) for one in said.get("references", ())),
        doi,
        bibcode,
        tuple(words),
        said.get("contact"),
        _citation(creators, said, title, given_by, doi, page),
        _bibtex(shelf.table.name, creators, said, title, given_by, doi, page),
    )


def reference(text: str) -> Reference:
    """A DOI, bibcode, arXiv number or address with the address that it leads to."""
    plain = text.strip()
    bare = re.sub(r"^(doi:|https?://(dx\.)?doi\.org/|bibcode:|arxiv:)\s*", "", plain, flags=re.IGNORECASE)
    if _DOI.fullmatch(bare):
        return Reference(f"doi:{bare}", doi_address(bare))
    if (address := bibcode_address(bare)) is not None:
        return Reference(bare, address)
    if _ARXIV.fullmatch(bare):
        return Reference(f"arXiv:{bare}", f"https://arxiv.org/abs/{quote(bare, safe='/')}")
    return Reference(plain, web_address(plain))


def bibcode_address(text: str | None) -> str | None:
    """Where ADS shows a bibcode; None for what is none."""
    bare = (text or "").strip()
    if len(bare) != 19 or not _BIBCODE.fullmatch(bare):
        return None
    return f"https://ui.adsabs.harvard.edu/abs/{quote(bare, safe='')}/abstract"


def doi_address(text: str | None) -> str | None:
    """Where a DOI leads; None for what is none."""
    bare = re.sub(r"^(doi:|https?://(dx\.)?doi\.org/)\s*", "", (text or "").strip(), flags=re.IGNORECASE)
    return f"https://doi.org/{quote(bare, safe='/:;()._-')}" if _DOI.fullmatch(bare) else None


def _year(said: Mapping[str, Any]) -> str | None:
    match = re.match(r"\d{4}", str(said.get("created") or ""))
    return match[0] if match else None


def _citation(
    creators: tuple[Person, ...], said: Mapping[str, Any], title: str, publisher: str | None, doi: Reference | None,
    page: str,
) -> str:  # fmt: skip
    """One line for a list of references, after DataCite's recommendation."""
    names = [one.name for one in creators]
    authors = "; ".join(names[:_MOST_AUTHORS]) + (" et al." if len(names) > _MOST_AUTHORS else "")
    year = _year(said)
    begin = f"{authors} ({year})" if authors and year else authors or (f"({year})" if year else "")
    version = f"Version {said['version']}" if said.get("version") else None
    parts = [begin, title, version, publisher]
    text = ". ".join(str(one).strip().rstrip(".") for one in parts if one)
    return f"{text}. {doi.address if doi and doi.address else page}"


def _bibtex(
    name: str, creators: tuple[Person, ...], said: Mapping[str, Any], title: str, publisher: str | None,
    doi: Reference | None, page: str,
) -> str:  # fmt: skip
    fields = {
        "author": " and ".join(_author(one.name) for one in creators),
        "title": f"{{{_latex(title)}}}",
        "year": _year(said),
        "publisher": _latex(publisher) if publisher else None,
        "version": _latex(str(said["version"])) if said.get("version") else None,
        "doi": doi.label.removeprefix("doi:") if doi and doi.address else None,
        "url": page,
        "note": _latex(f"Described in {said['bibcode']}") if said.get("bibcode") else None,
    }
    key = re.sub(r"[^A-Za-z0-9]+", "_", name)
    lines = [f"  {field} = {{{value}}}" for field, value in fields.items() if value]
    return f"@misc{{{key},\n" + ",\n".join(lines) + "\n}"


def _author(name: str) -> str:
    """A person as BibTeX reads it: "Last, First" is split, anything else stays together."""
    told = _latex(name)
    return told if "," in name else f"{{{told}}}"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in text if char >= " ")
