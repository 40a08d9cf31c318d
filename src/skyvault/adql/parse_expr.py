"""Text to tree: values and conditions, by operator precedence.

Values and conditions are read by one routine and told apart by the class of what came out, so that a parenthesis never
has to be read twice to learn what it holds.
"""

from __future__ import annotations

from skyvault.adql.dialects import FUNCTION_HINTS, WORD_HINTS
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
    Not,
    Query,
    ScalarSubquery,
    Slice,
    Unary,
)
from skyvault.adql.parse_forms import CAST_TYPES, cast_hint, check_form, check_operands
from skyvault.adql.reader import MAX_DEPTH, TokenReader
from skyvault.adql.tokens import INTEGER, OP, QUOTED, REAL, STRING, WORD, Token
from skyvault.adql.tree import CONDITIONS
from skyvault.adql.words import RESERVED

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

#: calls of ``expression`` inside each other; a level of nesting needs one to seven
_MAX_CALLS = 200


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
            raise self.fail(f"ADQL does not compare with {self.token.text}", hint=WORD_HINTS["any"])
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
        if word in RESERVED and word not in FUNCTION_HINTS:
            raise self.unexpected("where a value should be")
        hint = FUNCTION_HINTS.get(word)
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
