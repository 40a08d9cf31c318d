"""The table of functions: every name once, every signature readable, every feature under its IVOID."""

from __future__ import annotations

import pytest

from skyvault.adql.check import check
from skyvault.adql.functions import CORE, NOT_OFFERED, UDF, by_name, catalogue, language_features
from skyvault.adql.parse import parse
from skyvault.adql.signature import parse_signature
from skyvault.model.ports import TableLookup

TAPREGEXT = "ivo://ivoa.net/std/tapregext#features-"


def test_features_are_declared_under_lower_case_ivoids() -> None:
    features = {name: {form for form, _ in forms} for name, forms in language_features().items()}
    assert features[TAPREGEXT + "adqlgeo"] == {
        "AREA", "BOX", "CENTROID", "CIRCLE", "CONTAINS", "COORD1", "COORD2", "COORDSYS", "DISTANCE", "INTERSECTS",
        "POINT", "POLYGON", "REGION",
    }  # fmt: skip
    assert features[TAPREGEXT + "adql-string"] == {"LOWER", "UPPER", "ILIKE"}
    assert features[TAPREGEXT + "adql-common-table"] == {"WITH"}
    assert features[TAPREGEXT + "adql-sets"] == {"UNION", "EXCEPT", "INTERSECT"}
    assert features[TAPREGEXT + "adql-type"] == {"CAST"}
    assert features[TAPREGEXT + "adql-conditional"] == {"COALESCE"}
    assert features[TAPREGEXT + "adql-unit"] == {"IN_UNIT"}
    assert features[TAPREGEXT + "adql-offset"] == {"OFFSET"}
    assert features["ivo://org.gavo.dc/std/exts#extra-adql-keywords"] == {
        "TABLESAMPLE", "CASE", "MOC", "VECTORMATH",
    }  # fmt: skip
    assert all(name == name.lower() for name in features)


def test_every_user_function_is_declared_with_signature_and_description() -> None:
    forms = dict(language_features()[UDF])
    for form, description in forms.items():
        assert parse_signature(form).name in catalogue()
        assert " -> " in form
        assert description
    declared = {parse_signature(form).name for form in forms}
    known = {name for name, spec in catalogue().items() if spec.feature == UDF and spec.name not in NOT_OFFERED}
    assert known == declared


@pytest.mark.parametrize(
    "name",
    [
        "ivo_healpix_index", "ivo_healpix_center", "ivo_epoch_prop_pos", "ivo_epoch_prop", "ivo_geom_transform",
        "ivo_to_jd", "ivo_to_mjd", "ivo_string_agg", "ivo_nocasematch", "ivo_hasword", "ivo_hashlist_has",
        "ivo_histogram", "ivo_normal_random", "ivo_interval_overlaps", "ivo_interval_has", "ivo_simbadpoint",
        "ivo_hms_to_degrees", "ivo_dms_to_degrees", "gavo_match", "gavo_getauthority", "gavo_apply_pm",
    ],
)  # fmt: skip
def test_the_functions_of_the_ivoa_catalogue_are_known(name: str) -> None:
    assert catalogue()[name].name == name


@pytest.mark.parametrize(
    ("older", "name"),
    [
        ("gavo_to_mjd", "ivo_to_mjd"),
        ("gavo_to_jd", "ivo_to_jd"),
        ("gavo_transform", "ivo_geom_transform"),
        ("gavo_histogram", "ivo_histogram"),
        ("gavo_simbadpoint", "ivo_simbadpoint"),
        ("gavo_normal_random", "ivo_normal_random"),
        ("sv_median", "median"),
        ("stddev_samp", "stddev"),
    ],
)
def test_older_names_lead_to_the_same_function(older: str, name: str) -> None:
    assert catalogue()[older] is by_name()[name]


def test_core_functions_are_no_optional_feature() -> None:
    names = {form for forms in language_features().values() for form, _ in forms}
    assert not names & {spec.name for spec in by_name().values() if spec.feature == CORE}


_ARGUMENTS = {
    "integer": "3",
    "number": "1.5",
    "text": "name",
    "timestamp": "observed",
    "point": "place",
    "geometry": "place",
    "interval": "t_range",
    "any": "ra",
    "array": "flux",
}
#: whole calls, of functions whose arguments must be constants of a kind
_CALLS = {
    "MOC": ("MOC('4/13')", "MOC(6, CIRCLE(1, 2, 3))"),
    "gavo_vocmatch": ("gavo_vocmatch('product-type', 'image', name)",),
    "ivo_specconv": ("ivo_specconv(1.5, 'nm', 'keV')",),
    "arr_map": ("arr_map(x + ra, flux)",),
}


@pytest.mark.parametrize("name", sorted(by_name()))
def test_every_signature_can_be_called_as_it_is_written(name: str, tables: TableLookup) -> None:
    spec = by_name()[name]
    if name in _CALLS:
        for call in _CALLS[name]:
            check(parse(f"SELECT {call} AS x FROM stars"), tables)
        return
    for signature in spec.signatures:
        args = [_ARGUMENTS[parameter.kind] for parameter in signature.parameters]
        for place in spec.literals:
            args[place] = {"IN_UNIT": "'rad'", "REGION": "'CIRCLE 1 2 3'"}.get(name, "'ICRS'")
        if name == "IN_UNIT":
            args[0] = "ra"
        called = name if name != "COUNT" else "count"
        checked = check(parse(f"SELECT {called}({', '.join(args)}) AS x FROM stars, obscore"), tables)
        assert checked.columns[0].name == "x"


@pytest.mark.parametrize(
    ("text", "kinds", "result", "variadic"),
    [
        ("my_udf(a DOUBLE, b TEXT) -> DOUBLE", ["number", "text"], "DOUBLE", False),
        ("f() -> INTEGER", [], "INTEGER", False),
        (
            "f(x DOUBLE PRECISION, DOUBLE PRECISION) -> DOUBLE PRECISION",
            ["number", "number"],
            "DOUBLE PRECISION",
            False,
        ),
        ("g(a ANY, ...) -> ANY", ["any"], "ANY", True),
        ("h(a VARCHAR(20), b CHAR) -> VARCHAR(3)", ["text", "text"], "VARCHAR(3)", False),
        ("k(x INTEGER[], p POINT) -> DOUBLE[6]", ["array", "point"], "DOUBLE[6]", False),
        ("m(x) ", ["any"], "ANY", False),
    ],
)
def test_signatures_of_tapregext_are_read(text: str, kinds: list[str], result: str, variadic: bool) -> None:
    signature = parse_signature(text)
    assert [parameter.kind for parameter in signature.parameters] == kinds
    assert (signature.result, signature.is_variadic) == (result, variadic)
