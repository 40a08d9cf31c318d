"""Constant parts of a query: numbers and shapes of literals alone, worked out when the literals are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from skyvault.adql.nodes import Binary, Cast, Expr, Function, Literal, Unary
from skyvault.adql.plan import Values
from skyvault.errors import QueryError

if TYPE_CHECKING:
    from skyvault.model.region import Region

Number = Callable[[Values], float]
Shape = Callable[[Values], "Region"]

#: functions that make a coverage of two regions
MOC_FUNCTIONS = ("gavo_mocunion", "gavo_mocintersect")
_NUMERIC_FUNCTIONS: dict[str, Callable[..., float]] = {
    "PI": lambda: math.pi,
    "RADIANS": math.radians,
    "DEGREES": math.degrees,
    "SQRT": math.sqrt,
    "ABS": abs,
    "COS": math.cos,
    "SIN": math.sin,
    "TAN": math.tan,
    "POWER": math.pow,
    "EXP": math.exp,
}
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}


def constant_number(expr: Expr) -> Number | None:
    """How to compute ``expr`` from the literals alone; None when it depends on anything else."""
    if isinstance(expr, Literal):
        if expr.kind not in ("integer", "real"):
            return None
        index = expr.index
        if index is None:
            fixed = float(expr.value or 0)
            return lambda values: fixed
        return lambda values: values[index]  # type: ignore[return-value]
    if isinstance(expr, Unary):
        inner = constant_number(expr.operand)
        if inner is None:
            return None
        return (lambda values: -inner(values)) if expr.op == "-" else inner
    if isinstance(expr, Binary) and expr.op in _ARITHMETIC:
        left, right = constant_number(expr.left), constant_number(expr.right)
        if left is None or right is None:
            return None
        if expr.op == "/" and _integral(expr.left) and _integral(expr.right):
            return None  # integer division: leave it to the engine, which does it as SQL says
        act = _ARITHMETIC[expr.op]
        return lambda values: act(left(values), right(values))
    if isinstance(expr, Function) and expr.name in _NUMERIC_FUNCTIONS and not expr.distinct:
        args = [constant_number(arg) for arg in expr.args]
        if any(arg is None for arg in args):
            return None
        function = _NUMERIC_FUNCTIONS[expr.name]
        return lambda values: function(*[arg(values) for arg in args])  # type: ignore[misc]
    if isinstance(expr, Cast) and expr.target in ("REAL", "DOUBLE PRECISION"):
        return constant_number(expr.operand)
    return None


def _integral(expr: Expr) -> bool:
    if isinstance(expr, Literal):
        return expr.kind == "integer"
    if isinstance(expr, Unary):
        return _integral(expr.operand)
    return isinstance(expr, Binary) and expr.op != "||" and _integral(expr.left) and _integral(expr.right)


def geometry_arguments(function: Function) -> tuple[Expr, ...]:
    """The arguments of a geometry constructor without the deprecated coordinate-system string."""
    args = function.args
    if not args or not isinstance(args[0], Literal) or function.name in ("REGION", "MOC"):
        return args
    if args[0].kind == "string":
        return args[1:]
    # NULL may stand for the frame (old clients), but is a coordinate in POINT(NULL, lat)
    is_frame = args[0].kind == "null" and not (function.name == "POINT" and len(args) == 2)
    return args[1:] if is_frame else args


def constant_shape(expr: Expr) -> Shape | None:
    """How to build the region ``expr`` from the literals alone; None when it depends on a column.

    The returned callable raises QueryError at the place of the constructor when the numbers make no region.
    """
    builder = _shape(expr)
    if builder is None:
        return None

    def build(values: Values) -> Region:
        from skyvault.errors import RegionError

        try:
            return builder(values)
        except (RegionError, ArithmeticError, ValueError) as problem:
            what = getattr(problem, "what", str(problem))
            raise QueryError(what, hint="Check the numbers of this geometry.") from None

    return build


def _shape(expr: Expr) -> Shape | None:
    if isinstance(expr, Cast) and expr.target in ("POINT", "CIRCLE", "POLYGON"):
        operand = expr.operand
        if isinstance(operand, Literal) and operand.kind == "string" and operand.index is not None:
            index, kind = operand.index, expr.target
            return lambda values: _parse(f"{kind} {values[index]}")
        return None
    if not isinstance(expr, Function):
        return None
    args = geometry_arguments(expr)
    if expr.name == "REGION" and len(args) == 1 and isinstance(args[0], Literal) and args[0].index is not None:
        region_index = args[0].index
        return lambda values: _parse(str(values[region_index]))
    if expr.name == "MOC":
        return _moc(args)
    if expr.name in MOC_FUNCTIONS:
        return _combined(expr.name, args)
    if expr.name == "POINT":
        pair = _numbers(args)
        if pair is None:
            return None
        coordinates = pair

        def point(values: Values) -> Region:
            from skyvault.model.region import Point

            lon, lat = coordinates(values)
            return Point(lon, lat)

        return point
    if expr.name in ("CIRCLE", "BOX", "POLYGON"):
        flat = _flatten_points(args)
        if flat is None:
            return None
        name, numbers = expr.name, flat

        def shape(values: Values) -> Region:
            from skyvault.model.region import Circle, Polygon
            from skyvault.sky.region_text import box_corners

            given = numbers(values)
            if name == "CIRCLE":
                return Circle(*given)
            if name == "BOX":
                return Polygon(box_corners(*given))
            return Polygon(tuple(zip(given[::2], given[1::2], strict=True)))

        return shape
    return None


def _moc(args: tuple[Expr, ...]) -> Shape | None:
    first = args[0]
    if not isinstance(first, Literal) or first.index is None:
        return None
    index = first.index
    if len(args) == 1:
        return lambda values: _parse(f"MOC {values[index]}" if "'" in str(values[index]) else str(values[index]), "moc")
    inner = constant_shape(args[1])
    if inner is None:
        return None

    def cells(values: Values) -> Region:
        from skyvault.sky.moc import moc_of

        return moc_of(inner(values), int(str(values[index])))

    return cells


def _combined(name: str, args: tuple[Expr, ...]) -> Shape | None:
    first, second = constant_shape(args[0]), constant_shape(args[1])
    if first is None or second is None:
        return None

    def combine(values: Values) -> Region:
        from skyvault.sky.coverage import combined

        return combined(name == "gavo_mocunion", first(values), second(values))

    return combine


def _parse(text: str, xtype: str | None = None) -> Region:
    from skyvault.sky.region_text import parse_region

    return parse_region(text, xtype)


def _numbers(args: tuple[Expr, ...]) -> Callable[[Values], list[float]] | None:
    numbers = [constant_number(arg) for arg in args]
    if any(number is None for number in numbers):
        return None
    return lambda values: [float(number(values)) for number in numbers]  # type: ignore[misc]


def _flatten_points(args: tuple[Expr, ...]) -> Callable[[Values], list[float]] | None:
    """Numbers of a constructor whose points may be written as POINT(...) or as pairs of numbers."""
    pieces: list[Callable[[Values], list[float]]] = []
    for arg in args:
        if isinstance(arg, Function) and arg.name == "POINT":
            piece = _numbers(geometry_arguments(arg))
        else:
            piece = _numbers((arg,))
        if piece is None:
            return None
        pieces.append(piece)
    return lambda values: [number for piece in pieces for number in piece(values)]
