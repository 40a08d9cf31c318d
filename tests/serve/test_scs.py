"""Simple cone searches: verbosities, the three columns every client looks for, tables whose places are points."""

from __future__ import annotations

import io
import urllib.request
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import parse

from skyvault.model.table import Column, Table
from skyvault.publish.publisher import publish

MAIN = {"ID_MAIN", "POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> str:
    folder = tmp_path_factory.mktemp("scs")
    home = folder / "home"
    (folder / "stars.csv").write_text("id,ra,dec,mag,note\n1,10,20,12.5,a\n2,10.5,20.5,13.5,b\n3,200,-30,9.5,c\n")
    publish(folder / "stars.csv", name="lab.stars", home=home)
    from skyvault.formats.arrow import to_schema

    columns = (
        Column("name", "char", "*", ucd="meta.id;meta.main", principal=True),
        Column("place", "double", "2", xtype="point", unit="deg", ucd="pos.eq"),
        Column("ra", "char", "*", description="As it was written"),
        Column("flux", "double", unit="Jy", principal=True),
    )
    table = Table("points", columns)
    rows = {"name": ["a", "b"], "place": [[10.0, 20.0], [50.0, 5.0]], "ra": ["x", "y"], "flux": [1.5, 2.5]}
    pq.write_table(pa.table(rows, schema=to_schema(table)), folder / "points.parquet")
    publish(folder / "points.parquet", name="lab.points", home=home, overrides={"position": ["place"]})
    return str(start_server(home).base_url)


def ask(base: str, table: str, query: str) -> Any:
    with urllib.request.urlopen(f"{base}/lab/{table}/scs?{query}") as answer:
        return parse(io.BytesIO(answer.read())).get_first_table()


def test_each_verbosity_has_the_three_columns_and_more_than_the_one_before(base: str) -> None:
    found = {verb: ask(base, "points", f"RA=10&DEC=20&SR=1&VERB={verb}") for verb in (1, 2, 3)}
    names = {verb: [field.name for field in table.fields] for verb, table in found.items()}
    for table in found.values():
        assert {field.ucd for field in table.fields} >= MAIN
        assert len(table.array) == 1
    assert set(names[1]) < set(names[2]) < set(names[3])
    assert "flux" in names[2]
    assert "ra" in names[3]


def test_places_that_are_points_are_given_as_two_numbers(base: str) -> None:
    table = ask(base, "points", "RA=50&DEC=5&SR=0.1&VERB=1")
    by_ucd = {field.ucd: field.name for field in table.fields}
    row = table.array[0]
    assert (row[by_ucd["POS_EQ_RA_MAIN"]], row[by_ucd["POS_EQ_DEC_MAIN"]]) == (50.0, 5.0)


def test_pyvo_searches_both(base: str) -> None:
    import pyvo

    for name, count in (("stars", 2), ("points", 1)):
        service = pyvo.dal.SCSService(f"{base}/lab/{name}/scs?")
        found = service.search(pos=(10.0, 20.0), radius=1.0, verbosity=3)
        assert len(found) == count
        assert found[0].pos.ra.deg == 10.0


def test_no_radius_asks_for_the_columns_only(base: str) -> None:
    table = ask(base, "stars", "RA=10&DEC=20&SR=0")
    assert len(table.array) == 0
    assert {field.ucd for field in table.fields} >= MAIN


@pytest.mark.parametrize("query", ["RA=10&DEC=20&SR=1&VERB=4", "RA=10&DEC=20", "RA=10&DEC=91&SR=1"])
def test_what_is_wrong_is_one_info_called_error(base: str, query: str) -> None:
    with urllib.request.urlopen(f"{base}/lab/stars/scs?{query}") as answer:
        text = answer.read().decode()
    assert '<INFO ID="Error" name="Error"' in text
