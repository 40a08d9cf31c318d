"""Chandra's odd rules: classes of targets, cameras of detectors, and which exposures are worth processing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Final

#: words of the master list's column "class"
TARGET_CLASSES: Final = {
    "AGN UNCLASSIFIED": "AGN",
    "EXTENDED GALACTIC OR EXTRAGALACTIC": "EGE",
    "X-RAY BINARY": "GS",
    "CV": "GS",
    "Calibration Observations": "CAL",
    "SNR": "SNR",
    "NON-ACTIVE GALAXY": "NGS",
    "CLUSTER OF GALAXIES": "GCL",
    "Non-Pointing data": "MISC",
}


def camera(detector: str) -> str:
    """ACIS of ACIS-I and ACIS-S, HRC of HRC-I and HRC-S."""
    return detector.partition("-")[0]


def assess(obs_info: Mapping[str, Any]) -> dict[str, Any]:
    """{instrument: {exposure: usable?}}: active ones with a single pointing and no alternating exposures."""
    result: dict[str, Any] = {}
    for inst, facts in obs_info.items():
        is_odd = bool(facts.get("alternating_exposure") or facts.get("multi_obi"))
        if is_odd:
            warnings.warn(f"{inst}: alternating exposures and several pointings are not processed", stacklevel=3)
        result[inst] = {key: bool(facts["active"]) and not is_odd for key in facts["exposures"]}
    return result
