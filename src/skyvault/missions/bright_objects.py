"""Bright and famous objects whose places are known without a network: named stars, Messier, X-ray sources, clusters.

The places stand in ``bright_objects.txt``, ICRS degrees at the epoch J2000. Those of stars are the Hipparcos positions
(ESA 1997; by the BSD-licensed collection d3-celestial of O. Frohn, right to 0.4 arcsec) and agree with the Yale Bright
Star Catalogue to 5 arcsec; the stars' names are the IAU's. The others are typed from the usual literature: compact
sources and galaxies to a few arcseconds, clusters, remnants and fields by their usual centres, to some arcminutes; all
NGC and IC objects among them were compared with the OpenNGC list.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from importlib import resources
from typing import Final

#: a name longer than this is none
_LONGEST: Final = 100
#: letters written out, and what catalogues write for them
_GREEK: Final = {
    "alpha": "alf", "beta": "bet", "gamma": "gam", "delta": "del", "epsilon": "eps", "zeta": "zet", "eta":
    "eta", "theta": "the", "iota": "iot", "kappa": "kap", "lambda": "lam", "mu": "mu", "nu": "nu", "xi":
    "ksi", "omicron": "omi", "pi": "pi", "rho": "rho", "sigma": "sig", "tau": "tau", "upsilon": "ups", "phi":
    "phi", "chi": "chi", "psi": "psi", "omega": "ome", "alp": "alf", "tet": "the", "mu.": "mu", "nu.": "nu",
    "pi.": "pi",
}  # fmt: skip
_LETTERS: Final = dict(zip("αβγδεζηθικλμνξοπρστυφχψω", list(_GREEK.values())[:24], strict=True)) | {"ς": "sig"}
#: genitives only: "Andromeda" is a galaxy too
_GENITIVES: Final = {
    "andromedae": "And", "antliae": "Ant", "apodis": "Aps", "aquarii": "Aqr", "aquilae": "Aql", "arae": "Ara",
    "arietis": "Ari", "aurigae": "Aur", "bootis": "Boo", "caeli": "Cae", "camelopardalis": "Cam", "cancri": "Cnc",
    "canum venaticorum": "CVn", "canis majoris": "CMa", "canis minoris": "CMi", "capricorni": "Cap", "carinae": "Car",
    "cassiopeiae": "Cas", "centauri": "Cen", "cephei": "Cep", "ceti": "Cet", "chamaeleontis": "Cha",
    "circini": "Cir", "columbae": "Col", "comae berenices": "Com", "coronae australis": "CrA",
    "coronae borealis": "CrB", "corvi": "Crv", "crateris": "Crt", "crucis": "Cru", "cygni": "Cyg",
    "delphini": "Del", "doradus": "Dor", "draconis": "Dra", "equulei": "Equ", "eridani": "Eri", "fornacis": "For",
    "geminorum": "Gem", "gruis": "Gru", "herculis": "Her", "horologii": "Hor", "hydrae": "Hya", "hydri": "Hyi",
    "indi": "Ind", "lacertae": "Lac", "leonis": "Leo", "leonis minoris": "LMi", "leporis": "Lep", "librae": "Lib",
    "lupi": "Lup", "lyncis": "Lyn", "lyrae": "Lyr", "mensae": "Men", "microscopii": "Mic", "monocerotis": "Mon",
    "muscae": "Mus", "normae": "Nor", "octantis": "Oct", "ophiuchi": "Oph", "orionis": "Ori", "pavonis": "Pav",
    "pegasi": "Peg", "persei": "Per", "phoenicis": "Phe", "pictoris": "Pic", "piscium": "Psc",
    "piscis austrini": "PsA", "puppis": "Pup", "pyxidis": "Pyx", "reticuli": "Ret", "sagittae": "Sge",
    "sagittarii": "Sgr", "scorpii": "Sco", "sculptoris": "Scl", "scuti": "Sct", "serpentis": "Ser",
    "sextantis": "Sex", "tauri": "Tau", "telescopii": "Tel", "trianguli": "Tri", "trianguli australis": "TrA",
    "tucanae": "Tuc", "ursae majoris": "UMa", "ursae minoris": "UMi", "velorum": "Vel", "virginis": "Vir",
    "volantis": "Vol", "vulpeculae": "Vul",
}  # fmt: skip
_CATALOGUES: Final = (
    (re.compile(r"^(?:messier|mess)\s*(?=\d)"), "m"),
    (re.compile(r"^(?:abell|aco|a)\s*(?=s?\d)"), "abell"),
    (re.compile(r"^(?:markarian|mkn|mrk)\s*(?=\d)"), "mrk"),
    (re.compile(r"^new general catalogue\s*(?=\d)"), "ngc"),
)


def normal_name(name: str) -> str:
    """A name as it is compared: spellings of catalogues, Greek letters and constellations made one, without spaces.

    "Messier 31", "M31" and "m 031" are one, and so are "alpha CMa", "alpha Canis Majoris" and "* alf CMa".
    """
    text = name[:_LONGEST].casefold()
    if not text.isascii():
        # the normal form makes a letter of the symbol for micro, and digits of raised ones
        text = "".join(_LETTERS.get(letter, letter) for letter in unicodedata.normalize("NFKC", text))
        text = text.replace("\u2212", "-").replace("\u2019", "'")
    text = " ".join(text.split())
    text = re.sub(r"^(?:\*\*?|v\*|name|cl\*?)\s+", "", text)
    text = _abbreviated(text)
    head = re.match(r"([a-z]+\.?)(?=\d{0,2}(?:\s|$|[a-z]))", text)
    if head and head[1] in _GREEK and len(text) > len(head[1]):
        text = _GREEK[head[1]] + text[head.end() :].lstrip("0")
    for pattern, short in _CATALOGUES:
        text = pattern.sub(short, text)
    text = re.sub(r"(?<=[a-z])-(?=\d)", "", text)
    # leading zeros of a catalogue's numbers, not those of coordinates
    text = re.sub(r"^(m|ngc|ic|hd|hr|hip|abell|mrk)\s*0*(?=\d)", r"\1", text)
    return re.sub(r"[\s']", "", text)


def _abbreviated(text: str) -> str:
    """Constellations' genitives as their abbreviations; some are of two words."""
    head, space, last = text.rpartition(" ")
    if not space:
        return text
    head, space, before = head.rpartition(" ")
    for ending, rest in ((f"{before} {last}", head), (last, f"{head}{space}{before}")):
        short = _GENITIVES.get(ending)
        if short is not None and rest:
            return f"{rest} {short.lower()}"
    return text


def bright_object(name: str) -> tuple[float, float] | None:
    """ICRS place (degrees, epoch J2000) of a bright or famous object, or None for one that is not listed."""
    return _places().get(normal_name(name)) if len(name) <= _LONGEST else None


def bright_objects() -> dict[str, tuple[float, float]]:
    """The first name and the ICRS place (degrees) of each listed object, in the list's order."""
    return {names[0]: place for names, place in _rows()}


def _rows() -> list[tuple[list[str], tuple[float, float]]]:
    text = resources.files("skyvault.missions").joinpath("bright_objects.txt").read_text(encoding="utf-8")
    rows = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            names, _, place = line.partition(" | ")
            ra, dec = place.split()
            rows.append((names.split("; "), (float(ra), float(dec))))
    return rows


@functools.cache
def _places() -> dict[str, tuple[float, float]]:
    known: dict[str, tuple[float, float]] = {}
    for names, place in _rows():
        for name in names:
            known.setdefault(normal_name(name), place)
    return known
