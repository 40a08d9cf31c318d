"""A session's plates as pictures: chosen over the whole time, drawn, animated, and honest about what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skyvault.errors import NotFound, ParameterError, SkyvaultError, UsageError
from skyvault.sandbox.faults import Fault
from skyvault.session.session import Session

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")


@pytest.fixture
def session(sandbox: Any, sandbox_settings: Any, tmp_path: Path) -> Session:
    made = Session(str(tmp_path / "ry_cnc"), False, settings=sandbox_settings)
    return made.select_target("V* RY Cnc").select_refcat("apass")


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_sheet_shows_plates_of_the_whole_century(session: Session, sandbox: Any, tmp_path: Path) -> None:
    said = texts(session.contact_sheet(count=6))
    years = [int(text[:4]) for text in said if "(" in text and text[:2] in ("18", "19")]
    assert len(years) == 6 and years == sorted(years) and years[0] < 1895 and years[-1] > 1965
    assert said[-2].startswith("V* RY Cnc") or "V* RY Cnc" in said
    # what was fetched is here: offline the same again, and as a film
    sandbox.faults.set(Fault("unreachable"))
    again = Session(str(session.root), False, settings=session._settings)
    assert texts(again.contact_sheet(count=6)) == said
    film = again.blink(tmp_path / "film.gif", count=6)
    with Image.open(film) as picture:
        assert picture.n_frames == 6


def test_exposures_can_be_chosen_by_table_row_and_number(session: Session) -> None:
    exposures = session.exposures()
    some = exposures.keep_only.series("mc", verbose=False)
    first = [text for text in texts(session.contact_sheet(some, count=2)) if text.startswith("mc")]
    assert len(first) == 2
    rows = exposures.keep_only.has_imaging(verbose=False)
    picked = texts(session.contact_sheet([rows[0], int(rows["local_id"][1])]))
    assert str(rows[0].exp_id()) in picked and str(rows[1].exp_id()) in picked


def test_rejected_exposures_are_not_shown(session: Session) -> None:
    exposures = session.exposures()
    exposures.reject_unless.series("a", tag="others", verbose=False)
    names = [text for text in texts(session.contact_sheet(count=3)) if "m0s" in text or "m1s" in text]
    assert names and all(name.startswith("a0") for name in names)


def test_a_cutout_that_cannot_be_had_or_read_is_told_and_left_out(
    session: Session, sandbox: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = session.exposures().keep_only.has_imaging(verbose=False)
    here, damaged, missing = (int(value) for value in rows["local_id"][:3])
    assert session.cutout(here)
    path = session.path(str(session.cutout(damaged)))
    # as long as it should be, but its astrometry is gone
    path.write_bytes(path.read_bytes().replace(b"RA---TAN", b"        ").replace(b"DEC--TAN", b"        "))
    sandbox.faults.set(Fault("refused", archive="dasch"))
    figure = session.contact_sheet([here, damaged, missing])
    assert sum("(1" in text for text in texts(figure)) == 1
    told = capsys.readouterr().err
    assert "a cutout is left out" in told and "there is no cutout of" in told
    with pytest.raises(NotFound, match="None of these exposures"):
        session.contact_sheet([missing])


def test_cutouts_go_on_pages_of_a_pdf_whose_bytes_repeat(session: Session, tmp_path: Path) -> None:
    first = session.cutout_pages(tmp_path / "plates.pdf", count=7, per_page=3).read_bytes()
    assert first.startswith(b"%PDF-") and first.rstrip().endswith(b"%%EOF")
    assert first.count(b"/Type /Page ") + first.count(b"/Type /Page\n") == 3
    assert session.cutout_pages(tmp_path / "again.pdf", count=7, per_page=3).read_bytes() == first
    assert not list(tmp_path.glob(".*"))
    for path, how in (("plates.png", {}), ("plates.pdf", {"per_page": 0})):
        with pytest.raises(ParameterError) as caught:
            session.cutout_pages(tmp_path / path, count=2, **how)
        assert "\n" not in str(caught.value)


def test_wrong_wishes_are_one_sentence(session: Session, tmp_path: Path) -> None:
    rows = session.exposures().keep_only.has_imaging(verbose=False)
    for wish, error in (
        (lambda: session.contact_sheet("a00633m0s0"), ParameterError),
        (lambda: session.contact_sheet([10**6]), ParameterError),
        (lambda: session.contact_sheet(rows[:1], radius_arcmin=30), ParameterError),
        (lambda: session.contact_sheet(session.exposures().drop.has_imaging(verbose=False)), UsageError),
        (lambda: session.blink(tmp_path / "film.png", [rows[0]]), ParameterError),
        (lambda: session.blink(tmp_path / "no" / "film.gif", [rows[0]], milliseconds=0), ParameterError),
    ):
        with pytest.raises(error) as caught:
            wish()  # type: ignore[no-untyped-call]
        assert isinstance(caught.value, SkyvaultError) and "\n" not in str(caught.value)


def test_stars_stand_still_from_plate_to_plate(session: Session) -> None:
    from skyvault.session.pictures import frames_of

    narrow = session.exposures().keep_only.has_imaging(verbose=False).keep_only.narrow(verbose=False)
    frames = frames_of(session, narrow[::20], count=12, radius_arcmin=2.0, stretch=None, pixel_arcsec=None)
    places = []
    for frame in frames.frames:
        y, x = np.mgrid[0 : frames.grid.height, 0 : frames.grid.width]
        corner = (y < 70) & (x > 110)
        dark = corner & (frame.grey < 40)
        if dark.sum() > 20:
            places.append((np.median(x[dark]), np.median(y[dark])))
    assert len(places) >= 3
    assert np.ptp(np.array(places), axis=0).max() < 3.0
