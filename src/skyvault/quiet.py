"""Warnings kept silent for a while, in a process where several threads ask for that at once.

The filters of :mod:`warnings` belong to the whole process. ``warnings.catch_warnings`` puts a copy of the list in its
place and the former list back at its end: of two threads that do so at once, one brings back what the other had, and
a silenced warning is heard, or one that should be heard stays silent for ever. Here one entry goes into the list that
is there and the same entry comes out again, when the last who wanted it leaves; nobody else's entry is touched.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

_Key = tuple[type[Warning], str]
#: as `warnings` keeps them: action, pattern of the message, category, pattern of the module, line
_Entry = tuple[str, re.Pattern[str], type[Warning], None, int]

#: every pattern of ours begins so, and equals no other's: an entry is known by it, and never taken for another's
_MARK: Final = "(?#skyvault.quiet)"
#: lists of filters that are remembered: others who put a copy in place bring the former one back (catch_warnings)
_MOST_LISTS: Final = 8

_lock = threading.RLock()
_entries: dict[_Key, _Entry] = {}
_within: dict[_Key, int] = {}
_lists: list[list[Any]] = []


@contextmanager
def quiet(category: type[Warning] = Warning, message: str = "") -> Iterator[None]:
    """Within, warnings of ``category`` whose text begins as the pattern ``message`` says are not heard.

    It holds for all threads while it lasts, as filters do, and may be entered by any number of them at once, one in
    another, and left in any order. What another library brings into the list of filters meanwhile stays as it is.
    """
    if getattr(sys.flags, "context_aware_warnings", 0):  # pragma: no cover - free-threaded Python: each has its own
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message, category)
            yield
        return
    key = (category, message)
    _enter(key)
    try:
        yield
    finally:
        _leave(key)


def _enter(key: _Key) -> None:
    with _lock:
        entry = _entries.get(key)
        if entry is None:
            entry = _entries[key] = ("ignore", re.compile(_MARK + key[1], re.IGNORECASE), key[0], None, 0)
        _remember(_current())
        _within[key] = _within.get(key, 0) + 1
        # a list that others put aside for a while comes back: there, too
        changed = [_put_first(filters, entry) for filters in _lists]
        if any(changed):
            _mutated()


def _leave(key: _Key) -> None:
    with _lock:
        _remember(_current())
        _within[key] -= 1
        if not _within[key]:
            del _within[key]
            changed = [_take_out(filters, _entries[key]) for filters in _lists]
            if any(changed):
                _mutated()


def _after_fork() -> None:
    """Another thread of the parent may have held the lock, and is not there to give it back."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _current() -> list[Any]:
    return warnings.filters  # type: ignore[return-value]


def _remember(filters: list[Any]) -> None:
    """The list that is in place comes last of those known; what a copy brought along of entries that are over, goes."""
    for number, known in enumerate(_lists):
        if known is filters:
            del _lists[number]
            break
    _lists.append(filters)
    if len(_lists) > _MOST_LISTS:
        forgotten = _lists.pop(0)
        for entry in _ours(forgotten):
            _take_out(forgotten, entry)
    for entry in _ours(filters):
        if (entry[2], entry[1].pattern.removeprefix(_MARK)) not in _within:
            _take_out(filters, entry)


def _ours(filters: list[Any]) -> list[_Entry]:
    return [entry for entry in list(filters) if _is_ours(entry)]


def _is_ours(entry: Any) -> bool:
    pattern = getattr(entry[1], "pattern", None)
    return isinstance(pattern, str) and pattern.startswith(_MARK)


def _put_first(filters: list[Any], entry: _Entry) -> bool:
    """Brings an entry before all others' entries; True if the list changed."""
    for one in list(filters):
        if one == entry:
            return False
        if not _is_ours(one):
            break
    _take_out(filters, entry)
    filters.insert(0, entry)
    return True


def _take_out(filters: list[Any], entry: _Entry) -> bool:
    try:
        # one act for the interpreter, whatever other threads do with the list
        filters.remove(entry)
    except ValueError:
        return False
    return True


def _mutated() -> None:
    """Tells `warnings` that what it remembers of warnings already heard is to be looked at again."""
    told = getattr(warnings, "_filters_mutated", None) or warnings._filters_mutated_lock_held  # type: ignore[attr-defined]
    guard: AbstractContextManager[Any] = getattr(warnings, "_lock", nullcontext())
    with guard:
        told()
