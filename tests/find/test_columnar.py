"""Large results come as Arrow or Parquet where a service writes them, described and never silently cut."""

import io
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyvault.find.faults import QueryRefused, TruncatedWarning, WrongAnswer
from skyvault.find.offers import Offer, may_be_large, offer_of
from skyvault.find.results import Results
from skyvault.formats import TableStream, negotiate
from skyvault.formats.votable_out import dataless
from skyvault.model.table import Column, Info, Table

URL = "http://127.0.0.1/tap/sync"
COLUMNS = (
    Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", description="Right ascension"),
    Column("n", "int"),
    Column("name", "char", "*"),
)
ROWS = pa.table({"ra": [1.5, None, 3.5], "n": pa.array([1, 2, None], pa.int32()), "name": ["a", "", None]})
FORMS = ("arrow", "parquet", "votable")


def answer(form, *, overflow=False, error=None):
    stream = TableStream(Table("t", COLUMNS), iter(ROWS.to_batches()), overflow=overflow, error=error)
    return b"".join(negotiate(form).write(stream))


def foreign(metadata=None):
    """A Parquet file as another service writes it."""
    file = io.BytesIO()
    pq.write_table(ROWS.replace_schema_metadata(metadata), file)
    return file.getvalue()


def read(body, **how):
    return Results.read(io.BytesIO(body), url=URL, **how)


@pytest.mark.parametrize("form", FORMS)
def test_values_units_and_meanings_are_the_same_in_every_form(form):
    results = read(answer(form))
    table = results.to_table()
    assert results["ra"].tolist() == [1.5, None, 3.5]
    assert results["n"].tolist() == [1, 2, None]
    assert [str(value) for value in table["name"].filled("")] == ["a", "", ""]
    assert str(table["ra"].unit) == "deg" and table["ra"].description == "Right ascension"
    assert results.getdesc("ra").ucd == "pos.eq.ra;meta.main"
    assert results.fieldname_with_ucd("pos.eq.ra;meta.main") == "ra"
    assert results[0]["name"] == "a" and results[2]["ra"] == 3.5
    assert not results.is_truncated
    table["ra"][0] = 9.0


@pytest.mark.parametrize("form", FORMS)
def test_a_result_that_was_cut_says_so_in_every_form(form):
    with pytest.warns(TruncatedWarning, match="cut after 3 rows"):
        assert read(answer(form, overflow=True)).is_truncated


@pytest.mark.parametrize("form", FORMS)
def test_a_failure_after_the_rows_is_an_error_in_every_form(form):
    with pytest.raises(QueryRefused, match="the disk is full"):
        read(answer(form, error="the disk is full"))


def test_another_services_file_as_long_as_its_limit_counts_as_cut():
    with pytest.warns(TruncatedWarning):
        assert read(foreign(), row_limit=lambda: 3).is_truncated
    assert not read(foreign(), row_limit=lambda: 4).is_truncated


def test_a_header_tells_that_rows_were_left_out():
    with pytest.warns(TruncatedWarning):
        assert read(foreign(), row_limit=lambda: None, is_told_cut=True).is_truncated


def test_another_services_columns_are_described_by_the_votable_inside():
    described = dataless(Table("t", COLUMNS))
    results = read(foreign({"IVOA.VOTable-Parquet.content": described}), row_limit=lambda: None)
    assert results.getdesc("ra").unit == "deg"
    table = Table("t", COLUMNS, infos=(Info("QUERY_STATUS", "OVERFLOW"),))
    with pytest.warns(TruncatedWarning):
        read(foreign({"IVOA.VOTable-Parquet.content": dataless(table)}), row_limit=lambda: None)


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><VOTABLE>&a;</VOTABLE>",
        b"nonsense",
        b"<VOTABLE/>",
        dataless(Table("t", COLUMNS[:1])),
    ],
)
def test_a_description_that_does_not_fit_is_left_aside(content):
    results = read(foreign({"IVOA.VOTable-Parquet.content": content}), row_limit=lambda: None)
    assert results.fieldnames == ("ra", "n", "name") and results["ra"].tolist() == [1.5, None, 3.5]


@pytest.mark.parametrize("form", ["arrow", "parquet"])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.95, 0.999])
def test_an_answer_that_breaks_off_is_refused(form, kept):
    body = answer(form)
    with pytest.raises(WrongAnswer):
        read(body[: int(len(body) * kept)])


def test_an_arrow_stream_without_its_end_is_refused():
    body = answer("arrow")
    with pytest.raises(WrongAnswer, match="breaks off"):
        read(body[:-8])


def test_hostile_bytes_are_refused():
    generator = np.random.default_rng(5)
    for form in ("arrow", "parquet"):
        body = answer(form)
        for _ in range(150):
            damaged = bytearray(body)
            for place in generator.integers(4, len(body), 4):
                damaged[place] = generator.integers(256)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read(bytes(damaged)).to_table()
            except (WrongAnswer, QueryRefused):
                continue


@pytest.mark.parametrize(
    ("query", "maxrec", "is_large"),
    [
        ("SELECT ra, dec FROM gaia.source", None, True),
        ("SELECT TOP 10 * FROM gaia.source", None, False),
        ("select distinct top 100000 ra from gaia.source", None, True),
        ("SELECT * FROM gaia.source", 100, False),
        ("SELECT * FROM gaia.source", 10_000_000, True),
        ("SELECT COUNT(*) FROM gaia.source", None, False),
        ("SELECT * FROM tap_schema.columns", None, False),
        ("SELECT * FROM ivoa.ObsCore", None, False),
    ],
)
def test_only_large_results_are_worth_another_form(query, maxrec, is_large):
    assert may_be_large(query, maxrec) is is_large


def test_the_limit_is_the_smallest_there_is():
    offer = Offer(None, 2000, 100_000)
    assert (offer.row_limit(None), offer.row_limit(500), offer.row_limit(10**6)) == (2000, 500, 100_000)
    assert Offer().row_limit(None) is None


@pytest.fixture
def asked(rubin, monkeypatch):
    """(path, RESPONSEFORMAT) of each request."""
    from skyvault.find import offers

    monkeypatch.setattr(offers, "_kept", {})
    seen = []
    inner = rubin.session.send

    def send(request, **how):
        from urllib.parse import parse_qs, urlsplit

        seen.append((urlsplit(request.url).path.rpartition("/")[2], parse_qs(str(request.body)).get("RESPONSEFORMAT")))
        return inner(request, **how)

    monkeypatch.setattr(rubin.session, "send", send)
    return seen


SOURCES = "SELECT ccdVisitId, coord_ra, coord_dec FROM dp02_dc2_catalogs.Source"


def test_a_service_is_asked_once_what_it_offers(rubin, asked):
    first, second = rubin.search(SOURCES), rubin.search(SOURCES)
    assert [path for path, _ in asked] == ["capabilities", "sync", "sync"]
    assert asked[1][1] == ["application/vnd.apache.arrow.stream"]
    assert len(first) == len(second) > 100
    votable = rubin.search(SOURCES, RESPONSEFORMAT="votable")
    assert votable.arrow.equals(first.arrow)
    assert [(f.name, f.unit, f.ucd) for f in votable.fielddescs] == [(f.name, f.unit, f.ucd) for f in first.fielddescs]


def test_small_queries_ask_nothing_more(rubin, asked):
    rubin.search("SELECT TOP 5 ra FROM dp02_dc2_catalogs.Source".replace("ra", "coord_ra"))
    rubin.search(SOURCES, maxrec=3)
    assert [path for path, _ in asked] == ["sync", "sync"]


def test_jobs_bring_the_fast_form_too(rubin, asked):
    results = rubin.run_async(SOURCES)
    assert results.arrow.equals(rubin.search(SOURCES, RESPONSEFORMAT="votable").arrow)
    assert ["application/vnd.apache.arrow.stream"] in [form for _, form in asked]


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_a_limit_of_the_service_is_told_whatever_the_form(rubin, form):
    with pytest.warns(TruncatedWarning):
        results = rubin.search(SOURCES, maxrec=None, RESPONSEFORMAT=form, MAXREC=7)
    assert len(results) == 7 and results.is_truncated


def test_a_service_that_does_not_describe_itself_is_asked_for_its_own_form(rubin, asked, sandbox):
    from skyvault.sandbox.faults import Fault

    sandbox.faults.set(Fault("html", archive="rubin", path="*capabilities*"))
    assert offer_of(rubin) == Offer()
    assert len(rubin.search(SOURCES)) > 100
