"""Expressions that make a dataset's columns from its file's header: ``= EXPTIME * 60``.

A small part of Python: numbers, texts, arithmetic, comparisons, ``a if b else c``, text methods by name, and the
functions listed here. Names are header cards, with ``_`` for ``-`` (``DATE_OBS``), and facts of the file (``stem``,
``name``, ``folder``, ``size``, ``ra``, ``dec``). A card that is not there is None; None in arithmetic gives None.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from skyvault.errors import ConfigError, FormatError
from skyvault.science.exposure_headers import instant_of, wavelengths_of

#: names of facts of the file, which header cards of the same name do not hide
FACTS: Final = frozenset({"stem", "name", "folder", "path", "size", "ra", "dec", "hdu", "extname", "None", "pi"})
_LONGEST: Final = 1_000
_OPERATORS: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: lambda a, b: math.pow(a, b),
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


def is_expression(value: Any) -> bool:
    """Whether a value of a resource is to be computed."""
    return isinstance(value, str) and value.lstrip().startswith("=")


def _mjd(text: Any) -> float | None:
    return None if text is None else instant_of(str(text)).mjd


def _shortest(name: Any) -> float | None:
    found = None if name is None else wavelengths_of(str(name))
    return None if found is None else found[0]


def _longest(name: Any) -> float | None:
    found = None if name is None else wavelengths_of(str(name))
    return None if found is None else found[1]


def _matched(pattern: str, text: Any) -> str | None:
    found = re.search(pattern, str(text)) if text is not None and len(str(text)) < 10_000 else None
    return None if found is None else found[found.lastindex or 0]


#: what expressions may call; None among the arguments gives None
FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "float": float, "int": lambda value: int(float(value)), "str": str, "abs": abs, "round": round, "min": min,
    "max": max, "len": len, "sqrt": math.sqrt, "log10": math.log10, "cos": lambda d: math.cos(math.radians(d)),
    "sin": lambda d: math.sin(math.radians(d)), "mjd": _mjd, "shortest": _shortest, "longest": _longest,
    "lower": lambda text: str(text).lower(), "upper": lambda text: str(text).upper(),
    "strip": lambda text: str(text).strip(), "match": _matched,
    "replace": lambda text, old, new: str(text).replace(old, new),
}  # fmt: skip
#: these have something to say of None
_TAKES_NONE: Final = frozenset({"first"})


def value_of(value: Any, facts: Mapping[str, Any], header: Any) -> Any:
    """A value of a resource, computed where it is an expression.

    Raises FormatError when it cannot be computed for this file, ConfigError when it never can.
    """
    if not is_expression(value):
        return value
    tree = parsed(str(value))
    try:
        return _evaluated(tree, facts, header)
    except (ConfigError, FormatError):
        raise
    except Exception as problem:
        raise FormatError(f"{str(value).strip()[:80]!r} cannot be computed ({problem})") from None


@lru_cache(maxsize=1024)
def parsed(text: str) -> ast.expr:
    """The checked tree of an expression. Raises ConfigError."""
    source = text.strip().removeprefix("=").strip()
    if len(source) > _LONGEST:
        raise ConfigError(f"an expression has at most {_LONGEST} characters")
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ConfigError(f"{source[:80]!r} is no expression", hint="For example '= EXPTIME * 60'.") from None
    _check(tree, source)
    return tree


def _check(node: ast.AST, source: str) -> None:
    allowed = (ast.Name, ast.Constant, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call)
    more = (ast.Subscript, ast.Slice, ast.Load, ast.USub, ast.UAdd, ast.Not, ast.And, ast.Or, *_OPERATORS)
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name != "first" and name not in FUNCTIONS:
            from difflib import get_close_matches

            near = get_close_matches(str(name), [*FUNCTIONS, "first"], n=1)
            told = f"Did you mean {near[0]}?" if near else f"There are first, {', '.join(sorted(FUNCTIONS))}."
            raise ConfigError(f"{ast.unparse(node.func)[:40]!r} cannot be called in {source[:80]!r}", hint=told)
        if node.keywords:
            raise ConfigError(f"{source[:80]!r} names arguments", hint="Give them in order.")
        for argument in node.args:
            _check(argument, source)
        return
    if not isinstance(node, (*allowed, *more)):
        raise ConfigError(
            f"{ast.unparse(node)[:40]!r} is more than an expression may be, in {source[:80]!r}",
            hint="Write a function in hooks.py and name it as the section's hook.",
        )
    for child in ast.iter_child_nodes(node):
        _check(child, source)


def _evaluated(node: Any, facts: Mapping[str, Any], header: Any) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return _named(node.id, facts, header)
    if isinstance(node, ast.BinOp):
        left, right = _evaluated(node.left, facts, header), _evaluated(node.right, facts, header)
        return None if left is None or right is None else _bounded(_OPERATORS[type(node.op)](left, right))
    if isinstance(node, ast.UnaryOp):
        value = _evaluated(node.operand, facts, header)
        if isinstance(node.op, ast.Not):
            return not value
        return None if value is None else -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BoolOp):
        value = None
        for part in node.values:
            value = _evaluated(part, facts, header)
            if bool(value) == isinstance(node.op, ast.Or):
                return value
        return value
    if isinstance(node, ast.Compare):
        return _compared(node, facts, header)
    if isinstance(node, ast.IfExp):
        return _evaluated(node.body if _evaluated(node.test, facts, header) else node.orelse, facts, header)
    if isinstance(node, ast.Subscript):
        value = _evaluated(node.value, facts, header)
        return None if value is None else value[_place(node.slice, facts, header)]
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    given = [_evaluated(one, facts, header) for one in node.args]
    if node.func.id == "first":
        return next((one for one in given if one is not None), None)
    return None if any(one is None for one in given) else FUNCTIONS[node.func.id](*given)


def _compared(node: ast.Compare, facts: Mapping[str, Any], header: Any) -> bool:
    left = _evaluated(node.left, facts, header)
    for operation, right_node in zip(node.ops, node.comparators, strict=True):
        right = _evaluated(right_node, facts, header)
        if (left is None or right is None) and not isinstance(operation, ast.Eq | ast.NotEq):
            return False
        if not _OPERATORS[type(operation)](left, right):
            return False
        left = right
    return True


def _place(node: ast.expr, facts: Mapping[str, Any], header: Any) -> Any:
    if isinstance(node, ast.Slice):
        ends = (node.lower, node.upper, node.step)
        return slice(*(None if one is None else _evaluated(one, facts, header) for one in ends))
    return _evaluated(node, facts, header)


def _named(name: str, facts: Mapping[str, Any], header: Any) -> Any:
    if name in facts:
        return facts[name]
    if name == "pi":
        return math.pi
    for card in (name, name.replace("_", "-")):
        if header is not None and card in header:
            value = header[card]
            # a card without a value
            return None if type(value).__name__ == "Undefined" else value
    return None


def _bounded(value: Any) -> Any:
    """Texts and numbers that a header cannot make into something monstrous."""
    if isinstance(value, str) and len(value) > 100_000:
        raise FormatError("an expression made a text of more than 100,000 characters")
    return value
