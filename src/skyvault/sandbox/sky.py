"""The simulated sky: the named objects that all archives of the sandbox have seen, at fixed places.

Positions are ICRS degrees at the epoch J2000, right to a few arcseconds (clusters and remnants: their usual centre);
magnitudes are about V; periods are days. The low digits of white dwarfs' Gaia identifiers are the simulation's own,
the high ones name the HEALPix cell of the position, as Gaia's do.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class SkyObject:
    """A named object: its place (ICRS degrees), kind in words and as SIMBAD's code, magnitude, period in days.

    ``ids`` are its numbers in catalogues: {"TIC": "25155310"}, found as "TIC 25155310".
    """

    name: str
    aliases: tuple[str, ...]
    ra_deg: float
    dec_deg: float
    kind: str
    otype: str
    mag: float
    period_d: float | None = None
    ids: Mapping[str, str] = field(default_factory=dict, hash=False)
    #: apparent radius of what is extended, degrees
    radius_deg: float = 0.0


_OBJECTS: Final = (
    # variable stars and binaries
    SkyObject("V* RY Cnc", ("RY Cnc", "RY Cancri"), 129.97758, 19.82192, "eclipsing binary", "EB*", 12.9, 1.092943),
    SkyObject("HD 5501", (), 14.41917, 60.23801, "eclipsing binary", "EB*", 9.1, 7.5352272),
    SkyObject("V* T CrB", ("T CrB", "T Coronae Borealis"), 239.87567, 25.92017, "symbiotic nova", "Sy*", 10.2, 227.55),
    SkyObject(
        "KIC 8462852",
        ("Boyajian's Star", "Tabby's Star"),
        301.56442,
        44.45684,
        "star",
        "*",
        11.7,
        ids={"KIC": "8462852", "TIC": "185336364"},
    ),
    SkyObject("WASP-126", (), 63.37389, -69.22679, "star with planet", "*", 10.8, 3.2888, {"TIC": "25155310"}),
    SkyObject("TIC 160148385", (), 1.04635, -47.36063, "star", "*", 12.3, ids={"TIC": "160148385"}),
    SkyObject(
        "pi Men", ("HD 39091",), 84.29119, -80.46912, "star with planet", "*", 5.65, 6.2679, {"TIC": "261136679"}
    ),
    # X-ray binaries
    SkyObject("Cyg X-1", ("Cygnus X-1", "HD 226868"), 299.59032, 35.20161, "X-ray binary", "HXB", 8.9, 5.599829),
    SkyObject("LMC X-1", (), 84.91179, -69.74320, "X-ray binary", "HXB", 14.5, 3.90917),
    # remnants, clusters, galaxies
    SkyObject(
        "Crab", ("M 1", "Crab Nebula", "NGC 1952"), 83.63310, 22.01450, "supernova remnant", "SNR", 8.4, radius_deg=0.05
    ),
    SkyObject("Cas A", ("Cassiopeia A",), 350.85000, 58.81500, "supernova remnant", "SNR", 14.3, radius_deg=0.04),
    SkyObject("SN 1987A", ("SNR 1987A",), 83.86662, -69.26958, "supernova remnant", "SNR", 17.0),
    SkyObject(
        "Abell 1656",
        ("Coma cluster", "Coma", "ACO 1656", "A1656"),
        194.95300,
        27.98070,
        "galaxy cluster",
        "ClG",
        12.0,
        radius_deg=0.3,
    ),
    SkyObject("Abell 3391", ("A3391", "ACO 3391"), 96.56400, -53.68100, "galaxy cluster", "ClG", 14.5, radius_deg=0.1),
    SkyObject("Abell 3395", ("A3395", "ACO 3395"), 96.88000, -54.39900, "galaxy cluster", "ClG", 14.8, radius_deg=0.1),
    SkyObject("3C 273", ("3C273", "PG 1226+023", "QSO B1226+0219"), 187.27792, 2.05239, "quasar", "QSO", 12.9),
    SkyObject(
        "M 31", ("Andromeda Galaxy", "NGC 224", "Andromeda"), 10.68471, 41.26875, "galaxy", "G", 3.4, radius_deg=1.5
    ),
    SkyObject("M 87", ("NGC 4486", "Virgo A"), 187.70593, 12.39112, "galaxy", "AGN", 8.6, radius_deg=0.1),
    SkyObject("47 Tuc", ("NGC 104", "47 Tucanae"), 6.02233, -72.08144, "globular cluster", "GlC", 4.1, radius_deg=0.3),
    # a place without a name of its own: the middle of a field of the Rubin tutorials
    SkyObject("Rubin 62-37", ("DP0.2 62-37",), 62.0, -37.0, "field", "reg", 99.0),
    # white dwarfs
    SkyObject(
        "G 191-B2B",
        ("WD 0501+527",),
        76.37771,
        52.83110,
        "white dwarf",
        "WD*",
        11.78,
        ids={"Gaia DR3": "266077141003141120"},
    ),
    SkyObject(
        "GD 71",
        ("WD 0549+158",),
        88.11544,
        15.88623,
        "white dwarf",
        "WD*",
        13.03,
        ids={"Gaia DR3": "3348071627382832064"},
    ),
    SkyObject(
        "GD 153",
        ("WD 1254+223",),
        194.25950,
        22.03131,
        "white dwarf",
        "WD*",
        13.35,
        ids={"Gaia DR3": "3944400486086965120"},
    ),
    SkyObject(
        "HZ 43",
        ("WD 1314+293",),
        199.09103,
        29.09886,
        "white dwarf",
        "WD*",
        12.91,
        ids={"Gaia DR3": "1461833900660044608"},
    ),
    SkyObject(
        "G 29-38",
        ("WD 2326+049", "V* ZZ Psc"),
        352.19771,
        5.24694,
        "white dwarf",
        "WD*",
        13.06,
        ids={"Gaia DR3": "2660358027992297216"},
    ),
    SkyObject(
        "GD 358",
        ("WD 1645+325", "V* V777 Her"),
        251.82679,
        32.47503,
        "white dwarf",
        "WD*",
        13.65,
        ids={"Gaia DR3": "1314045725284674240"},
    ),
    SkyObject(
        "40 Eri B",
        ("WD 0413-077",),
        63.83983,
        -7.65600,
        "white dwarf",
        "WD*",
        9.5,
        ids={"Gaia DR3": "3196013189382170240"},
    ),
    SkyObject(
        "Wolf 28",
        ("WD 0046+051", "van Maanen's Star"),
        12.29142,
        5.38861,
        "white dwarf",
        "WD*",
        12.37,
        ids={"Gaia DR3": "2552928251554439744"},
    ),
    SkyObject(
        "LP 145-141",
        ("WD 1142-645",),
        176.42842,
        -64.84150,
        "white dwarf",
        "WD*",
        11.5,
        ids={"Gaia DR3": "5332606518318980608"},
    ),
    SkyObject(
        "GD 165",
        ("WD 1422+095",),
        216.16325,
        9.28758,
        "white dwarf",
        "WD*",
        14.32,
        ids={"Gaia DR3": "1176717788152437184"},
    ),
    SkyObject(
        "Feige 110",
        ("WD 2317-054",),
        349.99346,
        -5.16556,
        "white dwarf",
        "WD*",
        11.83,
        ids={"Gaia DR3": "2633603852109436288"},
    ),
    SkyObject(
        "LTT 3218",
        ("WD 0839-327",),
        130.38592,
        -32.94272,
        "white dwarf",
        "WD*",
        11.86,
        ids={"Gaia DR3": "5639391806043263296"},
    ),
    SkyObject(
        "J123.1-32.13",
        ("J123.1-32.1",),
        123.10000,
        -32.13000,
        "white dwarf",
        "WD*",
        16.9,
        ids={"Gaia DR3": "5547964493622201600"},
    ),
)


def named_objects() -> tuple[SkyObject, ...]:
    """All of them, in a fixed order."""
    return _OBJECTS


def find_object(name: str) -> SkyObject | None:
    """The object of this name, alias or identifier; case, spaces and a leading "V*" do not matter."""
    return _by_name().get(_key(name))


@functools.cache
def _by_name() -> dict[str, SkyObject]:
    known: dict[str, SkyObject] = {}
    for one in _OBJECTS:
        for name in (one.name, *one.aliases, *(f"{catalogue} {number}" for catalogue, number in one.ids.items())):
            known.setdefault(_key(name), one)
    return known


def _key(name: str) -> str:
    return re.sub(r"\s+", "", name).lower().removeprefix("v*")
