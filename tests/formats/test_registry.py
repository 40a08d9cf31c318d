"""Which format is meant by a parameter, a file name or a file's first bytes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from skyvault.errors import FormatError, ParameterError
from skyvault.formats import OUTPUT_FORMATS, format_of_suffix, negotiate, open_table

from .random_tables import Made, rows_of

VOTABLE = "application/x-votable+xml"


@pytest.mark.parametrize(
    ("asked", "name", "content_type"),
    [
        (None, "votable", VOTABLE),
        ("", "votable", VOTABLE),
        ("votable", "votable", VOTABLE),
        ("VOTable", "votable", VOTABLE),
        ("votable/td", "votable/td", f"{VOTABLE};serialization=TABLEDATA"),
        ("votabletd", "votable/td", f"{VOTABLE};serialization=TABLEDATA"),
        ("votable/b2", "votable/b2", f"{VOTABLE};serialization=BINARY2"),
        ("votableb2", "votable/b2", f"{VOTABLE};serialization=BINARY2"),
        (VOTABLE, "votable", VOTABLE),
        (f"{VOTABLE};serialization=binary2", "votable/b2", f"{VOTABLE};serialization=BINARY2"),
        (f"{VOTABLE}; serialization=TABLEDATA", "votable/td", f"{VOTABLE};serialization=TABLEDATA"),
        (f"{VOTABLE};version=1.5", "votable", f"{VOTABLE};version=1.5"),
        ("application/x-votable xml;serialization=tabledata", "votable/td", f"{VOTABLE};serialization=TABLEDATA"),
        (f"{VOTABLE};content=datalink", "votable", f"{VOTABLE};content=datalink"),
        ("text/xml", "votable/td", "text/xml"),
        ("text/xml;serialization=binary2", "votable/b2", "text/xml;serialization=BINARY2"),
        ("csv", "csv", "text/csv;header=present"),
        ("text/csv", "csv", "text/csv"),
        ("text/csv;header=present", "csv", "text/csv;header=present"),
        ("tsv", "tsv", "text/tab-separated-values"),
        ("text/tab-separated-values", "tsv", "text/tab-separated-values"),
        ("fits", "fits", "application/fits"),
        ("application/fits", "fits", "application/fits"),
        ("parquet", "parquet", "application/vnd.apache.parquet"),
        ("application/x-parquet", "parquet", "application/x-parquet"),
        ("arrow", "arrow", "application/vnd.apache.arrow.stream"),
        ("json", "json", "application/json"),
        ("html", "html", "text/html;charset=utf-8"),
        ("text/html", "html", "text/html;charset=utf-8"),
        ("text", "text", "text/plain;charset=utf-8"),
        ("ecsv", "ecsv", "text/ecsv"),
    ],
)
def test_a_media_type_is_answered_with_itself_and_a_short_name_with_its_own(
    asked: str | None, name: str, content_type: str
) -> None:
    chosen = negotiate(asked)
    assert (chosen.name, chosen.content_type) == (name, content_type)
    assert chosen.can_tell_overflow == (name not in ("csv", "tsv", "text"))


@pytest.mark.parametrize(
    "asked",
    [
        "exe",
        "application/octet-stream",
        f"{VOTABLE};serialization=xml",
        f"{VOTABLE};version=1.9",
        "text/csv;header=absent",
        "votable;",
        "text/csv\r\nSet-Cookie: a=b",
        f"{VOTABLE};content=a\r\nb",
        f'{VOTABLE};content="\u00e9"',
        "x" * 10_000,
    ],
)
def test_what_cannot_be_written_is_refused_or_harmless(asked: str) -> None:
    try:
        content_type = negotiate(asked).content_type
    except ParameterError as exc:
        assert exc.hint is not None
        assert len(str(exc)) < 500
    else:
        assert content_type.isprintable() and content_type.isascii()


def test_the_refusal_names_the_short_names() -> None:
    with pytest.raises(ParameterError, match=r"votable, votable/td, .*parquet.*html"):
        negotiate("exe")


def test_every_format_that_is_offered_can_be_written() -> None:
    made = Made(["long", "double", "char"], 5, 0.2, 2, seed=1)
    for entry in OUTPUT_FORMATS:
        for asked in (*entry.short_names, *entry.media_types, entry.content_type):
            assert b"".join(negotiate(asked).write(made.stream()))


@pytest.mark.parametrize("name", ["votable/td", "votable/b", "votable/b2", "fits", "parquet", "arrow", "ecsv", "csv"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_recognised_by_its_content(name: str, packed: bool, tmp_path: Path) -> None:
    made = Made(["long", "char", "boolean"], 20, 0.0, 3, seed=9)
    document = b"".join(negotiate(name).write(made.stream()))
    file = tmp_path / "no-suffix"
    file.write_bytes(gzip.compress(document) if packed else document)
    rows = [list(row.values()) for row in rows_of(open_table(file))]
    expected = [
        [value.rstrip() if isinstance(value, str) else value for value in row.values()]
        for row in rows_of(made.stream())
    ]
    got = [[value.rstrip() if isinstance(value, str) else value for value in row] for row in rows]
    plain = [[_ascii(value) or None for value in row] for row in expected]
    assert [[_ascii(value) or None for value in row] for row in got] == plain


def _ascii(value: object) -> object:
    return "".join(char if " " <= char <= "~" else "?" for char in value) if isinstance(value, str) else value


def test_a_tab_separated_file_is_known_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "stars.tsv.gz"
    file.write_bytes(gzip.compress(b"ra,x\tdec\n1\t2\n"))
    stream = open_table(file)
    assert stream.table.column_names == ("ra,x", "dec")
    assert rows_of(stream) == [{"ra,x": 1, "dec": 2}]


def test_a_format_may_be_named() -> None:
    assert rows_of(open_table(b"a\tb\n1\t2\n", "tsv")) == [{"a": 1, "b": 2}]
    assert rows_of(open_table(b"a;b\n1;2\n", "CSV")) == [{"a": 1, "b": 2}]
    with pytest.raises(ParameterError, match="cannot be read"):
        open_table(b"", "html")
    with pytest.raises(FormatError):
        open_table(b"a,b\n", "fits")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        (b"PK\x03\x04" + bytes(100), "ZIP"),
        (b"\x1f\x9d" + bytes(100), "uncompress"),
        (b'{"a": 1}', "JSON"),
        (bytes(range(256)), "no format that is known"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "no format that is known"),
    ],
)
def test_what_is_not_read_is_refused_with_a_hint(content: bytes, told: str) -> None:
    with pytest.raises(FormatError, match=told):
        open_table(content)


@pytest.mark.parametrize(
    ("name", "format_name"),
    [
        ("a.vot", "votable"),
        ("a.XML", "votable"),
        ("a.fits", "fits"),
        ("a.parquet", "parquet"),
        ("a.csv", "csv"),
        ("a.tsv", "tsv"),
        ("a.ecsv", "ecsv"),
        ("a.json", "json"),
        ("a.html", "html"),
        ("a.arrow", "arrow"),
    ],
)
def test_a_file_name_tells_its_format(name: str, format_name: str) -> None:
    assert format_of_suffix(name) == format_name
    assert negotiate(format_of_suffix(Path("x") / name)).name.startswith(format_name)


def test_a_file_name_without_a_known_end_is_refused() -> None:
    with pytest.raises(ParameterError, match="tells no format"):
        format_of_suffix("stars")


def test_one_table_is_chosen_of_a_fits_file_of_many(shared_data: Path) -> None:
    file = shared_data / "votable_corpus" / "astropy_fits" / "table.fits"
    by_default = open_table(file).table
    assert open_table(file, table=1).table == by_default
    with pytest.raises(FormatError, match="no HDU"):
        open_table(file, table=99)
    with pytest.raises(FormatError, match="holds no table"):
        open_table(file, table=0)


def test_a_table_cannot_be_chosen_where_there_is_only_one() -> None:
    with pytest.raises(ParameterError, match="one table only"):
        open_table(b"a,b\n1,2\n", table=1)
