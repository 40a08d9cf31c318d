"""Pickles of plain values, read without running anything: texts, numbers, lists, dicts, numpy arrays of these.

AstroRetriever's files hold columns of texts and facts about a data set as pickles. Ordinary unpickling calls whatever a
file names; here only stand-ins for four names of numpy are ever called, which note what they are given.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, Final

import numpy as np

#: values in a pickle, each counted as often as it is referred to
_MOST_VALUES: Final = 3_000_000
_DEEPEST: Final = 50


class _Kind:
    """A numpy.dtype: only its name counts, and its byte order."""

    def __init__(self, name: str, *_: Any) -> None:
        self.name, self.order = str(name)[:40], "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = str(state[1])[:1]

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The type; None for objects. Raises ValueError for anything but numbers and texts."""
        if self.name.startswith("O"):
            return None
        made = np.dtype(self.name)
        if made.kind not in "biufSU":
            raise ValueError("it holds neither numbers nor texts")
        return made.newbyteorder(">") if self.order == ">" else made


class _Array:
    """A numpy.ndarray of one dimension or more, as a list."""

    def __init__(self, *_: Any) -> None:
        self.values: list[Any] = []

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, is_fortran, content = state
        dtype = kind.dtype
        if dtype is None:
            # objects are listed row by row, however they lay in memory
            objects = np.empty(len(content), object)
            objects[:] = content
            self.values = objects.reshape(shape).tolist()
        else:
            flat = np.frombuffer(content, dtype)
            self.values = flat.reshape(shape, order="F" if is_fortran else "C").tolist()


def _scalar(kind: _Kind, content: Any) -> Any:
    dtype = kind.dtype
    return content if dtype is None else np.frombuffer(content, dtype, 1)[0].item()


def _encoded(text: str, encoding: str) -> bytes:
    # pickles of protocol 0 to 2 hold bytes as text in this encoding
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding[:20]!r}")
    return text.encode("latin1")


_CALLED: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    ("numpy", "dtype"): _Kind,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encoded,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
}  # fmt: skip


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _CALLED.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"{module}.{name} is not called")
        return found


def plain_value(pickled: bytes) -> Any:
    """The value, with arrays as lists. Raises ValueError for everything that is not plain, and for damage."""
    try:
        value = _Reader(io.BytesIO(pickled)).load()
        return _plain(value, [_MOST_VALUES], _DEEPEST)
    except Exception as error:  # damaged pickles raise anything
        raise ValueError(f"a pickle cannot be read: {str(error)[:100]}") from None


def _plain(value: Any, left: list[int], depth: int) -> Any:
    # a list may hold itself, or one list a thousand times
    left[0] -= 1
    if left[0] < 0 or depth < 0:
        raise ValueError("it holds too much")
    if isinstance(value, _Array):
        value = value.values
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one, left, depth - 1) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one, left, depth - 1) for key, one in value.items()}
    raise ValueError(f"it holds a {type(value).__name__}")
