"""Damaged and hostile documents: always an answer, never a traceback, never without an end."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import FormatError, SkyvaultError, TooLarge
from skyvault.formats import negotiate, open_table
from skyvault.formats.source import ReadLimits
from skyvault.formats.votable_in import open_votable

from .random_tables import KINDS, Made

_LIMITS = ReadLimits(max_bytes=10_000_000, max_rows=100_000, max_columns=1_000)
_READABLE = ["votable/td", "votable/b", "votable/b2", "fits", "parquet", "arrow", "ecsv", "csv", "tsv"]


def _documents() -> dict[str, bytes]:
    made = Made(list(KINDS), 30, 0.2, 7, seed=1)
    return {name: b"".join(negotiate(name).write(made.stream())) for name in _READABLE}


DOCUMENTS = _documents()


def _survives(document: bytes) -> None:
    """Read or refused in a sentence."""
    try:
        for batch in open_table(document, limits=_LIMITS).batches:
            batch.validate(full=True)
            batch.to_pylist()
    except SkyvaultError as exc:
        assert "\n" not in str(exc), exc
        assert len(str(exc)) < 1000


@pytest.mark.parametrize("name", _READABLE)
def test_every_truncation_is_survived(name: str) -> None:
    document = DOCUMENTS[name]
    rng = np.random.default_rng(2)
    for length in rng.integers(0, len(document), 150):
        _survives(document[:length])


@pytest.mark.parametrize("name", _READABLE)
@given(data=st.data())
def test_flipped_bytes_are_survived(name: str, data: st.DataObject) -> None:
    document = bytearray(DOCUMENTS[name])
    for _ in range(data.draw(st.integers(1, 8))):
        document[data.draw(st.integers(0, len(document) - 1))] = data.draw(st.integers(0, 255))
    _survives(bytes(document))


@pytest.mark.parametrize("name", ["votable/td", "votable/b2"])
@given(data=st.data())
def test_pieces_cut_out_and_doubled_are_survived(name: str, data: st.DataObject) -> None:
    document = DOCUMENTS[name]
    start = data.draw(st.integers(0, len(document)))
    stop = data.draw(st.integers(start, len(document)))
    other = data.draw(st.integers(0, len(document)))
    _survives(document[:start] + document[stop:])
    _survives(document[:other] + document[start:stop] + document[other:])


def _table(fields: str, data: str, *, prolog: str = "", version: str = "1.4") -> bytes:
    return (
        f'<?xml version="1.0"?>{prolog}<VOTABLE version="{version}"><RESOURCE><TABLE>{fields}<DATA>{data}</DATA>'
        "</TABLE></RESOURCE></VOTABLE>"
    ).encode()


_INT = '<FIELD name="a" datatype="int"/>'


def _refused(document: bytes, **options: Any) -> str:
    with pytest.raises(FormatError) as caught:
        list(open_votable(document, **options).batches)
    return str(caught.value)


def test_entities_are_refused() -> None:
    bomb = '<!DOCTYPE V [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    assert "DTD" in _refused(_table(_INT, "<TABLEDATA><TR><TD>&b;</TD></TR></TABLEDATA>", prolog=bomb))
    outside = '<!DOCTYPE V [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    assert "DTD" in _refused(_table(_INT, "<TABLEDATA><TR><TD>&a;</TD></TR></TABLEDATA>", prolog=outside))


def test_the_old_doctype_without_a_subset_is_accepted() -> None:
    prolog = '<!DOCTYPE VOTABLE SYSTEM "http://us-vo.org/xml/VOTable.dtd">'
    document = _table(_INT, "<TABLEDATA><TR><TD>1</TD></TR></TABLEDATA>", prolog=prolog)
    assert next(open_votable(document).batches).to_pydict() == {"a": [1]}


def test_an_unknown_entity_is_refused_also_with_a_doctype() -> None:
    prolog = '<!DOCTYPE VOTABLE SYSTEM "http://us-vo.org/xml/VOTable.dtd">'
    text = '<FIELD name="a" datatype="char" arraysize="*"/>'
    rows = "<TABLEDATA><TR><TD>&nbsp;</TD></TR></TABLEDATA>"
    assert "&nbsp;" in _refused(_table(text, rows, prolog=prolog))
    described = '<FIELD name="a" datatype="int"><DESCRIPTION>&nbsp;</DESCRIPTION></FIELD>'
    assert "&nbsp;" in _refused(_table(described, "<TABLEDATA/>", prolog=prolog))


def test_a_wrong_number_of_cells_names_the_row() -> None:
    rows = "<TR><TD>1</TD></TR>" * 3 + "<TR><TD>1</TD><TD>2</TD></TR>"
    assert "row 4" in _refused(_table(_INT, f"<TABLEDATA>{rows}</TABLEDATA>"))


@pytest.mark.parametrize(
    ("datatype", "cell"),
    [
        ('datatype="int"', "12x"),
        ('datatype="int"', "3000000000"),
        ('datatype="unsignedByte"', "0x1FF"),
        ('datatype="double"', "1,5"),
        ('datatype="boolean"', "maybe"),
        ('datatype="double" arraysize="2"', "1 2 3"),
        ('datatype="double" arraysize="*"', "b"),
        ('datatype="bit" arraysize="3"', "012"),
        ('datatype="doubleComplex" arraysize="*"', "1 2 3"),
        ('datatype="char" arraysize="*" xtype="timestamp"', "2020-13-01"),
    ],
)
def test_a_wrong_value_names_column_and_row(datatype: str, cell: str) -> None:
    rows = "<TR><TD/></TR><TR><TD></TD></TR>" + f"<TR><TD>{cell}</TD></TR>"
    told = _refused(_table(f'<FIELD name="wrong" {datatype}/>', f"<TABLEDATA>{rows}</TABLEDATA>"))
    assert "wrong" in told and "row 3" in told and cell in told


def test_urls_in_streams_are_not_followed() -> None:
    stream = '<BINARY2><STREAM href="http://127.0.0.1/x" encoding="gzip"/></BINARY2>'
    assert "no URL is followed" in _refused(_table(_INT, stream))
    fits = '<FITS><STREAM href="file:///etc/passwd"/></FITS>'
    assert "FITS" in _refused(_table(_INT, fits))


@pytest.mark.parametrize(
    "content",
    ["AAAA!AAA", "AAAAAAA", "====", "AAAA<!-- x -->AAAA", "AAAAAAA=AAAA", "\u00e4\u00e4\u00e4\u00e4"],
)
def test_base64_that_is_none_is_refused(content: str) -> None:
    _refused(_table(_INT, f'<BINARY2><STREAM encoding="base64">{content}</STREAM></BINARY2>'))


def test_a_short_stream_names_what_is_left_over() -> None:
    assert "left over" in _refused(_table(_INT, '<BINARY2><STREAM encoding="base64">AAAA</STREAM></BINARY2>'))


def test_a_promised_gigabyte_takes_no_memory() -> None:
    wide = '<FIELD name="a" datatype="double" arraysize="{}"/>'
    _survives(_table(wide.format("100000000"), '<BINARY2><STREAM encoding="base64">AAAA</STREAM></BINARY2>'))
    for arraysize in ("99999x99999x99999", "1" * 300):
        assert "arraysize" in _refused(_table(wide.format(arraysize), "<TABLEDATA/>"))
    # a variable array that claims two thousand million elements
    huge = '<FIELD name="a" datatype="double" arraysize="*"/>'
    assert "left over" in _refused(_table(huge, '<BINARY><STREAM encoding="base64">f////w==</STREAM></BINARY>'))


def test_a_bomb_of_gzip_meets_the_limit() -> None:
    row = b"<TR><TD>1</TD></TR>"
    head, _, tail = _table(_INT, "<TABLEDATA>@</TABLEDATA>").partition(b"@")
    bomb = gzip.compress(head + row * 600_000 + tail)
    with pytest.raises(TooLarge, match="10000000 bytes"):
        list(open_table(bomb, limits=ReadLimits(max_bytes=10_000_000)).batches)


def test_limits_on_rows_and_columns_are_told() -> None:
    rows = _table(_INT, "<TABLEDATA>" + "<TR><TD>1</TD></TR>" * 11 + "</TABLEDATA>")
    with pytest.raises(TooLarge, match="10 rows"):
        list(open_table(rows, limits=ReadLimits(max_rows=10)).batches)
    with pytest.raises(TooLarge, match="at most 2"):
        open_table(_table(_INT * 3, "<TABLEDATA/>"), limits=ReadLimits(max_columns=2))


@pytest.mark.parametrize("make", [lambda: b"<a>" * 5000, lambda: b"<VOTABLE><RESOURCE>" + b"<RESOURCE>" * 5000])
def test_depth_is_limited(make: Callable[[], bytes]) -> None:
    told = _refused(make())
    assert "deeper" in told or "root" in told


def test_a_flood_of_elements_is_limited() -> None:
    info = b'<INFO name="a" value="b"/>'
    assert "more than" in _refused(b"<VOTABLE><RESOURCE>" + info * 201_000)


@given(junk=st.binary(max_size=300))
def test_junk_is_refused(junk: bytes) -> None:
    _survives(junk)
    _survives(b"<VOTABLE>" + junk)
    _survives(b"SIMPLE  =                    T" + junk)
    _survives(b"# %ECSV 1.0\n# ---\n" + junk)
    _survives(b"PAR1" + junk)
    _survives(gzip.compress(junk)[:-3])


def test_the_same_byte_again_and_again_ends() -> None:
    for character in b"<&>\"'#\n, \x00":
        _survives(bytes([character]) * 100_000)
        _survives(b"<VOTABLE><RESOURCE><TABLE>" + bytes([character]) * 100_000)
        _survives(_table(_INT, "<TABLEDATA>@</TABLEDATA>").replace(b"@", bytes([character]) * 100_000))


def test_messages_hold_no_bytes_of_control() -> None:
    told = _refused(_table('<FIELD name="a" datatype="in&#10;t"/>', "<TABLEDATA/>"))
    assert re.search("[\x00-\x1f]", told) is None


def test_a_checksum_error_of_gzip_is_told() -> None:
    packed = bytearray(gzip.compress(DOCUMENTS["votable/td"]))
    packed[-6] ^= 0xFF
    with pytest.raises(FormatError, match=r"damaged|cut short"):
        list(open_table(bytes(packed)).batches)
