"""A query cut into words, numbers, texts and signs, and its shape with the constants taken out.

The lexical rules are those of ADQL 2.1, section 2.1. The *template* of a query is the key of the plan cache: two
queries that differ in constants, blanks, comments or the case of names share it.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from skyvault.adql.faults import fault
from skyvault.adql.words import RESERVED
from skyvault.errors import QueryError

#: longest query text, in characters
MAX_LENGTH = 1_000_000
#: longest number, in characters; beyond it nothing astronomical is meant
MAX_DIGITS = 400

WORD, QUOTED, INTEGER, REAL, STRING, OP, END = "word", "quoted", "integer", "real", "string", "op", "end"


class Token(NamedTuple):
    """One token. ``value`` is the word in lower case, the name or text without its quotes, the number, or the sign."""

    kind: str
    text: str
    value: int | float | str
    pos: int


_TOKEN = re.compile(
    r"""(?:[ \t\r\n]++|--[^\r\n]*+)*+(?:
      ([A-Za-z][A-Za-z0-9_]*+)
    | (<>|<=|>=|!=|\|\|(?!\|)|==|::|/\*|\.(?![0-9])|[(),+\-*/=<>;\[\]:])
    | ([0-9]++\.[0-9]*+(?:[eE][+-]?[0-9]++)?|\.[0-9]++(?:[eE][+-]?[0-9]++)?|[0-9]++[eE][+-]?[0-9]++)
    | ([0-9]++)
    | ('[^']*+(?:''[^']*+)*+'(?:(?:[ \t\r\n]++|--[^\r\n]*+)++'[^']*+(?:''[^']*+)*+')*+)
    | ("[^"]*+(?:""[^"]*+)*+")
    | (.)
    | \Z
    )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
#: pieces of a text constant that is written in several parts with blanks or comments between (ADQL 2.1 BNF)
_STRING_PART = re.compile(r"'([^']*+(?:''[^']*+)*+)'|[ \t\r\n]++|--[^\r\n]*+")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_FUSED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")

_SIGN_HINTS = {
    "==": "ADQL compares with a single =.",
    "::": "ADQL converts types with CAST(value AS TYPE).",
    "/*": "ADQL has line comments only: -- to the end of the line.",
    "%": "Use MOD(x, y) for the remainder; in LIKE patterns % goes inside the quotes.",
    "^": "Use POWER(x, y).",
    "!": "Use NOT, or <> to compare.",
    "&": "Use AND; ADQL has no bit operators.",
    "|": "Use OR, or || to join texts; ADQL has no bit operators.",
    "~": "Use LIKE, or gavo_match(pattern, text) for regular expressions.",
    "`": 'Names with special characters go in double quotes: "name".',
    "@": "ADQL has no variables.",
    "#": "Comments begin with --.",
    "?": "ADQL has no placeholders: write the value itself.",
    "$": "ADQL has no placeholders: write the value itself.",
    "{": "ADQL has no braces.",
    "}": "ADQL has no braces.",
    "\\": "A quote inside a text is doubled: 'it''s'.",
    "\u2018": "These are typographic quotes: use ' around texts.",
    "\u2019": "These are typographic quotes: use ' around texts.",
    "\u201c": "These are typographic quotes: use \" around names, ' around texts.",
    "\u201d": "These are typographic quotes: use \" around names, ' around texts.",
    "\u00a0": "This is a non-breaking space: use a plain blank.",
    "\u2212": "This is a typographic minus: use the sign - of the keyboard.",
    "\u2013": "This is a dash: use the sign - of the keyboard.",
    "\ufeff": "This is an invisible byte order mark: remove it.",
    "\u200b": "This is an invisible space: remove it.",
}


def tokenize(text: str) -> list[Token]:
    """Tokens of a query, closed by one of kind "end".

    Raises QueryError for what no ADQL text may hold: stray signs, unclosed quotes, names that begin with an
    underscore, numbers run into names, control characters, more than ``MAX_LENGTH`` characters.
    """
    if len(text) > MAX_LENGTH:
        raise QueryError(
            f"The query has {len(text)} characters; at most {MAX_LENGTH} are taken",
            hint="Put long lists of values into a table and upload it.",
        )
    tokens: list[Token] = []
    append = tokens.append
    make = Token._make
    size = len(text)
    for match in _TOKEN.finditer(text):
        group = match.lastindex
        if group is None:
            break  # blanks and comments at the end
        part = match[group]
        pos = match.end() - len(part)
        if group == 1:
            append(make((WORD, part, part.lower(), pos)))
        elif group == 2:
            if part == "!=":
                append(make((OP, part, "<>", pos)))
            elif part in _SIGN_HINTS:
                raise fault(text, pos, f"{part} is not part of ADQL", part, _SIGN_HINTS[part])
            else:
                append(make((OP, part, part, pos)))
        elif group == 3 or group == 4:
            end = match.end()
            if end < size and text[end] in _FUSED:
                raise _fused(text, pos, end)
            if len(part) > MAX_DIGITS:
                raise fault(text, pos, f"A number of {len(part)} characters is too long", part)
            if group == 4:
                append(make((INTEGER, part, int(part), pos)))
            else:
                number = float(part)
                if number == float("inf"):
                    raise fault(text, pos, f"The number {part} is too large", part, "The largest is about 1.8e308.")
                append(make((REAL, part, number, pos)))
        elif group == 5:
            append(make((STRING, part, _text_value(part), pos)))
        elif group == 6:
            name = part[1:-1].replace('""', '"')
            if not name:
                raise fault(text, pos, "A delimited name is empty", part, "Texts go in single quotes: ''.")
            append(make((QUOTED, part, name, pos)))
        else:
            raise _stray(text, pos, part)
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        code = f"U+{ord(forbidden[0]):04X}"
        raise fault(text, forbidden.start(), f"The query holds the control character {code}", code, "Remove it.")
    append(make((END, "", "", size)))
    return tokens


def _text_value(part: str) -> str:
    inner = part[1:-1]
    if "'" not in inner:
        return inner
    if "'" not in inner.replace("''", ""):
        return inner.replace("''", "'")
    return "".join(piece[1] for piece in _STRING_PART.finditer(part) if piece[1] is not None).replace("''", "'")


def _fused(text: str, start: int, end: int) -> QueryError:
    stop = end
    while stop < len(text) and stop - start < 60 and text[stop] in _FUSED:
        stop += 1
    fused = text[start:stop]
    return fault(text, start, f"{fused} is neither a number nor a name", fused, "Put a blank between number and word.")


def _stray(text: str, pos: int, part: str) -> QueryError:
    if _FORBIDDEN.match(part):
        code = f"U+{ord(part):04X}"
        return fault(text, pos, f"The query holds the control character {code}", code, "Remove it.")
    if part == "'":
        return fault(text, pos, "This text is never closed", "'", "A quote inside a text is doubled: 'it''s'.")
    if part == '"':
        return fault(text, pos, "This delimited name is never closed", '"', 'Close it with ".')
    if part == "_":
        return fault(
            text,
            pos,
            "A name begins with an underscore",
            "_",
            'Names begin with a letter; put this one in double quotes: "_name".',
        )
    hint = _SIGN_HINTS.get(part)
    if hint is None and part.isalpha():
        hint = f'Only the letters A to Z may be in bare names; put the name in double quotes: "...{part}...".'
    return fault(text, pos, f"The character {part} is not part of ADQL", part, hint)


# An alias keeps the case its user gave it, since it names a column of the result; so the template must keep it too.
_BEFORE_ALIAS = frozenset({"as", "end", "null"})
_INT32, _INT64 = 2**31 - 1, 2**63 - 1


def template(tokens: Sequence[Token]) -> tuple[Hashable, ...]:
    """The query without its constants: equal for queries that can share a plan.

    Text constants become 5, real numbers 4, integers 1, 2 or 3 as they fit 32 bits, 64 bits or neither, since their
    size decides the type of what is computed from them. Names that are not delimited are in lower case, but for
    aliases, whose spelling is part of the result.
    """
    parts: list[Hashable] = []
    append = parts.append
    may_be_alias = False
    for kind, text, value, _ in tokens:
        if kind == WORD:
            if value in RESERVED:
                append(value)
                may_be_alias = value in _BEFORE_ALIAS
            else:
                append(text if may_be_alias else value)
                may_be_alias = True
        elif kind == OP:
            append(value)
            may_be_alias = value == ")" or value == "]"
        else:
            may_be_alias = True
            if kind == INTEGER:
                append(1 if value <= _INT32 else 2 if value <= _INT64 else 3)  # type: ignore[operator]
            elif kind == REAL:
                append(4)
            elif kind == STRING:
                append(5)
            else:
                append(text)
    return tuple(parts)


_LITERALS = frozenset({INTEGER, REAL, STRING})


def literals(tokens: Sequence[Token]) -> tuple[int | float | str, ...]:
    """The values of the query's constants in the order they stand in the text (``Literal.index`` counts the same)."""
    return tuple([value for kind, _, value, _ in tokens if kind in _LITERALS])
