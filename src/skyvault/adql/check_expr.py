"""Types and meanings of expressions: every operand checked, every unit and UCD carried along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from skyvault.adql.checked import BoundColumn, Checked, OutputColumn
from skyvault.adql.faults import fault
from skyvault.adql.meaning import (
    DOUBLE,
    INT,
    LONG,
    NULL,
    TEXT,
    ValueKind,
    arithmetic_type,
    cast_to,
    common_meaning,
    is_integral,
    is_vector,
    kind_of,
    number,
    text_like,
    told,
    vector_of,
    wider,
)
from skyvault.adql.names import Scope, matches, resolve, unknown_column
from skyvault.adql.nodes import (
    Between,
    Binary,
    Case,
    Cast,
    ColumnRef,
    Comparison,
    Condition,
    Element,
    Exists,
    Expr,
    Function,
    InList,
    InSubquery,
    IsNull,
    Like,
    Literal,
    Logical,
    Node,
    Not,
    Query,
    ScalarSubquery,
    Select,
    SelectItem,
    Slice,
    Unary,
)
from skyvault.errors import QueryError
from skyvault.model.frames import common_axis
from skyvault.model.table import Column, Datatype


@dataclass(slots=True, eq=False)
class Clause:
    """Where an expression stands: in which clause of which select, and what is allowed there."""

    name: str
    scope: Scope | None
    allows_aggregates: bool = False
    #: select items that may be meant by their aliases: the clause comes after the select list
    items: Sequence[OutputColumn] = ()
    aliases: Sequence[str | None] = ()
    inside_aggregate: bool = False
    has_aggregate: bool = False
    #: the select this clause belongs to, where its aliases are not known yet
    select: Select | None = None
    #: what x means within arr_map
    element: BoundColumn | None = None


class ExpressionChecker:
    """Works out what expressions and conditions mean; calls are in ``check_calls``, queries in ``check``."""

    def __init__(self, text: str, checked: Checked) -> None:
        self.text = text
        self.checked = checked
        self._expressions: dict[type[Node], Callable[[Any, Clause], Column]] = {
            Literal: self._literal,
            ColumnRef: self._column,
            Unary: self._unary,
            Binary: self._binary,
            Function: self._function,
            Cast: self._cast,
            Case: self._case,
            ScalarSubquery: self._scalar,
            Element: self._element,
            Slice: self._slice,
        }
        self._conditions: dict[type[Node], Callable[[Any, Clause], None]] = {
            Comparison: self._comparison,
            Between: self._between,
            InList: self._in_list,
            InSubquery: self._in_subquery,
            Like: self._like,
            IsNull: self._is_null,
            Exists: self._exists,
            Not: self._not,
            Logical: self._logical,
        }

    # ------------------------------------------------------------ for the other halves

    def query(self, query: Query, parent: Scope | None) -> tuple[OutputColumn, ...]:
        raise NotImplementedError

    def _function(self, node: Function, clause: Clause) -> Column:
        raise NotImplementedError

    def fail(self, node: Node, what: str, hint: str | None = None, token: str | None = None) -> QueryError:
        return fault(self.text, node.pos, what, token, hint)

    def pin(self, node: Node) -> None:
        """Remember that the value of a constant, not only its type, shaped the result."""
        if isinstance(node, Literal) and node.index is not None:
            self.checked.pinned.add(node.index)
        elif isinstance(node, Unary):
            self.pin(node.operand)

    # ------------------------------------------------------------ values

    def expr(self, node: Expr, clause: Clause) -> Column:
        """The meaning of a value. Raises QueryError when it has none."""
        meaning = self._expressions[type(node)](node, clause)
        self.checked.meanings[node] = meaning
        return meaning

    def _literal(self, node: Literal, clause: Clause) -> Column:
        if node.kind == "integer":
            value = int(node.value or 0)
            return INT if value < 2**31 else LONG if value < 2**63 else DOUBLE
        return {"real": DOUBLE, "string": TEXT, "null": NULL}[node.kind]

    def _column(self, node: ColumnRef, clause: Clause) -> Column:
        if clause.element is not None and not node.qualifier and node.name.text.lower() == "x":
            self.checked.bound[node] = clause.element
            return clause.element.column
        bound = resolve(self.text, clause.scope, node)
        if bound is None and not node.qualifier:
            bound = self.alias(node, clause)
        if bound is None:
            self._refuse_alias(node, clause)
            raise unknown_column(self.text, clause.scope, node)
        self.checked.bound[node] = bound
        return bound.column

    def alias(self, node: ColumnRef, clause: Clause) -> BoundColumn | None:
        """The select item that ``node`` means by its alias, where that is allowed."""
        found = [
            place
            for place, alias in enumerate(clause.aliases)
            if alias is not None and place < len(clause.items) and matches(node.name, alias)
        ]
        if not found:
            return None
        if len(found) > 1:
            raise self.fail(
                node,
                f"{node.name.text} is the name of several columns of the result",
                "Give them different names.",
                node.name.text,
            )
        return BoundColumn(None, clause.items[found[0]].column, item=found[0])

    def _refuse_alias(self, node: ColumnRef, clause: Clause) -> None:
        """Tell those who use an alias of the select list where it does not exist yet. Raises QueryError."""
        if clause.select is None or node.qualifier:
            return
        for item in clause.select.items:
            if isinstance(item, SelectItem) and item.alias is not None and matches(node.name, item.alias.text):
                raise self.fail(
                    node,
                    f"{node.name.text} is a name of the select list and not known in {clause.name} yet",
                    f"Write the expression itself in {clause.name}, or put the query into a subquery.",
                    node.name.text,
                )

    def _unary(self, node: Unary, clause: Clause) -> Column:
        operand = self.expr(node.operand, clause)
        if is_vector(operand):
            return replace(
                vector_of(operand.datatype, operand.arraysize), unit=operand.unit, ref=common_axis((operand,))
            )
        self._need_number(node.operand, operand, node.op)
        if operand is NULL:
            return DOUBLE
        return number(arithmetic_type(operand.datatype, operand.datatype), operand.unit)

    def _binary(self, node: Binary, clause: Clause) -> Column:
        left, right = self.expr(node.left, clause), self.expr(node.right, clause)
        if node.op == "||":
            for side, meaning in ((node.left, left), (node.right, right)):
                kind = kind_of(meaning)
                if kind not in ("text", "null"):
                    raise self.fail(
                        side,
                        f"|| joins texts, but this is {told(kind)}",
                        "Turn it into a text with CAST(value AS VARCHAR).",
                    )
            return text_like((left, right))
        if is_vector(left) or is_vector(right):
            return self._vector_operation(node, left, right)
        self._need_number(node.left, left, node.op)
        self._need_number(node.right, right, node.op)
        if left is NULL or right is NULL:
            known = right if left is NULL else left
            return number(known.datatype) if known is not NULL else DOUBLE
        datatype = self._operation_type(node, left, right)
        return number(datatype, self._operation_unit(node, left, right))

    def _vector_operation(self, node: Binary, left: Column, right: Column) -> Column:
        """Arrays and numbers, element by element (ADQLVectorMath); the longer array gives the length."""
        for side, meaning in ((node.left, left), (node.right, right)):
            if not is_vector(meaning):
                self._need_number(side, meaning, node.op)
        vectors = [meaning for meaning in (left, right) if is_vector(meaning)]
        if any("x" in str(meaning.arraysize) for meaning in vectors):
            raise self.fail(node, f"{node.op} does not take arrays of several dimensions", "Fetch the whole arrays.")
        numbers = [meaning for meaning in (left, right) if meaning is not NULL]
        datatype = numbers[0].datatype
        for other in numbers[1:]:
            datatype = arithmetic_type(datatype, other.datatype)
        if datatype not in ("float", "double") and node.op == "/":
            datatype = "double"
        constant = next((side for side in (node.left, node.right) if is_constant(side)), None)
        if constant is not None and vectors[0].datatype == "float":
            datatype = "float"
        sizes = {meaning.arraysize for meaning in vectors}
        size = vectors[0].arraysize if len(sizes) == 1 else "*"
        unit = None if NULL in (left, right) else self._operation_unit(node, left, right)
        return replace(vector_of(datatype, size), unit=unit, ref=common_axis(vectors))

    def _operation_type(self, node: Binary, left: Column, right: Column) -> Datatype:
        # A whole number written in the query does not make a single-precision column double.
        for side, own, other in ((node.left, left, right), (node.right, right, left)):
            if other.datatype == "float" and own.datatype in ("int", "long") and is_constant(side):
                return "float"
        return arithmetic_type(left.datatype, right.datatype)

    def _operation_unit(self, node: Binary, left: Column, right: Column) -> str | None:
        if not left.unit and not right.unit:
            return None
        from skyvault.adql import units

        if node.op == "*":
            return units.product(left.unit, right.unit)
        if node.op == "/":
            return units.quotient(left.unit, right.unit)
        if left.unit and right.unit and units.same_unit(left.unit, right.unit):
            return left.unit
        return None

    def _need_number(self, node: Expr, meaning: Column, op: str) -> None:
        kind = kind_of(meaning)
        if kind in ("number", "null"):
            return
        hint = {
            "text": "Turn a text into a number with CAST(text AS DOUBLE PRECISION).",
            "timestamp": "Compute with ivo_to_mjd(timestamp).",
            "boolean": "Use CASE WHEN condition THEN 1 ELSE 0 END.",
            "array": "Take an element: array[1].",
            "interval": "Take an end: interval[1].",
            "point": "Use COORD1 and COORD2 for its numbers.",
            "geometry": "Use COORD1, COORD2, AREA or DISTANCE for numbers.",
        }.get(kind)
        raise self.fail(node, f"{op} takes numbers, but this is {told(kind)}", hint)

    def _cast(self, node: Cast, clause: Clause) -> Column:
        source = self.expr(node.operand, clause)
        kind, target = kind_of(source), node.target
        if node.length_index is not None:
            self.checked.pinned.add(node.length_index)
        if kind in ("text", "null"):
            allowed = True
        elif kind == "number":
            allowed = target not in ("TIMESTAMP", "POINT", "CIRCLE", "POLYGON")
        elif kind == "timestamp":
            allowed = target in ("CHAR", "VARCHAR", "TIMESTAMP")
        elif kind == "boolean":
            allowed = target in ("CHAR", "VARCHAR", "SMALLINT", "INTEGER", "BIGINT")
        else:
            allowed = target == (source.xtype or "").upper()
        if not allowed:
            hint = "Timestamps come from texts only." if target == "TIMESTAMP" else None
            if kind == "timestamp":
                hint = "Use ivo_to_mjd(timestamp) for a number."
            raise self.fail(node, f"CAST cannot turn {told(kind)} into {target}", hint or "Cast something else.")
        return cast_to(source, target, node.length)

    def _case(self, node: Case, clause: Clause) -> Column:
        operand = self.expr(node.operand, clause) if node.operand is not None else None
        values: list[Expr] = []
        for when, then in node.whens:
            if operand is not None and node.operand is not None:
                self.comparable(when, operand, self.expr(when, clause), "CASE")  # type: ignore[arg-type]
            else:
                self.condition(when, clause)  # type: ignore[arg-type]
            values.append(then)
        if node.otherwise is not None:
            values.append(node.otherwise)
        meanings = [self.expr(value, clause) for value in values]
        return self.unify(values, meanings, "The values of CASE")

    def unify(self, nodes: Sequence[Expr], meanings: Sequence[Column], what: str) -> Column:
        """The meaning of a value that is one of several; they must be of one kind."""
        known = [(node, meaning) for node, meaning in zip(nodes, meanings, strict=True) if meaning is not NULL]
        if not known:
            return NULL
        kinds: list[ValueKind] = [kind_of(meaning) for _, meaning in known]
        kind = kinds[0]
        if "timestamp" in kinds and all(
            k == "timestamp" or (k == "text" and isinstance(node, Literal))
            for k, (node, _) in zip(kinds, known, strict=True)
        ):
            kind = "timestamp"
            known = [pair for pair, k in zip(known, kinds, strict=True) if k == "timestamp"]
        else:
            for other, (node, _) in zip(kinds, known, strict=True):
                if other != kind:
                    raise self.fail(
                        node,
                        f"{what} must be of one type, but here are {told(kind)} and {told(other)}",
                        "Convert one of them with CAST.",
                    )
        columns = [meaning for _, meaning in known]
        # constants stand in for missing values; they do not take the meaning away
        carrying = [meaning for node, meaning in known if not is_constant(node)] or columns
        unit, ucd, utype, description = common_meaning(carrying)
        first = carrying[0]
        ref = first.ref if all(column.ref == first.ref for column in carrying) else None
        if kind == "number":
            datatype = carrying[0].datatype
            for node, meaning in known:
                whole_constant = is_constant(node) and is_integral(meaning) and datatype in ("float", "double")
                if not whole_constant:
                    datatype = wider(datatype, meaning.datatype)
            return Column("", datatype, unit=unit, ucd=ucd, utype=utype, description=description, ref=ref)
        if kind in ("text", "timestamp"):
            datatype = "unicodeChar" if any(column.datatype == "unicodeChar" for column in columns) else "char"
            size = first.arraysize if all(column.arraysize == first.arraysize for column in columns) else "*"
            xtype = first.xtype if all(column.xtype == first.xtype for column in columns) else None
            if kind == "timestamp":
                xtype = "timestamp"
            return Column(
                "", datatype, size, xtype=xtype, unit=unit, ucd=ucd, utype=utype, description=description, ref=ref
            )
        for node, column in known[1:]:
            if (column.datatype, (column.xtype or "").lower()) != (first.datatype, (first.xtype or "").lower()):
                here = f"{first.xtype or told(kind)} and {column.xtype or told(kind)}"
                raise self.fail(node, f"{what} must be of one type, but here are {here}", "Use values of one type.")
        sizes = {column.arraysize for column in columns}
        return replace(
            first,
            name="",
            arraysize=first.arraysize if len(sizes) == 1 else "*",
            unit=unit,
            ucd=ucd,
            utype=utype,
            description=description,
            id=None,
            ref=ref,
        )

    def _scalar(self, node: ScalarSubquery, clause: Clause) -> Column:
        outputs = self.query(node.query, clause.scope)
        self._one_column(node, outputs)
        return outputs[0].column

    def _one_column(self, node: Node, outputs: Sequence[OutputColumn]) -> None:
        if len(outputs) != 1:
            raise self.fail(
                node, f"A subquery used as a value has one column, this has {len(outputs)}", "Select one column only."
            )

    def _element(self, node: Element, clause: Clause) -> Column:
        array = self._array(node, node.array, clause)
        self._index(node.index, clause)
        return Column("", array.datatype, unit=array.unit, ucd=array.ucd, description=array.description)

    def _slice(self, node: Slice, clause: Clause) -> Column:
        array = self._array(node, node.array, clause)
        for index in (node.low, node.high):
            if index is not None:
                self._index(index, clause)
        return Column("", array.datatype, "*", unit=array.unit, ucd=array.ucd, description=array.description)

    def _array(self, node: Node, operand: Expr, clause: Clause) -> Column:
        array = self.expr(operand, clause)
        kind = kind_of(array)
        if kind in ("point", "geometry"):
            raise self.fail(node, "A geometry has no elements", "Use COORD1 and COORD2.")
        if kind not in ("array", "interval") or array.is_text:
            raise self.fail(node, f"Only arrays have elements, but this is {told(kind)}", "Leave the brackets away.")
        if "x" in str(array.arraysize):
            raise self.fail(node, "Elements of arrays of several dimensions cannot be taken", "Fetch the whole array.")
        return array

    def _index(self, index: Expr, clause: Clause) -> None:
        meaning = self.expr(index, clause)
        if meaning is not NULL and not is_integral(meaning):
            raise self.fail(index, f"An index is a whole number, but this is {told(kind_of(meaning))}", "Count from 1.")

    # ------------------------------------------------------------ conditions

    def condition(self, node: Condition, clause: Clause) -> None:
        """Check a condition and all in it. Raises QueryError."""
        self._conditions[type(node)](node, clause)

    def comparable(self, node: Node, left: Column, right: Column, op: str) -> None:
        """Refuse a comparison of values that have no common order. Raises QueryError."""
        one, two = kind_of(left), kind_of(right)
        for kind in (one, two):
            if kind in ("point", "geometry"):
                raise self.fail(
                    node,
                    f"Geometries cannot be compared with {op}",
                    "Use CONTAINS(a, b) = 1, INTERSECTS(a, b) = 1 or DISTANCE(a, b) < radius.",
                )
            if kind in ("array", "interval", "complex"):
                raise self.fail(node, f"{told(kind).capitalize()} cannot be compared with {op}", "Compare elements.")
        if one == two or "null" in (one, two) or {one, two} == {"text", "timestamp"} or "boolean" in (one, two):
            if "timestamp" in (one, two) and "boolean" in (one, two):
                raise self.fail(node, "A timestamp cannot be compared with a truth value", "Compare something else.")
            return
        hint = "Remove the quotes around the number, or convert one side with CAST."
        if "timestamp" in (one, two):
            hint = "Compare with a text like '2020-01-31T12:00:00', or use ivo_to_mjd(timestamp)."
        raise self.fail(node, f"{told(one).capitalize()} cannot be compared with {told(two)}", hint)

    def _comparison(self, node: Comparison, clause: Clause) -> None:
        left, right = self.expr(node.left, clause), self.expr(node.right, clause)
        self.comparable(node, left, right, node.op)

    def _between(self, node: Between, clause: Clause) -> None:
        operand = self.expr(node.operand, clause)
        for end in (node.low, node.high):
            self.comparable(end, operand, self.expr(end, clause), "BETWEEN")

    def _in_list(self, node: InList, clause: Clause) -> None:
        operand = self.expr(node.operand, clause)
        for item in node.items:
            self.comparable(item, operand, self.expr(item, clause), "IN")

    def _in_subquery(self, node: InSubquery, clause: Clause) -> None:
        operand = self.expr(node.operand, clause)
        outputs = self.query(node.query, clause.scope)
        self._one_column(node.query, outputs)
        self.comparable(node, operand, outputs[0].column, "IN")

    def _like(self, node: Like, clause: Clause) -> None:
        word = "ILIKE" if node.ignore_case else "LIKE"
        for part in (node.operand, node.pattern):
            kind = kind_of(self.expr(part, clause))
            if kind not in ("text", "null"):
                raise self.fail(
                    part,
                    f"{word} compares texts, but this is {told(kind)}",
                    "Turn it into a text with CAST(value AS VARCHAR).",
                )

    def _is_null(self, node: IsNull, clause: Clause) -> None:
        self.expr(node.operand, clause)

    def _exists(self, node: Exists, clause: Clause) -> None:
        self.query(node.query, clause.scope)

    def _not(self, node: Not, clause: Clause) -> None:
        self.condition(node.operand, clause)

    def _logical(self, node: Logical, clause: Clause) -> None:
        for operand in node.operands:
            self.condition(operand, clause)


def is_constant(node: Expr) -> bool:
    """Whether a value is written in the query itself, perhaps with a sign."""
    return isinstance(node, Literal) or (isinstance(node, Unary) and isinstance(node.operand, Literal))
