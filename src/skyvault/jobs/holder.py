"""Who runs a job: the name of a process, and whether a process of that name is still there."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from skyvault.ledger.jobs import Verdict

_UNKNOWN = "-"


def this_process() -> str:
    """A name for this process that no other will bear: boot, pid namespace, pid, and when it started."""
    return process_name(os.getpid())


def process_name(pid: int) -> str:
    """The same for another process of this machine."""
    return "/".join((_boot_id(), _pid_namespace(), str(pid), _start_time(pid) or _UNKNOWN))


def verdict(holder: str) -> Verdict:
    """Whether the process of this name lives, as far as can be told from here.

    Dead when in our own pid namespace there is no such process (or another under the same number). A process in another
    container, of another machine with the same ledger, or from before this machine was started anew, is unknown: only
    its lease tells.
    """
    try:
        boot, namespace, pid_text, start = holder.split("/")
        pid = int(pid_text)
    except ValueError:
        return "unknown"
    if boot == _UNKNOWN or boot != _boot_id():
        return "unknown"
    if namespace != _pid_namespace() or namespace == _UNKNOWN:
        return "unknown"
    now = _start_time(pid)
    if now is None:
        return "dead"
    if start == _UNKNOWN:
        return "unknown"
    return "alive" if now == start else "dead"


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return _UNKNOWN


@cache
def _pid_namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return _UNKNOWN


def _start_time(pid: int) -> str | None:
    """When the process began, in clock ticks since boot (proc(5), field 22); None when there is none or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # the name in field 2 may hold blanks and parentheses
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]
