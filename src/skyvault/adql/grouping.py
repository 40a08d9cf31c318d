"""Which expressions a grouped query may show: those that have one value in each group."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from skyvault.adql.checked import BoundColumn, Relation
from skyvault.adql.functions import by_name
from skyvault.adql.nodes import (
    Binary,
    Case,
    Cast,
    ColumnRef,
    Element,
    Exists,
    Function,
    InSubquery,
    Literal,
    Node,
    Query,
    ScalarSubquery,
    Slice,
    Star,
    Unary,
)
from skyvault.adql.tree import children, walk


def bound_key(bound: BoundColumn) -> Hashable:
    """Equal for references to the same column."""
    if bound.merged is not None:
        return ("merged", bound_key(bound.merged[0]), bound_key(bound.merged[1]))
    if bound.variable is not None:
        return ("variable", bound.variable)
    if bound.relation is None:
        return ("item", bound.item)
    return ("column", id(bound.relation), bound.index)


class Shape:
    """Tells expressions that are written alike: the same operations on the same columns and constants."""

    def __init__(self, bound: Mapping[ColumnRef, BoundColumn]) -> None:
        self.bound = bound

    def key(self, node: Node) -> Hashable:
        """Equal for expressions that always have the same value."""
        if isinstance(node, ColumnRef):
            found = self.bound.get(node)
            return ("unbound", id(node)) if found is None else bound_key(found)
        if isinstance(node, Literal):
            return ("constant", node.kind, node.value)
        if isinstance(node, ScalarSubquery | Exists | InSubquery | Query):
            return ("query", id(node))
        extra: Hashable = None
        if isinstance(node, Unary | Binary):
            extra = node.op
        elif isinstance(node, Function):
            if node.name in ("RAND", "ivo_normal_random"):
                return ("random", id(node))
            extra = (node.name, node.distinct, node.star)
        elif isinstance(node, Cast):
            extra = (node.target, node.length)
        elif isinstance(node, Case):
            extra = (node.operand is None, node.otherwise is None)
        elif isinstance(node, Slice):
            extra = (node.low is None, node.high is None)
        elif not isinstance(node, Element):
            extra = tuple(getattr(node, name) for name in ("op", "negated", "ignore_case") if hasattr(node, name))
        return (type(node).__name__, extra, tuple(self.key(child) for child in children(node)))


def constants(node: Node) -> set[int]:
    """Numbers of the constants in an expression."""
    found = {child.index for child in walk(node) if isinstance(child, Literal) and child.index is not None}
    lengths = {child.length_index for child in walk(node) if isinstance(child, Cast) and child.length_index is not None}
    return found | lengths


class Grouping:
    """The keys a select is grouped by."""

    def __init__(self, shape: Shape, own: set[Relation], keys: Mapping[Hashable, Node], pinned: set[int]) -> None:
        self.shape = shape
        self.own = own
        self.keys = keys
        self.pinned = pinned
        self._has_expressions = any(not isinstance(node, ColumnRef) for node in keys.values())

    def ungrouped(self, node: Node) -> ColumnRef | None:
        """A column in ``node`` that has many values in a group; None when all is well."""
        if isinstance(node, Literal | Star):
            return None
        if isinstance(node, ColumnRef):
            return None if self.bound_is_grouped(self.shape.bound.get(node)) else node
        if isinstance(node, Function) and (spec := by_name().get(node.name)) is not None and spec.is_aggregate:
            return None
        if self._has_expressions:
            known = self.keys.get(self.shape.key(node))
            if known is not None:
                # they are the same because their constants are
                self.pinned |= constants(node) | constants(known)
                return None
        if isinstance(node, Query):
            for inner in walk(node):
                if isinstance(inner, ColumnRef) and not self.bound_is_grouped(self.shape.bound.get(inner)):
                    return inner
            return None
        for child in children(node):
            problem = self.ungrouped(child)
            if problem is not None:
                return problem
        return None

    def bound_is_grouped(self, bound: BoundColumn | None) -> bool:
        """Whether a column has one value in each group: a key, or of a query around this one."""
        if bound is None or bound.item is not None or bound.variable is not None:
            return True
        if bound_key(bound) in self.keys:
            return True
        if bound.merged is not None:
            return all(self.bound_is_grouped(side) for side in bound.merged)
        return bound.relation not in self.own
