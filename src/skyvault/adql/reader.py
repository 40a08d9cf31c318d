"""The tokens of a query and the place reached in them: stepping, names, lists, and complaints about what is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from skyvault.adql.dialects import KEYWORDS, WORD_HINTS
from skyvault.adql.faults import did_you_mean, fault
from skyvault.adql.functions import FunctionSpec
from skyvault.adql.nodes import Name
from skyvault.adql.tokens import END, INTEGER, OP, QUOTED, STRING, WORD, Token
from skyvault.adql.words import RESERVED
from skyvault.errors import QueryError

T = TypeVar("T")

#: levels of nesting: parentheses, function calls, chains of operators; a subquery counts for three
MAX_DEPTH = 100


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
            hint = WORD_HINTS.get(str(token.value))
            if hint is None and token.value in RESERVED:
                hint = f'{token.text} is a reserved word; as a name it goes in double quotes: "{token.text}".'
            elif hint is None:
                hint = did_you_mean(str(token.value), KEYWORDS)
        elif token.kind == STRING:
            hint = 'Names go in double quotes: "name"; texts in single quotes.'
        elif token.kind == OP and token.value == ";":
            hint = "A semicolon may only stand at the very end."
        if hint is None and before.kind == WORD and before.value not in RESERVED:
            hint = WORD_HINTS.get(str(before.value)) or did_you_mean(str(before.value), KEYWORDS)
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
