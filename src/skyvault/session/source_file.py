"""The name of a source's files: its catalogue name, made safe where an archive sends what no file may be called."""

from __future__ import annotations

import hashlib
import re
from typing import Final

_SAFE: Final = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_+.-]{0,119}")


def file_stem(name: str) -> str:
    """``APASS_J005740.6+601417`` stays; others get what may be kept, and a hash that tells them apart."""
    if _SAFE.fullmatch(name):
        return name
    kept = re.sub(r"[^A-Za-z0-9_+-]+", "_", name)[:60]
    return f"{kept}_{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:12]}"
