"""What the checker tells an emitter: relations, bound columns, merges, pinned literals, unit factors, meanings."""

from __future__ import annotations

import time

import pytest

from skyvault.adql.check import check
from skyvault.adql.checked import Checked
from skyvault.adql.nodes import (
    ColumnRef,
    DerivedTable,
    Function,
    Join,
    Query,
    Select,
    SetOperation,
    Star,
    TableRef,
)
from skyvault.adql.parse import parse
from skyvault.adql.tokens import literals, tokenize
from skyvault.adql.tree import walk
from skyvault.errors import QueryError
from skyvault.model.ports import TableLookup
from skyvault.model.table import Column


def pinned(text: str, tables: TableLookup) -> list[object]:
    """The values of the constants a plan must compare."""
    values = literals(tokenize(text))
    return [values[index] for index in sorted(check(parse(text), tables).pinned)]


def one(text: str, tables: TableLookup) -> Column:
    [column] = check(parse(text), tables).columns
    return column


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT ra FROM stars WHERE ra < 3 AND name = 'x'", []),
        ("SELECT TOP 5 ra FROM stars WHERE ra < 3 OFFSET 7", [5, 7]),
        ("SELECT ra, dec FROM stars ORDER BY 2, dec + 1", [2]),
        ("SELECT IN_UNIT(ra, 'rad'), 'rad' FROM stars", ["rad"]),
        ("SELECT POINT('ICRS', ra, 3), CIRCLE('', 1, 2, 3) FROM stars", ["ICRS", ""]),
        ("SELECT CAST(name AS VARCHAR(5)) FROM stars", [5]),
        ("SELECT ra FROM stars TABLESAMPLE(2.5)", [2.5]),
        ("SELECT POWER(ra, 2), POWER(hip, 3), POWER(ra, -1) FROM stars", [2, 1]),
        ("SELECT ivo_geom_transform('ICRS', 'GALACTIC', place) FROM stars", ["ICRS", "GALACTIC"]),
        ("SELECT ivo_simbadpoint('M 31') FROM stars", ["M 31"]),
        ("SELECT ivo_histogram(ra, 0, 1, 10) FROM stars", [10]),
        ("SELECT FLOOR(ra / 5) + 1 FROM stars GROUP BY FLOOR(ra / 5)", [5, 5]),
        ("SELECT ra FROM stars GROUP BY ra, FLOOR(dec / 5)", []),
        ("SELECT DISTINCT ra + 1 FROM stars ORDER BY ra + 1", [1, 1]),
        ("SELECT ROUND(ra, 3), flux[2], REGION('CIRCLE 1 2 3') FROM stars", []),
        ("SELECT ra FROM stars WHERE ra IN (SELECT TOP 4 ra FROM other)", [4]),
    ],
)
def test_literals_whose_value_shaped_the_result_are_pinned(
    text: str, expected: list[object], tables: TableLookup
) -> None:
    assert pinned(text, tables) == expected


def test_every_relation_has_its_own_sql_alias(tables: TableLookup) -> None:
    checked = check(
        parse("SELECT s.ra FROM stars AS s, (SELECT ra FROM other) AS t WHERE s.ra IN (SELECT ra FROM stars)"), tables
    )
    aliases = [relation.sql_alias for relation in checked.relations.values()]
    assert len(aliases) == len(set(aliases)) == 4
    for node, relation in checked.relations.items():
        assert relation.kind == ("derived" if isinstance(node, DerivedTable) else "table")
        assert isinstance(node, TableRef | DerivedTable)
    assert set(checked.tables) == {"lab.stars", "lab.other"}


def test_columns_are_bound_by_relation_and_place(tables: TableLookup) -> None:
    checked = check(parse("SELECT dec FROM stars AS s WHERE s.ra > 1"), tables)
    for node, bound in checked.bound.items():
        assert bound.relation is not None
        assert bound.relation.columns[bound.index] is bound.column
        assert bound.column.name == node.name.text


def test_every_expression_has_a_meaning(tables: TableLookup) -> None:
    query = parse(
        "SELECT ABS(ra) + 1 AS a, CASE WHEN ra > 2 THEN name END, flux[1] FROM stars AS s "
        "WHERE EXISTS (SELECT * FROM other WHERE ra = -s.ra) ORDER BY a, COALESCE(dec, 1)"
    )
    checked = check(query, tables)
    for node in walk(query):
        if isinstance(node, ColumnRef):
            assert node in checked.bound
        if isinstance(node, ColumnRef | Function):
            assert node in checked.meanings


def test_stars_and_outputs_are_given_for_every_level(tables: TableLookup) -> None:
    query = parse("SELECT * FROM here.objects UNION SELECT t.* FROM (SELECT y FROM there.objects) AS t")
    checked = check(query, tables)
    for node in walk(query):
        if isinstance(node, Query | Select | SetOperation):
            assert len(checked.outputs[node]) == 1
        if isinstance(node, Star):
            assert len(checked.stars[node]) == 1
    assert checked.outputs[query] == checked.outputs[query.body]
    assert checked.outputs[query][0].expr is None


def test_common_tables_are_listed_in_order_under_sql_names(tables: TableLookup) -> None:
    checked = check(
        parse("WITH a AS (SELECT ra FROM stars), b AS (SELECT ra FROM a) SELECT a.ra FROM a JOIN b USING (ra)"), tables
    )
    assert [name for name, _, _ in checked.commons] == ["w1", "w2"]
    assert [column.name for _, _, columns in checked.commons for column in columns] == ["ra", "ra"]
    used = sorted(relation.common or "" for relation in checked.relations.values() if relation.kind == "common")
    assert used == ["w1", "w1", "w2"]


def test_using_and_natural_joins_list_their_pairs(tables: TableLookup) -> None:
    for text in (
        "SELECT source_id, ra, dec FROM (SELECT source_id, ra, dec FROM stars) AS s NATURAL JOIN other",
        "SELECT source_id, ra, dec FROM stars RIGHT JOIN other USING (source_id, ra, dec)",
    ):
        query = parse(text)
        checked = check(query, tables)
        [join] = [node for node in walk(query) if isinstance(node, Join)]
        pairs = checked.merges[join]
        assert [(a.column.name, b.column.name) for a, b in pairs] == [("source_id",) * 2, ("ra",) * 2, ("dec",) * 2]
        [merged, *_] = [
            bound for node, bound in checked.bound.items() if node.name.text == "source_id" and bound.merged
        ]
        assert merged.merged == pairs[0]


def test_a_column_merged_twice_is_one_column(tables: TableLookup) -> None:
    checked = check(
        parse(
            "SELECT source_id FROM stars JOIN other USING (source_id) "
            "JOIN (SELECT source_id FROM other) AS t USING (source_id)"
        ),
        tables,
    )
    [bound] = [bound for bound in checked.bound.values() if bound.merged is not None]
    assert bound.merged is not None
    assert bound.merged[0].merged is not None
    assert len(checked.columns) == 1


def test_order_by_alias_is_bound_to_the_select_item(tables: TableLookup) -> None:
    query = parse("SELECT ra, dec AS d FROM stars ORDER BY d, d + 1")
    checked = check(query, tables)
    items = [bound for bound in checked.bound.values() if bound.item is not None]
    assert [bound.item for bound in items] == [1, 1]
    assert all(bound.relation is None for bound in items)
    assert items[0].column is checked.outputs[query][1].column


def test_in_unit_stores_its_factor(tables: TableLookup) -> None:
    query = parse("SELECT IN_UNIT(pmra, 'deg/yr') FROM stars")
    checked = check(query, tables)
    [(node, factor)] = checked.unit_factors.items()
    assert isinstance(node, Function) and node.name == "IN_UNIT"
    assert factor == pytest.approx(1 / 3.6e6)


def test_selects_with_groups_or_set_functions_are_marked(tables: TableLookup) -> None:
    def marked(text: str) -> int:
        return len(check(parse(text), tables).aggregated)

    assert marked("SELECT ra FROM stars") == 0
    assert marked("SELECT COUNT(*) FROM stars") == 1
    assert marked("SELECT class FROM stars GROUP BY class") == 1
    assert marked("SELECT 1 FROM stars ORDER BY COUNT(*)") == 1
    assert marked("SELECT ra FROM stars WHERE ra > (SELECT AVG(ra) FROM stars)") == 1


def test_plain_columns_keep_all_they_mean(tables: TableLookup) -> None:
    column = one("SELECT t.m AS magnitude FROM (SELECT mag_vt AS m FROM stars) AS t", tables)
    assert (column.name, column.unit, column.ucd, column.utype) == ("magnitude", "mag", "phot.mag;em.opt.V", "phot:vt")
    assert one("SELECT ra AS x FROM stars", tables).description == "Right ascension"
    assert one("SELECT observed FROM stars", tables).xtype == "timestamp"


def test_meanings_go_through_functions_as_far_as_they_hold(tables: TableLookup) -> None:
    assert one("SELECT MAX(mag_vt) FROM stars", tables).ucd == "phot.mag;em.opt.V"
    assert one("SELECT AVG(mag_vt) FROM stars", tables).ucd == "phot.mag;em.opt.V;stat.mean"
    assert one("SELECT COUNT(ra) FROM stars", tables).ucd == "meta.number"
    assert one("SELECT COALESCE(mag_vt, 99.9) FROM stars", tables).ucd == "phot.mag;em.opt.V"
    assert one("SELECT COALESCE(mag_vt, bv) FROM stars", tables).ucd is None
    assert one("SELECT mag_vt + bv FROM stars", tables).ucd is None
    assert one("SELECT COORD1(POINT('ICRS', ra, dec)) FROM stars", tables).ucd == "pos.eq.ra;meta.main"
    assert one("SELECT DISTANCE(place, place) FROM stars", tables).ucd == "pos.angDistance"
    assert one("SELECT IN_UNIT(pmra, 'deg/yr') FROM stars", tables).ucd == "pos.pm;pos.eq.ra"
    assert one("SELECT ivo_healpix_index(5, ra, dec) FROM stars", tables).ucd == "pos.healpix"


@pytest.mark.parametrize(
    ("text", "xtype"),
    [
        ("POINT(1, 2)", "point"),
        ("CIRCLE(1, 2, 3)", "circle"),
        ("BOX(1, 2, 3, 4)", "polygon"),
        ("POLYGON(1, 2, 3, 4, 5, 6)", "polygon"),
        ("REGION('CIRCLE 1 2 3')", "adql:REGION"),
        ("CAST('1 2' AS POINT)", "point"),
        ("ivo_geom_transform('ICRS', 'FK5', CIRCLE(1, 2, 3))", "circle"),
        ("CAST('2020-01-01' AS TIMESTAMP)", "timestamp"),
    ],
)
def test_computed_geometries_and_times_say_their_xtype(text: str, xtype: str, tables: TableLookup) -> None:
    assert one(f"SELECT {text} FROM stars", tables).xtype == xtype


def test_a_function_known_by_signature_only_cannot_be_run(tables: TableLookup) -> None:
    query = parse("SELECT my_udf(ra) FROM stars", functions=["my_udf(a DOUBLE) -> DOUBLE"])
    with pytest.raises(QueryError, match="not available"):
        check(query, tables)


def test_errors_of_the_checker_point_at_line_and_column(tables: TableLookup) -> None:
    with pytest.raises(QueryError) as caught:
        check(parse("SELECT ra\nFROM stars\n  WHERE deck > 3"), tables)
    assert (caught.value.line, caught.value.column, caught.value.token) == (3, 9, "deck")


def test_checking_a_cone_takes_less_than_a_millisecond(tables: TableLookup) -> None:
    text = "SELECT TOP 9 hip, ra, dec FROM lab.stars WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(1, 2, 0.1)) AND bv < 1"
    best = float("inf")
    for _ in range(100):
        start = time.perf_counter()
        checked = check(parse(text), tables)
        best = min(best, time.perf_counter() - start)
    assert isinstance(checked, Checked)
    assert best < 2e-3, f"{best * 1e6:.0f} us"
