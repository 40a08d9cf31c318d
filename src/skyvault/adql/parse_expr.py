"""Text to tree: values and conditions, by operator precedence.

Values and conditions are read by one routine and told apart by the class of what came out, so that a parenthesis never
has to be read twice to learn what it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from skyvault.adql.faults import did_you_mean, fault
from skyvault.adql.functions import FunctionSpec
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
    Name,
    Not,
    Query,
    ScalarSubquery,
    Slice,
    Unary,
)
from skyvault.adql.parse_forms import CAST_TYPES, cast_hint, check_form, check_operands
from skyvault.adql.tokens import END, INTEGER, OP, QUOTED, REAL, STRING, WORD, Token
from skyvault.adql.tree import CONDITIONS
from skyvault.adql.words import RESERVED
from skyvault.errors import QueryError

T = TypeVar("T")

# Binding powers: a higher one binds tighter (ADQL 2.1, appendix A: factor, term, expression, predicate, NOT, AND, OR).
_OR, _AND, _NOT, _PREDICATE, _JOINED, _SUM, _PRODUCT = 1, 2, 3, 4, 5, 6, 7

_SIGNS: dict[str, int] = {
    "=": _PREDICATE,
    "<>": _PREDICATE,
    "<": _PREDICATE,
    "<=": _PREDICATE,
    ">": _PREDICATE,
    ">=": _PREDICATE,
    "||": _JOINED,
    "+": _SUM,
    "-": _SUM,
    "*": _PRODUCT,
    "/": _PRODUCT,
}
_WORDS: dict[str, int] = {
    "or": _OR,
    "and": _AND,
    "not": _PREDICATE,
    "in": _PREDICATE,
    "like": _PREDICATE,
    "ilike": _PREDICATE,
    "between": _PREDICATE,
    "is": _PREDICATE,
}
_AGGREGATES = frozenset({"COUNT", "AVG", "MAX", "MIN", "SUM"})

MAX_DEPTH = 100
#: calls of ``expression`` inside each other; a level of nesting needs one to seven
_MAX_CALLS = 200

#: what people write who come from other dialects
_WORD_HINTS: dict[str, str] = {
    "limit": "ADQL has no LIMIT: use TOP n after SELECT.",
    "fetch": "Use TOP n after SELECT.",
    "qualify": "ADQL has no window functions.",
    "over": "ADQL has no window functions.",
    "escape": "ADQL's LIKE has no ESCAPE.",
    "rlike": "Use gavo_match(pattern, text).",
    "regexp": "Use gavo_match(pattern, text).",
    "similar": "Use gavo_match(pattern, text).",
    "div": "Use FLOOR(x / y).",
    "mod": "Use MOD(x, y).",
    "join": "Joins belong to FROM, before WHERE.",
    "inner": "Joins belong to FROM, before WHERE.",
    "natural": "Joins belong to FROM, before WHERE.",
    "on": "ON belongs to a JOIN.",
    "using": "USING belongs to a JOIN.",
    "outer": "Write LEFT, RIGHT or FULL in front of OUTER JOIN.",
    "xor": "Use OR and AND.",
    "isnull": "Write IS NULL.",
    "notnull": "Write IS NOT NULL.",
    "minus": "Use EXCEPT.",
    "cross": "ADQL has no CROSS JOIN: put a comma between the tables.",
    "collate": "Use ILIKE or LOWER to compare whatever the case.",
    "where": "The order is SELECT, FROM, WHERE, GROUP BY, HAVING, ORDER BY, OFFSET; each once.",
    "group": "The order is SELECT, FROM, WHERE, GROUP BY, HAVING, ORDER BY, OFFSET; each once.",
    "having": "The order is SELECT, FROM, WHERE, GROUP BY, HAVING, ORDER BY, OFFSET; each once.",
    "order": "ORDER BY comes near the end, before OFFSET.",
    "offset": "OFFSET n comes at the very end of the query.",
    "top": "TOP n comes directly after SELECT [ALL|DISTINCT].",
    "distinct": "DISTINCT comes directly after SELECT.",
    "into": "Queries cannot write tables here.",
    "asc": "ASC and DESC belong to ORDER BY.",
    "desc": "ASC and DESC belong to ORDER BY.",
    "true": "ADQL has no truth values: compare with 1 or 'true', as the column's description says.",
    "false": "ADQL has no truth values: compare with 0 or 'false', as the column's description says.",
    "timestamp": "Write a timestamp as text, or CAST(text AS TIMESTAMP).",
    "date": "Write a date as text, or CAST(text AS TIMESTAMP); as a name: \"date\".",
    "interval": "ADQL has no INTERVAL constants.",
    "current_timestamp": "ADQL does not know the current time: write a timestamp as text.",
    "current_date": "ADQL does not know the current date: write a timestamp as text.",
    "any": "Use IN or EXISTS with a subquery.",
    "some": "Use IN or EXISTS with a subquery.",
    "unknown": "ADQL has IS NULL and IS NOT NULL only.",
}
#: functions of other dialects and what to write instead
_FUNCTION_HINTS: dict[str, str] = {
    "ifnull": "Use COALESCE(a, b).",
    "nvl": "Use COALESCE(a, b).",
    "isnull": "Use COALESCE(a, b), or value IS NULL.",
    "if": "Use CASE WHEN condition THEN a ELSE b END.",
    "iif": "Use CASE WHEN condition THEN a ELSE b END.",
    "decode": "Use CASE value WHEN a THEN b ELSE c END.",
    "substr": "Use SUBSTRING(text, start, length).",
    "len": "Use LENGTH(text).",
    "concat": "Use a || b.",
    "ceil": "Use CEILING(x).",
    "ln": "Use LOG(x): it is the natural logarithm.",
    "log2": "Use LOG(x) / LOG(2).",
    "pow": "Use POWER(x, y).",
    "trunc": "Use TRUNCATE(x, n).",
    "random": "Use RAND().",
    "lcase": "Use LOWER(text).",
    "ucase": "Use UPPER(text).",
    "mean": "Use AVG(x).",
    "std": "Use STDDEV(x).",
    "count_distinct": "Use COUNT(DISTINCT x).",
    "string_agg": "Use ivo_string_agg(x, delimiter).",
    "group_concat": "Use ivo_string_agg(x, delimiter).",
    "regexp_like": "Use gavo_match(pattern, text).",
    "regexp_matches": "Use gavo_match(pattern, text).",
    "convert": "Use CAST(value AS TYPE).",
    "to_char": "Use CAST(value AS VARCHAR).",
    "now": "ADQL does not know the current time: write a timestamp as text.",
    "getdate": "ADQL does not know the current time: write a timestamp as text.",
    "extract": "Use ivo_to_mjd(timestamp) to compute with times.",
    "date_part": "Use ivo_to_mjd(timestamp) to compute with times.",
    "q3c_radial_query": "Use DISTANCE(ra, dec, ra0, dec0) < radius.",
    "q3c_join": "Use DISTANCE(ra1, dec1, ra2, dec2) < radius.",
    "xmatch": "Use DISTANCE(ra1, dec1, ra2, dec2) < radius.",
    "values": "Upload a table instead.",
    "date": "Write a timestamp as text, or CAST(text AS TIMESTAMP).",
    "row": "ADQL compares single values.",
}


_KEYWORDS = ("SELECT", "FROM", "WHERE", "GROUP", "ORDER", "HAVING", "BETWEEN", "LIKE", "JOIN", "OFFSET", "UNION")


class TokenReader:
    """The tokens of a query and the place reached in them."""

    def __init__(self, text: str, tokens: list[Token], known: Mapping[str, FunctionSpec]) -> None:
        self.text = text
        self.tokens = tokens
        self.known = known
        self.index = 0
        self.token = tokens[0]
        self.depth = 0
        self.calls = 0
        self.literal_count = 0
        self._opens_query: dict[int, bool] = {}
        self.matching = self._match_parentheses()

    # ------------------------------------------------------------ moving

    def advance(self) -> None:
        self.index += 1
        self.token = self.tokens[self.index]

    def at_op(self, sign: str) -> bool:
        return self.token.kind == OP and self.token.value == sign

    def at_word(self, word: str) -> bool:
        return self.token.kind == WORD and self.token.value == word

    def next_is_op(self, sign: str) -> bool:
        following = self.tokens[min(self.index + 1, len(self.tokens) - 1)]
        return following.kind == OP and following.value == sign

    def expect_op(self, sign: str, why: str = "") -> None:
        if not self.at_op(sign):
            raise self.unexpected(f"where {sign} should be{' ' + why if why else ''}")
        self.advance()

    def expect_word(self, word: str, why: str) -> None:
        if not self.at_word(word):
            raise self.unexpected(f"where {word.upper()} should be {why}")
        self.advance()

    def comma_list(self, read: Callable[[], T]) -> list[T]:
        items = [read()]
        while self.at_op(","):
            comma = self.token
            self.advance()
            if self.token.kind == END or self.at_op(")") or self.at_word("from"):
                raise self.fail("Something is missing after the comma", comma, "Remove the comma, or go on after it.")
            items.append(read())
        return items

    def take_literal(self) -> int:
        """Step over a constant and tell its number among the constants of the text."""
        number = self.literal_count
        self.literal_count += 1
        self.advance()
        return number

    def unsigned(self, word: str) -> tuple[int, int]:
        """The whole number after TOP or OFFSET, and its number among the constants."""
        token = self.token
        if token.kind != INTEGER:
            hint = f"Write {word} 10, say: a whole number without sign."
            if token.kind == END:
                raise self.fail(f"{word} lacks its number", token, hint)
            raise self.fail(f"{word} takes a whole number, not {token.text}", token, hint)
        if isinstance(token.value, int) and token.value > 2**63 - 1:
            raise self.fail(f"{word} {token.text} is too large", token)
        return int(token.value), self.take_literal()

    def enter(self, levels: int) -> None:
        self.depth += levels
        if self.depth > MAX_DEPTH:
            raise self.fail(
                f"The query is nested more than {MAX_DEPTH} levels deep",
                hint="Put parts of it into common table expressions (WITH).",
            )

    def leave(self, levels: int) -> None:
        self.depth -= levels

    def _match_parentheses(self) -> dict[int, int]:
        """Places of closing parentheses by those of the opening ones."""
        matching: dict[int, int] = {}
        opened: list[int] = []
        for place, token in enumerate(self.tokens):
            if token.kind == OP:
                if token.value == "(":
                    opened.append(place)
                elif token.value == ")":
                    if not opened:
                        raise self.fail("This closing parenthesis was never opened", token, "Remove it, or open it.")
                    matching[opened.pop()] = place
        if opened:
            raise self.fail("This parenthesis is never closed", self.tokens[opened[-1]], "Close it with ).")
        return matching

    def at_query(self) -> bool:
        """Whether a query begins here: SELECT, WITH, or a parenthesis around one."""
        token = self.token
        if token.kind == WORD:
            return token.value == "select" or token.value == "with"
        if not (token.kind == OP and token.value == "("):
            return False
        known = self._opens_query.get(self.index)
        if known is None:
            known = self._look_inside()
        return known

    def _look_inside(self) -> bool:
        """Whether the parenthesis here is one around a query; the answer holds for those directly inside, too."""
        place = self.index
        while True:
            token = self.tokens[place]
            if token.kind == WORD:
                found = token.value in ("select", "with")
                break
            if not (token.kind == OP and token.value == "("):
                found = False
                break
            inner = self.tokens[place + 1]
            if inner.kind == OP and inner.value == "(":
                after = self.tokens[self.matching[place + 1] + 1]
                closes = after.kind == OP and after.value == ")"
                goes_on = after.kind == WORD and after.value in ("union", "except", "intersect", "order", "offset")
                if not closes and not goes_on:
                    place += 1
                    found = False
                    break
            place += 1
        for outer in range(self.index, place):
            self._opens_query[outer] = found
        return found

    # ------------------------------------------------------------ complaining

    def fail(self, what: str, token: Token | None = None, hint: str | None = None) -> QueryError:
        where = token or self.token
        return fault(self.text, where.pos, what, where.text or "end of the query", hint)

    def unexpected(self, context: str) -> QueryError:
        token = self.token
        before = self.tokens[self.index - 1]
        if token.kind == END:
            return self.fail(f"The query ends {context}", token, "Write the rest of it.")
        hint = None
        if token.kind == WORD:
            hint = _WORD_HINTS.get(str(token.value))
            if hint is None and token.value in RESERVED:
                hint = f'{token.text} is a reserved word; as a name it goes in double quotes: "{token.text}".'
            elif hint is None:
                hint = did_you_mean(str(token.value), _KEYWORDS)
        elif token.kind == STRING:
            hint = 'Names go in double quotes: "name"; texts in single quotes.'
        elif token.kind == OP and token.value == ";":
            hint = "A semicolon may only stand at the very end."
        if hint is None and before.kind == WORD and before.value not in RESERVED:
            hint = _WORD_HINTS.get(str(before.value)) or did_you_mean(str(before.value), _KEYWORDS)
        return self.fail(f"Unexpected {token.text[:40]} {context}", token, hint)

    # ------------------------------------------------------------ names

    def name(self, what: str) -> Name:
        """An identifier, or an error that says ``what`` was wanted."""
        token = self.token
        if token.kind == WORD:
            if token.value in RESERVED:
                raise self.fail(
                    f"{token.text} is a reserved word and cannot name {what}",
                    token,
                    f'Put it in double quotes: "{token.text}".',
                )
            self.advance()
            return Name(token.text, False, token.pos)
        if token.kind == QUOTED:
            self.advance()
            return Name(str(token.value), True, token.pos)
        if token.kind == END:
            raise self.fail(f"The query ends where {what} should be named", token)
        hint = 'Names go in double quotes, texts in single ones: "name".' if token.kind == STRING else None
        raise self.fail(f"Unexpected {token.text[:40]} where {what} should be named", token, hint)

    def alias(self) -> Name | None:
        """[AS] name"""
        token = self.token
        if token.kind == WORD:
            if token.value == "as":
                self.advance()
                return self.name("a column or table")
            if token.value in RESERVED:
                return None
            following = self.tokens[self.index + 1]
            if following.kind == INTEGER and token.value == "limit":
                raise self.unexpected("after the tables")
            if following.kind == OP and following.value == "(" and token.value == "tablesample":
                return None
            self.advance()
            return Name(token.text, False, token.pos)
        if token.kind == QUOTED:
            self.advance()
            return Name(str(token.value), True, token.pos)
        return None


class ExpressionParser(TokenReader):
    """Reads values and conditions."""

    def subquery(self) -> Query:
        raise NotImplementedError

    def value(self, where: str) -> Expr:
        return self.as_value(self.expression(0), where)

    def condition(self, where: str) -> Condition:
        return self.as_condition(self.expression(0), where)

    def as_value(self, node: Expr | Condition, where: str) -> Expr:
        if type(node) in CONDITIONS:
            raise fault(
                self.text,
                node.pos,
                f"A condition cannot be a value in {where}",
                hint="Turn it into one with CASE WHEN condition THEN 1 ELSE 0 END.",
            )
        return node  # type: ignore[return-value]

    def as_condition(self, node: Expr | Condition, where: str) -> Condition:
        if type(node) in CONDITIONS:
            return node  # type: ignore[return-value]
        token, hint = None, "Compare it with something: value = 1."
        if isinstance(node, Function):
            token = node.name
            hint = f"Compare its result: {node.name}(...) = 1."
        elif isinstance(node, ColumnRef):
            token = node.name.text
        raise fault(self.text, node.pos, f"A condition is wanted in {where}, here is only a value", token, hint)

    # ------------------------------------------------------------ operators

    def expression(self, level: int) -> Expr | Condition:
        """A value or condition whose operators bind tighter than ``level``."""
        self.calls += 1
        if self.calls > _MAX_CALLS:
            raise self.fail(
                f"The query is nested more than {MAX_DEPTH} levels deep",
                hint="Put parts of it into common table expressions (WITH).",
            )
        left = self.prefix()
        while True:
            token = self.token
            if token.kind == OP:
                sign = token.value
                power = _SIGNS.get(sign, 0)  # type: ignore[arg-type]
                if power <= level:
                    if sign == "[":
                        left = self.element(left)
                        continue
                    break
                self.advance()
                if power == _PREDICATE:
                    left = self.comparison(left, token)
                else:
                    right = self.as_value(self.expression(power), f"an operand of {sign}")
                    left = Binary(token.pos, sign, self.as_value(left, f"an operand of {sign}"), right)  # type: ignore[arg-type]
                    check_operands(self.text, left)
            elif token.kind == WORD:
                word = str(token.value)
                power = _WORDS.get(word, 0)
                if power <= level:
                    break
                left = self.logical(left, word, power) if power < _PREDICATE else self.predicate(left)
            else:
                break
        self.calls -= 1
        return left

    def comparison(self, left: Expr | Condition, token: Token) -> Condition:
        sign = str(token.value)
        left = self.as_value(left, "a comparison")
        if self.at_op("=") or self.at_op(">") or self.at_op("<"):
            raise self.fail(f"{token.text} {self.token.text} is not a comparison", hint="Use = <> < <= > >=.")
        if self.token.kind == WORD and self.token.value in ("any", "some", "all"):
            raise self.fail(f"ADQL does not compare with {self.token.text}", hint=_WORD_HINTS["any"])
        right = self.as_value(self.expression(_PREDICATE), "a comparison")
        if self.token.kind == OP and _SIGNS.get(str(self.token.value)) == _PREDICATE:
            raise self.fail("Comparisons cannot be chained", hint="Write a < b AND b < c.")
        return Comparison(token.pos, sign, left, right)  # type: ignore[arg-type]

    def logical(self, left: Expr | Condition, word: str, power: int) -> Condition:
        op = word.upper()
        pos = self.token.pos
        operands = [self.as_condition(left, f"an operand of {op}")]
        while self.at_word(word):
            self.advance()
            operands.append(self.as_condition(self.expression(power), f"an operand of {op}"))
        return Logical(pos, op, tuple(operands))  # type: ignore[arg-type]

    def predicate(self, left: Expr | Condition) -> Condition:
        """[NOT] IN, LIKE, ILIKE, BETWEEN; IS [NOT] NULL"""
        first = self.token
        pos = first.pos
        operand = self.as_value(left, f"front of {first.text.upper()}")
        negated = self.at_word("not")
        if negated:
            self.advance()
        word = self.token.value if self.token.kind == WORD else ""
        if word == "is" and not negated:
            self.advance()
            if self.at_word("not"):
                negated = True
                self.advance()
            if not self.at_word("null"):
                raise self.fail("IS is followed by NULL or NOT NULL only", hint="Compare values with = or <>.")
            self.advance()
            return IsNull(pos, operand, negated)
        if word in ("like", "ilike"):
            self.advance()
            pattern = self.as_value(self.expression(_PREDICATE), str(word).upper())
            if self.at_word("escape"):
                raise self.unexpected("after the pattern")
            return Like(pos, operand, pattern, negated, word == "ilike")
        if word == "between":
            self.advance()
            low = self.as_value(self.expression(_PREDICATE), "BETWEEN")
            if not self.at_word("and"):
                raise self.unexpected("where the AND of BETWEEN should be")
            self.advance()
            high = self.as_value(self.expression(_PREDICATE), "BETWEEN")
            return Between(pos, operand, low, high, negated)
        if word == "in":
            self.advance()
            if not self.at_op("("):
                raise self.fail("IN is followed by a list or a subquery in parentheses", hint="Write IN (1, 2, 3).")
            if self.at_query():
                return InSubquery(pos, operand, self.subquery(), negated)
            self.enter(1)
            self.advance()
            if self.at_op(")"):
                raise self.fail("The list of IN is empty")
            items = self.comma_list(lambda: self.value("the list of IN"))
            self.expect_op(")", "to close the list of IN")
            self.leave(1)
            return InList(pos, operand, tuple(items), negated)
        raise self.unexpected("after NOT" if negated else "in a condition")

    # ------------------------------------------------------------ operands

    def prefix(self) -> Expr | Condition:
        token = self.token
        kind = token.kind
        if kind == WORD:
            following = self.tokens[self.index + 1]
            if following.kind == OP and following.value == "(":
                return self.call_or_word(token)
            if token.value in RESERVED:
                return self.reserved(token)
            return self.column()
        if kind in (INTEGER, REAL, STRING):
            return Literal(token.pos, token.value, kind, self.take_literal())  # type: ignore[arg-type]
        if kind == QUOTED:
            return self.column()
        if kind == OP:
            if token.value == "(":
                return self.parenthesis()
            if token.value in ("+", "-"):
                self.advance()
                if self.token.kind == OP and self.token.value in ("+", "-"):
                    raise self.fail("Two signs follow each other", hint="Put the second into parentheses: -(-1).")
                operand: Expr | Condition = self.prefix()
                while self.at_op("["):
                    operand = self.element(operand)
                unary = Unary(token.pos, token.value, self.as_value(operand, "front of a sign"))  # type: ignore[arg-type]
                check_operands(self.text, unary)
                return unary
            if token.value == "*":
                raise self.fail("* can only stand for all columns, or in COUNT(*)")
        raise self.unexpected("where a value should be")

    def parenthesis(self) -> Expr | Condition:
        pos = self.token.pos
        if self.at_query():
            return ScalarSubquery(pos, self.subquery())
        self.enter(1)
        self.advance()
        if self.at_op(")"):
            raise self.fail("These parentheses are empty")
        inner = self.expression(0)
        if self.at_op(","):
            raise self.fail("A value cannot be a list", hint="ADQL compares single values: a = 1 AND b = 2.")
        self.expect_op(")", "to close the parenthesis")
        self.leave(1)
        return inner

    def reserved(self, token: Token) -> Expr | Condition:
        """What a reserved word may begin, when no parenthesis follows."""
        word = token.value
        if word == "not":
            self.advance()
            if self.at_word("not"):
                raise self.fail("NOT is given twice", hint="Put the inner one into parentheses.")
            return Not(token.pos, self.as_condition(self.expression(_NOT), "NOT"))
        if word == "null":
            self.advance()
            return Literal(token.pos, None, "null")
        if word == "case":
            return self.case()
        if word == "exists":
            raise self.fail("EXISTS is followed by a subquery in parentheses", token, "Write EXISTS (SELECT ...).")
        spec = self.known.get(str(word))
        if spec is not None:
            raise self.fail(
                f"{token.text} is a function and needs its parentheses",
                token,
                f'Write {token.text.upper()}(...); a column of that name goes in double quotes: "{token.text}".',
            )
        raise self.unexpected("where a value should be")

    def column(self) -> ColumnRef:
        pos = self.token.pos
        names = [self.name("a column")]
        while self.at_op("."):
            self.advance()
            names.append(self.name("a column"))
        if len(names) > 4:
            raise fault(
                self.text,
                pos,
                f"A column has at most four names (catalog.schema.table.column), here are {len(names)}",
                ".".join(name.text for name in names),
            )
        if self.at_op("("):
            raise fault(self.text, pos, "This is not the name of a function", ".".join(name.text for name in names))
        return ColumnRef(pos, names[-1], tuple(names[:-1]))

    def element(self, array: Expr | Condition) -> Expr:
        """array[index] or array[low:high]; the opening bracket is the current token."""
        token = self.token
        operand = self.as_value(array, "front of [")
        if not isinstance(operand, ColumnRef | Function | Element | Slice | ScalarSubquery):
            raise self.fail("Only arrays have elements", token)
        self.enter(1)
        self.advance()
        low: Expr | None = None
        if not self.at_op(":"):
            low = self.value("an index")
            if self.at_op("]"):
                self.advance()
                self.leave(1)
                return Element(token.pos, operand, low)
        if not self.at_op(":"):
            raise self.unexpected("where ] or : should be")
        self.advance()
        high = None if self.at_op("]") else self.value("an index")
        if not self.at_op("]"):
            raise self.unexpected("where ] should be")
        self.advance()
        self.leave(1)
        return Slice(token.pos, operand, low, high)

    def case(self) -> Case:
        token = self.token
        self.enter(1)
        self.advance()
        operand = None if self.at_word("when") else self.value("CASE")
        whens: list[tuple[Expr | Condition, Expr]] = []
        while self.at_word("when"):
            self.advance()
            test: Expr | Condition = self.condition("WHEN") if operand is None else self.value("WHEN")
            self.expect_word("then", "after WHEN")
            whens.append((test, self.value("THEN")))
        if not whens:
            raise self.unexpected("where WHEN should be")
        otherwise: Expr | None = None
        if self.at_word("else"):
            self.advance()
            otherwise = self.value("ELSE")
        if not self.at_word("end"):
            raise self.unexpected("where END of CASE should be")
        self.advance()
        self.leave(1)
        return Case(token.pos, operand, tuple(whens), otherwise)

    # ------------------------------------------------------------ calls

    def call_or_word(self, token: Token) -> Expr | Condition:
        """A word with a parenthesis behind it: a call, or one of the words that take parentheses."""
        word = str(token.value)
        if word == "exists":
            self.advance()
            if not self.at_query():
                raise self.fail("EXISTS is followed by a subquery", hint="Write EXISTS (SELECT ...).")
            return Exists(token.pos, self.subquery())
        if word in ("not", "case"):
            return self.reserved(token)
        if word == "cast":
            return self.cast()
        spec = self.known.get(word)
        if spec is not None:
            return self.call(token, spec)
        if word in RESERVED and word not in _FUNCTION_HINTS:
            raise self.unexpected("where a value should be")
        hint = _FUNCTION_HINTS.get(word)
        if hint is None:
            hint = did_you_mean(word, [name.upper() if name in RESERVED else name for name in self.known])
        raise self.fail(f"There is no function {token.text}", token, hint)

    def call(self, token: Token, spec: FunctionSpec) -> Function:
        self.enter(1)
        self.advance()
        self.advance()
        distinct = False
        is_set_function = spec.name in _AGGREGATES
        if self.token.kind == WORD and self.token.value in ("distinct", "all"):
            if not is_set_function:
                raise self.fail(f"{token.text} takes no {self.token.text}")
            distinct = self.token.value == "distinct"
            self.advance()
            if self.at_op("*"):
                raise self.fail("COUNT(*) counts all rows", hint="Name a column to count its distinct values.")
        elif self.at_op("*"):
            if spec.name != "COUNT":
                raise self.fail(f"{token.text} cannot take *", hint="Only COUNT(*) can.")
            self.advance()
            self.expect_op(")", "to close COUNT")
            self.leave(1)
            return Function(token.pos, spec.name, (), star=True)
        args: tuple[Expr, ...] = ()
        if not self.at_op(")"):
            args = tuple(self.comma_list(lambda: self.value(f"an argument of {token.text}")))
        if not self.at_op(")"):
            raise self.unexpected(f"where , or ) of {token.text} should be")
        closing = self.token
        self.advance()
        self.leave(1)
        function = Function(token.pos, spec.name, args, distinct)
        check_form(self.text, token, closing, function, spec)
        return function

    def cast(self) -> Cast:
        token = self.token
        self.enter(1)
        self.advance()
        self.advance()
        operand = self.value("CAST")
        self.expect_word("as", "in CAST(value AS TYPE)")
        type_token = self.token
        target = type_token.text.upper() if type_token.kind == WORD else ""
        if target == "DOUBLE":
            self.advance()
            if not self.at_word("precision"):
                raise self.fail("The type is DOUBLE PRECISION", type_token, "Write CAST(value AS DOUBLE PRECISION).")
            target = "DOUBLE PRECISION"
        if target not in CAST_TYPES:
            raise self.fail(f"{type_token.text or 'Nothing'} is not a type to cast to", type_token, cast_hint(target))
        self.advance()
        length: int | None = None
        length_index: int | None = None
        if self.at_op("("):
            if target not in ("CHAR", "VARCHAR"):
                raise self.fail(f"{target} takes no length")
            self.advance()
            number = self.token
            length, length_index = self.unsigned(target)
            if length == 0:
                raise self.fail(f"{target} needs a length of at least 1", number)
            self.expect_op(")", "to close the length")
        self.expect_op(")", "to close CAST")
        self.leave(1)
        return Cast(token.pos, operand, target, length, length_index)
