"""Spectra of a session's target: by SSA, from arrays of a table, from real files; and thousands in one picture."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table

from science.picture_hash import bits_apart, picture_hash
from skyvault.errors import FormatError, NotFound, ParameterError, SkyvaultError
from skyvault.sandbox.faults import Fault
from skyvault.sandbox.vo_services import QUASAR_DEG, SPECTRA
from skyvault.session.session import Session
from skyvault.session.spectra import Spectra, Spectrum, read_spectrum


@pytest.fixture
def session(sandbox: Any, sandbox_settings: Any, tmp_path: Path) -> Session:
    made = Session(str(tmp_path / "quasar"), False, settings=sandbox_settings)
    return made.select_target(ra_deg=QUASAR_DEG[0], dec_deg=QUASAR_DEG[1])


def test_spectra_of_a_service_come_by_time_and_once(session: Session, sandbox: Any) -> None:
    service = sandbox.endpoints()["vo"]["ssa"]
    found = session.spectra(service, 0.01)
    assert len(found) == SPECTRA and not found.problems
    assert [one.mjd for one in found.spectra] == sorted(one.mjd for one in found.spectra)
    first = found[0]
    # the sandbox writes metres
    assert first.wavelength[0] == pytest.approx(400.0) and first.wavelength[-1] == pytest.approx(900.0)
    assert first.flux.max() == pytest.approx(1.1, abs=0.01)
    sandbox.faults.set(Fault("unreachable", archive="vo", path="*/files/*"))
    assert len(session.spectra(service, 0.01)) == SPECTRA
    assert len(list(session.path("spectra").iterdir())) == SPECTRA


def test_spectra_that_fail_are_told_beside_the_others(
    session: Session, sandbox: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.faults.set(Fault("html", archive="vo", path="*spectrum-03*"))
    found = session.spectra(sandbox.endpoints()["vo"]["ssa"], 0.01)
    assert len(found) == SPECTRA - 1 and len(found.problems) == 1 and "spectrum-03" in found.problems[0]
    assert "a spectrum is left out" in capsys.readouterr().err


def test_no_spectrum_is_one_sentence(sandbox: Any, sandbox_settings: Any, tmp_path: Path) -> None:
    session = Session(str(tmp_path / "empty"), False, settings=sandbox_settings).select_target(
        ra_deg=10.0, dec_deg=50.0
    )
    with pytest.raises(NotFound, match="no spectrum of the target"):
        session.spectra(sandbox.endpoints()["vo"]["ssa"], 0.01)


def test_arrays_of_a_table_are_spectra(session: Session) -> None:
    grid = np.linspace(336, 1020, 343)
    table = Table({"source_id": [11, 22, 33], "flux": np.ones((3, 343)) * [[1.0], [2.0], [np.nan]],
                   "flux_error": np.full((3, 343), 0.1)})  # fmt: skip
    found = session.spectra_of(table, wavelength=grid, error="flux_error", name="source_id")
    assert [one.name for one in found.spectra] == ["11", "22", "33"]
    assert found[1].error[0] == 0.1 and found[1].wavelength[-1] == 1020
    in_cells = Table({"wavelength": [grid * 10] * 2, "flux": [grid, grid[::-1]]})
    assert session.spectra_of(in_cells, nm=0.1)[0].wavelength[0] == pytest.approx(336)
    with pytest.raises(ParameterError, match="no column 'fluxes'"):
        session.spectra_of(table, flux="fluxes", wavelength=grid)
    assert len(session.spectra_of(table, wavelength=grid[:5]).problems) == 3


@pytest.mark.shared
def test_real_spectra_of_the_sloan_survey_have_their_lines_in_place(shared_data: Path) -> None:
    found = [read_spectrum(path) for path in sorted((shared_data / "spectra" / "sdss").glob("*.fits.gz"))]
    assert len(found) == 7
    for one in found:
        assert 360 < one.wavelength[0] < 385 and 915 < one.wavelength[-1] < 1040
        assert (np.diff(one.wavelength) > 0).all() and np.nanmedian(one.error) > 0
    # the same quasar at three epochs: its line near 957 nm
    peaks = [one.wavelength[(one.wavelength > 930) & (one.wavelength < 990)][
        np.argmax(np.convolve(one.flux[(one.wavelength > 930) & (one.wavelength < 990)], np.ones(9), "same"))
    ] for one in found[-3:]]  # fmt: skip
    assert np.ptp(peaks) < 3 and 950 < np.mean(peaks) < 962


def test_what_is_no_spectrum_is_told_in_a_sentence(tmp_path: Path) -> None:
    other = Table({"a": [1.0], "b": [2.0]})
    other.write(tmp_path / "other.fits")
    other.write(tmp_path / "other.vot", format="votable")
    for name, content in (
        ("page", b"neither"),
        ("cut", gzip.compress(b"<VOTABLE/>" * 50)[:-9]),
        ("dtd", b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><VOTABLE>&a;</VOTABLE>'),
        ("broken", b"SIMPLE  =                    T" + b" " * 90),
        ("other", (tmp_path / "other.fits").read_bytes()),
        ("vot", (tmp_path / "other.vot").read_bytes()),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(SkyvaultError) as caught:
            read_spectrum(path)
        assert "\n" not in str(caught.value), name
    with pytest.raises(FormatError, match="2 wavelengths and 3 fluxes"):
        Spectrum.of("x", [1, 2], [1, 2, 3])
    with pytest.raises(FormatError, match="empty"):
        Spectrum.of("x", [np.nan], [1.0])


def many(count: int) -> Spectra:
    random = np.random.default_rng(0)
    wave = np.linspace(400, 800, 41)
    return Spectra(tuple(
        Spectrum.of(f"star {n}", wave, np.exp(-(((wave - 450 - 150 * random.random()) / 200) ** 2)), np.full(41, 0.04))
        for n in range(count)
    ))  # fmt: skip


def test_thousands_are_faint_and_the_active_one_is_bright() -> None:
    found = many(2000)
    figure = found.plot(7)
    axes = figure.axes[0]
    crowd = axes.collections[0]
    assert len(crowd.get_segments()) == 1999 and crowd.get_alpha() < 0.1
    assert axes.lines[-1].get_label() == "star 7" and axes.lines[-1].get_linewidth() > 1
    assert len(axes.collections) == 2  # its error bars
    assert bits_apart(picture_hash(figure), OVERLAID) <= 24, picture_hash(figure)
    assert len(found.plot(None, normalised=True).axes[0].lines) == 0
    assert len(found.plot_apart([1, 5]).axes) == 2


OVERLAID = "9fffc07f801f801f860f8e079f039f83bf81ffc0ffe0fff0fff8fffeb55aff7f"


def test_nothing_to_draw_is_told() -> None:
    with pytest.raises(NotFound):
        Spectra(()).plot()
    with pytest.raises(NotFound):
        Spectra(()).plot_apart()
    with pytest.raises(ParameterError, match="no spectrum 9"):
        many(3).plot(9)
    with pytest.raises(NotFound, match="All spectra are empty"):
        Spectra((Spectrum.of("x", [1.0, 2.0], [np.nan, np.nan]),)).plot()


def diagram(count: int) -> tuple[Any, Any]:
    random = np.random.default_rng(5)
    colour = random.uniform(-0.3, 2.5, count)
    return colour, 4.0 * colour + random.normal(0.0, 0.5, count)


def test_a_diagram_beside_the_spectra_shows_the_same_star_bright_in_both() -> None:
    found = many(2000)
    colour, magnitude = diagram(2000)
    figure = found.plot_linked(colour, magnitude, 7, chosen=[3, 9], labels=("BP - RP", "G"))
    plane, axes = figure.axes
    assert plane.yaxis_inverted() and not plane.xaxis_inverted() and plane.get_xlabel() == "BP - RP"
    assert plane.lines[-1].get_xdata() == colour[7] and list(plane.lines[1].get_xdata()) == list(colour[[3, 9]])
    assert [line.get_label() for line in axes.lines if not line.get_label().startswith("_")] == ["star 7"]
    assert bits_apart(picture_hash(figure), LINKED) <= 24, picture_hash(figure)
    sky = found.plot_linked(colour, magnitude, kind="sky").axes[0]
    assert sky.xaxis_inverted() and not sky.yaxis_inverted()


LINKED = "9ffffe0ffe07be07fe43fe43fce1ece1fef0fff0fff8fff8fffcfffe8000efef"


def test_a_page_of_linked_spectra_holds_them_all_and_stays_small(tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    found = many(2000)
    page = found.live(*diagram(2000), active=7).write(tmp_path / "spectra.html")
    text = page.read_text(encoding="utf-8")
    assert "<script src" not in text and "star 1999" in text and page.stat().st_size < 12_000_000
    few = many(20).live(*diagram(20), kind="sky").model()
    from bokeh.models import MultiLine

    faint = [one for one in few.select({"type": MultiLine}) if one.line_color == "#7f8fa6"]
    assert faint


def test_wrong_wishes_of_linked_spectra_are_one_sentence() -> None:
    found = many(3)
    x, y = diagram(3)
    for wish, said in (
        (lambda: found.plot_linked(x[:2], y), "3 spectra need as many stars"),
        (lambda: found.plot_linked(x, y, kind="galaxy"), "there is no diagram 'galaxy'"),
        (lambda: found.plot_linked(x, y, 9), "there is no spectrum 9"),
        (lambda: found.plot_linked(x, y, chosen=[5]), "there is no spectrum 5"),
        (lambda: found.live(x, y, -1), "there is no spectrum -1"),
    ):
        with pytest.raises(ParameterError, match=said) as caught:
            wish()  # type: ignore[no-untyped-call]
        assert "\n" not in str(caught.value)
    with pytest.raises(NotFound):
        Spectra(()).plot_linked([], [])
    with pytest.raises(NotFound):
        Spectra(()).live([], [])
