"""A table file of any format is published, and a query gives back its rows and what it says about them."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from skyvault.formats import open_table

FORMATS = [
    ("votable/td", "t.vot"),
    ("votable/b", "t.vot"),
    ("votable/b2", "t.vot"),
    ("fits", "t.fits"),
    ("parquet", "t.parquet"),
    ("arrow", "t.arrows"),
    ("csv", "t.csv"),
    ("tsv", "t.tsv"),
    ("ecsv", "t.ecsv"),
]
#: what a format can say about a column
TELLS_ALL = ("votable/td", "votable/b", "votable/b2", "parquet", "arrow", "ecsv")


def rows_of(stream):
    batches = list(stream.batches)
    table = pa.Table.from_batches(batches)
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def plain(value):
    """NaN as None: a published table has NULL where a file has NaN."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return [plain(one) for one in value] if isinstance(value, list) else value


def in_order(rows):
    return sorted((tuple(plain(value) for value in row) for row in rows), key=repr)


@pytest.mark.shared
@pytest.mark.parametrize(("kind", "name"), FORMATS, ids=[kind for kind, _ in FORMATS])
def test_rows_and_descriptions_of_a_real_catalogue_are_kept(shared_data, written, published, answer, kind, name):
    original = shared_data / "catalogs" / "cross_survey" / "SDSS_DR9.vot.gz"
    source = written(original, kind, name)
    done = published(source, "lab.sdss")
    stream = open_table(source)
    described, found = answer("SELECT * FROM lab.sdss")
    own = len(stream.table.columns)
    assert in_order(rows_of(stream)) == in_order(
        list(zip(*(column.to_pylist() for column in found.columns[:own]), strict=True))
    )
    assert done.nrows == found.num_rows > 1000
    for column, said in zip(described.columns, stream.table.columns, strict=False):
        assert (column.name, column.datatype) == (said.name, said.datatype)
        for field in ("unit", "ucd", "utype", "description"):
            if getattr(said, field):
                assert getattr(column, field) == getattr(said, field), (column.name, field)
    if kind in TELLS_ALL:
        first = open_table(original).table
        assert sum(bool(c.ucd) for c in described.columns) >= sum(bool(c.ucd) for c in first.columns)
        assert described.frames or first.frames == ()


@pytest.mark.shared
@pytest.mark.parametrize(
    "path",
    [
        "catalogs/gaia/ra=45,dec=0,radius=0.5.parquet",
        "catalogs/gaia/0000_12238.csv.gz",
        "catalogs/gd1/gd1_photo.fits.gz",
        "catalogs/open_clusters/gaia_results.fits",
        "catalogs/open_clusters/HD_219829_query_results.ecsv",
        "catalogs/cross_survey/2MASS_PSC.vot.gz",
        "catalogs/apass/variables.fits",
        "catalogs/variables/gcvs.parquet",
        "obslogs/surveys/ZTF_Fields.csv.gz",
        "catalogs/open_clusters/Young-Objects-Compilation.csv",
    ],
)
def test_a_catalogue_as_it_is_found_in_the_wild_is_published_and_searched_by_cone(
    shared_data, published, rows, answer, path
):
    source = shared_data / path
    expected = sum(batch.num_rows for batch in open_table(source).batches)
    done = published(source, "lab.wild", skip_bad=True)
    assert done.nrows == expected - done.bad_rows
    assert rows("SELECT COUNT(*) FROM lab.wild") == [(done.nrows,)]
    main = [c for c in done.table.columns if (c.ucd or "").startswith(("pos.eq.ra", "pos.eq.dec")) and c.indexed]
    if len(main) == 2:
        ra, dec = (f'"{column.name}"' for column in main)
        a, d = rows(f"SELECT TOP 1 {ra}, {dec} FROM lab.wild WHERE {ra} IS NOT NULL AND {dec} IS NOT NULL")[0]
        cone = f"SELECT COUNT(*) FROM lab.wild WHERE 1 = CONTAINS(POINT({ra}, {dec}), CIRCLE({a}, {d}, 0.05))"
        assert rows(cone)[0][0] >= 1
