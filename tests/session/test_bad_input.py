"""What can go wrong in a session, a row each: one sentence with the way on, and nothing half-written is read back."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.time import Time

from processes import environment
from skyvault.errors import Conflict, LimitError, SkyvaultError, StoreError
from skyvault.sandbox.faults import Fault
from skyvault.session.session import Session

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")

RY_CNC = {"ra_deg": 129.97758, "dec_deg": 19.82192}


@pytest.fixture
def session(sandbox: Any, sandbox_settings: Any, tmp_path: Path) -> Session:
    return Session(str(tmp_path / "star"), False, settings=sandbox_settings)


@pytest.fixture
def ready(session: Session) -> Session:
    return session.select_target(**RY_CNC).select_refcat("apass")  # type: ignore[arg-type]


@pytest.fixture
def small_answers(sandbox: Any) -> Any:
    """An archive that may send 20 kB at once, as the real one may send 6 MB."""
    archive = sandbox.emulations["dasch"]
    usual, archive.most_bytes = archive.most_bytes, 20_000
    yield archive
    archive.most_bytes = usual


def files(session: Session) -> set[str]:
    return {str(path.relative_to(session.root)) for path in session.root.rglob("*") if path.is_file()}


def sentence(problem: pytest.ExceptionInfo[Any]) -> str:
    text = str(problem.value)
    assert isinstance(problem.value, SkyvaultError) and "\n" not in text and len(text) < 500
    return text


def again(session: Session) -> Session:
    """The folder opened by another process."""
    return Session(str(session.root), False, settings=session._settings)


def test_an_unknown_name(session: Session) -> None:
    with pytest.raises(SkyvaultError) as caught:
        session.select_target("HD 55O1")
    assert "HD 55O1" in sentence(caught) and files(session) == set()
    assert session.select_target(**RY_CNC).query().ra_deg == RY_CNC["ra_deg"]  # type: ignore[arg-type]


def test_a_point_off_every_plate(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.select_target(ra_deg=280.0, dec_deg=-30.0)
    assert len(session.exposures(midpoint_max=Time("1880-01-01"))) == 0
    assert "lies on no plate within these times" in capsys.readouterr().err
    assert len(again(session).exposures()) == 0


def test_a_catalogue_with_nothing(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.select_target(ra_deg=280.0, dec_deg=-30.0).select_refcat("apass")
    assert "no source within 850 arcsec" in capsys.readouterr().err
    later = again(session)
    assert (later.refcat_name(), len(later.refcat())) == ("apass", 0)
    with pytest.raises(SkyvaultError) as caught:
        later.lightcurve(0)
    assert "catalogue is empty" in sentence(caught)
    with pytest.raises(SkyvaultError) as caught:
        later.merge_lightcurves(range(3))
    sentence(caught)


def test_a_source_that_was_never_detected(ready: Session, capsys: pytest.CaptureFixture[str]) -> None:
    counts = np.asarray(ready.refcat()["num_matches"])
    faintest = int(np.argmin(counts))
    curve = ready.lightcurve(faintest)
    assert curve.count.detected() == counts[faintest]
    if counts[faintest] == 0:
        assert "never detected" in capsys.readouterr().err
    limits = curve.keep_only.undetected(verbose=False)
    for wish in (limits.mean_pos, limits.periodogram, limits.search_period, limits.variability):
        with pytest.raises(SkyvaultError) as caught:
            wish()
        sentence(caught)
    assert limits.plot() is not None and np.isfinite(limits.barycentric_mjd()).all()


def test_a_plate_that_was_never_scanned(ready: Session, capsys: pytest.CaptureFixture[str]) -> None:
    row = ready.exposures().drop.scanned(verbose=False)[0]
    assert ready.cutout(row) is None and ready.extract(row) is None
    assert capsys.readouterr().err.count("never scanned") == 2
    with pytest.raises(SkyvaultError) as caught:
        ready.mosaic(row.plate_id(), 16)
    sentence(caught)
    with pytest.raises(SkyvaultError) as caught:
        row.photcal_asdf_url()
    assert "not calibrated with apass" in sentence(caught)
    assert not any(name.startswith(("cutouts/", "extracts/", "mosaics/", "base_mosaics/")) for name in files(ready))


@pytest.mark.parametrize("kind", ["truncated", "corrupt", "dropped", "html"])
def test_a_reply_cut_short(ready: Session, sandbox: Any, kind: str) -> None:
    before = files(ready)
    sandbox.faults.set(Fault(kind, archive="dasch"))
    for step in (ready.exposures, lambda: ready.lightcurve(0), lambda: ready.select_refcat("apass", refresh=True)):
        with pytest.raises(SkyvaultError) as caught:
            step()
        sentence(caught)
    assert files(ready) == before
    sandbox.faults.clear()
    assert len(again(ready).lightcurve(0)) > 200


def test_a_reply_over_the_servers_cap(ready: Session, small_answers: Any) -> None:
    with pytest.raises(LimitError) as caught:
        ready.exposures()
    assert "midpoint_min" in sentence(caught)
    # the way on that the sentence tells
    part = ready.exposures(midpoint_min=Time("1900-01-01"), midpoint_max=Time("1912-01-01"))
    assert 0 < len(part) < 120
    with pytest.raises(SkyvaultError) as caught:
        ready.lightcurve(0)
    assert "larger than it may send" in sentence(caught)
    assert not any(name.startswith("lightcurves/") for name in files(ready))
    small_answers.most_bytes = 6_291_556
    everything = ready.exposures(refresh=True)
    years = everything.years()
    assert len(part) == int(((years >= 1900) & (years <= 1912)).sum())


def test_an_old_folder_of_another_target(ready: Session) -> None:
    before = files(ready)
    later = again(ready)
    with pytest.raises(Conflict) as caught:
        later.select_target("HD 5501")
    assert "delete_data" in sentence(caught)
    with pytest.raises(Conflict) as caught:
        later.select_refcat("atlas")
    sentence(caught)
    assert files(ready) == before and later.query().ra_deg == RY_CNC["ra_deg"]


def test_a_disk_that_fills_in_a_mosaic(ready: Session, sandbox: Any) -> None:
    """A process whose files may not grow beyond 100 kB, then 3 MB: too little for the base image, then the mosaic."""
    row = ready.exposures().keep_only.has_imaging(verbose=False)[0]
    program = textwrap.dedent(
        f"""
        import os, resource, sys
        from skyvault.config import Settings
        from skyvault.errors import SkyvaultError
        from skyvault.session.session import Session
        sess = Session({str(ready.root)!r}, False, settings=Settings(home={str(ready.root.parent / "home")!r}))
        sess.exposures()
        for most in (100_000, 3_000_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
            try:
                print(sess.mosaic({row.plate_id()!r}, 16))
            except SkyvaultError as problem:
                print(type(problem).__name__, problem)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=100,
        env=environment() | sandbox.environment(),
    )
    told = done.stdout.splitlines()
    assert len(told) == 2 and not any(line.startswith("mosaics/") for line in told), (done.stdout, done.stderr)
    assert not list(ready.root.rglob("mosaics/*.fits*"))
    # with room on the disk it works, and what was fetched before is used or fetched again, but never half
    assert ready.mosaic(row.plate_id(), 16) == f"mosaics/{row.plate_id()}_16.fits"


def test_a_file_cut_short_is_never_read_back(ready: Session) -> None:
    row = ready.exposures().keep_only.has_imaging(verbose=False)[2]
    shown = ready.cutout(row)
    assert shown is not None
    whole = ready.path(shown).read_bytes()
    ready.path(shown).write_bytes(whole[: len(whole) // 2])
    assert again(ready).cutout(row) == shown and len(ready.path(shown).read_bytes()) == len(whole)
    plate = ready.mosaic(row.plate_id(), 16)
    mosaic = ready.path(plate).read_bytes()
    ready.path(plate).write_bytes(mosaic[: len(mosaic) // 5760 * 2880])
    assert again(ready).mosaic(row.plate_id(), 16) == plate and len(ready.path(plate).read_bytes()) == len(mosaic)
    ready.lightcurve(0)
    path = next(ready.path("lightcurves").glob("*.ecsv"))
    text = path.read_bytes()
    path.write_bytes(text[: len(text) - 300])
    with pytest.raises(SkyvaultError) as caught:
        again(ready).lightcurve(0)
    assert path.name in sentence(caught)
    assert len(again(ready).lightcurve(0, refresh=True)) > 200


def test_what_a_killed_process_left_behind_is_not_taken_for_data(ready: Session) -> None:
    """kill -9 while tables are written: what is read afterwards is whole, or is fetched."""
    ready.exposures()
    (ready.root / ".refcat.ecsv.x1.part").write_text("# %ECSV 1.0\n")
    (ready.path("lightcurves")).mkdir(exist_ok=True)
    name = str(ready.refcat()["ref_text"][0])
    (ready.path("lightcurves") / f".{name}.ecsv.x2.part").write_text("# %ECSV 1.0\n")
    later = again(ready)
    assert len(later.refcat()) > 100 and len(later.lightcurve(0)) > 200
    with pytest.raises(StoreError) as caught:
        (ready.root / "file").write_text("x")
        Session(str(ready.root / "file" / "below"), False)
    sentence(caught)
