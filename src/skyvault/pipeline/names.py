"""Names that are safe as folder, file and table names, whatever a catalogue calls its sources."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from skyvault.pipeline.faults import ParameterValueError

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.+\-_]")
_LONGEST: Final = 120


def legal_name(name: str) -> str:
    """A project's or observatory's name: upper case, blanks and dashes as underscores.

    Raises ParameterValueError for what begins with a digit or holds other characters than letters and digits.
    """
    made = re.sub(r"[\s\-]+", "_", name.strip()).upper()
    if not re.fullmatch(r"(?!\d)\w+", made, re.ASCII) or len(made) > _LONGEST:
        raise ParameterValueError(
            f"Cannot legalize name {name[:60]!r}", hint="Use letters, digits and underscores; no digit first."
        )
    return made


def file_name_of(source_name: str) -> str:
    """A source's name as part of a file name and an HDF5 key: itself where that is safe.

    Otherwise unsafe characters become underscores and eight digits of a checksum keep different names apart.
    """
    safe = _UNSAFE.sub("_", source_name)[:_LONGEST]
    if safe == source_name and not safe.startswith("."):
        return safe
    return f"{safe.lstrip('.')}-{hashlib.sha256(source_name.encode()).hexdigest()[:8]}"


def ra_folder(ra_deg: float | None) -> str:
    """The folder of a source: RA012 holds right ascensions from 12 to below 13 degrees; RAunknown without one."""
    if ra_deg is None or ra_deg != ra_deg:
        return "RAunknown"
    return f"RA{int(ra_deg % 360.0) % 360:03d}"
