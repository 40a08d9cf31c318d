"""Text to tree: queries, select lists, FROM clauses. Expressions are read in ``parse_expr``.

A recursive-descent parser for ADQL 2.1 with a place for every complaint. It validates form only: whether tables and
columns exist and types fit is the checker's work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skyvault.adql.faults import fault
from skyvault.adql.functions import FunctionSpec, catalogue, declared
from skyvault.adql.nodes import (
    CommonTable,
    Condition,
    DerivedTable,
    Expr,
    FromItem,
    Join,
    Name,
    OrderItem,
    Query,
    QueryBody,
    Select,
    SelectItem,
    SetOperation,
    Star,
    TableRef,
)
from skyvault.adql.parse_expr import ExpressionParser
from skyvault.adql.reader import MAX_DEPTH
from skyvault.adql.tokens import INTEGER, QUOTED, REAL, WORD, Token, tokenize
from skyvault.adql.tree import too_tall
from skyvault.errors import QueryError

_SET_WORDS = frozenset({"union", "except", "intersect"})
_JOIN_WORDS = frozenset({"join", "inner", "left", "right", "full", "natural"})


def parse(text: str, functions: Iterable[str] = (), *, tokens: list[Token] | None = None) -> Query:
    """The tree of one ADQL 2.1 query.

    ``functions`` are signatures ("my_udf(a DOUBLE, b TEXT) -> DOUBLE") of functions known beside the catalogue;
    ``tokens`` those of ``text``, when they have been cut already. Raises QueryError, with line, column, the offending
    token and a suggestion, for whatever is not a query by the standard's grammar (ADQL 2.1, appendix A, with the
    extensions CASE, TABLESAMPLE, array elements and IS NULL on expressions).
    """
    known = declared(functions) if functions else catalogue()
    parser = Parser(text, tokenize(text) if tokens is None else tokens, known)
    try:
        return parser.whole()
    except RecursionError:
        # The limits above keep far from it; only a caller deep in its own recursion gets here.
        raise QueryError("The query is nested too deeply", hint="Use common table expressions (WITH).") from None


class Parser(ExpressionParser):
    """Reads queries; one object a text."""

    def __init__(self, text: str, tokens: list[Token], known: Mapping[str, FunctionSpec]) -> None:
        super().__init__(text, tokens, known)
        self.is_outermost = True

    def whole(self) -> Query:
        """The query from the first token to the last."""
        first = self.token
        if first.kind == "end":
            raise self.fail("The query is empty", hint="Write something like SELECT TOP 10 * FROM schema.table.")
        if not self.at_query():
            if first.kind == WORD and first.value in ("insert", "update", "delete", "create", "drop", "alter"):
                raise self.fail(f"{first.text} is not allowed: only queries (SELECT) are", first)
            raise self.fail("A query begins with SELECT or WITH", first)
        query = self.query(self.text)
        if self.at_op(";"):
            self.advance()
            if self.token.kind != "end":
                raise self.fail("Only one query is taken at a time", hint="Send the queries one by one.")
        if self.token.kind != "end":
            raise self.unexpected("after the end of the query")
        tall = too_tall(query, MAX_DEPTH)
        if tall is not None:
            raise fault(
                self.text,
                tall.pos,
                f"The query is nested more than {MAX_DEPTH} levels deep",
                hint="Put parts of it into common table expressions (WITH), or long lists of values into an upload.",
            )
        return query

    # ------------------------------------------------------------ queries

    def query(self, text: str = "") -> Query:
        """[WITH ...] set expression [ORDER BY ...] [OFFSET n]"""
        pos = self.token.pos
        commons: tuple[CommonTable, ...] = ()
        was_outermost, self.is_outermost = self.is_outermost, False
        if self.at_word("with"):
            if not was_outermost:
                raise self.fail(
                    "WITH is allowed only at the beginning of the whole query",
                    hint="Move this common table expression to the front.",
                )
            commons = self.common_tables()
            if not self.at_query():
                raise self.unexpected("where the SELECT of the query should be")
        body = self.set_expression()
        order_by: tuple[OrderItem, ...] = ()
        if self.at_word("order"):
            self.advance()
            self.expect_word("by", "after ORDER")
            order_by = tuple(self.comma_list(self.order_item))
        offset: int | None = None
        offset_index: int | None = None
        if self.at_word("offset"):
            self.advance()
            offset, offset_index = self.unsigned("OFFSET")
            if self.at_word("order"):
                raise self.fail("ORDER BY comes before OFFSET")
        if self.token.kind == WORD and self.token.value in _SET_WORDS and (order_by or offset is not None):
            raise self.fail(
                f"ORDER BY and OFFSET belong after the last query of a {self.token.text}",
                hint="Put the first query in parentheses to sort it by itself.",
            )
        return Query(pos, body, order_by, offset, commons, offset_index, text)

    def common_tables(self) -> tuple[CommonTable, ...]:
        self.advance()
        if self.at_word("recursive"):
            raise self.fail("ADQL has no recursive queries")
        seen: dict[str, bool] = {}
        commons: list[CommonTable] = []
        while True:
            pos = self.token.pos
            name_token = self.token
            name = self.name("the name of a common table expression")
            if self.at_op("("):
                raise self.fail(
                    "A common table expression takes no list of columns", hint="Name the columns with AS inside of it."
                )
            self.expect_word("as", "after the name of a common table expression")
            if not self.at_op("("):
                raise self.unexpected("where the query of a common table expression should be, in parentheses")
            self.enter(3)
            self.advance()
            if not self.at_query():
                raise self.unexpected("where SELECT should be")
            query = self.query()
            self.expect_op(")", "to close the common table expression")
            self.leave(3)
            if name.text.lower() in seen:
                raise self.fail(f"Two common table expressions are named {name.text}", name_token)
            seen[name.text.lower()] = True
            commons.append(CommonTable(pos, name, query))
            if not self.at_op(","):
                return tuple(commons)
            self.advance()

    def set_expression(self) -> QueryBody:
        """UNION and EXCEPT from left to right; INTERSECT binds tighter (ADQL 2.1, section 4.5)."""
        first = self.set_term()
        operations: list[tuple[str, bool, int, QueryBody]] = []
        while self.token.kind == WORD and self.token.value in ("union", "except"):
            op, pos = str(self.token.value).upper(), self.token.pos
            self.advance()
            is_all = self.set_quantifier()
            operations.append((op, is_all, pos, self.set_term()))
        return _combine(first, operations)

    def set_term(self) -> QueryBody:
        first = self.set_operand()
        operations: list[tuple[str, bool, int, QueryBody]] = []
        while self.at_word("intersect"):
            pos = self.token.pos
            self.advance()
            is_all = self.set_quantifier()
            operations.append(("INTERSECT", is_all, pos, self.set_operand()))
        return _combine(first, operations)

    def set_quantifier(self) -> bool:
        if self.at_word("all"):
            self.advance()
            return True
        if self.at_word("distinct"):
            raise self.fail(
                "UNION, EXCEPT and INTERSECT take ALL or nothing", hint="Leave DISTINCT away: it is implied."
            )
        return False

    def set_operand(self) -> QueryBody:
        if self.at_op("("):
            if not self.at_query():
                self.advance()
                raise self.unexpected("where SELECT should be")
            inner = self.subquery()
            if inner.order_by or inner.offset is not None:
                return inner
            return inner.body
        if self.at_word("with"):
            raise self.fail(
                "WITH is allowed only at the beginning of the whole query",
                hint="Move this common table expression to the front.",
            )
        if not self.at_word("select"):
            raise self.unexpected("where SELECT should be")
        return self.select()

    def subquery(self) -> Query:
        """A query in parentheses; the opening one is the current token."""
        self.enter(3)
        self.expect_op("(")
        query = self.query()
        self.expect_op(")", "to close the subquery")
        self.leave(3)
        return query

    def select(self) -> Select:
        pos = self.token.pos
        self.advance()
        distinct = False
        if self.at_word("distinct") or self.at_word("all"):
            distinct = self.token.value == "distinct"
            self.advance()
        top: int | None = None
        top_index: int | None = None
        if self.at_word("top"):
            self.advance()
            if self.at_op("("):
                raise self.fail("TOP takes a plain number", hint="Write TOP 10, without parentheses.")
            top, top_index = self.unsigned("TOP")
            if self.at_word("distinct") or self.at_word("all"):
                raise self.fail(
                    f"{self.token.text} comes before TOP", hint=f"Write SELECT {self.token.text.upper()} TOP {top}."
                )
        if self.at_word("from"):
            raise self.fail("The select list is empty", hint="Name columns, or write * for all of them.")
        items = tuple(self.comma_list(self.select_item))
        if not self.at_word("from"):
            if self.token.kind == "end" or self.at_op(")") or self.at_op(";"):
                raise self.fail("The query has no FROM", hint="ADQL queries always read from a table.")
            raise self.unexpected("where a comma or FROM should be")
        self.advance()
        source = self.from_clause()
        where: Condition | None = None
        if self.at_word("where"):
            self.advance()
            where = self.condition("WHERE")
        group_by: tuple[Expr, ...] = ()
        if self.at_word("group"):
            self.advance()
            self.expect_word("by", "after GROUP")
            group_by = tuple(self.comma_list(lambda: self.value("GROUP BY")))
        having: Condition | None = None
        if self.at_word("having"):
            self.advance()
            having = self.condition("HAVING")
        if self.token.kind == WORD and self.token.value in ("where", "group"):
            raise self.fail(
                f"{self.token.text} comes too late",
                hint="The order is SELECT, FROM, WHERE, GROUP BY, HAVING, ORDER BY, OFFSET; each once.",
            )
        return Select(pos, items, source, where, group_by, having, distinct, top, top_index)

    def select_item(self) -> SelectItem | Star:
        pos = self.token.pos
        if self.at_op("*"):
            self.advance()
            return Star(pos)
        qualifier = self.star_qualifier()
        if qualifier:
            return Star(pos, qualifier)
        expr = self.value("the select list")
        alias = self.alias()
        if alias is None and self.at_op("."):
            raise self.unexpected("in the select list")
        return SelectItem(pos, expr, alias)

    def star_qualifier(self) -> tuple[Name, ...]:
        """The names before ``.*``, consumed together with it; empty when something else stands here."""
        tokens, i = self.tokens, self.index
        while tokens[i].kind in (WORD, QUOTED) and tokens[i + 1].value == "." and tokens[i + 1].kind == "op":
            i += 2
        if i == self.index or not (tokens[i].kind == "op" and tokens[i].value == "*"):
            return ()
        names: list[Name] = []
        while not self.at_op("*"):
            names.append(self.name("the name of a table"))
            self.expect_op(".")
        if len(names) > 3:
            raise self.fail("A table has at most three names: catalog.schema.table")
        self.advance()
        return tuple(names)

    def order_item(self) -> OrderItem:
        pos = self.token.pos
        expr = self.value("ORDER BY")
        descending = False
        if self.at_word("asc") or self.at_word("desc"):
            descending = self.token.value == "desc"
            self.advance()
        if self.token.kind == WORD and self.token.value == "nulls":
            raise self.fail("ADQL has no NULLS FIRST or NULLS LAST", hint="Sort by a CASE expression as well.")
        return OrderItem(pos, expr, descending)

    # ------------------------------------------------------------ tables

    def from_clause(self) -> FromItem:
        item = self.table_expression()
        while self.at_op(","):
            pos = self.token.pos
            self.advance()
            item = Join(pos, "CROSS", item, self.table_expression())
        return item

    def table_expression(self) -> FromItem:
        item = self.table_primary()
        while self.at_join():
            item = self.join(item)
        return item

    def at_join(self) -> bool:
        if self.token.kind != WORD:
            return False
        if self.token.value == "cross":
            raise self.fail("ADQL has no CROSS JOIN", hint="Put a comma between the tables.")
        return self.token.value in _JOIN_WORDS

    def join(self, left: FromItem) -> Join:
        pos = self.token.pos
        natural = self.at_word("natural")
        if natural:
            self.advance()
        kind = "INNER"
        if self.at_word("inner"):
            self.advance()
        elif self.token.kind == WORD and self.token.value in ("left", "right", "full"):
            kind = str(self.token.value).upper()
            self.advance()
            if self.at_word("outer"):
                self.advance()
        if not self.at_word("join"):
            raise self.unexpected("where JOIN should be")
        join_token = self.token
        self.advance()
        right = self.table_primary()
        on: Condition | None = None
        using: tuple[Name, ...] = ()
        # "a JOIN b JOIN c ON .. ON ..": the inner condition belongs to the join on the right
        while not natural and self.at_join():
            self.enter(1)
            right = self.join(right)
            self.leave(1)
        if natural:
            if self.at_word("on") or self.at_word("using"):
                raise self.fail("A NATURAL JOIN takes no condition", hint="Leave NATURAL away, or the condition.")
        elif self.at_word("on"):
            self.advance()
            on = self.condition("ON")
        elif self.at_word("using"):
            self.advance()
            self.expect_op("(", "after USING")
            using = tuple(self.comma_list(lambda: self.name("a column")))
            self.expect_op(")", "to close the list of columns")
        else:
            raise self.fail(
                "This join has no condition",
                join_token,
                "Add ON condition or USING (column), write NATURAL JOIN, or put a comma between the tables.",
            )
        return Join(pos, kind, left, right, on, using, natural)  # type: ignore[arg-type]

    def table_primary(self) -> FromItem:
        pos = self.token.pos
        if self.at_op("("):
            if self.at_query():
                query = self.subquery()
                alias = self.alias()
                if alias is None:
                    raise self.fail(
                        "A subquery in FROM needs a name",
                        hint="Write (SELECT ...) AS name.",
                    )
                self.no_column_list()
                return DerivedTable(pos, query, alias)
            self.enter(1)
            self.advance()
            item = self.table_expression()
            if self.at_op(","):
                raise self.fail("Tables in parentheses must be joined with JOIN")
            self.expect_op(")", "to close the joined tables")
            self.leave(1)
            if isinstance(item, TableRef) and item.alias is None and item.sample_percent is None:
                raise fault(
                    self.text, pos, "A single table needs no parentheses", "(", "Write the table's name without them."
                )
            return item
        parts = [self.name("a table")]
        while self.at_op("."):
            self.advance()
            parts.append(self.name("a table"))
        if len(parts) > 3:
            raise fault(
                self.text,
                pos,
                f"A table has at most three names (catalog.schema.table), here are {len(parts)}",
                ".".join(part.text for part in parts),
            )
        if self.at_op("("):
            raise self.fail("Functions cannot stand in FROM", hint="Name a table or write a subquery.")
        percent, sample_index = self.sample()
        alias = self.alias()
        if alias is not None:
            self.no_column_list()
            if percent is None:
                percent, sample_index = self.sample()
        return TableRef(pos, tuple(parts), alias, percent, sample_index)

    def no_column_list(self) -> None:
        if self.at_op("("):
            raise self.fail("A table's name takes no list of columns", hint="Name columns inside the subquery with AS.")

    def sample(self) -> tuple[float | None, int | None]:
        """TABLESAMPLE(percent), an extension many services share."""
        if not (self.token.kind == WORD and self.token.value == "tablesample" and self.next_is_op("(")):
            return None, None
        self.advance()
        self.advance()
        token = self.token
        if token.kind not in (INTEGER, REAL):
            raise self.fail(
                "TABLESAMPLE takes a percentage", hint="Write TABLESAMPLE(1) for about one row in a hundred."
            )
        index = self.take_literal()
        percent = float(token.value)
        if not 0 < percent <= 100:
            raise self.fail(f"TABLESAMPLE takes a percentage above 0 and up to 100, not {token.text}", token)
        self.expect_op(")", "to close TABLESAMPLE")
        return percent, index


def _combine(first: QueryBody, operations: list[tuple[str, bool, int, QueryBody]]) -> QueryBody:
    """The tree of ``first OP operand OP operand ...`` from left to right.

    A long chain of one associative operation becomes a balanced tree, so that a union of a thousand queries is not a
    thousand levels deep; its rows are the same.
    """
    left = first
    start = 0
    while start < len(operations):
        op, is_all = operations[start][0], operations[start][1]
        stop = start + 1
        while stop < len(operations) and operations[stop][:2] == (op, is_all):
            stop += 1
        run = operations[start:stop]
        if op == "EXCEPT" or len(run) < 8:
            for _, _, pos, operand in run:
                left = SetOperation(pos, op, left, operand, is_all)  # type: ignore[arg-type]
        else:
            left = _balanced(op, is_all, [left, *(item[3] for item in run)], [item[2] for item in run])
        start = stop
    return left


def _balanced(op: str, is_all: bool, operands: list[QueryBody], places: list[int]) -> QueryBody:
    if len(operands) == 1:
        return operands[0]
    half = len(operands) // 2
    left = _balanced(op, is_all, operands[:half], places[: half - 1])
    right = _balanced(op, is_all, operands[half:], places[half:])
    return SetOperation(places[half - 1], op, left, right, is_all)  # type: ignore[arg-type]
