"""The one table of functions a query may call: how each is written, what it takes, what comes out.

Nothing that is not in this table (or its second half, ``functions_udf``) reaches a database. The table feeds the
parser (names and numbers of arguments), the checker (types, units, UCDs) and the capabilities document.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from skyvault.adql.signature import Signature, parse_signature

#: TAPRegExt 1.0, section 2.3: types of language features, all in lower case as ADQL 2.1 wants them
_TAPREGEXT = "ivo://ivoa.net/std/tapregext#"
CORE = "core"
UDF = _TAPREGEXT + "features-udf"
GEOMETRY = _TAPREGEXT + "features-adqlgeo"
STRING = _TAPREGEXT + "features-adql-string"
COMMON_TABLE = _TAPREGEXT + "features-adql-common-table"
SETS = _TAPREGEXT + "features-adql-sets"
TYPE = _TAPREGEXT + "features-adql-type"
CONDITIONAL = _TAPREGEXT + "features-adql-conditional"
UNIT = _TAPREGEXT + "features-adql-unit"
OFFSET = _TAPREGEXT + "features-adql-offset"
EXTRA_KEYWORDS = "ivo://org.gavo.dc/std/exts#extra-adql-keywords"


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """One function.

    ``name`` is canonical: upper case for the standard's, lower case for user functions. ``rule`` says how type and
    meaning of the result follow from the arguments (``meaning.result_of``); "declared" takes the signature's result.
    ``literals`` are the numbers (from 0) of arguments that must be constants written in the query.
    """

    name: str
    signatures: tuple[Signature, ...]
    description: str
    feature: str
    rule: str = "declared"
    is_aggregate: bool = False
    aliases: tuple[str, ...] = ()
    literals: frozenset[int] = frozenset()
    unit: str | None = None
    ucd: str | None = None

    def takes(self, count: int) -> bool:
        """Whether some signature has ``count`` arguments."""
        return any(signature.takes(count) for signature in self.signatures)


def define(
    feature: str,
    forms: str | tuple[str, ...],
    description: str,
    *,
    rule: str = "declared",
    is_aggregate: bool = False,
    aliases: tuple[str, ...] = (),
    literals: Iterable[int] = (),
    unit: str | None = None,
    ucd: str | None = None,
) -> FunctionSpec:
    """A row of the table from the function's signatures as people read them."""
    texts = (forms,) if isinstance(forms, str) else forms
    signatures = tuple(parse_signature(text) for text in texts)
    written = texts[0].partition("(")[0].strip()
    name = written if feature == UDF else written.upper()
    return FunctionSpec(
        name, signatures, description, feature, rule, is_aggregate, aliases, frozenset(literals), unit, ucd
    )


_MATHEMATICS = (
    define(CORE, "ABS(x NUMERIC) -> NUMERIC", "Absolute value.", rule="same"),
    define(CORE, "CEILING(x NUMERIC) -> NUMERIC", "Smallest whole number not below x.", rule="same"),
    define(CORE, "DEGREES(x NUMERIC) -> DOUBLE", "Radians to degrees.", unit="deg"),
    define(CORE, "EXP(x NUMERIC) -> DOUBLE", "e to the power x."),
    define(CORE, "FLOOR(x NUMERIC) -> NUMERIC", "Largest whole number not above x.", rule="same"),
    define(CORE, "LOG(x NUMERIC) -> DOUBLE", "Natural logarithm."),
    define(CORE, "LOG10(x NUMERIC) -> DOUBLE", "Logarithm to base 10."),
    define(CORE, "MOD(x NUMERIC, y NUMERIC) -> NUMERIC", "Remainder of x / y, with the sign of x.", rule="promote"),
    define(CORE, "PI() -> DOUBLE", "The number pi."),
    define(CORE, "POWER(x NUMERIC, y NUMERIC) -> DOUBLE", "x to the power y.", rule="power"),
    define(CORE, "RADIANS(x NUMERIC) -> DOUBLE", "Degrees to radians.", unit="rad"),
    define(CORE, ("RAND() -> DOUBLE", "RAND(seed INTEGER) -> DOUBLE"), "Random number from 0 to 1."),
    define(
        CORE,
        ("ROUND(x NUMERIC) -> NUMERIC", "ROUND(x NUMERIC, n INTEGER) -> NUMERIC"),
        "x rounded to n decimal places.",
        rule="same",
    ),
    define(CORE, "SQRT(x NUMERIC) -> DOUBLE", "Square root.", rule="root"),
    define(
        CORE,
        ("TRUNCATE(x NUMERIC) -> NUMERIC", "TRUNCATE(x NUMERIC, n INTEGER) -> NUMERIC"),
        "x cut off to n decimal places.",
        rule="same",
    ),
)

_TRIGONOMETRY = (
    define(CORE, "ACOS(x NUMERIC) -> DOUBLE", "Arc cosine in radians.", unit="rad"),
    define(CORE, "ASIN(x NUMERIC) -> DOUBLE", "Arc sine in radians.", unit="rad"),
    define(CORE, "ATAN(x NUMERIC) -> DOUBLE", "Arc tangent in radians.", unit="rad"),
    define(CORE, "ATAN2(y NUMERIC, x NUMERIC) -> DOUBLE", "Direction of (x, y) in radians.", unit="rad"),
    define(CORE, "COS(x NUMERIC) -> DOUBLE", "Cosine of x radians."),
    define(CORE, "COT(x NUMERIC) -> DOUBLE", "Cotangent of x radians."),
    define(CORE, "SIN(x NUMERIC) -> DOUBLE", "Sine of x radians."),
    define(CORE, "TAN(x NUMERIC) -> DOUBLE", "Tangent of x radians."),
)

_AGGREGATES = (
    define(CORE, "COUNT(x ANY) -> BIGINT", "Number of values that are not NULL.", is_aggregate=True, ucd="meta.number"),
    # of arrays, all four are computed element by element
    define(
        CORE,
        ("AVG(x NUMERIC) -> DOUBLE", "AVG(x DOUBLE[]) -> DOUBLE[]"),
        "Mean of the values.",
        rule="mean",
        is_aggregate=True,
    ),
    define(CORE, "MAX(x ANY) -> ANY", "Largest value.", rule="extreme", is_aggregate=True),
    define(CORE, "MIN(x ANY) -> ANY", "Smallest value.", rule="extreme", is_aggregate=True),
    define(
        CORE,
        ("SUM(x NUMERIC) -> NUMERIC", "SUM(x DOUBLE[]) -> DOUBLE[]"),
        "Sum of the values.",
        rule="sum",
        is_aggregate=True,
    ),
)

# The number and kinds of arguments of the constructors have rules of their own: parse_forms.geometry_form.
_GEOMETRY = (
    define(GEOMETRY, "AREA(geom REGION) -> DOUBLE", "Area in square degrees.", unit="deg**2", ucd="phys.angArea"),
    define(
        GEOMETRY,
        (
            "BOX(lon DOUBLE, lat DOUBLE, width DOUBLE, height DOUBLE) -> POLYGON",
            "BOX(centre POINT, width DOUBLE, height DOUBLE) -> POLYGON",
        ),
        "Box around a centre, sides along great circles (deprecated).",
    ),
    define(GEOMETRY, "CENTROID(geom REGION) -> POINT", "Centre of a region."),
    define(
        GEOMETRY,
        (
            "CIRCLE(lon DOUBLE, lat DOUBLE, radius DOUBLE) -> CIRCLE",
            "CIRCLE(centre POINT, radius DOUBLE) -> CIRCLE",
        ),
        "Circle on the sky, in degrees.",
    ),
    define(GEOMETRY, "CONTAINS(a REGION, b REGION) -> INTEGER", "1 if b contains all of a, else 0."),
    define(
        GEOMETRY, "COORD1(p POINT) -> DOUBLE", "First coordinate of a point, in degrees.", rule="coordinate", unit="deg"
    ),
    define(
        GEOMETRY,
        "COORD2(p POINT) -> DOUBLE",
        "Second coordinate of a point, in degrees.",
        rule="coordinate",
        unit="deg",
    ),
    define(GEOMETRY, "COORDSYS(geom REGION) -> TEXT", "Frame of a geometry (deprecated)."),
    define(
        GEOMETRY,
        (
            "DISTANCE(a POINT, b POINT) -> DOUBLE",
            "DISTANCE(lon1 DOUBLE, lat1 DOUBLE, lon2 DOUBLE, lat2 DOUBLE) -> DOUBLE",
        ),
        "Angle between two points, in degrees.",
        unit="deg",
        ucd="pos.angDistance",
    ),
    define(GEOMETRY, "INTERSECTS(a REGION, b REGION) -> INTEGER", "1 if a and b have a point in common, else 0."),
    define(GEOMETRY, "POINT(lon DOUBLE, lat DOUBLE) -> POINT", "Point on the sky, in degrees."),
    define(
        GEOMETRY,
        (
            "POLYGON(lon1 DOUBLE, lat1 DOUBLE, lon2 DOUBLE, lat2 DOUBLE, lon3 DOUBLE, lat3 DOUBLE, ...) -> POLYGON",
            "POLYGON(p1 POINT, p2 POINT, p3 POINT, ...) -> POLYGON",
        ),
        "Polygon with sides along great circles.",
    ),
    define(
        GEOMETRY,
        ("MOC(moc TEXT) -> MOC", "MOC(hpxOrder INTEGER, geom GEOMETRY) -> MOC"),
        "Cells of the sky (HEALPix, nested, ICRS) from an ASCII MOC such as 4/13 17-18 8/3002, or those of an order "
        "that a constant geometry touches.",
    ),
    define(GEOMETRY, "REGION(text TEXT) -> REGION", "Region from a text such as CIRCLE ICRS 10 20 1.", literals=(0,)),
)

_OPTIONAL = (
    define(STRING, "LOWER(text TEXT) -> TEXT", "Text in lower case.", rule="text"),
    define(STRING, "UPPER(text TEXT) -> TEXT", "Text in upper case.", rule="text"),
    define(CONDITIONAL, "COALESCE(x ANY, ...) -> ANY", "First argument that is not NULL.", rule="unify"),
    define(
        UNIT,
        "IN_UNIT(x NUMERIC, unit TEXT) -> DOUBLE",
        "Value converted to another unit.",
        rule="in_unit",
        literals=(1,),
    ),
)

#: forms of features that are not functions: (feature, form, description)
KEYWORD_FEATURES: tuple[tuple[str, str, str], ...] = (
    (STRING, "ILIKE", "LIKE whatever the case."),
    (COMMON_TABLE, "WITH", "Named subqueries before the query."),
    (SETS, "UNION", "Rows of either query."),
    (SETS, "EXCEPT", "Rows of the first query only."),
    (SETS, "INTERSECT", "Rows of both queries."),
    (TYPE, "CAST", "CAST(value AS TYPE)."),
    (OFFSET, "OFFSET", "Skips the first rows."),
    (EXTRA_KEYWORDS, "TABLESAMPLE", "Write TABLESAMPLE(p) after a table's name to see about p percent of its rows."),
    (EXTRA_KEYWORDS, "MOC", "MOC('4/13 17-18') and MOC(order, geometry) in CONTAINS and INTERSECTS."),
    (
        EXTRA_KEYWORDS,
        "VECTORMATH",
        "a[i], a[low:high], + - * / of arrays and numbers, element by element; arr_dot, arr_sum, arr_avg, arr_min, "
        "arr_max, arr_stddev, arr_count, arr_map; AVG, SUM, MIN and MAX of array columns.",
    ),
    (EXTRA_KEYWORDS, "CASE", "CASE WHEN condition THEN value ... ELSE value END, and CASE value WHEN value THEN ..."),
)


@cache
def catalogue() -> Mapping[str, FunctionSpec]:
    """All functions by every name they are known by, in lower case (aliases lead to the same row)."""
    from skyvault.adql.functions_udf import USER_FUNCTIONS

    table: dict[str, FunctionSpec] = {}
    for spec in (*_MATHEMATICS, *_TRIGONOMETRY, *_AGGREGATES, *_GEOMETRY, *_OPTIONAL, *USER_FUNCTIONS):
        for name in (spec.name, *spec.aliases):
            table[name.lower()] = spec
    return table


@cache
def by_name() -> Mapping[str, FunctionSpec]:
    """All functions by canonical name, each once."""
    return {spec.name: spec for spec in catalogue().values()}


def declared(signatures: Iterable[str]) -> Mapping[str, FunctionSpec]:
    """The catalogue together with functions known from their signatures alone (another service's, say).

    Raises UsageError when a signature cannot be read.
    """
    table = dict(catalogue())
    for text in signatures:
        signature = parse_signature(text)
        known = table.get(signature.name)
        if known is not None:
            widened = (*known.signatures, signature)
            table[signature.name] = FunctionSpec(
                known.name, widened, known.description, known.feature, known.rule, known.is_aggregate, known.aliases
            )
        else:
            table[signature.name] = FunctionSpec(signature.name, (signature,), "", UDF)
    return table


#: known to the language, but not offered: no name resolver is asked while a query waits
NOT_OFFERED = frozenset({"ivo_simbadpoint"})


def language_features() -> dict[str, tuple[tuple[str, str], ...]]:
    """Optional features of the language by their IVOID: pairs of (form, description), as TAPRegExt lists them.

    Geometry and string functions are listed by name, user functions by signature, one form a signature and alias.
    """
    features: dict[str, list[tuple[str, str]]] = {}
    for spec in by_name().values():
        # MOC is no feature of the standard's geometry, but one of the extra keywords
        if spec.feature == CORE or spec.name in NOT_OFFERED or spec.name == "MOC":
            continue
        forms = features.setdefault(spec.feature, [])
        if spec.feature != UDF:
            forms.append((spec.name, spec.description))
            continue
        for name in (spec.name, *spec.aliases):
            for signature in spec.signatures:
                rest = signature.text[signature.text.index("(") :]
                forms.append((name + rest, spec.description))
    for feature, form, description in KEYWORD_FEATURES:
        features.setdefault(feature, []).append((form, description))
    return {feature: tuple(forms) for feature, forms in features.items()}
