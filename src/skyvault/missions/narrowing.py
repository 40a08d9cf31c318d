"""Copies of event lists with the rows of some detectors alone, for archives whose lists hold all of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from skyvault.missions.faults import MissionTableError
from skyvault.missions.wanted_files import Narrowing

_COPY = re.compile(r"_if_\d+\.fits$")


def is_copy(path: Path) -> bool:
    """Whether a file is such a copy."""
    return _COPY.search(path.name) is not None


def copy_path(path: Path, suffix: str) -> Path:
    """Where the copy of an event list is: ``em01_134135_020_EventList_c010_if_12.fits``."""
    return path.with_name(f"{path.name.removesuffix('.fits')}{suffix}.fits")


def make_copies(files: Iterable[Path], narrowing: Narrowing, insts: Sequence[str]) -> list[Path]:
    """Make the copies for a choice of instruments beside the event lists among ``files``; none when all are chosen.

    One that is there already is kept. Raises MissionTableError for an event list without the declared column.
    """
    suffix = narrowing.suffix(insts)
    if not suffix:
        return []
    numbers = sorted(narrowing.numbers[inst] for inst in insts)
    made = []
    for path in files:
        if "EventList" not in path.name or not path.name.endswith(".fits") or is_copy(path):
            continue
        copy = copy_path(path, suffix)
        if not copy.is_file() or copy.stat().st_mtime_ns < path.stat().st_mtime_ns:
            _write_copy(path, copy, narrowing.column, numbers)
        made.append(copy)
    return made


def _write_copy(path: Path, copy: Path, column: str, numbers: Sequence[int]) -> None:
    import numpy as np
    from astropy.io import fits

    beside = copy.with_name(f".{copy.name}.part")
    try:
        with fits.open(path) as hdus:
            events = hdus[1]
            if column not in events.columns.names:
                raise MissionTableError(f"the event list has no column {column}", where=str(path))
            events.data = events.data[np.isin(events.data[column], numbers)]
            hdus.writeto(beside, overwrite=True, checksum=True)
        os.replace(beside, copy)
    except (OSError, IndexError, AttributeError, TypeError, ValueError) as error:
        beside.unlink(missing_ok=True)
        raise MissionTableError(
            f"no copy for telescopes {', '.join(map(str, numbers))} can be made: {error}", where=str(path)
        ) from None
