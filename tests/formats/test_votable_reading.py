"""Sentences of the VOTable standard about reading, one test each."""

from __future__ import annotations

import base64
import gzip
import io
from pathlib import Path
from typing import Any

import pytest

from skyvault.errors import FormatError, NotFound
from skyvault.formats import open_table
from skyvault.formats.votable_in import open_votable, tables
from skyvault.model.table import Info

from .random_tables import rows_of


def _document(content: str, *, version: str = "1.4", encoding: str = "UTF-8") -> bytes:
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n<VOTABLE version="{version}">\n{content}\n</VOTABLE>'
    return text.encode(encoding)


def _table(fields: str, rows: str, **options: Any) -> bytes:
    data = f"<DATA><TABLEDATA>{rows}</TABLEDATA></DATA>"
    return _document(f"<RESOURCE><TABLE>{fields}{data}</TABLE></RESOURCE>", **options)


def _values(document: bytes | Path) -> list[list[Any]]:
    return [list(row.values()) for row in rows_of(open_votable(document))]


INT = '<FIELD name="i" datatype="int"/>'
TEXT = '<FIELD name="t" datatype="char" arraysize="*"/>'


@pytest.mark.parametrize("version", ["1.1", "1.2", "1.3", "1.4", "1.5"])
def test_every_version_is_read(version: str) -> None:
    assert _values(_table(INT + TEXT, "<TR><TD>1</TD><TD>x</TD></TR>", version=version)) == [[1, "x"]]


@pytest.mark.parametrize("empty", ["<TD/>", "<TD />", "<TD></TD>", "<TD\n></TD >"])
def test_an_empty_td_is_null_for_every_type(empty: str) -> None:
    kinds = ["boolean", "bit", "unsignedByte", "short", "int", "long", "float", "double", "char", "doubleComplex"]
    fields = "".join(f'<FIELD name="{kind}" datatype="{kind}"/>' for kind in kinds)
    fields += '<FIELD name="list" datatype="int" arraysize="*"/><FIELD name="pair" datatype="double" arraysize="2"/>'
    assert _values(_table(fields, f"<TR>{empty * (len(kinds) + 2)}</TR>")) == [[None] * (len(kinds) + 2)]


def test_values_null_is_null_in_tabledata() -> None:
    fields = (
        '<FIELD name="i" datatype="int"><VALUES null="-99"/></FIELD>'
        '<FIELD name="f" datatype="double"><VALUES null="-99.0"/></FIELD>'
        '<FIELD name="l" datatype="short" arraysize="*"><VALUES null="0"/></FIELD>'
        '<FIELD name="n" datatype="int"><VALUES null=""/></FIELD>'
    )
    rows = "<TR><TD>-99</TD><TD>-99</TD><TD>1 0 2</TD><TD>3</TD></TR>"
    assert _values(_table(fields, rows)) == [[None, None, [1, None, 2], 3]]


def test_values_null_is_null_in_binary() -> None:
    field = '<FIELD name="i" datatype="short"><VALUES null="-1"/></FIELD>'
    for kind, content in (("BINARY", b"\x00\x05\xff\xff"), ("BINARY2", b"\x00\x00\x05\x00\xff\xff\x80\x00\x07")):
        stream = f'<{kind}><STREAM encoding="base64">{base64.b64encode(content).decode()}</STREAM></{kind}>'
        rows = _values(_document(f"<RESOURCE><TABLE>{field}<DATA>{stream}</DATA></TABLE></RESOURCE>"))
        assert rows == ([[5], [None]] if kind == "BINARY" else [[5], [None], [None]])


def test_integers_may_be_hexadecimal_signed_and_padded() -> None:
    fields = '<FIELD name="b" datatype="unsignedByte"/><FIELD name="s" datatype="short"/>' + INT
    rows = "<TR><TD>0xFF</TD><TD>0xFFFE</TD><TD> +12\n</TD></TR><TR><TD>7</TD><TD>-7</TD><TD>0x10</TD></TR>"
    assert _values(_table(fields, rows)) == [[255, -2, 12], [7, -7, 16]]


def test_floats_may_be_nan_and_infinite() -> None:
    field = '<FIELD name="d" datatype="double"/><FIELD name="a" datatype="float" arraysize="*"/>'
    rows = "<TR><TD>NaN</TD><TD>+Inf -Inf nan</TD></TR><TR><TD>+Inf</TD><TD>+1.5e+3</TD></TR>"
    rows += "<TR><TD>-1.5D+02</TD><TD>2d0</TD></TR>"
    infinity = float("inf")
    assert _values(_table(field, rows)) == [
        ["NaN", [infinity, -infinity, "NaN"]],
        [infinity, [1500.0]],
        [-150.0, [2.0]],
    ]


def test_booleans_have_many_spellings() -> None:
    cells = ["T", "t", "1", "true", "TRUE", "True", "F", "f", "0", "false", "FALSE", "?"]
    rows = "".join(f"<TR><TD>{cell}</TD></TR>" for cell in cells)
    values = [row[0] for row in _values(_table('<FIELD name="b" datatype="boolean"/>', rows))]
    assert values == [True] * 6 + [False] * 5 + [None]


def test_bits_are_read_with_and_without_blanks() -> None:
    field = '<FIELD name="b" datatype="bit" arraysize="*"/>'
    rows = "<TR><TD>1 0 1</TD></TR><TR><TD>101</TD></TR>"
    assert _values(_table(field, rows)) == [[[True, False, True]]] * 2


def test_blanks_in_text_are_significant() -> None:
    assert _values(_table(TEXT, "<TR><TD> Apple</TD></TR><TR><TD>Apple</TD></TR>")) == [[" Apple"], ["Apple"]]


def test_references_are_resolved_in_text() -> None:
    cell = "&lt;a&gt; &amp;amp; &quot;&apos; &#65;&#x3b1;\r\nnext"
    assert _values(_table(TEXT, f"<TR><TD>{cell}</TD></TR>")) == [["<a> &amp; \"' A\u03b1\nnext"]]


def test_comments_and_cdata_among_rows_are_understood() -> None:
    rows = (
        "<!-- <TR><TD>9</TD></TR> --><TR><TD>1</TD><!-- x --><TD><![CDATA[a<b>&amp;]]></TD></TR>"
        "<?hello there?><TR ID='r2'><TD>2</TD><TD>x<!-- -->y</TD></TR><!-- </TABLEDATA> -->"
    )
    assert _values(_table(INT + TEXT, rows)) == [[1, "a<b>&amp;"], [2, "xy"]]


def test_odd_markup_amid_many_plain_rows_loses_none() -> None:
    plain = "<TR><TD>1</TD><TD>x</TD></TR>" * 20_000
    odd = "<TR><TD>2</TD><TD><![CDATA[</TABLEDATA>]]></TD></TR>"
    rows = _values(_table(INT + TEXT, plain + odd + plain))
    assert len(rows) == 40_001
    assert rows[20_000] == [2, "</TABLEDATA>"]


@pytest.mark.parametrize("gap", ["", "\n", "\r\n  ", "\t"])
def test_white_space_between_tags_does_not_matter(gap: str) -> None:
    row = f"{gap}<TR>{gap}<TD>1</TD>{gap}<TD>x</TD>{gap}</TR>{gap}"
    assert _values(_table(INT + TEXT, row * 3)) == [[1, "x"]] * 3


def test_tags_may_have_a_prefix() -> None:
    document = _table(INT + TEXT, "<TR><TD>1</TD><TD>a:b</TD></TR>" * 3)
    for tag in (b"VOTABLE", b"RESOURCE", b"TABLE", b"FIELD", b"DATA", b"TABLEDATA", b"TR", b"TD"):
        document = document.replace(b"<" + tag, b"<v:" + tag).replace(b"</" + tag, b"</v:" + tag)
    document = document.replace(b"<v:v:", b"<v:").replace(b"</v:v:", b"</v:")
    document = document.replace(b"<v:VOTABLE", b'<v:VOTABLE xmlns:v="http://www.ivoa.net/xml/VOTable/v1.3"')
    assert _values(document) == [[1, "a:b"]] * 3


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "UTF-16", "windows-1252", "utf-8-sig"])
def test_the_encoding_is_the_declared_one(encoding: str) -> None:
    field = '<FIELD name="t" datatype="unicodeChar" arraysize="*"><DESCRIPTION>caf\u00e9</DESCRIPTION></FIELD>'
    declared = "UTF-8" if encoding == "utf-8-sig" else encoding
    document = (
        _table(field, "<TR><TD>\u00e9t\u00e9</TD></TR>").decode().replace('"UTF-8"', f'"{declared}"').encode(encoding)
    )
    stream = open_votable(document)
    assert stream.table.columns[0].description == "caf\u00e9"
    assert rows_of(stream) == [{"t": "\u00e9t\u00e9"}]


def test_text_in_another_encoding_than_declared_names_its_row() -> None:
    document = _table(TEXT, "<TR><TD>x</TD></TR><TR><TD>@</TD></TR>").replace(b"@", b"\xe9")
    with pytest.raises(FormatError, match="row 2"):
        _values(document)


def test_char_beyond_ascii_in_binary_is_taken_as_latin_1() -> None:
    raw = b"\x00\x00\x00\x03\xe9t\xe9\x00\x00\x00\x02ok\x00\x00\x00\x02\xc3\xa9"
    stream = f'<BINARY><STREAM encoding="base64">{base64.b64encode(raw).decode()}</STREAM></BINARY>'
    rows = _values(_document(f"<RESOURCE><TABLE>{TEXT}<DATA>{stream}</DATA></TABLE></RESOURCE>"))
    assert rows == [["\u00e9t\u00e9"], ["ok"], ["\u00e9"]]


def test_base64_may_come_in_lines_and_with_references_to_line_ends() -> None:
    raw = b"".join(number.to_bytes(4, "big") for number in range(100))
    text = base64.encodebytes(raw).decode().replace("\n", "\r\n", 2).replace("\n", "&#13;\n", 3)
    stream = f'<BINARY><STREAM encoding="base64">\n  {text}  </STREAM></BINARY>'
    rows = _values(_document(f"<RESOURCE><TABLE>{INT}<DATA>{stream}</DATA></TABLE></RESOURCE>"))
    assert rows == [[number] for number in range(100)]


def test_a_stream_may_be_gzipped() -> None:
    raw = gzip.compress(b"".join(number.to_bytes(4, "big") for number in range(5000)))
    stream = f'<BINARY><STREAM encoding="gzip">{base64.b64encode(raw).decode()}</STREAM></BINARY>'
    rows = _values(_document(f"<RESOURCE><TABLE>{INT}<DATA>{stream}</DATA></TABLE></RESOURCE>"))
    assert rows == [[number] for number in range(5000)]


def test_the_document_may_be_gzipped(tmp_path: Path) -> None:
    document = _table(INT, "<TR><TD>1</TD></TR>")
    (tmp_path / "a.vot.gz").write_bytes(gzip.compress(document))
    assert _values(tmp_path / "a.vot.gz") == [[1]]
    assert rows_of(open_table(io.BytesIO(gzip.compress(document)))) == [{"i": 1}]


def test_all_tables_of_nested_resources_come_in_document_order() -> None:
    def table(name: str, value: int) -> str:
        rows = f"<DATA><TABLEDATA><TR><TD>{value}</TD></TR></TABLEDATA></DATA>"
        return f'<TABLE name="{name}" ID="id_{name}">{INT}{rows}</TABLE>'

    content = (
        f"<RESOURCE>{table('a', 1)}<RESOURCE>{table('b', 2)}</RESOURCE>{table('c', 3)}</RESOURCE>"
        f"<RESOURCE><TABLE name='d' ref='id_a'/></RESOURCE>"
    )
    document = _document(content)
    assert [(stream.table.name, [row["i"] for row in rows_of(stream)]) for stream in tables(document)] == [
        ("a", [1]),
        ("b", [2]),
        ("c", [3]),
        ("d", []),
    ]
    # what is not used of a table is passed over
    assert [stream.table.name for stream in tables(document)] == ["a", "b", "c", "d"]
    assert rows_of(open_votable(document, table="b")) == [{"i": 2}]
    assert rows_of(open_votable(document, table=2)) == [{"i": 3}]
    assert rows_of(open_votable(document, table="id_c")) == [{"i": 3}]
    assert list(tables(document))[3].table.columns[0].name == "i"
    with pytest.raises(FormatError, match="It holds a, b, c, d"):
        open_votable(document, table="nobody")


def test_descriptions_are_kept() -> None:
    content = """
      <COOSYS ID="J2000" system="eq_FK5" equinox="J2000" epoch="J2015.5"/>
      <TIMESYS ID="tdb" timeorigin="2455197.5" timescale="TCB" refposition="BARYCENTER"/>
      <INFO name="QUERY" value="SELECT 1">the query</INFO>
      <RESOURCE type="results">
        <INFO name="QUERY_STATUS" value="OK"/>
        <PARAM name="epoch" datatype="double" value="2015.5" unit="yr"/>
        <LINK href="http://example.org" content-role="doc" title="more"/>
        <TABLE name="stars" ucd="meta" utype="x:y" nrows="1">
          <DESCRIPTION>Some <b>bright</b>
            stars</DESCRIPTION>
          <FIELD ID="col1" name="ra" datatype="double" unit="deg" ucd="pos.eq.ra;meta.main" utype="a:b" ref="J2000"
                 width="10" precision="6" xtype="x">
            <DESCRIPTION>Right ascension</DESCRIPTION>
            <VALUES ID="range"><MIN value="0"/><MAX value="360" inclusive="no"/></VALUES>
            <LINK href="http://example.org/ra" content-type="text/html"/>
          </FIELD>
          <FIELD name="kind" datatype="int"><VALUES><OPTION name="star" value="1"><OPTION value="2"/></OPTION></VALUES></FIELD>
          <FIELD name="ra2" datatype="double"><VALUES ref="range"/></FIELD>
          <GROUP name="g" ucd="u" utype="v" ref="col1"><DESCRIPTION>d</DESCRIPTION><FIELDref ref="col1"/>
            <PARAM name="p" datatype="char" arraysize="*" value="v"/><PARAMref ref="q"/><GROUP name="inner"/></GROUP>
          <DATA><TABLEDATA><TR><TD>1</TD><TD>1</TD><TD>1</TD></TR></TABLEDATA></DATA>
        </TABLE>
        <INFO name="QUERY_STATUS" value="OVERFLOW"/>
      </RESOURCE>"""
    stream = open_votable(_document(content))
    table = stream.table
    assert (table.name, table.ucd, table.utype, table.nrows) == ("stars", "meta", "x:y", 1)
    assert table.description == "Some bright stars"
    assert table.frames[0].system == "eq_FK5"
    assert table.frames[0].epoch == "J2015.5"
    assert table.time_frames[0].timeorigin == "2455197.5"
    assert table.params[0].value == "2015.5"
    assert table.params[0].unit == "yr"
    assert table.infos == (Info("QUERY", "SELECT 1", "the query"),)
    assert table.links[0].title == "more"
    ra, kind, other = table.columns
    assert (ra.id, ra.unit, ra.ucd, ra.utype, ra.ref) == ("col1", "deg", "pos.eq.ra;meta.main", "a:b", "J2000")
    assert (ra.width, ra.precision, ra.xtype, ra.minimum, ra.maximum) == (10, "6", "x", "0", "360")
    assert ra.links[0].content_type == "text/html"
    assert kind.options == (("star", "1"), ("", "2"))
    assert (other.minimum, other.maximum) == ("0", "360")
    group = table.groups[0]
    assert (group.name, group.column_refs, group.param_refs, group.groups[0].name) == ("g", ("col1",), ("q",), "inner")
    assert not stream.overflow
    assert len(rows_of(stream)) == 1
    assert stream.overflow


def test_an_error_after_the_rows_is_told() -> None:
    rows = "<DATA><TABLEDATA><TR><TD>1</TD></TR></TABLEDATA></DATA>"
    late = '<INFO name="QUERY_STATUS" value="ERROR">disk on fire</INFO>'
    stream = open_votable(_document(f"<RESOURCE><TABLE>{INT}{rows}</TABLE>{late}</RESOURCE>"))
    assert rows_of(stream) == [{"i": 1}]
    assert stream.error == "disk on fire"


def test_an_error_document_is_a_stream_with_its_error() -> None:
    content = '<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">no such table</INFO></RESOURCE>'
    stream = open_table(_document(content))
    assert stream.error == "no such table"
    assert stream.table.columns == ()
    old = '<RESOURCE><PARAM name="Error" datatype="char" arraysize="*" value="bad SR"/></RESOURCE>'
    assert open_table(_document(old)).error == "bad SR"


def test_annotations_of_other_namespaces_are_passed_over() -> None:
    mivot = '<VODML xmlns="http://www.ivoa.net/xml/mivot"><TEMPLATES><INSTANCE dmrole=""/></TEMPLATES></VODML>'
    content = f'<RESOURCE><RESOURCE type="meta">{mivot}</RESOURCE><TABLE>{INT}</TABLE></RESOURCE>'
    assert open_votable(_document(content)).table.column_names == ("i",)


def test_points_of_nothing_but_nan_are_null() -> None:
    field = '<FIELD name="p" datatype="double" arraysize="2" xtype="point"/>'
    assert _values(_table(field, "<TR><TD>NaN NaN</TD></TR><TR><TD>1 2</TD></TR>")) == [[None], [[1.0, 2.0]]]


def test_instants_are_read_in_every_common_spelling() -> None:
    field = '<FIELD name="t" datatype="char" arraysize="*" xtype="timestamp"/>'
    cells = ["2020-02-03", "2020-02-03T04:05:06", "2020-02-03 04:05:06.5Z", "2020-02-03T04:05:06.1234567", ""]
    rows = "".join(f"<TR><TD>{cell}</TD></TR>" for cell in cells)
    told = [str(row[0]) for row in _values(_table(field, rows))]
    assert told == [
        "2020-02-03 00:00:00",
        "2020-02-03 04:05:06",
        "2020-02-03 04:05:06.500000",
        "2020-02-03 04:05:06.123456",
        "None",
    ]


def test_words_for_null_in_numbers_are_null() -> None:
    field = '<FIELD name="d" datatype="double"/>'
    rows = "".join(f"<TR><TD>{word}</TD></TR>" for word in ["1.5", "null", "-", "N/A"])
    assert _values(_table(field, rows)) == [[1.5], [None], [None], [None]]


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nowhere\.vot"):
        open_table(tmp_path / "nowhere.vot")


def test_a_file_is_closed_when_its_rows_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a.vot"
    file.write_bytes(_table(INT, "<TR><TD>1</TD></TR>" * 100_000))
    stream = open_votable(file)
    assert sum(batch.num_rows for batch in stream.batches) == 100_000
    again = open_votable(file)
    next(again.batches)
    del again
