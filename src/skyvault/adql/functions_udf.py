"""User-defined functions: those of the IVOA catalogue, the useful ones of GAVO, and common ones, each also under
a name with the prefix ``sv_``.

IVOA: "Catalogue of ADQL User Defined Functions" 1.2. Older ``gavo_`` spellings are aliases of the names they got
when they were adopted.
"""

from __future__ import annotations

from skyvault.adql.functions import UDF, FunctionSpec, define

_IVOA = (
    define(
        UDF,
        (
            "ivo_healpix_index(hpxOrder INTEGER, lon DOUBLE, lat DOUBLE) -> BIGINT",
            "ivo_healpix_index(hpxOrder INTEGER, p POINT) -> BIGINT",
        ),
        "HEALPix index (nested) of the cell of the given order that holds a position in degrees.",
        ucd="pos.healpix",
    ),
    define(
        UDF,
        "ivo_healpix_center(hpxOrder INTEGER, hpxIndex BIGINT) -> POINT",
        "Centre of a HEALPix cell (nested scheme).",
    ),
    define(
        UDF,
        (
            "ivo_epoch_prop_pos(ra DOUBLE, dec DOUBLE, parallax DOUBLE, pmra DOUBLE, pmdec DOUBLE, "
            "radial_velocity DOUBLE, ref_epoch DOUBLE, out_epoch DOUBLE) -> POINT",
            "ivo_epoch_prop_pos(ra DOUBLE, dec DOUBLE, pmra DOUBLE, pmdec DOUBLE, ref_epoch DOUBLE, "
            "out_epoch DOUBLE) -> POINT",
        ),
        "Position at another epoch by uniform space motion: deg, mas, mas/yr (with cos dec), km/s, Julian years.",
    ),
    define(
        UDF,
        "ivo_epoch_prop(ra DOUBLE, dec DOUBLE, parallax DOUBLE, pmra DOUBLE, pmdec DOUBLE, radial_velocity DOUBLE, "
        "ref_epoch DOUBLE, out_epoch DOUBLE) -> DOUBLE[6]",
        "Position, parallax, proper motion and radial velocity at another epoch, in the units of the arguments.",
    ),
    define(
        UDF,
        "ivo_geom_transform(from_sys TEXT, to_sys TEXT, geo GEOMETRY) -> GEOMETRY",
        "A geometry turned to another frame: ICRS, FK5, FK4, GALACTIC, ECLIPTIC, written as constants.",
        rule="transformed",
        aliases=("gavo_transform",),
        literals=(0, 1),
    ),
    define(
        UDF,
        "ivo_to_jd(t TIMESTAMP) -> DOUBLE",
        "Julian date of a timestamp.",
        aliases=("gavo_to_jd",),
        unit="d",
        ucd="time",
    ),
    define(
        UDF,
        "ivo_to_mjd(t TIMESTAMP) -> DOUBLE",
        "Modified Julian date of a timestamp.",
        aliases=("gavo_to_mjd",),
        unit="d",
        ucd="time",
    ),
    define(
        UDF,
        "ivo_string_agg(expression TEXT, delimiter TEXT) -> TEXT",
        "All texts of a group joined by a delimiter; NULLs leave no trace.",
        is_aggregate=True,
    ),
    define(
        UDF,
        "ivo_nocasematch(value TEXT, pattern TEXT) -> INTEGER",
        "1 if the value is LIKE the pattern whatever the case, else 0.",
    ),
    define(
        UDF,
        "ivo_hasword(haystack TEXT, needle TEXT) -> INTEGER",
        "1 if all words of the needle are words of the haystack whatever the case, else 0.",
    ),
    define(
        UDF,
        "ivo_hashlist_has(hashlist TEXT, item TEXT) -> INTEGER",
        "1 if the item is in a list of words separated by #, whatever the case, else 0.",
    ),
    define(
        UDF,
        "ivo_histogram(val NUMERIC, lower NUMERIC, upper NUMERIC, nbins INTEGER) -> INTEGER[]",
        "Counts in nbins equal bins; first and last element count what is below (or NULL) and above.",
        rule="histogram",
        is_aggregate=True,
        aliases=("gavo_histogram",),
    ),
    define(
        UDF,
        "ivo_normal_random(mu DOUBLE, sigma DOUBLE) -> DOUBLE",
        "Random number from a normal distribution.",
        aliases=("gavo_normal_random",),
    ),
    define(
        UDF,
        "ivo_interval_overlaps(l1 NUMERIC, h1 NUMERIC, l2 NUMERIC, h2 NUMERIC) -> INTEGER",
        "1 if the intervals [l1, h1] and [l2, h2] have a point in common, else 0.",
    ),
    define(
        UDF,
        "ivo_interval_has(val NUMERIC, iv INTERVAL) -> INTEGER",
        "1 if the interval contains the value, else 0.",
    ),
    define(
        UDF,
        "ivo_simbadpoint(identifier TEXT) -> POINT",
        "Position of an object by its name, written as a constant.",
        aliases=("gavo_simbadpoint",),
        literals=(0,),
    ),
    define(
        UDF,
        "ivo_hms_to_degrees(hms TEXT) -> DOUBLE",
        "Degrees from hours, minutes and seconds: 12:30:00, 123000 or 12h30m00s; NULL if it is none of them.",
        unit="deg",
    ),
    define(
        UDF,
        "ivo_dms_to_degrees(dms TEXT) -> DOUBLE",
        "Degrees from degrees, minutes and seconds of arc with a sign: -00:15:00 is -0.25; NULL if it is none.",
        unit="deg",
    ),
)

_GAVO = (
    define(
        UDF,
        "gavo_match(pattern TEXT, string TEXT) -> INTEGER",
        "1 if the POSIX regular expression is found in the string, else 0.",
    ),
    define(
        UDF,
        "gavo_mocunion(first MOC, second MOC) -> MOC",
        "What either of two coverages covers; other regions are taken as the cells they touch.",
    ),
    define(
        UDF,
        "gavo_mocintersect(first MOC, second MOC) -> MOC",
        "What both of two coverages cover; other regions are taken as the cells they touch.",
    ),
    define(
        UDF,
        "gavo_vocmatch(vocabulary TEXT, term TEXT, matchagainst TEXT) -> INTEGER",
        "1 if the third argument is the term of an IVOA vocabulary, or a narrower one, else 0; vocabulary and term are "
        "constants, such as 'product-type', 'timeseries'. In a tree all narrower terms count, in a thesaurus the next.",
        rule="vocabulary_match",
        literals=(0, 1),
    ),
    define(UDF, "gavo_getauthority(ivoid TEXT) -> TEXT", "The authority part of an IVOA identifier."),
    define(
        UDF,
        "gavo_apply_pm(ra DOUBLE, dec DOUBLE, pmra DOUBLE, pmde DOUBLE, epdist DOUBLE) -> POINT",
        "Position after epdist years of proper motion in deg/yr, in the tangential plane; "
        "ivo_epoch_prop_pos is the exact one.",
        aliases=("ivo_apply_pm",),
    ),
)

_GENERIC = (
    define(UDF, "greatest(a ANY, ...) -> ANY", "Largest argument.", rule="unify", aliases=("sv_greatest",)),
    define(UDF, "least(a ANY, ...) -> ANY", "Smallest argument.", rule="unify", aliases=("sv_least",)),
    define(
        UDF,
        "nullif(a ANY, b ANY) -> ANY",
        "NULL if both arguments are equal, else the first.",
        rule="nullif",
        aliases=("sv_nullif",),
    ),
    define(
        UDF,
        "stddev(x NUMERIC) -> DOUBLE",
        "Standard deviation of a sample.",
        rule="spread",
        is_aggregate=True,
        aliases=("sv_stddev", "stddev_samp"),
    ),
    define(
        UDF,
        "variance(x NUMERIC) -> DOUBLE",
        "Variance of a sample.",
        rule="variance",
        is_aggregate=True,
        aliases=("sv_variance", "var_samp"),
    ),
    define(
        UDF,
        "median(x NUMERIC) -> DOUBLE",
        "Median of the values.",
        rule="mean",
        is_aggregate=True,
        aliases=("sv_median",),
    ),
    define(
        UDF,
        (
            "substring(text TEXT, start INTEGER) -> TEXT",
            "substring(text TEXT, start INTEGER, length INTEGER) -> TEXT",
        ),
        "Part of a text; the first character is number 1.",
        rule="text",
        aliases=("sv_substring",),
    ),
    define(UDF, "left(text TEXT, n INTEGER) -> TEXT", "First n characters.", rule="text", aliases=("sv_left",)),
    define(UDF, "right(text TEXT, n INTEGER) -> TEXT", "Last n characters.", rule="text", aliases=("sv_right",)),
    define(
        UDF,
        "length(text TEXT) -> INTEGER",
        "Number of characters.",
        aliases=("sv_length", "char_length", "character_length"),
    ),
    define(
        UDF,
        "position(needle TEXT, haystack TEXT) -> INTEGER",
        "Where the needle first begins in the haystack, from 1; 0 if it is not there.",
        aliases=("sv_position",),
    ),
    define(
        UDF,
        "replace(text TEXT, old TEXT, new TEXT) -> TEXT",
        "Text with every old replaced by new.",
        rule="text",
        aliases=("sv_replace",),
    ),
    define(UDF, "trim(text TEXT) -> TEXT", "Text without blanks at either end.", rule="text", aliases=("sv_trim",)),
    define(UDF, "sign(x NUMERIC) -> INTEGER", "-1, 0 or 1 as x is below, at or above zero.", aliases=("sv_sign",)),
    define(UDF, "cbrt(x NUMERIC) -> DOUBLE", "Cube root.", rule="cube_root", aliases=("sv_cbrt",)),
    define(
        UDF,
        "width_bucket(x NUMERIC, lower NUMERIC, upper NUMERIC, nbins INTEGER) -> INTEGER",
        "Number of the equal bin x falls into, from 1; 0 below, nbins + 1 at or above upper.",
        aliases=("sv_width_bucket",),
    ),
)

#: Vector mathematics of the IVOA wiki (ADQLVectorMath); element, slice and arithmetic are operators.
_VECTOR = (
    define(
        UDF,
        "arr_dot(a DOUBLE[], b DOUBLE[]) -> DOUBLE",
        "Scalar product of two arrays; NaN when their lengths differ.",
        rule="dot",
    ),
    define(UDF, "arr_sum(a DOUBLE[]) -> DOUBLE", "Sum of the elements.", rule="reduced"),
    define(UDF, "arr_avg(a DOUBLE[]) -> DOUBLE", "Mean of the elements.", rule="reduced"),
    define(UDF, "arr_min(a DOUBLE[]) -> DOUBLE", "Smallest element.", rule="reduced"),
    define(UDF, "arr_max(a DOUBLE[]) -> DOUBLE", "Largest element.", rule="reduced"),
    define(UDF, "arr_stddev(a DOUBLE[]) -> DOUBLE", "Standard deviation of the elements (sample).", rule="reduced"),
    define(UDF, "arr_count(a DOUBLE[]) -> INTEGER", "Number of elements.", ucd="meta.number"),
    define(
        UDF,
        "arr_map(expression DOUBLE, a DOUBLE[]) -> DOUBLE[]",
        "The expression for each element of the array, which is called x in it; other columns may be used, too.",
        rule="mapped",
    ),
)

_SPECTRAL = (
    define(
        UDF,
        (
            "ivo_specconv(expr NUMERIC, dest_unit TEXT) -> DOUBLE",
            "ivo_specconv(expr NUMERIC, expr_unit TEXT, dest_unit TEXT) -> DOUBLE",
        ),
        "A wavelength, frequency, wavenumber or photon energy in another unit, of another kind if need be; "
        "the unit of expr is that of its column unless it is given.",
        rule="specconv",
        aliases=("gavo_specconv",),
    ),
)

USER_FUNCTIONS: tuple[FunctionSpec, ...] = (*_IVOA, *_GAVO, *_GENERIC, *_VECTOR, *_SPECTRAL)
