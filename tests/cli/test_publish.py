"""``skyvault publish``, ``unpublish`` and ``check`` from the command line."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def sources(tmp_path):
    path = tmp_path / "sources.csv"
    path.write_text("id,ra,dec,gmag\n1,10.5,-3.25,15.2\n2,10.6,-3.35,\n")
    return path


def test_a_published_file_is_queried_replaced_and_withdrawn(skyvault, home, sources):
    first = skyvault("publish", sources, "--name", "lab.sources")
    assert first.code == 0, first.err
    assert first.out.startswith("sources.csv is published as lab.sources: 2 rows, 4 columns, ")
    assert "position: ra, dec" in first.err
    assert skyvault("query", "SELECT id FROM lab.sources WHERE gmag IS NULL").out.split() == ["id", "2"]
    sources.write_text("id,ra,dec,gmag\n1,10.5,-3.25,15.2\n2,10.6,-3.35,\n3,1,2,3\n")
    assert skyvault("publish", sources, "--name", "lab.sources").code == 0
    assert skyvault("query", "SELECT COUNT(*) AS n FROM lab.sources").out.split() == ["n", "3"]
    refused = skyvault("publish", sources, "--name", "lab.sources", "--no-replace")
    assert refused.code == 2 and "lab.sources is published already" in refused.err
    gone = skyvault("unpublish", "lab.sources")
    assert (gone.code, gone.out) == (0, "lab.sources is no longer published.\n")
    assert skyvault("query", "SELECT * FROM lab.sources").code == 2
    again = skyvault("unpublish", "lab.sources")
    assert again.code == 1 and "lab.sources" in again.err


def test_the_answer_for_programs_is_json(skyvault, home, sources):
    answer = skyvault("publish", sources, "--name", "lab.sources", "--json", "--set", "gmag.unit=mag")
    document = json.loads(answer.out)
    assert (document["name"], document["rows"]) == ("lab.sources", 2)
    assert {column["name"]: column["unit"] for column in document["columns"]}["gmag"] == "mag"
    assert json.loads(skyvault("unpublish", "lab.sources", "--json").out) == {"unpublished": "lab.sources"}


def test_a_dry_run_publishes_nothing(skyvault, home, sources):
    answer = skyvault("publish", sources, "--name", "lab.sources", "--dry-run")
    assert answer.code == 0 and "would be published as lab.sources" in answer.out
    assert skyvault("query", "SELECT * FROM lab.sources").code == 2


def test_rows_that_cannot_be_read_stop_the_command_or_are_counted(skyvault, home, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("id,ra,dec\n1,10.5,-3.25\n2,10.6,93.5\n3,11.5,-4.25\n")
    stopped = skyvault("publish", path, "--name", "lab.bad")
    assert stopped.code == 2
    assert "93.5" in stopped.err or "row 2" in stopped.err
    skipped = skyvault("publish", path, "--name", "lab.bad", "--skip-bad")
    assert skipped.code == 3, skipped.err
    assert "1 rows could not be read" in skipped.err
    assert skyvault("query", "SELECT id FROM lab.bad ORDER BY id").out.split() == ["id", "1", "3"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"), (b"PK\x03\x04" + bytes(50), "ZIP"), (bytes(300), "")],
)
def test_an_unreadable_file_is_one_sentence(skyvault, home, tmp_path, content, words):
    path = tmp_path / "strange"
    path.write_bytes(content)
    answer = skyvault("publish", path)
    assert answer.code == 2
    assert words in answer.err and "strange" in answer.err
    assert answer.err.count("\n") == 1 and "fault of Skyvault" not in answer.err


def test_a_missing_file_is_one_sentence(skyvault, home):
    answer = skyvault("publish", "none.fits")
    assert answer.code in (1, 2)
    assert "none.fits" in answer.err and answer.err.count("\n") == 1 and "fault of Skyvault" not in answer.err


def test_check_finds_published_tables_in_order(skyvault, small_home):
    answer = skyvault("check", "--json", env={"SKYVAULT_HOME": str(small_home)})
    findings = json.loads(answer.out)
    assert answer.code == 0, findings
    assert not [finding for finding in findings if finding["severity"] == "error"]
    one = skyvault("check", "demo.stars", env={"SKYVAULT_HOME": str(small_home)})
    assert one.code == 0, one.out
    none = skyvault("check", "demo.none", env={"SKYVAULT_HOME": str(small_home)})
    assert none.code == 1 and "demo.none" in none.err
