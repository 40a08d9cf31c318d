"""What the user says about a table on the command line and in YAML."""

from __future__ import annotations

import pytest

from skyvault.cli.publish import read_overrides
from skyvault.errors import UsageError


def test_set_names_a_column_and_a_field_or_a_field_of_the_table():
    said = read_overrides(None, ("ra.unit=deg", "ra.ucd=pos.eq.ra;meta.main", "description=Bright = few"))
    assert said == {"columns": {"ra": {"unit": "deg", "ucd": "pos.eq.ra;meta.main"}}, "description": "Bright = few"}


def test_the_position_is_a_list_of_columns():
    assert read_overrides(None, ("position=lon, lat",)) == {"position": ["lon", "lat"]}


def test_set_overrules_the_file(tmp_path):
    path = tmp_path / "words.yaml"
    path.write_text("description: of the file\ncolumns:\n  ra: {unit: rad, ucd: pos.eq.ra}\n")
    said = read_overrides(path, ("ra.unit=deg",))
    assert said == {"description": "of the file", "columns": {"ra": {"unit": "deg", "ucd": "pos.eq.ra"}}}


def test_nothing_said_is_nothing():
    assert read_overrides(None, ()) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not valid YAML"),
        ("- a\n- b\n", "must hold names and values"),
        ("columns: [ra]", "must list fields of each column"),
        ("columns: {ra: deg}", "must list fields of each column"),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_a_bad_file_is_told_in_one_sentence(tmp_path, text, words):
    path = tmp_path / "words.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        read_overrides(path, ())
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_malformed_assignment_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_overrides(tmp_path / "none.yaml", ())
    with pytest.raises(UsageError, match=r"COLUMN\.FIELD=VALUE"):
        read_overrides(None, ("ra.unit",))
