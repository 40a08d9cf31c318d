"""``check`` tells what is wrong with tables and their files, and changes nothing."""

from __future__ import annotations

import pytest

from skyvault.errors import NotFound
from skyvault.model.table import Column, Table
from skyvault.publish.checker import check, describe_findings


@pytest.fixture
def stars(tmp_path, published):
    path = tmp_path / "stars.csv"
    lines = [f"{i},{i % 360},{i % 90},{i}," for i in range(1000)]
    path.write_text("\n".join(["source_id,ra,dec,mag,note", *lines]) + "\n")
    return published(path, "lab.stars", overrides={"description": "Stars"})


def findings(settings, name=None, severity="error"):
    return [finding for finding in check(name, settings=settings) if finding.severity == severity]


def snapshot_of(settings):
    return next((settings.home / "store").iterdir())


def test_a_table_in_order_has_no_errors(stars, settings):
    assert findings(settings) == []
    assert findings(settings, severity="warning") == []
    assert any("no value in any row: note" in f.what for f in findings(settings, severity="note"))


def test_nothing_published_is_a_note_and_an_unknown_name_an_error(settings, published, tmp_path):
    assert [finding.severity for finding in check(settings=settings)] == ["note"]
    with pytest.raises(NotFound, match=r"lab\.stars"):
        check("lab.stars", settings=settings)
    (tmp_path / "t.csv").write_text("n\n1\n")
    published(tmp_path / "t.csv", "lab.stars")
    with pytest.raises(NotFound, match=r"lab\.stars"):
        check("lab.star", settings=settings)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (Column("a", "double", unit="furlong/fortnite"), "is no VOUnit"),
        (Column("a", "double", ucd="colour.of.day"), "is no UCD"),
        (Column("a", "double"), "1 column has no description"),
        (Column("a", "double", description="d"), "1 column has no UCD"),
    ],
)
def test_a_description_that_lacks_or_misleads_is_found(column, words):
    assert any(words in finding.what for finding in describe_findings(Table("lab.t", (column,), description="t")))


def test_a_table_without_description_is_found():
    assert any("the table has no description" in f.what for f in describe_findings(Table("lab.t", ())))


def test_identifiers_that_come_twice_and_missing_positions_are_found(tmp_path, published, settings):
    path = tmp_path / "t.csv"
    path.write_text("source_id,ra,dec\n1,1,1\n1,2,2\n2,,\n")
    published(path, "lab.t")
    assert any("1 rows repeat an identifier, 1 for one" in f.what for f in findings(settings, severity="warning"))
    assert any("1 of 3 rows have no position" in f.what for f in findings(settings, severity="note"))


def test_a_lost_snapshot_is_found(stars, settings):
    snapshot_of(settings).unlink()
    assert any("is not in the store" in finding.what for finding in findings(settings))


def test_a_cut_snapshot_is_found(stars, settings):
    path = snapshot_of(settings)
    path.write_bytes(path.read_bytes()[:10_000])
    assert any("bytes" in finding.what for finding in findings(settings))
    assert any("cannot be" in finding.what for finding in findings(settings))


def test_a_snapshot_with_other_rows_or_another_order_is_found(stars, settings):
    import duckdb

    with duckdb.connect(str(snapshot_of(settings))) as connection:
        connection.execute("DELETE FROM data WHERE source_id = 5")
        connection.execute("UPDATE data SET _healpix_29 = 0 WHERE source_id = 999 OR source_id = 300")
    said = " ".join(finding.what for finding in findings(settings))
    assert "has 999 rows; 1,000 were published" in said and "not sorted by position" in said


def test_files_that_belong_to_no_table_are_noted(stars, settings):
    (settings.home / "store" / "lab_old-0123.duckdb.building").write_bytes(bytes(100))
    assert any("belong to no table" in f.what for f in findings(settings, severity="note"))
