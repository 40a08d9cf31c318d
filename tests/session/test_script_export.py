"""The exported script or notebook does all of a session again in an empty folder: same tables, same files."""

from __future__ import annotations

import ast
import json
import runpy
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from astropy.time import Time

from skyvault.sandbox.vo_services import QUASAR_DEG
from skyvault.session.session import Session
from skyvault.session.steps import Steps, address_of, steps_of

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")

TOKEN = "gt-sandbox"


def plates(sandbox: Any, settings: Any, folder: Path) -> Session:
    """A session with something of every kind that plates and other missions give."""
    session = Session(str(folder / "first" / "ry_cnc"), False, settings=settings)
    session.select_target("V* RY Cnc").select_refcat("apass")
    session.exposures(midpoint_min=Time("1900-01-01"))
    session.lightcurve(0).apply_standard_rejections(verbose=False)
    session.lightcurve(1).reject.sep_above(3, tag="not this 'star'", verbose=False)
    session.merge_lightcurves([0, 1])
    row = session.exposures().keep_only.has_phot(verbose=False)[4]
    assert session.cutout(row)
    extract = session.extract(row)
    assert extract is not None
    extract.reject.brighter(12, tag="bright", verbose=False)
    session.mosaic(row.plate_id(), 16)
    session.missions("dasch", "ztf")
    session.match_ephemeris("p/encke", begin="1930-01-01", days=300, step_days=5)
    return session


def services(sandbox: Any, settings: Any, folder: Path) -> Session:
    """A session with images and spectra of services."""
    session = Session(str(folder / "first" / "quasar"), False, settings=settings)
    session.select_target(ra_deg=QUASAR_DEG[0], dec_deg=QUASAR_DEG[1])
    endpoints = sandbox.endpoints()["vo"]
    session.spectra(endpoints["ssa"], 0.01)
    found = session.images(endpoints["tap"], most=4)
    found.fetch(1)
    session.images(endpoints["tap"], most=2)
    found.fetch(0)
    return session


def repeated(script: Path, session: Session, sandbox: Any, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Session:
    """Runs the program in an empty folder, against the same archives; the folder it made."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SKYVAULT_HOME", str(folder / "home"))
    runpy.run_path(str(script))
    return Session(str(folder / session.root.name), False, settings=session._settings)


def is_same(one: Session, other: Session) -> None:
    names = {str(path.relative_to(one.root)) for path in one.root.rglob("*") if path.is_file()}
    again = {str(path.relative_to(other.root)) for path in other.root.rglob("*") if path.is_file()}
    assert names == again
    for name in sorted(names):
        if name.startswith(("images/", "spectra/")):
            assert (one.root / name).read_bytes() == (other.root / name).read_bytes(), name
    # the place itself is repeated, whatever a name resolver says of it later
    assert (one.query().ra_deg, one.query().dec_deg) == (other.query().ra_deg, other.query().dec_deg)
    assert steps_of(one).all() == steps_of(other).all()
    if not one.path("exposures.ecsv").exists():
        return
    assert np.array_equal(one.refcat()["ref_number"], other.refcat()["ref_number"])
    assert np.array_equal(one.exposures().years(), other.exposures().years())
    for number in (0, 1):
        first, second = one.lightcurve(number), other.lightcurve(number)
        assert np.array_equal(first.julian_dates(), second.julian_dates())
        assert np.array_equal(first.magnitudes(), second.magnitudes(), equal_nan=True)
        assert np.array_equal(first.exposure_rows(), second.exposure_rows())
        assert np.array_equal(first["reject"], second["reject"])
        assert first.rejection_tags() == second.rejection_tags()
    name = next(one.path("extracts").glob("*.ecsv")).stem
    row = next(row for row in range(len(one.exposures())) if str(one.exposures().exposure_id(row)) == name)
    extracts = one.extract(row), other.extract(row)
    assert extracts[0] is not None and extracts[1] is not None
    assert np.array_equal(extracts[0]["reject"], extracts[1]["reject"]) and extracts[0]["reject"].any()
    for first, second in zip(one.missions("dasch", "ztf").curves, other.missions("dasch", "ztf").curves, strict=True):
        assert np.array_equal(first.mjd, second.mjd) and np.array_equal(first.mag, second.mag, equal_nan=True)


CALLS = {
    plates: ("merge_lightcurves([0, 1])", "sess.missions('dasch', 'ztf')", "sess.match_ephemeris('p/encke'",
             "tag='bright'", "midpoint_min=Time(", "apply_standard_rejections()", "sess.mosaic("),
    services: ("sess.spectra('http", "sess.images('http", "images.fetch("),
}  # fmt: skip


@pytest.mark.parametrize("make", CALLS)
def test_the_script_repeats_everything(
    make: Any, sandbox: Any, sandbox_settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = make(sandbox, sandbox_settings, tmp_path)
    script = session.export_script(tmp_path / "again.py")
    text = script.read_text()
    ast.parse(text)
    assert "skyvault " in text.splitlines()[0] and "numpy " in text.splitlines()[0]
    for call in CALLS[make]:
        assert call in text, call
    is_same(session, repeated(script, session, sandbox, monkeypatch, tmp_path / "second"))


def test_the_notebook_is_one_and_repeats_everything(
    sandbox: Any, sandbox_settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = plates(sandbox, sandbox_settings, tmp_path)
    book = session.export_script(tmp_path / "again.ipynb")
    nbformat.validate(nbformat.read(book, as_version=4))
    cells = json.loads(book.read_text())["cells"]
    program = tmp_path / "cells.py"
    program.write_text("\n\n".join(cell["source"] for cell in cells if cell["cell_type"] == "code"))
    is_same(session, repeated(program, session, sandbox, monkeypatch, tmp_path / "second"))


def test_no_secret_is_in_a_script(sandbox: Any, sandbox_settings: Any, tmp_path: Path) -> None:
    session = Session(str(tmp_path / "rubin"), False, settings=sandbox_settings).select_target(
        ra_deg=62.0, dec_deg=-37.0
    )
    found = session.images("tap", token=TOKEN, where="lsst_band = 'i' AND calib_level = 2", most=2)
    found.fetch(0)
    text = session.export_script(tmp_path / "again.py").read_text()
    assert "images = sess.images('tap', where=" in text and "give yours, token=..." in text
    held = [path for path in session.root.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert held == [] and TOKEN not in text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://me:secret@tap.example.org:8443/tap?token=x#y", "https://tap.example.org:8443/tap"),
        ("tap", "tap"),
        (3, None),
        ("", None),
    ],
)
def test_addresses_lose_what_identifies_a_user(given: object, shown: str | None) -> None:
    assert address_of(given) == shown


@pytest.mark.parametrize("text", ["", "[]", '{"steps": [{"call": 1}]}', "\x00", "[" * 5000])
def test_damaged_steps_are_none_and_are_written_anew(tmp_path: Path, text: str) -> None:
    steps = Steps(tmp_path / "steps.json")
    steps.path.write_text(text)
    assert steps.all() == []
    steps.remember("missions", names=["ztf"])
    steps.remember("missions", names=["ztf"])
    assert steps.all() == [("missions", {"names": ["ztf"]})]
