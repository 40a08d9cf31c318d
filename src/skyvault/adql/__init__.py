"""The query language: text -> tokens -> tree -> checked tree -> SQL of a store. No database in here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyvault.adql.check import check
    from skyvault.adql.parse import parse
    from skyvault.adql.tokens import tokenize

__all__ = ["check", "parse", "tokenize"]

_HOME_OF = {"check": "skyvault.adql.check", "parse": "skyvault.adql.parse", "tokenize": "skyvault.adql.tokens"}


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'skyvault.adql' has no public name {name!r}; it has {', '.join(__all__)}")
    import importlib

    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
