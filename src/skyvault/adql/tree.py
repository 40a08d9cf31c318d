"""Walking the tree of a query: what hangs below a node, how tall a tree is, when two expressions are the same."""

from __future__ import annotations

from collections.abc import Iterator

from skyvault.adql.nodes import (
    Between,
    Binary,
    Case,
    Cast,
    CommonTable,
    Comparison,
    DerivedTable,
    Element,
    Exists,
    Function,
    InList,
    InSubquery,
    IsNull,
    Join,
    Like,
    Logical,
    Node,
    Not,
    OrderItem,
    Query,
    ScalarSubquery,
    Select,
    SelectItem,
    SetOperation,
    Slice,
    Unary,
)

#: node classes that are truth values
CONDITIONS: frozenset[type[Node]] = frozenset(
    {Comparison, Between, InList, InSubquery, Like, IsNull, Exists, Not, Logical}
)
#: the fields of each class that hold nodes, tuples of nodes, or None, in the order of the text
_FIELDS: dict[type[Node], tuple[str, ...]] = {
    Unary: ("operand",),
    Binary: ("left", "right"),
    Function: ("args",),
    Cast: ("operand",),
    ScalarSubquery: ("query",),
    Element: ("array", "index"),
    Slice: ("array", "low", "high"),
    Comparison: ("left", "right"),
    Between: ("operand", "low", "high"),
    InList: ("operand", "items"),
    InSubquery: ("operand", "query"),
    Like: ("operand", "pattern"),
    IsNull: ("operand",),
    Exists: ("query",),
    Not: ("operand",),
    Logical: ("operands",),
    DerivedTable: ("query",),
    Join: ("left", "right", "on"),
    SelectItem: ("expr",),
    Select: ("items", "source", "where", "group_by", "having"),
    SetOperation: ("left", "right"),
    OrderItem: ("expr",),
    CommonTable: ("query",),
    Query: ("commons", "body", "order_by"),
}
#: classes that only hold others and add no level of their own
_FLAT: frozenset[type[Node]] = frozenset({Select, SelectItem, OrderItem, CommonTable, DerivedTable})


def children(node: Node) -> list[Node]:
    """The nodes directly below ``node``, in the order of the text."""
    found: list[Node] = []
    if type(node) is Case:
        if node.operand is not None:
            found.append(node.operand)
        for when, then in node.whens:
            found.append(when)
            found.append(then)
        if node.otherwise is not None:
            found.append(node.otherwise)
        return found
    for name in _FIELDS.get(type(node), ()):
        value = getattr(node, name)
        if value is None:
            continue
        if type(value) is tuple:
            found.extend(value)
        else:
            found.append(value)
    return found


def walk(node: Node) -> Iterator[Node]:
    """``node`` and all below it, each before what hangs below it; no recursion."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(children(current)))


def too_tall(node: Node, limit: int) -> Node | None:
    """A node that lies more than ``limit`` levels below ``node``, or None; no recursion."""
    stack: list[tuple[Node, int]] = [(node, 0)]
    while stack:
        current, height = stack.pop()
        if type(current) not in _FLAT:
            height += 1
            if height > limit:
                return current
        for child in children(current):
            stack.append((child, height))
    return None
