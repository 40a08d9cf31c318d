"""What cannot be published is refused in one sentence that says what, where and what to do; nothing is left behind."""

from __future__ import annotations

import itertools
import os
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyvault.errors import Conflict, FormatError, IngestError, NotFound, SkyvaultError, UsageError
from skyvault.formats.stream import TableStream
from skyvault.publish import publisher


@pytest.fixture
def csv(tmp_path):
    """``csv("id,ra,dec", "1,2,3")`` writes a CSV file."""
    numbers = itertools.count()

    def write(*lines, name=None):
        path = tmp_path / (name or f"table{next(numbers)}.csv")
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def nothing_left(settings):
    store = settings.home / "store"
    assert not store.exists() or list(store.iterdir()) == []
    temporary = settings.home / "tmp"
    assert not temporary.exists() or list(temporary.glob("build-*")) == []


@pytest.mark.parametrize(
    ("ra", "dec"), [("10", "90.5"), ("10", "-91"), ("-361", "0"), ("721", "0"), ("inf", "0"), ("1", "-inf")]
)
def test_a_position_off_the_sky_stops_the_command_and_names_its_row(csv, published, settings, ra, dec):
    path = csv("id,ra,dec", "1,10.5,3.5", f"2,{ra},{dec}", "3,11.5,4.5")
    with pytest.raises(IngestError, match=r"row 2: .*--skip-bad"):
        published(path, "lab.bad")
    nothing_left(settings)


def test_rows_off_the_sky_can_be_left_out_and_are_counted(csv, published, rows):
    lines = [f"{i},{i % 360},{95 if i % 50 == 7 else i % 80}" for i in range(2000)]
    done = published(csv("id,ra,dec", *lines), "lab.skip", skip_bad=True)
    assert (done.nrows, done.bad_rows, len(done.bad_row_notes)) == (1960, 40, 20)
    assert done.bad_row_notes[0].startswith("row 8: the position (7, 95) is not on the sky")
    assert rows("SELECT COUNT(*) FROM lab.skip WHERE dec > 90") == [(0,)]


def test_a_failed_publish_leaves_the_table_before_as_it_was(csv, published, rows):
    published(csv("id,ra,dec", "1,10,20"), "lab.t")
    with pytest.raises(IngestError):
        published(csv("id,ra,dec", "7,10,20", "8,10,200"), "lab.t")
    assert rows("SELECT id FROM lab.t") == [(1,)]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"position": ["lon", "dec"]}, "does not name columns"),
        ({"position": ["ra"], "id": "none"}, "no column 'none'"),
        ({"columns": {"nowhere": {"unit": "deg"}}}, "no column 'nowhere'"),
        ({"columns": {"ra": {"colour": "red"}}}, "'colour' of a column cannot be set"),
        ({"colour": "red"}, "nothing called 'colour'"),
    ],
)
def test_an_override_of_what_is_not_there_is_refused(csv, published, settings, overrides, words):
    with pytest.raises(IngestError, match=words):
        published(csv("id,ra,dec", "1,2,3"), "lab.t", overrides=overrides)
    nothing_left(settings)


@pytest.mark.parametrize(
    "name",
    ["tap.stars", "TAP_SCHEMA.x", "tap_upload.x", "soda.x", "ivoa.ObsCore", "a.b.c", "lab.", "lab.a b", "lab.1x"],
)
def test_names_of_the_service_and_names_no_query_can_use_are_refused(csv, published, settings, name):
    with pytest.raises(IngestError):
        published(csv("id,ra,dec", "1,2,3"), name)
    nothing_left(settings)


def test_without_a_name_the_files_own_is_taken_in_the_schema_data(csv, published):
    assert published(csv("n", "1", name="My Stars-2.csv")).table.name == "data.my_stars_2"
    assert published(csv("n", "1", name="2mass.csv")).table.name == "data.t_2mass"
    assert published(csv("n", "1", name="x.csv"), "stars").table.name == "data.stars"


def test_a_name_that_is_taken_is_kept_when_replacing_is_forbidden(csv, published, rows):
    published(csv("n", "1"), "lab.t")
    with pytest.raises(Conflict, match="published already"):
        published(csv("n", "2"), "lab.T", replace=False)
    assert rows("SELECT n FROM lab.t") == [(1,)]


DAMAGED = {
    "empty.csv": (b"", "empty"),
    "cut.parquet": (b"PAR1" + bytes(200), "cut.parquet"),
    "noise.bin": (bytes(range(256)) * 4, "no format"),
    "cut.fits": (b"SIMPLE  =                    T" + b" " * 50, "cut.fits"),
    "bomb.vot": (
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "cc">]><VOTABLE version="1.4"><RESOURCE>&b;</RESOURCE></VOTABLE>',
        "bomb.vot",
    ),
    "open.vot": (b'<?xml version="1.0"?><VOTABLE version="1.4"><RESOURCE><TABLE><FIELD name="a"', "open.vot"),
    "page.html": (b"<!DOCTYPE html><html><body>404</body></html>", "page.html"),
    "broken.csv.gz": (b"\x1f\x8b\x08" + bytes(30), "broken.csv"),
    "ragged.csv": (b"a,b\n1,2\n1,2,3,4\n", "row 2"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_an_unreadable_file_is_refused_in_one_sentence(tmp_path, published, settings, name):
    content, words = DAMAGED[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises((FormatError, IngestError)) as caught:
        published(path, "lab.t")
    sentence = str(caught.value)
    assert words in sentence and "\n" not in sentence and "Traceback" not in sentence and len(sentence) < 500
    nothing_left(settings)


def test_a_missing_file_and_a_directory_are_refused(tmp_path, published):
    with pytest.raises(NotFound, match="no file"):
        published(tmp_path / "none.csv")
    with pytest.raises(FormatError, match="directory"):
        published(tmp_path)


@pytest.mark.shared
def test_every_file_of_the_corpora_is_published_or_refused_in_one_sentence(shared_data, published, settings):
    folders = ["votable_corpus/astropy_votable", "votable_corpus/astropy_fits", "votable_corpus/astropy_ascii"]
    told = {}
    for path in sorted(p for folder in folders for p in (shared_data / folder).rglob("*") if p.is_file()):
        try:
            done = published(path, "lab.corpus", skip_bad=True)
            told[path.name] = done.nrows
        except SkyvaultError as error:
            assert isinstance(error, UsageError), (path, error)
            assert "\n" not in str(error) and len(str(error)) < 700, (path, str(error))
            told[path.name] = str(error)
    assert sum(isinstance(outcome, int) for outcome in told.values()) >= 25, told


# --- positions given otherwise ---------------------------------------------------------------------------------------


def test_sexagesimal_positions_are_published_in_degrees_beside(csv, published, rows):
    path = csv("id,RA,Dec", "1,05:34:31.94,+22:00:52.2", "2,00 42 44.3,-00 16 09", "3,,", "4,17h45m40.04s,-29d00m28.1s")
    done = published(path, "lab.sexa")
    assert any("RA (hh:mm:ss) and Dec (dd:mm:ss) became RA_deg, Dec_deg" in note for note in done.inferred)
    assert rows(
        "SELECT id FROM lab.sexa WHERE 1 = CONTAINS(POINT(RA_deg, Dec_deg), CIRCLE(83.633, 22.0145, 0.01))"
    ) == [(1,)]
    ra, dec = rows("SELECT RA_deg, Dec_deg FROM lab.sexa WHERE id = 2")[0]
    assert ra == pytest.approx(10.684583, abs=1e-6) and dec == pytest.approx(-0.269167, abs=1e-6)
    assert rows("SELECT RA FROM lab.sexa WHERE RA_deg IS NULL") in ([(None,)], [("",)])


def test_sexagesimal_positions_equal_astropys(csv, published, rows):
    from astropy.coordinates import SkyCoord

    rng = np.random.default_rng(3)
    places = SkyCoord(rng.uniform(0, 360, 300), rng.uniform(-90, 90, 300), unit="deg")
    lines = [f"{i},{text.replace(' ', ',')}" for i, text in enumerate(places.to_string("hmsdms", precision=9))]
    published(csv("id,ra,dec", *lines), "lab.sexa")
    found = np.array(rows("SELECT ra_deg, dec_deg FROM lab.sexa ORDER BY id"))
    assert np.abs(found[:, 0] - places.ra.deg).max() < 1e-8 and np.abs(found[:, 1] - places.dec.deg).max() < 1e-8


@pytest.mark.parametrize("bad", ["25:00:00", "05:61:00", "soon", "05:34"])
def test_a_text_that_is_no_angle_is_named_by_its_row_or_left_out(csv, published, bad):
    lines = [f"{i},05:34:31.9,-10:00:0{i % 10}" for i in range(30)]
    path = csv("id,ra,dec", *lines, f"30,{bad},+01:02:03")
    with pytest.raises(IngestError, match=r"row 31: ra is .* which is no hh:mm:ss"):
        published(path, "lab.sexa")
    done = published(path, "lab.sexa", skip_bad=True)
    assert (done.nrows, done.bad_rows) == (30, 1)


def test_a_right_ascension_in_hours_and_angles_in_radians_are_converted(csv, published, rows):
    path = csv("id,ra,dec", "1,6,45", "2,23.5,-45")
    done = published(path, "lab.hours", overrides={"columns": {"ra": {"unit": "h"}}})
    assert any("ra (in h)" in note for note in done.inferred)
    assert rows("SELECT ra, ra_deg, dec_deg FROM lab.hours ORDER BY id") == [(6, 90.0, 45.0), (23.5, 352.5, -45.0)]
    units = {"ra": {"unit": "rad"}, "dec": {"unit": "rad"}}
    published(csv("id,ra,dec", "1,1.5707963267948966,-0.5"), "lab.rad", overrides={"columns": units})
    assert rows("SELECT ra_deg FROM lab.rad")[0][0] == pytest.approx(90)


def test_what_looks_like_hours_is_said(csv, published):
    lines = [f"{i},{(i * 0.1) % 24},{(i * 1.3) % 180 - 90:.3f}" for i in range(300)]
    done = published(csv("id,ra,dec", *lines), "lab.hours")
    assert any("runs from 0 to 24" in note and "unit=h" in note for note in done.inferred)


def test_a_file_without_a_line_of_names_is_told(csv, published):
    done = published(csv("2001-08-19T07:05:23,064.92,+55.99", "2002-03-18T06:40:01,10.5,20.5"), "lab.bare")
    assert any("does the file lack a line of names?" in note for note in done.inferred)


def test_identifiers_that_come_twice_are_told(csv, published):
    done = published(csv("source_id,ra,dec", "1,1,1", "2,2,2", "2,3,3", "2,4,4"), "lab.twice")
    assert "warning: source_id: 2 rows repeat an identifier, 2 for one" in done.inferred


# --- while others write ----------------------------------------------------------------------------------------------


def test_a_file_that_changes_while_it_is_read_is_not_published(tmp_path, published, settings, monkeypatch):
    path = tmp_path / "grows.csv"
    path.write_text("id,ra,dec\n" + "".join(f"{i},{i % 360},0\n" for i in range(200_000)))
    build = publisher.Publisher.build

    def slowly(self, spec, stream, **more):
        batches = stream.batches

        def growing():
            for number, batch in enumerate(batches):
                if number == 0:
                    with path.open("a") as file:
                        file.write("1,2,3\n")
                        os.fsync(file.fileno())
                yield batch

        stream.batches = growing()
        return build(self, spec, stream, **more)

    monkeypatch.setattr(publisher.Publisher, "build", slowly)
    with pytest.raises(IngestError, match="changed while it was read"):
        published(path, "lab.grows")
    nothing_left(settings)


def test_two_publishes_of_one_name_at_once_both_succeed_and_one_is_seen(tmp_path, published, rows):
    for number in (1, 2):
        table = {"n": np.full(50_000, number), "ra": np.linspace(0, 360, 50_000), "dec": np.zeros(50_000)}
        pq.write_table(pa.table(table), tmp_path / f"{number}.parquet")
    problems = []

    def run(number):
        try:
            published(tmp_path / f"{number}.parquet", "lab.same")
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert rows("SELECT MIN(n) - MAX(n), COUNT(*) FROM lab.same") == [(0, 50_000)]


def test_observations_published_at_once_are_all_in_obscore(tmp_path, published, rows):
    for number in range(4):
        columns = {
            "obs_id": [f"o{number}-{i}" for i in range(50)],
            "s_ra": np.linspace(0, 359, 50),
            "s_dec": np.zeros(50),
            "s_region": [f"CIRCLE ICRS {ra:.3f} 0 0.5" for ra in np.linspace(0, 359, 50)],
        }
        pq.write_table(pa.table(columns), tmp_path / f"{number}.parquet")
    problems = []

    def run(number):
        try:
            published(tmp_path / f"{number}.parquet", f"lab.obs{number}", obscore=True)
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert rows("SELECT COUNT(*) FROM ivoa.ObsCore") == [(200,)]
    assert rows("SELECT COUNT(*) FROM ivoa.ObsCore WHERE 1 = CONTAINS(POINT(0, 0.1), s_region)") == [(4,)]


def test_a_broken_stream_publishes_nothing(published, settings, tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("id,ra,dec\n1,2,3\n")
    build = publisher.Publisher.build

    def cut(self, spec, stream, **more):
        broken = TableStream(stream.table, stream.batches, error="the connection was lost after row 1")
        return build(self, spec, broken, **more)

    monkeypatch.setattr(publisher.Publisher, "build", cut)
    with pytest.raises(IngestError, match="lost after row 1"):
        published(path, "lab.t")
    nothing_left(settings)
