"""Parameters after DALI 1.1, section 2.3: names in any case, empty is absent, unknown is ignored, once is once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from skyvault.errors import ParameterError, TooLarge
from skyvault.serve.params import (
    Form,
    FormLimits,
    Parameter,
    ParameterSet,
    merged,
    read_form,
    spooled,
    upload_pairs,
)

CONE = ParameterSet(
    (
        Parameter(
            "RA", "real", unit="deg", ucd="pos.eq.ra", minimum=0, maximum=360, required=True, doc="Right ascension"
        ),
        Parameter("SR", "real", default=0.1, minimum=0),
        Parameter("MAXREC", "integer", minimum=0),
        Parameter("VERB", "integer", default=2, choices=("1", "2", "3")),
        Parameter("RESPONSEFORMAT", aliases=("FORMAT", "_FORMAT")),
        Parameter("LANG", choices=("ADQL", "ADQL-2.1")),
        Parameter("UPLOAD", multiple=True),
        Parameter("DRAFT", "boolean", default=False),
        Parameter("SINCE", "timestamp"),
        Parameter("RUNID", longest=8),
    )
)


def read(**given: Any) -> dict[str, Any]:
    return CONE.read([("RA", "10"), *given.items()])


def test_names_are_equal_in_any_case_and_unknown_ones_are_ignored() -> None:
    assert read(Sr="0.5", spurious="x", lang="adql")["SR"] == 0.5
    assert read(lang="adql-2.1")["LANG"] == "ADQL-2.1"
    assert CONE.find("responseformat") is CONE.find("_format")
    assert CONE.find("spurious") is None


def test_an_empty_value_is_an_absent_one() -> None:
    values = read(SR="", MAXREC=" ", UPLOAD="")
    assert (values["SR"], values["MAXREC"], values["UPLOAD"]) == (0.1, None, [])


def test_a_single_valued_parameter_given_twice_is_an_error() -> None:
    with pytest.raises(ParameterError, match="SR is given 2 times"):
        CONE.read([("RA", "1"), ("SR", "1"), ("sr", "2")])


def test_a_multiple_one_gives_all_its_values_in_order() -> None:
    assert CONE.read([("RA", "1"), ("UPLOAD", "a,x"), ("upload", "b,y")])["UPLOAD"] == ["a,x", "b,y"]


def test_an_alias_counts_only_when_the_name_itself_is_absent() -> None:
    assert read(FORMAT="csv")["RESPONSEFORMAT"] == "csv"
    assert read(FORMAT="csv", RESPONSEFORMAT="fits")["RESPONSEFORMAT"] == "fits"


def test_a_missing_required_parameter_is_told_with_what_it_means() -> None:
    with pytest.raises(ParameterError, match=r"RA is missing\. Right ascension"):
        CONE.read([])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("RA", "ten", "RA='ten' is not valid. It must be a number"),
        ("RA", "nan", "a number"),
        ("RA", "361", "at most 360"),
        ("SR", "-1", "at least 0"),
        ("MAXREC", "1.5", "an integer"),
        ("MAXREC", "1e3", "an integer"),
        ("MAXREC", "9" * 30, "an integer"),
        ("MAXREC", "\u0663", "an integer"),
        ("VERB", "4", "one of 1, 2, 3"),
        ("LANG", "SQL", "one of ADQL, ADQL-2.1"),
        ("DRAFT", "perhaps", "true or false"),
        ("SINCE", "yesterday", "SINCE='yesterday' is not a time"),
        ("RUNID", "123456789", "9 characters"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed(name: str, value: str, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        CONE.read([("RA", "1")] * (name != "RA") + [(name, value)])


def test_values_have_their_types() -> None:
    values = read(MAXREC="+5", DRAFT="TRUE", SINCE="1970-01-01T00:00:01Z", VERB="3", SR=" 1e-3 ")
    assert values["MAXREC"] == 5
    assert values["DRAFT"] is True
    assert values["SINCE"] == 1.0
    assert values["SR"] == 0.001


def test_a_parameter_describes_itself_to_others() -> None:
    ra = CONE.find("RA")
    assert ra is not None
    column, entry = ra.as_column(), ra.as_input()
    assert (column.datatype, column.unit, column.ucd, column.maximum, column.value) == (
        "double",
        "deg",
        "pos.eq.ra",
        "360",
        "",
    )
    assert (entry.datatype, entry.use, entry.description) == ("real", "required", "Right ascension")
    lang = CONE.find("LANG")
    assert lang is not None
    assert (lang.as_column().arraysize, lang.as_column().options[0]) == ("*", ("ADQL", "ADQL"))


@pytest.mark.parametrize(
    ("values", "pairs"),
    [
        (["mine,param:a"], [("mine", "param:a")]),
        (["a,param:x;b,http://h/?q=1,2"], [("a", "param:x"), ("b", "http://h/?q=1,2")]),
        (["a,param:x", " b , param:y "], [("a", "param:x"), ("b", "param:y")]),
        ([], []),
    ],
)
def test_upload_is_pairs_of_table_and_uri(values: list[str], pairs: list[tuple[str, str]]) -> None:
    assert upload_pairs(values) == pairs


@pytest.mark.parametrize("value", ["mine", ",param:x", "mine,", "a,param:x;A,param:y"])
def test_what_is_no_pair_is_told_with_an_example(value: str) -> None:
    with pytest.raises(ParameterError, match="UPLOAD"):
        upload_pairs([value])


# -- requests ----------------------------------------------------------------------------------------------------


def request(chunks: Iterable[bytes] = (), *, method: str = "POST", query: bytes = b"", **headers: str) -> Request:
    pending = list(chunks)

    async def receive() -> dict[str, Any]:
        if pending:
            return {"type": "http.request", "body": pending.pop(0), "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/", "query_string": query, "headers": raw}
    return Request(scope, receive)


URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=line"


def form(one: Request, limits: FormLimits | None = None) -> Form:
    return asyncio.run(read_form(one, limits))


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    return b"--line\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"


def test_query_string_and_body_both_count() -> None:
    found = form(request([b"QUERY=SELECT+%27%C3%A9%27&x"], query=b"LANG=ADQL", content_type=URLENCODED))
    assert found.pairs == [("LANG", "ADQL"), ("QUERY", "SELECT 'é'"), ("x", "")]


def test_a_get_has_no_body() -> None:
    assert form(request([b"QUERY=1"], method="GET", query=b"A=%2B1")).pairs == [("A", "+1")]


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=5))
def test_any_text_comes_through_an_urlencoded_body(pairs: list[tuple[str, str]]) -> None:
    from urllib.parse import urlencode

    pairs = [(name, value) for name, value in pairs if not any("\ud800" <= c <= "\udfff" for c in name + value)]
    assert form(request([urlencode(pairs).encode()], content_type=URLENCODED)).pairs == pairs


def test_a_multipart_body_gives_fields_and_files() -> None:
    body = part("QUERY", "SELECT 'é'".encode()) + part("p1", b"<VOTABLE/>", "t.vot") + b"--line--\r\n"
    # cut anywhere, as networks do
    found = form(request([body[:7], body[7:60], body[60:]], content_type=MULTIPART))
    assert found.pairs == [("QUERY", "SELECT 'é'")]
    assert asyncio.run(found.files["p1"].read()) == b"<VOTABLE/>"
    asyncio.run(found.close())
    assert found.files["p1"].file.closed


def test_a_plain_field_can_stand_for_a_file() -> None:
    file = spooled(b"content")
    assert asyncio.run(file.read()) == b"content"
    asyncio.run(file.close())


LIMITS = FormLimits(field_bytes=1000, file_bytes=100_000, fields=5, files=2)


@pytest.mark.parametrize(
    ("chunks", "content_type", "words"),
    [
        ([b"x=" + b"a" * 70_000], URLENCODED, "1,000 bytes"),
        ([part("x", b"a" * 1001), b"--line--"], MULTIPART, "1,000 bytes"),
        ([part("x", b"a" * 100_001, "f"), b"--line--"], MULTIPART, "100,000 bytes"),
        ([part("x", b"a" * 60_000, "f"), part("y", b"a" * 60_000, "g"), b"--line--"], MULTIPART, "100,000 bytes"),
    ],
)
def test_what_is_over_a_limit_is_too_large_and_the_limit_is_named(
    chunks: list[bytes], content_type: str, words: str
) -> None:
    with pytest.raises(TooLarge, match=words):
        form(request(chunks, content_type=content_type), LIMITS)


def test_a_content_length_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        form(request([], content_type=MULTIPART, content_length="200000"), LIMITS)


def test_a_refused_upload_is_read_to_its_end_within_reason_so_that_the_client_sees_the_answer() -> None:
    read_bytes = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal read_bytes
        for _ in range(1000):
            read_bytes += 1000
            yield b"a" * 1000

    source = stream()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await anext(source), "more_body": True}

    one = Request(request(content_type=MULTIPART).scope, receive)
    with pytest.raises((TooLarge, ParameterError)):
        form(one, LIMITS)
    assert read_bytes < 500_000


@pytest.mark.parametrize(
    ("chunks", "headers", "words"),
    [
        ([b"{}"], {"content_type": "application/json"}, "application/json"),
        ([b"abc"], {}, "of no stated type"),
        ([b"x=%ff"], {"content_type": URLENCODED}, "UTF-8"),
        ([b"&".join([b"a=1"] * 6)], {"content_type": URLENCODED}, "more than 5 parameters"),
        ([b"no boundary here"], {"content_type": MULTIPART}, "multipart"),
        ([b"x"], {"content_type": "multipart/form-data"}, "boundary"),
        ([part("a", b"1", "f"), part("a", b"2", "g"), b"--line--"], {"content_type": MULTIPART}, "two files"),
        ([part(f"{n}", b"1", "f") for n in range(3)], {"content_type": MULTIPART}, "Too many files"),
        ([part(f"{n}", b"1") for n in range(6)], {"content_type": MULTIPART}, "Too many fields"),
    ],
)
def test_a_body_that_cannot_be_read_is_told_in_a_sentence(
    chunks: list[bytes], headers: dict[str, str], words: str
) -> None:
    with pytest.raises(ParameterError, match=words):
        form(request(chunks, **headers), LIMITS)


def test_an_empty_body_of_any_type_is_nothing() -> None:
    assert form(request([], content_type="text/plain")).pairs == []


def test_stored_parameters_are_pairs_again() -> None:
    assert merged({"A": ("1",), "B": ("2", "3")}) == [("A", "1"), ("B", "2"), ("B", "3")]
