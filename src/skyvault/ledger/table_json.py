"""A described table as JSON text and back: how the ledger keeps what a published table means."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

from skyvault.errors import StoreError
from skyvault.model.table import Column, CoordinateFrame, ForeignKey, Group, Info, Link, Table, TimeFrame

_COLUMN_PARTS: dict[str, type] = {"links": Link}
_GROUP_PARTS: dict[str, type] = {"params": Column, "groups": Group}
_TABLE_PARTS: dict[str, type] = {
    "columns": Column,
    "params": Column,
    "infos": Info,
    "groups": Group,
    "links": Link,
    "frames": CoordinateFrame,
    "time_frames": TimeFrame,
    "foreign_keys": ForeignKey,
}
#: which fields of a value hold further values
_PARTS: dict[type, dict[str, type]] = {Table: _TABLE_PARTS, Column: _COLUMN_PARTS, Group: _GROUP_PARTS}


def _to_plain(value: Any) -> dict[str, Any]:
    """Only what differs from the defaults: a wide table's text stays short."""
    parts = _PARTS.get(type(value), {})
    plain: dict[str, Any] = {}
    for field in fields(value):
        content = getattr(value, field.name)
        if field.default is not MISSING and content == field.default:
            continue
        plain[field.name] = [_to_plain(one) for one in content] if field.name in parts else content
    return plain


def _from_plain(kind: type, plain: dict[str, Any]) -> Any:
    if not any(isinstance(value, list) for value in plain.values()):
        # nearly every column: a wide catalogue has hundreds
        return kind(**plain)
    parts = _PARTS.get(kind, {})
    content: dict[str, Any] = {}
    for name, value in plain.items():
        if name in parts:
            part = parts[name]
            content[name] = tuple(_from_plain(part, one) for one in value)
        elif isinstance(value, list):
            content[name] = tuple(tuple(one) if isinstance(one, list) else one for one in value)
        else:
            content[name] = value
    return kind(**content)


def table_to_json(table: Table) -> str:
    """The table's description as compact JSON."""
    return json.dumps(_to_plain(table), ensure_ascii=False, separators=(",", ":"))


def table_from_json(text: str) -> Table:
    """The inverse of :func:`table_to_json`. Raises StoreError when the text is not of that form."""
    try:
        table: Table = _from_plain(Table, json.loads(text))
        return table
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreError(
            f"the ledger's description of a table cannot be read ({error})", hint="Publish the table again."
        ) from None
