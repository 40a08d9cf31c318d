"""How to get at one table: the protocols that know it, their addresses, and a line to try in each."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from skyvault.serve.data_origin import page_address
from skyvault.serve.examples import some_place
from skyvault.store import obscore
from skyvault.store.tap_schema import spelled_name

if TYPE_CHECKING:
    from skyvault.store.view import Shelved

_SHELL: Final = "Shell, with curl"
#: kinds of collections that SSA finds, and what it calls them
_SERIES: Final = {"spectra": "spectrum", "timeseries": "timeseries"}


@dataclass(frozen=True, slots=True)
class TableService:
    """A protocol that gives out a table or its datasets. ``snippets`` are (label, text)."""

    name: str
    address: str
    purpose: str
    snippets: tuple[tuple[str, str], ...]


def services_of(
    shelf: Shelved, base: str, did: str | None = None, place: tuple[float, float] | None = None
) -> list[TableService]:
    """The services of a table, with lines to try.

    ``base`` is the absolute address of the root, ``did`` a dataset for examples, ``place`` (degrees) where a row is.
    """
    return list(_services(shelf, base, did, place))


def _services(shelf: Shelved, base: str, did: str | None, place: tuple[float, float] | None) -> Iterator[TableService]:
    known = some_place(shelf)
    lon, lat, radius = known if known is not None else (10.0, 20.0, 0.1)
    if place is not None:
        lon, lat = (round(value, 4) for value in place)
    yield _tap(shelf, f"{base}/tap")
    if shelf.stored.positions:
        yield _cone(f"{page_address(shelf.table.name, base)}/scs", lon, lat, radius)
        yield _coverage(f"{base}/moc/{quote(shelf.table.name, safe='.')}")
    facts = shelf.extra.get("collection")
    is_obscore = shelf.table.name.lower() == obscore.NAME.lower()
    if facts is None and not is_obscore:
        return
    kind = str(facts["kind"]) if facts is not None else "images"
    if kind == "images":
        yield _images(f"{base}/sia2/query", lon, lat, radius)
        yield _old_images(f"{base}/sia1", lon, lat, radius)
    if facts is not None and "hips" in facts.get("services", ()):
        yield _tiles(f"{base}/hips/{quote(shelf.table.name, safe='.')}")
    if kind in _SERIES or is_obscore:
        yield _spectra(f"{base}/ssa", lon, lat, radius, _SERIES.get(kind, "spectrum"))
    if did is None:
        return
    yield _links(f"{base}/datalink/links", did)
    if kind == "images" and facts is not None and "soda" in facts.get("services", ()):
        yield _cutouts(f"{base}/soda/sync", did, lon, lat, min(radius, 0.02))


def _tap(shelf: Shelved, address: str) -> TableService:
    query = f"SELECT TOP 10 * FROM {spelled_name(shelf.table.name)}"
    lines = ("tap = pyvo.dal.TAPService({0!r})", "rows = tap.search({1!r}).to_table()")
    stilts = f"stilts tapquery tapurl={shlex.quote(address)} adql={shlex.quote(query)} ofmt=ascii"
    return TableService(
        "TAP",
        address,
        "Queries in ADQL, joins with your own tables, results in many formats",
        (
            _python(*lines, told=(address, query)),
            (_SHELL, _curl(f"{address}/sync", LANG="ADQL", FORMAT="csv", QUERY=query)),
            ("Shell, with STILTS", stilts),
            ("TOPCAT", f"VO > Table Access Protocol (TAP) Query\nTAP URL: {address}\nADQL: {query}"),
        ),
    )


def _cone(address: str, lon: float, lat: float, radius: float) -> TableService:
    lines = ("cone = pyvo.dal.SCSService({0!r})", "rows = cone.search(pos=({1}, {2}), radius={3}).to_table()")
    topcat = f"VO > Cone Search\nCone Search URL: {address}?\nRA {lon}, Dec {lat}, Radius {radius} degrees"
    return TableService(
        "Simple Cone Search",
        address,
        "Rows around a position",
        (
            _python(*lines, told=(f"{address}?", lon, lat, radius)),
            (_SHELL, _curl(address, RA=f"{lon}", DEC=f"{lat}", SR=f"{radius}")),
            ("TOPCAT", topcat),
        ),
    )


def _images(address: str, lon: float, lat: float, radius: float) -> TableService:
    lines = ("images = pyvo.dal.SIA2Service({0!r})", "found = images.search(pos=({1}, {2}, {3}))")
    return TableService(
        "SIA 2.0",
        address,
        "Images by place, time and wavelength, over all collections",
        (
            _python(*lines, told=(address, lon, lat, radius)),
            (_SHELL, _curl(address, POS=f"CIRCLE {lon} {lat} {radius}")),
            (
                "TOPCAT",
                f"VO > Simple Image Access (SIA) Query\nSIA URL: {address}, SIA Version 2.0\n"
                f"RA {lon}, Dec {lat}, Angular Size {radius} degrees",
            ),
        ),
    )


def _old_images(address: str, lon: float, lat: float, radius: float) -> TableService:
    return TableService(
        "SIA 1.0",
        address,
        "The same for clients that know no other",
        ((_SHELL, _curl(address, POS=f"{lon},{lat}", SIZE=f"{radius:g}", FORMAT="image/fits")),),
    )


def _coverage(address: str) -> TableService:
    lines = (
        "moc = mocpy.MOC.from_fits({0!r})",
        "print(moc.sky_fraction, moc.contains_lonlat([10] * u.deg, [20] * u.deg))",
    )
    told = "\n".join(["import astropy.units as u", "import mocpy", "", *(line.format(address) for line in lines)])
    return TableService(
        "MOC 2.0",
        address,
        "The covered sky, as Aladin and mocpy read it",
        (("Python, with mocpy", told), (_SHELL, f"curl -o coverage.fits {shlex.quote(address)}")),
    )


def _tiles(address: str) -> TableService:
    return TableService(
        "HiPS 1.0",
        address,
        "The images as one picture of the sky, from all of it down to their pixels",
        (("Aladin", f"File > Open\n{address}"),),
    )


def _spectra(address: str, lon: float, lat: float, radius: float, kind: str) -> TableService:
    search = "found = spectra.search(pos=({1}, {2}), diameter={3:g}, DPTYPE={4!r})"
    return TableService(
        "SSA 1.1",
        address,
        "Spectra and light curves by place, time and wavelength, over all collections",
        (
            _python("spectra = pyvo.dal.SSAService({0!r})", search, told=(address, lon, lat, 2 * radius, kind)),
            (_SHELL, _curl(address, REQUEST="queryData", POS=f"{lon},{lat}", SIZE=f"{2 * radius:g}", DPTYPE=kind)),
            (
                "TOPCAT",
                f"VO > Simple Spectral Access (SSA) Query\nSSA URL: {address}?\n"
                f"RA {lon}, Dec {lat}, Diameter {2 * radius:g} degrees",
            ),
        ),
    )


def _links(address: str, did: str) -> TableService:
    lines = (
        "links = pyvo.dal.adhoc.DatalinkResults.from_result_url({0!r})",
        "for link in links:",
        "    print(link.semantics, link.access_url)",
    )
    whole = f"{address}?ID={quote(did, safe='')}"
    return TableService(
        "DataLink 1.1",
        address,
        "Files, previews and services of datasets, many at once",
        (
            _python(*lines, told=(whole,)),
            (_SHELL, _curl(address, ID=did)),
            ("TOPCAT", "Views > Activation Actions > View Datalink Table, on the result of a search"),
        ),
    )


def _cutouts(address: str, did: str, lon: float, lat: float, radius: float) -> TableService:
    circle = f"{lon} {lat} {radius:g}"
    return TableService(
        "SODA 1.0",
        address,
        "Cutouts of an image: circle, polygon, wavelengths, pixels",
        ((_SHELL, _curl(address, "-o cutout.fits", ID=did, CIRCLE=circle)),),
    )


def _python(*lines: str, told: tuple[object, ...]) -> tuple[str, str]:
    return "Python, with pyvo", "\n".join(["import pyvo", "", *(line.format(*told) for line in lines)])


def _curl(address: str, *options: str, **asked: str) -> str:
    data = [f"--data-urlencode {shlex.quote(f'{name}={value}')}" for name, value in asked.items()]
    return " \\\n  ".join([f"curl -G {shlex.quote(address)}", *options, *data])
