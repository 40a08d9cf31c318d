"""A folder written by another program in 2024 opens as it is, and nothing is asked of the archive for what is there."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time

from processes import environment
from skyvault.errors import Conflict, FormatError, ParameterError, SkyvaultError, StoreError, UsageError
from skyvault.session import open_session
from skyvault.session.session import Session


class Nobody:
    """An archive and a resolver that must not be asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the archive was asked for its {name}")

    def resolve(self, names: Sequence[str]) -> dict[str, tuple[float, float]]:
        raise AssertionError(f"the resolver was asked for {names}")


@pytest.fixture
def again(hd5501: Path) -> Callable[[], Session]:
    """Opens the folder as a new process would."""
    return lambda: Session(str(hd5501), False, archive=Nobody(), resolver=Nobody())


@pytest.fixture
def session(again: Callable[[], Session]) -> Session:
    return again()


def test_everything_in_the_folder_is_there(session: Session) -> None:
    assert (session.query().name, session.query().ra_deg) == ("HD 5501", 14.41916847241)
    assert session.select_target("hd  5501").select_refcat("apass") is session
    assert len(session.refcat()) == 4462
    assert len(session.exposures()) == 25_556
    assert session.exposures() is session.exposures()
    assert len(session.lightcurve(0)) == 6561
    assert session.lightcurve(np.int64(2)) is session.lightcurve(session.refcat()[2])
    assert session.refcat()[2].lightcurve() is session.lightcurve(2)
    assert len(session.merge_lightcurves(range(11))) == 7982
    assert session.path("lightcurves", "x.ecsv") == session.root / "lightcurves" / "x.ecsv"


def test_the_files_stay_as_they_were(hd5501: Path, hd5501_files: Path, session: Session) -> None:
    session.lightcurve(0).apply_standard_rejections(verbose=False)
    for path in hd5501_files.rglob("*.*"):
        assert (hd5501 / path.relative_to(hd5501_files)).read_bytes() == path.read_bytes()


def test_rejections_are_there_in_the_next_process(again: Callable[[], Session]) -> None:
    first = again()
    curve = first.lightcurve(2)
    curve.apply_standard_rejections(verbose=False)
    first.exposures().reject.meteor(tag="wide", verbose=False)
    later = again()
    assert np.array_equal(later.lightcurve(2)["reject"], curve["reject"])
    assert later.lightcurve(2).rejection_tags() == {"aflags": 0}
    assert later.exposures().count.rejected() == later.exposures().count.meteor()
    curve["reject"][:] = 0
    curve.save_rejections()
    assert again().lightcurve(2).count.rejected() == 0


def test_the_same_folder_is_the_same_session(hd5501: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hd5501.parent)
    one = open_session(str(hd5501), interactive=False)
    assert open_session(source="HD 5501") is one
    assert open_session(hd5501 / ".." / hd5501.name) is one


def test_opening_says_what_is_there(hd5501: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_session(hd5501)
    assert "Target: HD 5501" in capsys.readouterr().out
    fresh = open_session(tmp_path / "new" / "deep")
    assert "Created session" in capsys.readouterr().out
    assert "no target yet" in repr(fresh)
    open_session(tmp_path / "quiet", interactive=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "target",
    [
        {"name": "HD 5501"},
        {"ra_deg": 14.41916847241, "dec_deg": 60.23800695659},
        {"ra_deg": 14.4191685, "dec_deg": 60.2380069},
        {"coords": SkyCoord(14.41916847241 * u.deg, 60.23800695659 * u.deg).galactic},
    ],
)
def test_the_same_target_in_any_way_is_the_same(session: Session, target: dict[str, Any]) -> None:
    assert session.select_target(**target) is session


@pytest.mark.parametrize(
    "target",
    [{"name": "HD 5502"}, {"ra_deg": 14.4192, "dec_deg": 60.2381}, {"coords": SkyCoord(0 * u.deg, 0 * u.deg)}],
)
def test_another_target_is_refused_with_the_way_on(session: Session, target: dict[str, Any]) -> None:
    with pytest.raises(Conflict, match=r"target is 'HD 5501'.*Open another folder") as caught:
        session.select_target(**target)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"name": "HD 5501", "ra_deg": 1.0, "dec_deg": 2.0},
        {"ra_deg": 1.0},
        {"ra_deg": float("nan"), "dec_deg": 1.0},
        {"ra_deg": 10.0, "dec_deg": 91.0},
        {"ra_deg": "ten", "dec_deg": 1.0},
        {"coords": SkyCoord([1, 2] * u.deg, [1, 2] * u.deg)},
        {"coords": "00 57 40"},
    ],
)
def test_a_target_is_one_place(session: Session, target: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        session.select_target(**target)


@pytest.mark.parametrize(
    ("act", "kind", "told"),
    [
        (lambda s: s.select_refcat("atlas"), Conflict, "uses the reference catalogue apass"),
        (lambda s: s.select_refcat("gaia"), ParameterError, "no reference catalogue 'gaia'"),
        (lambda s: s.lightcurve(4462), ParameterError, "0 to 4461"),
        (lambda s: s.lightcurve(-1), ParameterError, "0 to 4461"),
        (lambda s: s.lightcurve(True), ParameterError, "no source"),
        (lambda s: s.lightcurve("HD 5501"), ParameterError, "no source"),
        (lambda s: s.lightcurve("click"), UsageError, "connect_to_wwt"),
        (lambda s: s.cutout(25_556), ParameterError, "0 to 25555"),
        (lambda s: s.extract("b00065"), ParameterError, "no exposure"),
        (lambda s: s.mosaic("b02690", 2), ParameterError, "1 or 16"),
        (lambda s: s.mosaic("plate", 16), ParameterError, "no plate name"),
        (lambda s: s.wwt(), UsageError, "connect_to_wwt"),
        (lambda s: s.refcat().show(), UsageError, "connect_to_wwt"),
        (lambda s: s.exposures().show(38), UsageError, "connect_to_wwt"),
        (lambda s: s.exposures(Time("1970-01-01")), Conflict, "other limits"),
        (lambda s: s.exposures("1900"), ParameterError, "no time"),
        (lambda s: s.merge_lightcurves([]), ParameterError, "no light curve"),
        (lambda s: s.lightcurve(0).plot("mood"), ParameterError, "no column 'mood'"),
        (lambda s: s.lightcurve(0).scatter("series", "magcal_magdep"), ParameterError, "no numbers"),
        (lambda s: s.lightcurve(0).export("lc.docx"), ParameterError, "no export"),
        (lambda s: s.lightcurve(0).to_lightkurve(), UsageError, "pip install lightkurve"),
    ],
)
def test_a_mistake_is_one_sentence(
    session: Session, act: Callable[[Session], Any], kind: type[SkyvaultError], told: str
) -> None:
    with pytest.raises(kind, match=told) as caught:
        act(session)
    assert "\n" not in str(caught.value)


def test_the_telescope_display_is_one_sentence_without_its_package(session: Session) -> None:
    pytest.importorskip("asyncio")
    import asyncio

    with pytest.raises(UsageError, match="pip install"):
        asyncio.run(session.connect_to_wwt())


def test_steps_out_of_order_say_which_comes_first(tmp_path: Path) -> None:
    session = Session(str(tmp_path / "new"), False, archive=Nobody(), resolver=Nobody())
    for act in (session.query, session.refcat, session.exposures, lambda: session.select_refcat("apass")):
        with pytest.raises(UsageError, match="select_target"):
            act()
    session.select_target(ra_deg=10.0, dec_deg=20.0)
    assert json.loads((tmp_path / "new" / "query.json").read_text()) == {"name": "", "ra_deg": 10.0, "dec_deg": 20.0}
    for act in (session.refcat, lambda: session.lightcurve(0)):
        with pytest.raises(UsageError, match="select_refcat"):
            act()


def test_wrong_links_to_exposures_are_made_right(hd5501: Path, session: Session) -> None:
    path = hd5501 / "lightcurves" / "N311301016169.ecsv"
    right = session.lightcurve(2).exposure_rows().copy()
    lines = path.read_text().splitlines()
    body = next(number for number, line in enumerate(lines) if not line.startswith("#")) + 1
    changed = [line.rpartition(" ")[0] + " 99999999" for line in lines[body:]]
    path.write_text("\n".join(lines[:body] + changed) + "\n")
    later = Session(str(hd5501), False, archive=Nobody())
    assert np.array_equal(later.lightcurve(2).exposure_rows(), right)


def test_nice_cutouts_are_on_the_deepest_plates(session: Session) -> None:
    found = session.exposures().candidate_nice_cutouts(2)
    assert len(found) == 8
    assert (np.diff(found["limiting_mag_local"].value) <= 0).all()
    assert "aflags" in session.exposures().candidate_nice_cutouts(2, limit_cols=False).colnames


def test_deleting_the_data_leaves_what_is_not_the_sessions(hd5501: Path, session: Session) -> None:
    session.lightcurve(0)
    (hd5501 / "paper.tex").write_text("\\documentclass{aastex701}")
    session.delete_data()
    assert [path.name for path in hd5501.iterdir()] == ["paper.tex"]
    with pytest.raises(UsageError, match="no target"):
        session.query()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x"}', '{"name": "x", "ra_deg": 700, "dec_deg": 0}', "null"])
def test_a_damaged_target_is_told(hd5501: Path, text: str) -> None:
    (hd5501 / "query.json").write_text(text)
    with pytest.raises(StoreError, match="target cannot be read") as caught:
        Session(str(hd5501), False)
    assert "query.json" in str(caught.value)


def test_a_table_cut_short_is_told_with_its_file(hd5501: Path) -> None:
    path = hd5501 / "exposures.ecsv"
    path.write_bytes(path.read_bytes()[:500_000])
    with pytest.raises(FormatError, match=r"exposures\.ecsv"):
        Session(str(hd5501), False).exposures()


def test_a_file_in_the_way_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        open_session(tmp_path / "file" / "session", interactive=False)


def test_the_script_of_a_folder_is_a_program_that_repeats_it(session: Session, tmp_path: Path) -> None:
    session.lightcurve(0).apply_standard_rejections(verbose=False)
    session.lightcurve(1).reject.local_id(5, tag="my 'own' reason", verbose=False)
    text = session.export_script(tmp_path / "again.py").read_text()
    ast.parse(text)
    assert "sess.select_target(ra_deg=14.41916847241, dec_deg=60.23800695659)  # HD 5501" in text
    assert text.count("sess.lightcurve(") == 11
    assert text.count("apply_standard_rejections") == 1
    assert "np.isin(lc['local_id'], [5])" in text and "my 'own' reason" in text
    book = json.loads(session.export_script(tmp_path / "again.ipynb").read_text())
    assert (book["nbformat"], book["cells"][0]["cell_type"]) == (4, "markdown")
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])


def test_a_disk_that_fills_leaves_what_was_there(hd5501: Path) -> None:
    """A process that may write 300 kB a file tries to write three times as much."""
    program = textwrap.dedent(
        f"""
        import resource, sys
        from pathlib import Path
        from skyvault.errors import StoreError
        from skyvault.session.refcat import RefcatSources
        from skyvault.session.table_files import read_table, write_table
        path = Path({str(hd5501 / "refcat.ecsv")!r})
        table = read_table(path, RefcatSources)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        try:
            write_table(table, path)
        except StoreError as problem:
            print(problem)
        """
    )
    before = (hd5501 / "refcat.ecsv").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), timeout=60
    )
    assert "cannot be written" in done.stdout, done.stderr
    assert (hd5501 / "refcat.ecsv").read_bytes() == before
    assert sorted(path.name for path in hd5501.iterdir()) == [
        "exposures.ecsv",
        "lightcurves",
        "query.json",
        "refcat.ecsv",
    ]


@pytest.mark.parametrize("ending", ["csv", "ecsv", "fits", "vot", "parquet"])
def test_other_programs_read_the_exports(session: Session, tmp_path: Path, ending: str) -> None:
    curve = session.lightcurve(2)[3000:3800]
    curve.apply_standard_rejections(verbose=False)
    path = tmp_path / f"curve.{ending}"
    curve.export(path)
    kind = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "vot": "votable", "fits": "fits", "parquet": "parquet"}[ending]
    if ending == "parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
        assert b'"unit":"mag"' in b"".join(table.schema.field("magcal_magdep").metadata.values()).replace(b" ", b"")
    else:
        read = Table.read(path, format=kind)
        columns = {name: read[name] for name in read.colnames}
        if ending in ("fits", "vot", "ecsv"):
            assert read["magcal_magdep"].unit == u.mag
    accepted = ~curve.is_rejected()
    magnitude = np.ma.filled(np.ma.asarray(columns["magcal_magdep"]), np.nan).astype(float)
    np.testing.assert_array_equal(np.isnan(magnitude), np.isnan(curve.magnitudes()[accepted]))
    np.testing.assert_allclose(magnitude, curve.magnitudes()[accepted], rtol=1e-6)
    if ending != "ecsv":
        np.testing.assert_allclose(np.asarray(columns["time"], dtype=float), curve.julian_dates()[accepted], rtol=1e-15)
        assert "reject" not in columns
        np.testing.assert_allclose(
            np.ma.filled(np.ma.asarray(columns["ra_deg"]), np.nan).astype(float),
            curve["pos"].ra.deg[accepted],
            rtol=1e-14,
        )
    curve.export(path, drop_rejects=False)
    everything = Table.read(path, format=kind) if ending != "parquet" else None
    assert everything is None or (len(everything) == len(curve) and "reject" in everything.colnames)


def test_exposures_are_exported_with_their_rejections(session: Session, tmp_path: Path) -> None:
    table = session.exposures()
    table.reject.meteor(tag="wide", verbose=False)
    table.export(tmp_path / "exposures.csv")
    assert len(Table.read(tmp_path / "exposures.csv", format="ascii.csv")) == table.count.not_.rejected()
    table.export(tmp_path / "all.fits", drop_rejects=False)
    assert len(Table.read(tmp_path / "all.fits")) == len(table)
