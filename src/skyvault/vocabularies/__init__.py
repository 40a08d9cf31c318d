"""The words that the Virtual Observatory agrees on: copies of its vocabularies that come with the package.

Each file names its source and licence in its head. A line is a term, a colon and its label (``names: labels``: the
label alone); terms further in are narrower ones. ``< a b`` adds wider terms, ``> a`` says which term took the place of
an old one (``-``: none).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from skyvault.errors import NotFound

_FOLDER: Final = Path(__file__).parent
#: other names that vocabularies are known by
_ALIASES: Final = {
    "datalink": "datalink.core",
    "datalink/core": "datalink.core",
    **{
        f"{before}{name}": f"voresource.{name}"
        for name in ("date_role", "relationship_type", "content_level", "content_type")
        for before in ("", "voresource/")
    },
}


@dataclass(frozen=True, slots=True)
class Term:
    """A word of a vocabulary: its label for people, the wider terms, and what is used instead of it now."""

    name: str
    label: str
    wider: tuple[str, ...] = ()
    is_deprecated: bool = False
    use_instead: str | None = None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A vocabulary: its terms by their names, in the sequence of their source."""

    name: str
    title: str
    source: str
    licence: str
    flavour: Literal["RDF", "SKOS"]
    terms: Mapping[str, Term]

    def find(self, text: str) -> Term | None:
        """The term of this name or label, in any case and with or without a # before it."""
        return _index(self.name).get(_folded(text))

    def narrower(self, term: str) -> tuple[str, ...]:
        """The term and those below it: all of them in a tree (RDF), the next ones alone in a thesaurus (SKOS).

        A thesaurus does not say that what is narrower than a narrower term is narrower, too (Vocabularies in the VO
        2.0, section 2.2). Raises NotFound when it is no term.
        """
        own = self.find(term)
        if own is None:
            near = self.nearest(term)
            raise NotFound(
                f"{term[:60]!r} is no term of the vocabulary {self.name}",
                hint=f"Did you mean {near[0]!r}?" if near else f"See {self.source.split()[0]}.",
            )
        found, last = [own.name], [own.name]
        while last:
            last = [one.name for one in self.terms.values() if set(one.wider) & set(last) and one.name not in found]
            found += last
            if self.flavour == "SKOS":
                break
        return tuple(found)

    def nearest(self, text: str, most: int = 3) -> list[str]:
        """Terms that look like a text, by name or label, the likeliest first."""
        from difflib import get_close_matches

        index = _index(self.name)
        wanted = _folded(text)
        near = get_close_matches(wanted, index, n=3 * most, cutoff=0.6)
        words = set(wanted.split("-"))
        near += [key for key in index if words and words <= set(key.split("-"))]
        return list(dict.fromkeys(index[key].name for key in near))[:most]


def names() -> tuple[str, ...]:
    """The vocabularies there are."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.txt")))


def vocabulary(name: str) -> Vocabulary:
    """A vocabulary by its name, such as product-type, or its address. Raises NotFound."""
    short = name.strip().removeprefix("https://").removeprefix("http://").removeprefix("www.")
    short = short.removeprefix("ivoa.net/rdf/").strip("/#").lower()
    return _read(_ALIASES.get(short, short))


@lru_cache(maxsize=32)
def _read(name: str) -> Vocabulary:
    if name not in names():
        raise NotFound(f"the vocabulary {name[:60]!r} is not known here", hint=f"There are {', '.join(names())}.")
    facts: dict[str, str] = {}
    terms: dict[str, Term] = {}
    above: list[str] = []
    for line in (_FOLDER / f"{name}.txt").read_text("utf-8").splitlines():
        if line.startswith("%"):
            key, _, value = line[1:].partition(":")
            facts[key.strip()] = value.strip()
            continue
        if not line.strip():
            continue
        depth = (len(line) - len(line.lstrip(" "))) // 2
        text = line.strip()
        if facts.get("names") == "labels":
            text = f"{_named(text)}: {text}"
        term = _term(text, above[depth - 1 : depth])
        above[depth:] = [term.name]
        known = terms.get(term.name)
        if known is not None:
            # a term of a thesaurus may stand at several places
            term = Term(term.name, known.label, tuple(dict.fromkeys(known.wider + term.wider)))
        terms[term.name] = term
    flavour: Literal["RDF", "SKOS"] = "SKOS" if facts["flavour"] == "SKOS" else "RDF"
    return Vocabulary(name, facts["title"], facts["source"], facts["licence"], flavour, MappingProxyType(terms))


def _named(label: str) -> str:
    """The name that the IVOA makes of a concept's label: each run of other signs than small letters is one hyphen."""
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain)


def _term(line: str, parent: Iterable[str]) -> Term:
    head, _, instead = line.partition(" > ")
    head, _, wider = head.partition(" < ")
    name, _, label = head.partition(": ")
    return Term(
        name, label or name, (*parent, *wider.split()), bool(instead), instead if instead not in ("", "-") else None
    )


@lru_cache(maxsize=32)
def _index(name: str) -> dict[str, Term]:
    found: dict[str, Term] = {}
    terms = _read(name).terms.values()
    for term in terms:
        # of names that differ in case alone, the one that is still in use
        if _folded(term.name) not in found or found[_folded(term.name)].is_deprecated:
            found[_folded(term.name)] = term
    for term in terms:
        found.setdefault(_folded(term.label), term)
    return found


def _folded(text: str) -> str:
    return "-".join(text.strip().lstrip("#").lower().replace("_", "-").split())
