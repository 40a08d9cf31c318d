"""What a TAP service offers for large results: the fastest form it writes, and how many rows it gives at most.

Its capabilities (TAPRegExt 1.0) are asked once an hour, and only when a query may have a large result.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

from skyvault.errors import SkyvaultError

#: answers shorter than this gain nothing
SMALL_ROWS: Final = 5_000
_KEPT_S: Final = 3600.0
#: a service that is slow to describe itself is asked for its default form
_PATIENCE_S: Final = 20.0
ARROW: Final = "application/vnd.apache.arrow.stream"
PARQUET: Final = ("application/vnd.apache.parquet", "application/x-parquet", "application/parquet")
_BINARY2: Final = "ivo://ivoa.net/std/tapregext#output-votable-binary2"
_TOP: Final = re.compile(r"\bSELECT\s+(?:(?:ALL|DISTINCT)\s+)?TOP\s+(\d+)", re.IGNORECASE)
#: what describes the service is short; rows with links come with service descriptors, which only VOTables have
_VOTABLE_ONLY: Final = re.compile(r"\btap_schema\b|\bobscore\b|\baccess_url\b|\bivoa\b|datalink", re.IGNORECASE)
_COUNTS: Final = re.compile(r"\bSELECT\s+COUNT\s*\(", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Offer:
    """``form``: the RESPONSEFORMAT to ask for (None: the service's default); row limits, None where it tells none."""

    form: str | None = None
    default_rows: int | None = None
    hard_rows: int | None = None

    def row_limit(self, asked: int | None) -> int | None:
        """How many rows come at most when ``asked`` are asked for."""
        known = [limit for limit in (asked if asked is not None else self.default_rows, self.hard_rows) if limit]
        return min(known) if known else None


_kept: dict[str, tuple[float, Offer]] = {}
_lock: Final = threading.Lock()


def may_be_large(query: str, maxrec: int | None) -> bool:
    """Whether the result may have so many rows that its form matters."""
    if maxrec is not None and maxrec < SMALL_ROWS:
        return False
    top = _TOP.search(query)
    if top is not None and int(top[1][:18]) < SMALL_ROWS:
        return False
    return not _VOTABLE_ONLY.search(query) and not _COUNTS.match(query.lstrip())


def offer_of(service: Any) -> Offer:
    """What this service offers, asked once. One that does not tell offers nothing; that is not kept."""
    address = service.baseurl
    with _lock:
        kept = _kept.get(address)
    if kept is not None and time.monotonic() - kept[0] < _KEPT_S:
        return kept[1]
    from pyvo.dal.exceptions import DALServiceError

    try:
        with service.session.within(_PATIENCE_S):
            offer = read_offer(service.get_tap_capability())
    except (SkyvaultError, DALServiceError, OSError, ValueError):
        # a query is not to fail because a description of the service does
        return Offer()
    except Exception:
        # pyvo's parser meets hostile documents with errors of any kind
        return Offer()
    with _lock:
        _kept[address] = time.monotonic(), offer
    return offer


def read_offer(capability: Any) -> Offer:
    """The offer in a capability as pyvo has it (TAPRegExt 1.0, sections 2.4 and 2.7)."""
    limits = getattr(capability, "outputlimit", None)
    default, hard = (_rows(getattr(limits, name, None)) for name in ("default", "hard"))
    listed = [(str(one.mime or "").strip(), str(one.ivo_id or "")) for one in capability.outputformats]
    plain = {mime.partition(";")[0].strip().lower(): mime for mime, _ in listed}
    if ARROW in plain:
        form: str | None = plain[ARROW]
    # without a limit nobody could tell whether a Parquet file is whole
    elif (default or hard) and (found := next((plain[mime] for mime in PARQUET if mime in plain), None)):
        form = found
    else:
        form = next((mime for mime, ivo_id in listed if ivo_id.lower() == _BINARY2), None)
    return Offer(form, default, hard)


def _rows(limit: Any) -> int | None:
    if limit is None or str(getattr(limit, "unit", "row") or "row").lower() != "row":
        return None
    try:
        return int(limit.content)
    except (TypeError, ValueError):
        return None
