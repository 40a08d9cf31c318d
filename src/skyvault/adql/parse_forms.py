"""What is wrong with a call or an operation by its form alone, whatever tables there are.

Numbers of arguments, arguments that must be constants, shapes of geometry constructors (ADQL 2.1, section 4.2).
"""

from __future__ import annotations

from typing import Literal as Choice

from skyvault.adql.faults import fault
from skyvault.adql.functions import GEOMETRY, FunctionSpec, by_name
from skyvault.adql.nodes import Binary, Case, Cast, Expr, Function, Literal, Unary
from skyvault.adql.tokens import Token

Form = Choice["number", "text", "geometry", "unknown"]

#: ADQL 2.1, section 4.6: required targets, and the geometries a service may add
CAST_TYPES: frozenset[str] = frozenset(
    {
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "REAL",
        "DOUBLE PRECISION",
        "CHAR",
        "VARCHAR",
        "TIMESTAMP",
        "POINT",
        "CIRCLE",
        "POLYGON",
    }
)
_CAST_HINTS = {
    "FLOAT": "Use REAL or DOUBLE PRECISION.",
    "INT": "Use INTEGER.",
    "NUMERIC": "Use DOUBLE PRECISION.",
    "DECIMAL": "Use DOUBLE PRECISION.",
    "TEXT": "Use VARCHAR.",
    "STRING": "Use VARCHAR.",
    "CHARACTER": "Use CHAR or VARCHAR.",
    "DATE": "Use TIMESTAMP.",
    "TIME": "Use TIMESTAMP.",
    "DATETIME": "Use TIMESTAMP.",
    "LONG": "Use BIGINT.",
    "SHORT": "Use SMALLINT.",
}

_CONSTRUCTORS = frozenset({"POINT", "CIRCLE", "BOX", "POLYGON"})


def cast_hint(target: str) -> str:
    """What to write instead of a type that is none."""
    return _CAST_HINTS.get(target, f"Types are {', '.join(sorted(CAST_TYPES))}.")


def form_of(expr: Expr) -> Form:
    """What an expression is as far as its form tells, without knowing any column."""
    if isinstance(expr, Literal):
        return {"integer": "number", "real": "number", "string": "text", "null": "unknown"}[expr.kind]  # type: ignore[return-value]
    if isinstance(expr, Binary):
        return "text" if expr.op == "||" else "number"
    if isinstance(expr, Unary):
        return "number"
    if isinstance(expr, Cast):
        if expr.target in ("CHAR", "VARCHAR", "TIMESTAMP"):
            return "text"
        return "geometry" if expr.target in ("POINT", "CIRCLE", "POLYGON") else "number"
    if isinstance(expr, Case):
        forms = {form_of(value) for _, value in expr.whens}
        return forms.pop() if len(forms) == 1 else "unknown"
    if isinstance(expr, Function):
        return _form_of_call(expr)
    return "unknown"


def _form_of_call(call: Function) -> Form:
    spec = by_name().get(call.name)
    if spec is None:
        return "unknown"
    result = spec.signatures[0].result.upper()
    if result in ("POINT", "CIRCLE", "POLYGON", "REGION", "GEOMETRY"):
        return "geometry"
    if result in ("TEXT", "TIMESTAMP"):
        return "text"
    return "number" if result in ("INTEGER", "BIGINT", "DOUBLE", "REAL", "NUMERIC") else "unknown"


def check_operands(text: str, node: Binary | Unary) -> None:
    """Refuse arithmetic with texts and geometries, and || with geometries. Raises QueryError."""
    operands = (node.operand,) if isinstance(node, Unary) else (node.left, node.right)
    for operand in operands:
        form = form_of(operand)
        token = operand.name if isinstance(operand, Function) else None
        if form == "geometry":
            what = "joined to a text" if node.op == "||" else f"an operand of {node.op}"
            raise fault(
                text, operand.pos, f"A geometry cannot be {what}", token, "Use COORD1 and COORD2 for its numbers."
            )
        if form == "text" and node.op != "||":
            token = repr(operand.value) if isinstance(operand, Literal) else token
            hint = "Join texts with ||; turn a text into a number with CAST(text AS DOUBLE PRECISION)."
            raise fault(text, operand.pos, f"A text cannot be an operand of {node.op}", token, hint)


def check_form(text: str, token: Token, closing: Token, call: Function, spec: FunctionSpec) -> None:
    """Refuse a call whose number of arguments or constant arguments are wrong. Raises QueryError."""
    if spec.feature == GEOMETRY:
        _geometry_form(text, token, call, spec)
        return
    count = len(call.args)
    if not spec.takes(count):
        raise fault(text, token.pos, _count_sentence(token.text, count, spec), token.text, _usage(spec))
    for place in spec.literals:
        if place < count:
            _need_text_constant(text, call.args[place], token.text, place, spec)


def _count_sentence(name: str, count: int, spec: FunctionSpec) -> str:
    counts = sorted({len(signature.parameters) for signature in spec.signatures})
    wanted = " or ".join(str(number) for number in counts)
    if any(signature.is_variadic for signature in spec.signatures):
        wanted = f"at least {wanted}"
    plural = "argument" if wanted in ("1", "at least 1") else "arguments"
    return f"{name} takes {wanted} {plural}, here {'is' if count == 1 else 'are'} {count}"


def _usage(spec: FunctionSpec) -> str:
    return "Write " + " or ".join(signature.text.partition(" -> ")[0] for signature in spec.signatures) + "."


def _need_text_constant(text: str, arg: Expr, name: str, place: int, spec: FunctionSpec) -> None:
    if isinstance(arg, Literal) and arg.kind == "string":
        return
    parameter = spec.signatures[0].parameter(place).name
    raise fault(
        text, arg.pos, f"The argument {parameter} of {name} must be a text constant", hint="Write it in single quotes."
    )


def _geometry_form(text: str, token: Token, call: Function, spec: FunctionSpec) -> None:
    args = call.args
    name = spec.name
    if name in _CONSTRUCTORS:
        args = _without_frame(text, token, call)
    count = len(args)
    forms = [form_of(arg) for arg in args]
    shown = token.text
    if name == "POLYGON":
        _polygon_form(text, token, args, forms)
        return
    if not spec.takes(count):
        raise fault(text, token.pos, _count_sentence(shown, count, spec), shown, _usage(spec))
    if name == "MOC":
        _moc_form(text, token, args, forms)
        return
    if name == "REGION":
        _need_text_constant(text, args[0], shown, 0, spec)
        return
    # which arguments the form with this many of them wants as points, and which as numbers
    signature = next(signature for signature in spec.signatures if signature.takes(count))
    for arg, form, parameter in zip(args, forms, signature.parameters, strict=True):
        if parameter.kind == "number" and form == "geometry":
            raise fault(
                text, arg.pos, f"The argument {parameter.name} of {shown} must be a number", shown, _usage(spec)
            )
        if parameter.kind == "point" and form == "number" and name in _CONSTRUCTORS:
            missing = "radius" if name == "CIRCLE" else "height"
            raise fault(text, token.pos, f"{shown} lacks an argument, perhaps its {missing}", shown, _usage(spec))


def _moc_form(text: str, token: Token, args: tuple[Expr, ...], forms: list[Form]) -> None:
    """One text constant, or an order and a geometry made of constants."""
    hint = "Write MOC('4/13 17-18 8/3002') or MOC(6, CIRCLE(10, 20, 1))."
    first = args[0]
    wanted = "string" if len(args) == 1 else "integer"
    if not isinstance(first, Literal) or first.kind != wanted:
        what = "a text" if len(args) == 1 else "a whole number"
        raise fault(text, first.pos, f"The first argument of {token.text} must be {what}, as a constant", hint=hint)
    if len(args) == 2:
        from skyvault.adql.constants import constant_shape

        if constant_shape(args[1]) is None:
            raise fault(text, args[1].pos, f"{token.text} is made of a geometry of constants", token.text, hint)


def _without_frame(text: str, token: Token, call: Function) -> tuple[Expr, ...]:
    """The arguments behind the deprecated coordinate system, which must be a constant (ADQL 2.1, section 4.2.5)."""
    args = call.args
    if args and isinstance(args[0], Literal) and args[0].kind in ("string", "null"):
        return args[1:]
    if args and form_of(args[0]) == "text":
        raise fault(
            text,
            args[0].pos,
            f"The coordinate system of {token.text} must be a text constant",
            hint="Write 'ICRS', or leave it away.",
        )
    if call.name == "POINT" and len(args) == 3:
        raise fault(
            text,
            args[0].pos,
            "POINT takes two numbers; a third argument, in front, can only be the coordinate system as a text constant",
            token.text,
            "Write POINT(longitude, latitude).",
        )
    return args


def _polygon_form(text: str, token: Token, args: tuple[Expr, ...], forms: list[Form]) -> None:
    hint = "Write POLYGON(lon1, lat1, lon2, lat2, lon3, lat3, ...) or POLYGON(point1, point2, point3, ...)."
    count = len(args)
    if "geometry" in forms and "number" in forms:
        raise fault(text, token.pos, "A polygon is made of points or of numbers, not of both", token.text, hint)
    if "geometry" in forms or ("number" not in forms and (count % 2 or count == 4)):
        if count < 3:
            raise fault(text, token.pos, f"A polygon needs at least three vertices, here are {count}", token.text, hint)
        return
    if count < 6 and count != 0 and "number" not in forms and count >= 3:
        return
    if count % 2:
        raise fault(text, token.pos, f"{count} numbers are no pairs of longitude and latitude", token.text, hint)
    if count < 6:
        raise fault(
            text, token.pos, f"A polygon needs at least three vertices, here are {count // 2}", token.text, hint
        )
