"""When a request is tried again, and after how long: jittered exponential backoff, or what the archive asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from skyvault.errors import ConfigError

#: answers that may be other ones soon (RFC 9110 sections 15.6.3-15.6.5, RFC 6585 section 4)
TRANSIENT_STATUS: Final = frozenset((429, 502, 503, 504))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``attempts`` in all (1: never again); waits of ``base_s`` doubling up to ``cap_s``, each times 0.5 to 1.

    An archive that asks for more than ``patience_s`` (Retry-After) is not waited for.
    """

    attempts: int = 5
    base_s: float = 0.5
    cap_s: float = 30.0
    patience_s: float = 120.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.base_s < 0 or self.cap_s < 0 or self.patience_s < 0:
            raise ConfigError(f"a retry policy needs one attempt or more and no negative times, not {self}")

    def wait_s(self, failures: int, retry_after_s: float | None, random: Callable[[], float]) -> float | None:
        """Seconds until the next try after so many ``failures`` (1, 2, ...); None when there shall be none.

        ``random`` gives numbers in [0, 1).
        """
        if failures >= self.attempts:
            return None
        backoff_s = min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 60)) * (0.5 + 0.5 * random())
        if retry_after_s is None:
            return backoff_s
        # the jitter is added, not taken off: everybody was told the same second
        return retry_after_s + backoff_s * 0.1 if retry_after_s <= self.patience_s else None


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds meant by a Retry-After header: a number or an HTTP date (RFC 9110 section 10.2.3); None: unreadable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    date = date.replace(tzinfo=UTC) if date.tzinfo is None else date
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
