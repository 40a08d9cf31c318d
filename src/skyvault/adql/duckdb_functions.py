"""How DuckDB spells the functions of ADQL: one row a function; {0}, {1} ... are the arguments."""

from __future__ import annotations

from collections.abc import Iterable


def _doubles(places: Iterable[int | None]) -> str:
    """Arguments as doubles, which the registered sky functions take; None is a NULL."""
    return ", ".join("NULL" if place is None else f"CAST({{{place}}} AS DOUBLE)" for place in places)


#: (canonical name, number of arguments or None for any) -> SQL
TEMPLATES: dict[tuple[str, int | None], str] = {
    ("ABS", 1): "abs({0})",
    ("CEILING", 1): "ceil({0})",
    ("DEGREES", 1): "degrees({0})",
    ("EXP", 1): "exp({0})",
    ("FLOOR", 1): "floor({0})",
    ("LOG", 1): "CASE WHEN ({0}) > 0 THEN ln({0}) END",
    ("LOG10", 1): "CASE WHEN ({0}) > 0 THEN log10({0}) END",
    ("MOD", 2): "(({0}) % nullif({1}, 0)){1:once}",
    ("PI", 0): "pi()",
    ("POWER", 2): "CASE WHEN ({0}) >= 0 OR ({1}) = trunc({1}) THEN pow({0}, {1}) END",
    ("RADIANS", 1): "radians({0})",
    ("RAND", 0): "random()",
    ("RAND", 1): "random()",
    # halves go to the even neighbour, as in IEEE 754 and most TAP services' engines
    ("ROUND", 1): "round_even({0}, 0)",
    ("ROUND", 2): "round_even({0}, CAST({1} AS INTEGER))",
    ("SQRT", 1): "CASE WHEN ({0}) >= 0 THEN sqrt({0}) END",
    ("TRUNCATE", 1): "trunc({0})",
    ("TRUNCATE", 2): "(trunc(({0}) * pow(1e1, {1})) / pow(1e1, {1}))",
    ("ACOS", 1): "CASE WHEN ({0}) BETWEEN -1 AND 1 THEN acos({0}) END",
    ("ASIN", 1): "CASE WHEN ({0}) BETWEEN -1 AND 1 THEN asin({0}) END",
    ("ATAN", 1): "atan({0})",
    ("ATAN2", 2): "atan2({0}, {1})",
    ("COS", 1): "cos({0})",
    ("COT", 1): "cot({0})",
    ("SIN", 1): "sin({0})",
    ("TAN", 1): "tan({0})",
    ("LOWER", 1): "lower({0})",
    ("UPPER", 1): "upper({0})",
    ("COALESCE", None): "coalesce({*})",
    # aggregates
    ("AVG", 1): "avg({0})",
    ("MAX", 1): "max({0})",
    ("MIN", 1): "min({0})",
    ("SUM", 1): "sum({0})",
    ("COUNT", 1): "count({0})",
    ("stddev", 1): "stddev_samp({0})",
    ("variance", 1): "var_samp({0})",
    ("median", 1): "median({0})",
    ("ivo_string_agg", 2): "coalesce(string_agg({0}, {1}), '')",
    # vectors; an element that is NULL makes no sum
    ("arr_dot", 2): (
        "CASE WHEN len({0}) <> len({1}) OR list_count({0}) + list_count({1}) <> 2 * len({0}) THEN CAST('NaN' AS DOUBLE)"
        " ELSE list_dot_product(CAST({0} AS DOUBLE[]), CAST({1} AS DOUBLE[])) END"
    ),
    ("arr_sum", 1): "CAST(list_sum({0}) AS DOUBLE)",
    ("arr_avg", 1): "CAST(list_avg({0}) AS DOUBLE)",
    ("arr_min", 1): "list_min({0})",
    ("arr_max", 1): "list_max({0})",
    ("arr_stddev", 1): "list_aggregate({0}, 'stddev_samp')",
    ("arr_count", 1): "CAST(len({0}) AS INTEGER)",
    # catalogue of user-defined functions
    ("ivo_to_jd", 1): "(epoch_us(CAST({0} AS TIMESTAMP)) / 86400e6 + 2440587.5e0)",
    ("ivo_to_mjd", 1): "(epoch_us(CAST({0} AS TIMESTAMP)) / 86400e6 + 40587e0)",
    ("ivo_nocasematch", 2): "CAST(({0}) ILIKE ({1}) AS INTEGER)",
    ("ivo_hasword", 2): (
        "CAST(list_has_all(regexp_extract_all(lower({0}), '[\\pL\\pN]+'),"
        " regexp_extract_all(lower({1}), '[\\pL\\pN]+'))"
        " AS INTEGER)"
    ),
    ("ivo_hashlist_has", 2): (
        "CAST(list_contains(string_split(lower({0}), '#'), lower({1})) AND NOT contains({1}, '#') AS INTEGER)"
    ),
    ("ivo_normal_random", 2): "(({0}) + ({1}) * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))",
    ("ivo_interval_overlaps", 4): (
        "CAST(({0}) <= ({1}) AND ({2}) <= ({3}) AND ({0}) <= ({3}) AND ({2}) <= ({1}) AS INTEGER)"
    ),
    ("ivo_interval_has", 2): "CAST(({0}) BETWEEN ({1})[1] AND ({1})[2] AS INTEGER)",
    ("ivo_hms_to_degrees", 1): "sv_hms({0})",
    ("ivo_dms_to_degrees", 1): "sv_dms({0})",
    ("ivo_epoch_prop", 8): f"sv_epoch_prop({_doubles(range(8))})",
    ("gavo_match", 2): "CAST(regexp_matches({1}, {0}) AS INTEGER)",
    ("gavo_getauthority", 1): "regexp_extract({0}, '^ivo://([^/?#]+)', 1)",
    # helpers under their common names
    ("greatest", None): "greatest({*})",
    ("least", None): "least({*})",
    ("nullif", 2): "nullif({0}, {1}){0:once}",
    ("substring", 2): "substring({0}, CAST({1} AS BIGINT))",
    ("substring", 3): "substring({0}, CAST({1} AS BIGINT), CAST({2} AS BIGINT))",
    ("left", 2): "left({0}, CAST({1} AS BIGINT))",
    ("right", 2): "right({0}, CAST({1} AS BIGINT))",
    ("length", 1): "length({0})",
    ("position", 2): "position({0} IN {1})",
    ("replace", 3): "replace({0}, {1}, {2})",
    ("trim", 1): "trim({0})",
    ("sign", 1): "sign({0})",
    ("cbrt", 1): "cbrt({0})",
    ("width_bucket", 4): (
        "CASE WHEN ({0}) < ({1}) THEN 0 WHEN ({0}) >= ({2}) THEN ({3}) + 1"
        " ELSE CAST(floor((({0}) - ({1})) / (({2}) - ({1})) * ({3})) AS INTEGER) + 1 END"
    ),
}

#: aggregates that take DISTINCT
AGGREGATES: frozenset[str] = frozenset(
    {"AVG", "MAX", "MIN", "SUM", "COUNT", "stddev", "variance", "median", "ivo_string_agg", "ivo_histogram"}
)

#: functions that return a shape array "[1, lon, lat]" made by the registered sky functions
POINT_FUNCTIONS: dict[str, str] = {
    "ivo_healpix_center": "sv_healpix_center(CAST({0} AS INTEGER), CAST({1} AS BIGINT))",
    "ivo_epoch_prop_pos": f"sv_epoch_prop_pos({_doubles(range(8))})",
}

#: the form of ivo_epoch_prop_pos without parallax and radial velocity
EPOCH_PROP_SIX = f"sv_epoch_prop_pos({_doubles((0, 1, None, 2, 3, None, 4, 5))})"

#: SQL types of described columns
SQL_TYPES: dict[str, str] = {
    "boolean": "BOOLEAN",
    "bit": "BOOLEAN",
    "unsignedByte": "UTINYINT",
    "short": "SMALLINT",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "floatComplex": "FLOAT[]",
    "doubleComplex": "DOUBLE[]",
    "char": "VARCHAR",
    "unicodeChar": "VARCHAR",
}

CAST_TYPES: dict[str, str] = {
    "SMALLINT": "SMALLINT",
    "INTEGER": "INTEGER",
    "BIGINT": "BIGINT",
    "REAL": "FLOAT",
    "DOUBLE PRECISION": "DOUBLE",
    "CHAR": "VARCHAR",
    "VARCHAR": "VARCHAR",
    "TIMESTAMP": "TIMESTAMP",
}
