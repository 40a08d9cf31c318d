"""A session as a program: the Python script or notebook that makes the same folder again, from nothing.

It is made from what the folder holds now, so that folders of other programs can be exported too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.session.cells import Bools
from skyvault.session.files import written_beside
from skyvault.session.flags import STANDARD_REJECTION
from skyvault.session.source_file import file_stem
from skyvault.session.steps import call_text, steps_of

if TYPE_CHECKING:
    from skyvault.session.photometry import Photometry
    from skyvault.session.plate_tables import PlateTable
    from skyvault.session.session import Session

_MOST_ON_A_LINE: Final = 12


def export_script(session: Session, path: Path) -> Path:
    """See :meth:`skyvault.session.session.Session.export_script`."""
    cells = list(_cells(session))
    text = json.dumps(_notebook(cells), indent=1) + "\n" if path.suffix == ".ipynb" else "\n\n".join(cells) + "\n"
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")
    return path


def _cells(session: Session) -> list[str]:
    """The program, in pieces that belong together."""
    from skyvault import __version__

    query = session.query()
    about = query.name or query.sexagesimal()
    cells = [
        f'"""Repeats the session on {_plain(about)}: {_versions()}.\n\n'
        "DASCH asks to be acknowledged: https://dasch.cfa.harvard.edu/citing/\n"
        '"""',
        "import numpy as np\nfrom astropy.time import Time\n\n"
        "import skyvault\nfrom skyvault.session import open_session\n\n"
        f"if skyvault.__version__ != {__version__!r}:\n"
        f'    print("written by skyvault {__version__}, run by", skyvault.__version__)',
        f"sess = open_session({session.root.name!r})\n"
        f"sess.select_target(ra_deg={query.ra_deg!r}, dec_deg={query.dec_deg!r})"
        + (f"  # {_plain(query.name)}" if query.name else ""),
    ]
    refcat = session.refcat_name()
    if refcat is not None:
        cells.append(f"sess.select_refcat({refcat!r})")
    if session.path("exposures.ecsv").exists():
        cells.append(_exposures(session))
        if refcat is not None:
            cells += _light_curves(session)
        cells += _images(session)
    return cells + list(_beyond(session, has_plates=session.path("exposures.ecsv").exists() and refcat is not None))


def _versions() -> str:
    import platform
    from importlib.metadata import version

    from skyvault import __version__

    others = ", ".join(f"{name} {version(name)}" for name in ("astropy", "numpy"))
    return f"skyvault {__version__}, {others}, Python {platform.python_version()}"


def _beyond(session: Session, *, has_plates: bool) -> Iterator[str]:
    """What was asked for beyond plates, in its order; each service's images once, then those that were fetched."""
    listed = ""
    for call, given in steps_of(session).all():
        if call == "missions":
            yield call_text("beyond = sess.missions", given.get("names") or ())
        elif call == "spectra":
            yield call_text("spectra = sess.spectra", [given["service"], given.get("radius")], {"most": given["most"]})
        elif call in ("images", "fetch"):
            asked = _listing(given)
            if asked != listed:
                yield asked
                listed = asked
            if call == "fetch" and given.get("service") is not None:
                yield f"images.fetch(images.row_of({given['image']!r}))"
        elif call == "merge_lightcurves" and has_plates:
            yield f"merged = sess.merge_lightcurves({given['sources']!r})"
        elif call == "match_ephemeris":
            yield _moving(given)


def _listing(given: dict[str, Any]) -> str:
    if given.get("service") is None:
        return "# images of a service without an address are not repeated"
    named = {name: given.get(name) for name in ("collections", "where", "most")}
    asked = call_text("images = sess.images", [given["service"]], named)
    told = "# this service was asked with a token: give yours, token=...\n" if given.get("with_token") else ""
    return told + asked


def _moving(given: dict[str, Any]) -> str:
    if given.get("ephemeris") is None or given.get("has_exposures"):
        return "# an ephemeris or exposures of your own were matched here: sess.match_ephemeris(...)"
    positional = [given["ephemeris"], *([given["service"]] if given.get("service") else [])]
    names = ["begin", "days", "step_days", "observer", *(["table", "collection"] if given.get("service") else [])]
    return call_text("moving = sess.match_ephemeris", positional, {name: given.get(name) for name in names})


def _plain(text: str) -> str:
    """A name that cannot end a comment or a docstring."""
    return "".join(letter for letter in text if letter.isprintable()).replace('"', "'").replace("\\", "/")


def _exposures(session: Session) -> str:
    table = session.exposures()
    limits: list[float | None] = table.meta.get("skyvault_midpoint_jd") or [None, None]
    told = [
        f"{name}=Time({limit!r}, format='jd')"
        for name, limit in zip(("midpoint_min", "midpoint_max"), limits, strict=True)
        if limit is not None
    ]
    return "\n".join([f"exposures = sess.exposures({', '.join(told)})", *_rejections("exposures", table)])


def _light_curves(session: Session) -> list[str]:
    here = {path.stem for path in session.path("lightcurves").glob("*.ecsv")}
    names = np.asarray(session.refcat()["ref_text"])
    cells = []
    for number, name in enumerate(names):
        if file_stem(str(name)) not in here:
            continue
        curve = session.lightcurve(number)
        lines = [f"lc = sess.lightcurve({number})  # {_plain(str(name))}", *_photometry_rejections("lc", curve)]
        cells.append("\n".join(lines))
    return cells


def _images(session: Session) -> list[str]:
    exposures = session.exposures()
    lines = []
    here = {path.stem.partition("_")[2] for path in session.path("cutouts").glob("*.fits")}
    extracts = {path.stem for path in session.path("extracts").glob("*.ecsv")}
    if here or extracts:
        for row in range(len(exposures)):
            name = str(exposures.exposure_id(row))
            if name in here:
                lines.append(f"sess.cutout({row})  # {name}")
            if name in extracts:
                lines.append(f"extract = sess.extract({row})  # {name}")
                extract = session.extract(row)
                lines += [] if extract is None else _photometry_rejections("extract", extract)
    for path in sorted(session.path("mosaics").glob("*.fits")):
        plate, _, binning = path.stem.rpartition("_")
        lines.append(f"sess.mosaic({plate!r}, {int(binning)})")
    return ["\n".join(lines)] if lines else []


def _photometry_rejections(variable: str, table: Photometry) -> list[str]:
    """Like :func:`_rejections`, the standard rejections by their name."""
    standard = table.match.any_aflags(STANDARD_REJECTION)
    tags = table.rejection_tags()
    if "aflags" not in tags or not np.array_equal(_rejected_with(table, tags["aflags"]), standard):
        return _rejections(variable, table)
    return [f"{variable}.apply_standard_rejections()", *_rejections(variable, table, without="aflags")]


def _rejections(variable: str, table: PlateTable[Any], *, without: str = "") -> list[str]:
    lines = []
    ids = np.asarray(table["local_id"])
    for tag, bit in table.rejection_tags().items():
        if tag == without:
            continue
        rows = [str(number) for number in ids[_rejected_with(table, bit)]]
        pieces = [", ".join(rows[i : i + _MOST_ON_A_LINE]) for i in range(0, len(rows), _MOST_ON_A_LINE)]
        listed = "[" + ",\n    ".join(pieces) + "]"
        lines.append(f"{variable}.reject.where(np.isin({variable}['local_id'], {listed}), tag={tag!r})")
    return lines


def _rejected_with(table: PlateTable[Any], bit: int) -> Bools:
    return np.asarray((np.asarray(table["reject"]).astype(np.uint64) >> np.uint64(bit)) & np.uint64(1) != 0)


def _notebook(cells: list[str]) -> dict[str, Any]:
    """Notebook format 4.5; the docstring becomes text."""
    made: list[dict[str, Any]] = []
    for number, cell in enumerate(cells):
        common: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}}
        if cell.startswith('"""'):
            made.append(common | {"cell_type": "markdown", "source": cell.strip('"').strip()})
        else:
            made.append(common | {"cell_type": "code", "execution_count": None, "outputs": [], "source": cell})
    return {"cells": made, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
