"""Manners towards each archive: how many connections at once, how many requests a minute, and waiting when asked."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from skyvault.errors import ConfigError
from skyvault.net.faults import Unreachable
from skyvault.net.stopping import LOOK_S, is_watched, look

_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Manners:
    """What one host is asked for: ``connections`` at once, ``requests_per_minute`` (None: any number)."""

    connections: int = 8
    requests_per_minute: int | None = None

    def __post_init__(self) -> None:
        if self.connections < 1 or (self.requests_per_minute is not None and self.requests_per_minute < 1):
            raise ConfigError(f"manners allow at least one connection and one request a minute, not {self}")


@dataclass(slots=True)
class _Host:
    manners: Manners
    changed: threading.Condition
    busy: int = 0
    #: when the requests of the last minute began
    begun: deque[float] = field(default_factory=deque)
    held_until: float = 0.0


class Politeness:
    """Counts requests by host over all threads of a process.

    ``clock`` gives seconds, ``wait`` waits for so many on a condition (and may return early).
    """

    def __init__(
        self,
        by_host: Mapping[str, Manners] | None = None,
        *,
        default: Manners | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Condition, float | None], object] = threading.Condition.wait,
    ) -> None:
        self._manners = {host.lower(): manners for host, manners in (by_host or {}).items()}
        self._default = default or Manners()
        self._clock = clock
        self._wait = wait
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, host: str, *, deadline: float | None = None) -> Iterator[None]:
        """One request to ``host``, from sending until its body is read; waits for its turn.

        Raises Unreachable when ``deadline`` (on the clock) comes first, Cancelled when its thread is stopped.
        """
        one = self._host(host)
        with one.changed:
            while (delay_s := self._delay_s(one)) != 0.0:
                left_s = None if deadline is None else deadline - self._clock()
                if left_s is not None and left_s <= 0:
                    raise Unreachable("no turn came before the deadline", where=host)
                look()
                pause_s = LOOK_S if is_watched() else None
                known = [limit for limit in (delay_s, left_s, pause_s) if limit is not None]
                self._wait(one.changed, min(known) if known else None)
            one.busy += 1
            one.begun.append(self._clock())
        try:
            yield
        finally:
            with one.changed:
                one.busy -= 1
                one.changed.notify()

    def agree(self, host: str, manners: Manners) -> None:
        """Ask ``host`` for no more than ``manners`` from now on, nor for more than was agreed before."""
        one = self._host(host)
        with one.changed:
            known = [n for n in (one.manners.requests_per_minute, manners.requests_per_minute) if n is not None]
            one.manners = Manners(min(one.manners.connections, manners.connections), min(known) if known else None)

    def prescribe(self, host: str, manners: Manners) -> None:
        """Ask ``host`` so from now on, whatever was agreed before: who runs this program says so."""
        one = self._host(host)
        with one.changed:
            one.manners = manners
            one.changed.notify_all()

    def manners_of(self, host: str) -> Manners:
        """How ``host`` is asked now."""
        return self._host(host).manners

    def hold(self, host: str, seconds: float) -> None:
        """The archive asked everybody to come back later: begin nothing new for so long."""
        one = self._host(host)
        with one.changed:
            one.held_until = max(one.held_until, self._clock() + seconds)

    def _host(self, host: str) -> _Host:
        with self._lock:
            if host not in self._hosts:
                manners = self._manners.get(host, self._manners.get(host.partition(":")[0], self._default))
                self._hosts[host] = _Host(manners, threading.Condition())
            return self._hosts[host]

    def _delay_s(self, one: _Host) -> float | None:
        """0: go ahead; seconds to wait; None: until somebody is done."""
        now = self._clock()
        while one.begun and one.begun[0] <= now - _MINUTE_S:
            one.begun.popleft()
        if one.held_until > now:
            return one.held_until - now
        limit = one.manners.requests_per_minute
        if limit is None:
            one.begun.clear()
        elif len(one.begun) >= limit:
            return one.begun[len(one.begun) - limit] + _MINUTE_S - now
        return None if one.busy >= one.manners.connections else 0.0
