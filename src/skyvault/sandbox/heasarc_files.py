"""The directories of all X-ray observations at HEASARC, made from its tables.

The trees hold what no client asks for, too: pictures, quick-look products, instruments that are not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from skyvault.sandbox import past_files, present_files
from skyvault.sandbox.observation_root import Root, Row

_ROOTS: Final[Mapping[str, Callable[[str, Row], Iterator[Root]]]] = {
    "xmm_pointed": present_files.xmm,
    "chandra": present_files.chandra,
    "nustar_pointed": present_files.nustar,
    "swift": present_files.swift,
    "xrism_pointed": present_files.xrism,
    "rosat_pointed": past_files.rosat,
    "rosat_all_sky": past_files.rosat,
    "asca": past_files.asca,
    "suzaku": past_files.suzaku,
    "integral_pointed": past_files.integral,
}


def roots(mission: str, rows: list[dict[str, Any]]) -> Iterator[Root]:
    """The directories of a mission's observations; what was never processed or has no place has none."""
    for row in rows:
        if row["ra"] is None or row.get("status", "archived") not in ("archived", "processed"):
            continue
        yield from _ROOTS[mission](mission, row)
