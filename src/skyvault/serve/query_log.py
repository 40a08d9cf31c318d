"""One line of log a query: how long it took, how many rows, how it ended; no uploads, no addresses, no secrets."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skyvault.config import Settings

logger = logging.getLogger("skyvault.query")
#: the secret of a link to somebody's table
_LINK = re.compile(r"(?i)\b(link_)[0-9a-f]+")
#: characters of a query's text that are kept
SHOWN = 200


def configure(settings: Settings, *, as_json: bool = False) -> None:
    """Send the queries' lines to standard error, as text or as JSON, when the log level asks for them."""
    logger.setLevel(settings.log_level.upper())
    logger.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if as_json else _Text())
    logger.handlers[:] = [handler]


def log_query(text: str, *, began: float, rows: int, status: str, run_id: str | None = None) -> None:
    """Tell of a query that has ended; ``began`` is time.monotonic() of its start, ``status`` OK, OVERFLOW or ERROR."""
    if not logger.isEnabledFor(logging.INFO):
        return
    facts = {
        "seconds": round(time.monotonic() - began, 4),
        "rows": rows,
        "status": status,
        "run_id": run_id,
        "hash": hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12],
        "query": _LINK.sub(r"\1...", " ".join(text[:SHOWN].split())),
    }
    logger.info("query", extra={"facts": facts})


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", {})
        return json.dumps({"time": round(record.created, 3), "level": record.levelname, "event": record.msg, **facts})


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", {})
        told = " ".join(
            f"{name}={json.dumps(value, ensure_ascii=True)}" for name, value in facts.items() if value is not None
        )
        return f"{self.formatTime(record)} {record.msg} {told}"
