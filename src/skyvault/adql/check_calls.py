"""Types and meanings of function calls: arguments against signatures, geometry, conversion of units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

from skyvault.adql.check_expr import Clause, ExpressionChecker
from skyvault.adql.checked import BoundColumn
from skyvault.adql.constants import MOC_FUNCTIONS
from skyvault.adql.faults import did_you_mean
from skyvault.adql.functions import GEOMETRY, FunctionSpec, by_name
from skyvault.adql.meaning import (
    COUNT,
    INT,
    NULL,
    column_of_type,
    computed,
    is_integral,
    is_vector,
    kind_of,
    number,
    text_like,
    told,
    vector_of,
    wider,
    with_statistic,
)
from skyvault.adql.nodes import ColumnRef, Expr, Function, Literal, Node, Unary
from skyvault.adql.signature import Kind, Signature
from skyvault.errors import NotFound, UnitError
from skyvault.model.frames import common_axis
from skyvault.model.table import INTEGRAL, Column, Datatype

#: functions that take a region given as a text (an s_region column, say) where a geometry is wanted
_TAKE_REGION_TEXTS = frozenset({"CONTAINS", "INTERSECTS", "AREA", "CENTROID", "COORDSYS", *MOC_FUNCTIONS})
_CONSTRUCTORS = frozenset({"POINT", "CIRCLE", "BOX", "POLYGON"})
#: frames of ivo_geom_transform: terms of http://www.ivoa.net/rdf/refframe, matched exactly
FRAMES = ("ICRS", "FK5", "FK4", "GALACTIC", "ECLIPTIC")

Rule = Callable[[FunctionSpec, Function, Sequence[Column]], Column]


class CallChecker(ExpressionChecker):
    """Works out what calls mean."""

    def _function(self, node: Function, clause: Clause) -> Column:
        spec = by_name().get(node.name)
        if spec is None:
            raise self.fail(
                node, f"The function {node.name} is not available here", did_you_mean(node.name, by_name()), node.name
            )
        inner = clause
        if spec.is_aggregate:
            if not clause.allows_aggregates:
                raise self.fail(
                    node,
                    f"{node.name} summarises many rows and cannot stand in {clause.name}",
                    "Put the condition into HAVING, or compute it in a subquery.",
                    node.name,
                )
            if clause.inside_aggregate:
                raise self.fail(
                    node,
                    f"{node.name} cannot stand inside another function that summarises rows",
                    "Compute the inner one in a subquery.",
                    node.name,
                )
            clause.has_aggregate = True
            inner = replace(clause, inside_aggregate=True, has_aggregate=False)
        if node.star:
            return COUNT
        if spec.name in _CONSTRUCTORS:
            return self._constructor(node, inner)
        if spec.name == "arr_map":
            return self._mapped(node, inner)
        meanings = [self.expr(arg, inner) for arg in node.args]
        signature = self._signature(spec, node, meanings)
        rule: Rule | None = getattr(self, f"_rule_{spec.rule}", None)
        if rule is not None:
            return rule(spec, node, meanings)
        result = column_of_type(signature.result)
        if spec.unit or spec.ucd:
            return number(result.datatype, spec.unit, spec.ucd) if result.xtype is None else result
        return result

    def _mapped(self, node: Function, clause: Clause) -> Column:
        """arr_map(expression, array): within the expression, x is an element of the array."""
        array = self.expr(node.args[1], clause)
        if not is_vector(array) or "x" in str(array.arraysize):
            kind = told(kind_of(array))
            raise self.fail(node.args[1], f"arr_map takes an array of numbers, but this is {kind}", None, node.name)
        element = Column("x", array.datatype, unit=array.unit, ucd=array.ucd, description=array.description)
        self._elements += 1
        bound = BoundColumn(None, element, variable=f"_x{self._elements}")
        self.checked.element_names[node] = str(bound.variable)
        result = self.expr(node.args[0], replace(clause, element=bound, allows_aggregates=False))
        if kind_of(result) not in ("number", "null"):
            kind = told(kind_of(result))
            raise self.fail(node.args[0], f"arr_map makes numbers, but this expression is {kind}", None, node.name)
        datatype = "double" if result is NULL else result.datatype
        return replace(
            vector_of(datatype, array.arraysize), unit=result.unit, ucd=result.ucd, ref=common_axis((array,))
        )

    #: how many arr_map there were: each x bears a name of its own
    _elements = 0

    # ------------------------------------------------------------ arguments

    def _signature(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Signature:
        """The signature the arguments fit. Raises QueryError that tells which argument does not."""
        candidates = [signature for signature in spec.signatures if signature.takes(len(meanings))]
        first_problem: tuple[int, Kind] | None = None
        for signature in candidates:
            problem: tuple[int, Kind] | None = None
            for place, meaning in enumerate(meanings):
                wanted = signature.parameter(place).kind
                if not self._fits(spec, wanted, node.args[place], meaning):
                    problem = (place, wanted)
                    break
            if problem is None:
                self._pin_constants(spec, node)
                return signature
            if first_problem is None or problem[0] > first_problem[0]:
                first_problem = problem
        usage = " or ".join(signature.text.partition(" -> ")[0] for signature in spec.signatures)
        if first_problem is None:
            raise self.fail(node, f"{spec.name} does not take {len(meanings)} arguments", f"Write {usage}.", spec.name)
        place, wanted = first_problem
        kind = kind_of(meanings[place])
        name = {"integer": "a whole number", "point": "a point", "number": "a number", "interval": "an interval"}.get(
            wanted,
            told(wanted) if wanted in ("text", "timestamp", "geometry", "array") else "something else",
        )
        got = "a number with a fraction" if wanted == "integer" and kind == "number" else told(kind)
        hint = f"Write {usage}."
        if wanted == "geometry" and kind == "text":
            hint = "Turn the text into a geometry with REGION('...')."
        elif wanted == "number" and kind == "text":
            hint = "Turn a text into a number with CAST(text AS DOUBLE PRECISION)."
        raise self.fail(
            node.args[place], f"Argument {place + 1} of {spec.name} must be {name}, but this is {got}", hint
        )

    def _fits(self, spec: FunctionSpec, wanted: Kind, arg: Expr, meaning: Column) -> bool:
        kind = kind_of(meaning)
        if kind == "null" or wanted == "any":
            return True
        if wanted == "number":
            return kind == "number"
        if wanted == "integer":
            return kind == "number" and is_integral(meaning)
        if wanted == "text":
            return kind == "text"
        if wanted == "timestamp":
            return kind in ("timestamp", "text")
        if wanted == "point":
            return kind == "point"
        if wanted == "geometry":
            if kind in ("point", "geometry"):
                return True
            return kind == "text" and spec.name in _TAKE_REGION_TEXTS and not isinstance(arg, Literal)
        if wanted == "interval":
            return kind == "interval" or (kind == "array" and meaning.arraysize == "2")
        return kind == "array"

    def _pin_constants(self, spec: FunctionSpec, node: Function) -> None:
        if spec.name == "REGION":
            return  # its text is read when the query runs; the result's type does not depend on it
        for place in spec.literals:
            self.pin(node.args[place])

    def _constructor(self, node: Function, clause: Clause) -> Column:
        """POINT, CIRCLE, BOX, POLYGON; a coordinate system in front is a label and changes nothing."""
        args = node.args
        if args and isinstance(args[0], Literal) and args[0].kind in ("string", "null"):
            self.expr(args[0], clause)
            self.pin(args[0])
            args = args[1:]
        meanings = [self.expr(arg, clause) for arg in args]
        name = node.name
        spec = by_name()[name]
        kinds = [kind_of(meaning) for meaning in meanings]
        if name == "POLYGON":
            wanted = "point" if "point" in kinds else "number"
            wants = [wanted] * len(args)
            if wanted == "number" and len(args) % 2:
                raise self.fail(
                    node,
                    f"{len(args)} numbers are no pairs of longitude and latitude",
                    "Write POLYGON(lon1, lat1, lon2, lat2, lon3, lat3, ...).",
                    name,
                )
            if wanted == "number" and len(args) < 6:
                raise self.fail(node, "A polygon needs at least three vertices", "Add vertices.", name)
        else:
            signature = next(signature for signature in spec.signatures if signature.takes(len(args)))
            wants = [parameter.kind for parameter in signature.parameters]
        for arg, kind, want in zip(args, kinds, wants, strict=True):
            if kind not in (want, "null"):
                forms = " or ".join(signature.text.partition(" -> ")[0] for signature in spec.signatures)
                raise self.fail(
                    arg,
                    f"{name} wants {told('point' if want == 'point' else 'number')} here, but this is {told(kind)}",
                    f"Write {forms}.",
                )
        return column_of_type("POLYGON" if name == "BOX" else name)

    # ------------------------------------------------------------ results

    def _rule_same(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        first = meanings[0]
        return computed(first) if first is not NULL else number("double")

    def _rule_promote(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        known = [meaning for meaning in meanings if meaning is not NULL]
        if len(known) < 2:
            return number(known[0].datatype if known else "double")
        datatype = wider(known[0].datatype, known[1].datatype)
        return number("int" if datatype in ("unsignedByte", "short") else datatype, known[0].unit)

    def _rule_power(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        unit = meanings[0].unit
        exponent = _number_of(node.args[1])
        if not unit or exponent is None:
            return number("double")
        from skyvault.adql import units

        self.pin(node.args[1])
        try:
            return number("double", units.power(unit, Fraction(exponent).limit_denominator(60)))
        except (OverflowError, ValueError):
            return number("double")

    def _rule_root(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        return self._root(meanings[0].unit, Fraction(1, 2))

    def _rule_cube_root(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        return self._root(meanings[0].unit, Fraction(1, 3))

    def _root(self, unit: str | None, exponent: Fraction) -> Column:
        if not unit:
            return number("double")
        from skyvault.adql import units

        return number("double", units.power(unit, exponent))

    def _rule_reduced(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        """A number made of the elements of an array."""
        self._need_vectors(spec, node, meanings)
        first = meanings[0]
        if first is NULL:
            return number("double")
        word = {"arr_avg": "stat.mean", "arr_min": "stat.min", "arr_max": "stat.max", "arr_stddev": "stat.stdev"}
        ucd = with_statistic(first.ucd, word[spec.name]) if spec.name in word else first.ucd
        keeps = spec.name in ("arr_min", "arr_max")
        return Column("", first.datatype if keeps else "double", unit=first.unit, ucd=ucd)

    def _rule_dot(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        self._need_vectors(spec, node, meanings)
        first, second = meanings
        if not (first.unit or second.unit) or NULL in (first, second):
            return number("double")
        from skyvault.adql import units

        return number("double", units.product(first.unit, second.unit))

    def _need_vectors(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> None:
        for arg, meaning in zip(node.args, meanings, strict=True):
            if meaning is not NULL and (not is_vector(meaning) or "x" in str(meaning.arraysize)):
                raise self.fail(
                    arg, f"{spec.name} takes arrays of numbers of one dimension", "Fetch others whole.", spec.name
                )

    def _rule_specconv(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        from skyvault.adql.spectral_units import spectral_conversion

        *given, target = node.args[1:]
        for literal in node.args[1:]:
            if not isinstance(literal, Literal) or literal.kind != "string":
                raise self.fail(literal, f"The units of {spec.name} are text constants", "Write 'nm', for example.")
            self.pin(literal)
        shown = node.args[0].name.text if isinstance(node.args[0], ColumnRef) else "This value"
        source = str(given[0].value) if given and isinstance(given[0], Literal) else meanings[0].unit
        if not source:
            raise self.fail(
                node.args[0],
                f"{shown} has no unit and cannot be converted",
                f"Give the unit: {spec.name}(value, 'nm', 'keV').",
            )
        assert isinstance(target, Literal)
        try:
            self.checked.spectral_factors[node] = spectral_conversion(source, str(target.value))
        except UnitError as problem:
            raise self.fail(target, problem.what, problem.hint, f"'{target.value}'") from None
        return Column("", "double", unit=str(target.value).strip())

    def _rule_mean(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        first = meanings[0]
        word = "stat.median" if spec.name == "median" else "stat.mean"
        if is_vector(first):
            self._need_vectors(spec, node, meanings)
            ucd = with_statistic(first.ucd, word)
            about, ref = first.description, common_axis((first,))
            return Column("", "double", first.arraysize, unit=first.unit, ucd=ucd, description=about, ref=ref)
        ucd = with_statistic(first.ucd, word)
        return Column("", "double", unit=first.unit, ucd=ucd, description=first.description, ref=first.ref)

    def _rule_spread(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        first = meanings[0]
        return number("double", first.unit, f"stat.stdev;{first.ucd}" if first.ucd else None)

    def _rule_variance(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        first = meanings[0]
        ucd = f"stat.variance;{first.ucd}" if first.ucd else None
        return number("double", self._root(first.unit, Fraction(2)).unit, ucd)

    def _rule_extreme(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        first = meanings[0]
        kind = kind_of(first)
        if is_vector(first):
            self._need_vectors(spec, node, meanings)
            return replace(first, name="", id=None)
        if kind in ("point", "geometry", "array", "interval", "complex"):
            raise self.fail(
                node, f"{spec.name} takes values that have an order, but this is {told(kind)}", token=spec.name
            )
        if kind in ("number", "null"):
            return computed(first) if first is not NULL else NULL
        return replace(first, name="", id=None)

    def _rule_sum(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        first = meanings[0]
        if is_vector(first):
            self._need_vectors(spec, node, meanings)
            wide: Datatype = "long" if first.datatype in INTEGRAL else "double"
            about, ref = first.description, common_axis((first,))
            return Column("", wide, first.arraysize, unit=first.unit, ucd=first.ucd, description=about, ref=ref)
        datatype = "long" if first is not NULL and is_integral(first) else "double"
        # a sum of instants or longitudes is none
        return replace(computed(first, datatype), ref=None) if first is not NULL else number("double")  # type: ignore[arg-type]

    def _rule_coordinate(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        """COORD1(POINT(ra, dec)) is ra itself."""
        arg = node.args[0]
        if isinstance(arg, Function) and arg.name == "POINT":
            source = self.checked.meanings[arg.args[-2 if spec.name == "COORD1" else -1]]
            if source is not NULL and source.unit:
                return computed(source, "double")
        return number("double", "deg")

    def _rule_text(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        base = text_like(meanings[:1])
        if not meanings[0].ucd and not meanings[0].description:
            return base
        return replace(base, ucd=meanings[0].ucd, description=meanings[0].description)

    def _rule_unify(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        result = self.unify(node.args, meanings, f"The arguments of {spec.name}")
        if spec.name != "COALESCE" and kind_of(result) in ("point", "geometry", "array", "interval", "complex"):
            raise self.fail(node, f"{spec.name} takes values that have an order", "Use numbers or texts.", spec.name)
        return result

    def _rule_nullif(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        self.comparable(node, meanings[0], meanings[1], "NULLIF")
        return meanings[0] if meanings[0] is NULL else replace(meanings[0], name="", id=None)

    def _rule_histogram(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        bins = node.args[3]
        if isinstance(bins, Literal) and isinstance(bins.value, int):
            self.pin(bins)
            if not 1 <= bins.value <= 100_000:
                raise self.fail(
                    bins, f"A histogram has from 1 to 100000 bins, not {bins.value}", "Choose a number between."
                )
            return Column("", INT.datatype, str(bins.value + 2), ucd="meta.number")
        return Column("", INT.datatype, "*", ucd="meta.number")

    def _rule_transformed(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        for arg in node.args[:2]:
            if isinstance(arg, Literal) and arg.value not in FRAMES:
                raise self.fail(
                    arg,
                    f"{arg.value!r} is not a frame this service can turn to",
                    f"Frames are {', '.join(FRAMES)}, in upper case.",
                )
        geometry = meanings[2]
        if geometry is NULL:
            return column_of_type("POINT")
        return replace(geometry, name="", id=None, ucd=None, utype=None, description=None, unit="deg", ref=None)

    def _rule_vocabulary_match(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        from skyvault.vocabularies import vocabulary

        name, term = node.args[0], node.args[1]
        assert isinstance(name, Literal)
        assert isinstance(term, Literal)
        place = name
        try:
            found = vocabulary(str(name.value))
            place = term
            found.narrower(str(term.value))
        except NotFound as problem:
            raise self.fail(place, problem.what, problem.hint, f"'{place.value}'") from None
        return INT

    def _rule_in_unit(self, spec: FunctionSpec, node: Function, meanings: Sequence[Column]) -> Column:
        from skyvault.adql import units

        source, literal = meanings[0], node.args[1]
        assert isinstance(literal, Literal)
        target = str(literal.value).strip()
        shown = node.args[0].name.text if isinstance(node.args[0], ColumnRef) else "This value"
        if not source.unit:
            raise self.fail(
                node.args[0],
                f"{shown} has no unit and cannot be converted",
                "IN_UNIT works on columns with units; TAP_SCHEMA.columns tells them.",
            )
        try:
            units.parse_unit(target)
            if not target:
                raise UnitError("An empty text is not a unit", hint="Name a unit such as 'arcsec'.")
            factor = units.conversion_factor(source.unit, target)
        except UnitError as problem:
            raise self.fail(literal, problem.what, problem.hint, f"'{literal.value}'") from None
        self.checked.unit_factors[node] = factor
        return replace(computed(source, "double"), unit=target)


def _number_of(node: Node) -> int | float | None:
    if isinstance(node, Literal) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, Unary):
        inner = _number_of(node.operand)
        return None if inner is None else -inner if node.op == "-" else inner
    return None


__all__ = ["FRAMES", "GEOMETRY", "CallChecker"]
