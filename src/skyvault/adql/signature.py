"""Signatures of functions as TAPRegExt writes them: ``name(arg TYPE, ...) -> TYPE``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal as Choice

from skyvault.errors import UsageError

#: what an argument must be; "any" takes everything
Kind = Choice["integer", "number", "text", "timestamp", "point", "geometry", "interval", "array", "any"]

_KINDS: dict[str, Kind] = {
    "SMALLINT": "integer",
    "INTEGER": "integer",
    "INT": "integer",
    "BIGINT": "integer",
    "REAL": "number",
    "FLOAT": "number",
    "DOUBLE": "number",
    "DOUBLE PRECISION": "number",
    "NUMERIC": "number",
    "NUMBER": "number",
    "CHAR": "text",
    "VARCHAR": "text",
    "TEXT": "text",
    "STRING": "text",
    "TIMESTAMP": "timestamp",
    "POINT": "point",
    "CIRCLE": "geometry",
    "POLYGON": "geometry",
    "BOX": "geometry",
    "REGION": "geometry",
    "GEOMETRY": "geometry",
    "GEOM": "geometry",
    "MOC": "geometry",
    "INTERVAL": "interval",
}

_SIGNATURE = re.compile(
    r"\s*([A-Za-z][A-Za-z0-9_]*)\s*\(((?:[^()]++|\([^()]*+\))*+)\)\s*(?:->\s*([A-Za-z][^()]*(?:\([^()]*\))?[^()]*?)\s*)?"
)
_PARAMETER = re.compile(
    r"(?:([A-Za-z_][A-Za-z0-9_]*)\s+)?([A-Za-z][A-Za-z0-9_ ]*?(?:\s*\([^()]*\))?)\s*(\[.*\])?\s*(\.\.\.)?"
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument: its name, its ADQL type as written, and the kind of value that is taken."""

    name: str
    type: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call a function. ``is_variadic``: the last parameter may be repeated. ``text`` is for people."""

    name: str
    parameters: tuple[Parameter, ...]
    result: str
    text: str
    is_variadic: bool = False

    def takes(self, count: int) -> bool:
        """Whether a call may have ``count`` arguments."""
        return count >= len(self.parameters) if self.is_variadic else count == len(self.parameters)

    def parameter(self, index: int) -> Parameter:
        return self.parameters[min(index, len(self.parameters) - 1)]


def kind_of_type(type_name: str) -> Kind:
    """The kind of values of an ADQL type; types not of the standard take any value."""
    bare = " ".join(type_name.upper().split())
    if "[" in bare:
        return "array"
    return _KINDS.get(bare.partition("(")[0].strip(), "any")


def parse_signature(text: str) -> Signature:
    """Read ``name(arg TYPE, ...) -> TYPE``; the argument's name and the result may be missing.

    Raises UsageError when the text is nothing of the kind.
    """
    match = _SIGNATURE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text.strip()[:200]!r} is not the signature of a function",
            hint="Write it like my_function(a DOUBLE, b TEXT) -> DOUBLE.",
        )
    name, inside, result = match.groups()
    parameters: list[Parameter] = []
    is_variadic = False
    pieces = _split(inside)
    for number, piece in enumerate(pieces):
        if piece == "..." and number == len(pieces) - 1 and parameters:
            is_variadic = True
            continue
        found = _PARAMETER.fullmatch(piece)
        if found is None:
            raise UsageError(
                f"{piece!r} is not an argument of the function {name}", hint="Write arguments as: name TYPE."
            )
        label, type_name, array, dots = found.groups()
        if label is not None and label.upper() == "DOUBLE" and type_name.upper() == "PRECISION":
            label, type_name = None, "DOUBLE PRECISION"
        written = type_name.strip() + (array or "")
        parameters.append(Parameter(label or f"arg{number + 1}", written, kind_of_type(written)))
        is_variadic = is_variadic or dots is not None
    return Signature(name.lower(), tuple(parameters), (result or "ANY").strip(), text.strip(), is_variadic)


def _split(inside: str) -> list[str]:
    """The arguments between the commas that stand outside of parentheses and brackets."""
    if not inside.strip():
        return []
    pieces, depth, start = [], 0, 0
    for place, sign in enumerate(inside):
        if sign in "([":
            depth += 1
        elif sign in ")]":
            depth -= 1
        elif sign == "," and depth == 0:
            pieces.append(inside[start:place].strip())
            start = place + 1
    pieces.append(inside[start:].strip())
    return pieces
