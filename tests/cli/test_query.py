"""``skyvault query``: the same rows here and from a service, in every format, and nothing left out in silence."""

from __future__ import annotations

import csv
import io
import json

import pytest

from processes import free_port

BRIGHTEST = "SELECT TOP 3 source_id, mag_vt FROM demo.stars ORDER BY mag_vt, source_id"
CONE = "SELECT source_id FROM demo.stars WHERE DISTANCE(ra, dec, 84.05, -1.2) < 2"


@pytest.fixture
def query(skyvault, small_home):
    def run(*arguments, env=None, **options):
        return skyvault("query", *arguments, env={"SKYVAULT_HOME": str(small_home)} | (env or {}), **options)

    return run


@pytest.fixture
def positions(tmp_path):
    path = tmp_path / "positions.csv"
    path.write_text("name,ra,dec\nRigel,78.634,-8.202\nBetelgeuse,88.793,7.407\nnowhere,10.0,-80.0\n")
    return path


MATCH = (
    "SELECT mine.name, stars.hip FROM TAP_UPLOAD.mine AS mine JOIN demo.stars AS stars "
    "ON DISTANCE(mine.ra, mine.dec, stars.ra, stars.dec) < 5 / 3600. ORDER BY name"
)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_into_a_pipe_rows_go_as_csv(query):
    answer = query(BRIGHTEST)
    assert answer.code == 0, answer.err
    assert [row["source_id"] for row in rows_of(answer.out)] == ["137846", "1222280", "1587731"]
    assert answer.err == ""


def test_a_service_gives_the_same_rows_sync_and_async(query, server):
    here = query(CONE)
    for way in ([], ["--async"]):
        there = query(CONE, "--service", server.tap, *way)
        assert there.code == 0, there.err
        assert sorted(there.out.split()) == sorted(here.out.split())
    assert len(here.out.split()) > 100


def test_the_table_for_people_fits_and_says_what_is_not_shown(query):
    answer = query("SELECT TOP 300 * FROM demo.stars", "--format", "table", env={"COLUMNS": "60"})
    assert answer.code == 0, answer.err
    assert max(map(len, answer.out.splitlines())) <= 60
    assert "[deg]" in answer.out
    assert "300 rows; the first 200 are shown" in answer.err
    assert "not shown:" in answer.err and "hip" in answer.err


@pytest.mark.parametrize("suffix", ["vot", "fits", "parquet", "csv", "tsv", "ecsv", "json", "xml"])
def test_a_file_is_written_by_its_suffix(query, tmp_path, suffix):
    answer = query(BRIGHTEST, "-o", f"out.{suffix}")
    assert (answer.code, answer.out) == (0, ""), answer.err
    path = tmp_path / f"out.{suffix}"
    if suffix == "json":
        assert [row[0] for row in json.loads(path.read_text())["data"]] == [137846, 1222280, 1587731]
        return
    from skyvault.formats import open_table

    ids = [value for batch in open_table(path).batches for value in batch.column(0).to_pylist()]
    assert ids == [137846, 1222280, 1587731]


def test_an_unknown_suffix_is_refused_before_anything_is_written(query, tmp_path):
    answer = query(BRIGHTEST, "-o", "out.docx")
    assert answer.code == 2
    assert "the suffix '.docx' names no format" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_a_query_that_fails_leaves_no_file(query, tmp_path):
    answer = query("SELECT nothing FROM demo.stars", "-o", "out.csv")
    assert answer.code == 2
    assert "line 1, column 8" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_rows_left_out_are_told_and_the_exit_code_is_3(query, server):
    for where in ([], ["--service", server.tap], ["--service", server.tap, "--async"]):
        answer = query("SELECT source_id FROM demo.stars", "--maxrec", "5", *where)
        assert answer.code == 3, answer.err
        assert len(rows_of(answer.out)) == 5
        assert "rows were left out" in answer.err


def test_maxrec_0_gives_the_columns_only(query, server):
    for where in ([], ["--service", server.tap]):
        answer = query("SELECT source_id, ra FROM demo.stars", "--maxrec", "0", *where)
        assert answer.out.strip() == "source_id,ra"


def test_the_query_may_come_from_a_file_or_standard_input(query, tmp_path):
    (tmp_path / "q.adql").write_text(BRIGHTEST)
    assert query("@q.adql").out == query("-", stdin=BRIGHTEST).out == query(BRIGHTEST).out
    answer = query("@none.adql")
    assert answer.code == 2 and "none.adql" in answer.err


def test_an_upload_of_any_format_joins_here_and_on_a_service(query, server, positions):
    for where in ([], ["--service", server.tap], ["--service", server.tap, "--async"]):
        answer = query(MATCH, "--upload", f"mine={positions}", *where)
        assert answer.code == 0, answer.err
        assert {(row["name"], row["hip"]) for row in rows_of(answer.out)} == {
            ("Betelgeuse", "27989"),
            ("Rigel", "24436"),
        }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--upload", "mine"], "is not of the form NAME=FILE"),
        (["--upload", "mine=none.csv"], "none.csv: there is no such file"),
        (["--async"], "--async is for services"),
        (["--format", "docx"], "not known"),
        (["--format", "table", "-o", "x.csv"], "--format table is for the terminal"),
    ],
)
def test_options_that_make_no_sense_are_refused(query, arguments, words):
    answer = query(BRIGHTEST, *arguments)
    assert answer.code == 2
    assert words in answer.err
    assert "Traceback" not in answer.err


def test_two_uploads_may_not_bear_one_name(query, positions):
    answer = query(MATCH, "--upload", f"mine={positions}", "--upload", f"MINE={positions}")
    assert answer.code == 2 and "two uploads bear the name" in answer.err


def test_a_services_refusal_is_told_in_its_own_words(query, server):
    for way in ([], ["--async"]):
        answer = query("SELECT nam FROM demo.stars", "--service", server.tap, *way)
        assert answer.code == 2
        assert answer.err.startswith(f"skyvault: {server.tap}: the service refuses:")
        assert "nam" in answer.err and answer.err.count("\n") == 1


def test_a_service_that_is_not_there_is_told_in_one_sentence(query):
    url = f"http://127.0.0.1:{free_port()}/tap"
    for way in ([], ["--async"]):
        answer = query(BRIGHTEST, "--service", url, *way)
        assert answer.code == 1
        assert f"{url}: the service cannot be asked" in answer.err
        assert answer.err.count("\n") == 1


def test_a_reader_that_closes_early_is_no_fault(small_home, tmp_path):
    import subprocess
    import sys

    from processes import environment

    with subprocess.Popen(
        [sys.executable, "-m", "skyvault.cli", "query", "SELECT * FROM demo.stars"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment() | {"SKYVAULT_HOME": str(small_home)},
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(b"source_id,")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
