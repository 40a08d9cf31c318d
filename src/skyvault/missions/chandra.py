"""Chandra's observations, from HEASARC's copy of the Chandra master list."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from skyvault.missions.declaration import (
    CATEGORY,
    Band,
    CategoryRule,
    Declaration,
    ObsColumn,
    Product,
    Selector,
    observation,
    proprietary,
)  # fmt: skip
from skyvault.missions.mission import Mission

_FILES = {"ACIS": "acis", "HRC": "hrc"}
_DETECTORS = ("ACIS-I", "ACIS-S", "HRC-I", "HRC-S")


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


class Chandra(Mission):
    """Chandra. ACIS and HRC mean both of their detectors; without a grating only observations without one are meant."""

    declaration = Declaration(
        name="chandra",
        pretty_name="Chandra",
        # sequence numbers grow; today's have up to five digits
        id_pattern=r"^[0-9]{1,6}$",
        frame="ICRS",
        table="chanmaster",
        columns=(
            *observation(end=None, duration="exposure"),
            *proprietary(),
            CATEGORY,
            ObsColumn("instrument", "detector", after=camera),
            ObsColumn("grating", "grating"),
            ObsColumn("data_mode", "data_mode"),
            ObsColumn("detector", "detector"),
        ),
        keep={"status": ("processed", "archived")},
        category=CategoryRule(
            "class",
            {
                "AGN UNCLASSIFIED": "AGN",
                "EXTENDED GALACTIC OR EXTRAGALACTIC": "EGE",
                "X-RAY BINARY": "GS",
                "CV": "GS",
                "Calibration Observations": "CAL",
                "SNR": "SNR",
                "NON-ACTIVE GALAXY": "NGS",
                "CLUSTER OF GALAXIES": "GCL",
                "Non-Pointing data": "MISC",
            },
            fallback="type",
            fallback_codes={"TOO": "TOO", "DDT": "TOO", "CAL": "CAL"},
        ),
        instruments=("ACIS", "HRC", "HETG", "LETG", *_DETECTORS),
        default_instruments=("ACIS", "HRC"),
        selectors=(
            Selector(
                "detector",
                {
                    "ACIS": ("ACIS-I", "ACIS-S", "ACIS"),
                    "HRC": ("HRC-I", "HRC-S", "HRC"),
                    **{d: (d,) for d in _DETECTORS},
                },
            ),
            Selector("grating", {"HETG": ("HETG",), "LETG": ("LETG",)}, otherwise=("NONE", "")),
        ),
        fov_deg={"ACIS": 27.8 / 60, "HRC": 49.5 / 60},
        fov_column="instrument",
        directory_url="https://heasarc.gsfc.nasa.gov/FTP/chandra/data/byobsid/{oi[-1:]}/{oi}/",
        products={
            "events": {i: Product("primary/{inst}f*{oi}N*_evt2.fits", _FILES) for i in _FILES},
            "image": {i: Product("primary/{inst}f*{oi}N*_full_img2.fits", _FILES) for i in _FILES},
        },
        bands={"ACIS": (Band(0.5, 7.0),), "HRC": (Band(0.06, 10.0),)},
        notes=("ObsID 6616 is listed with an exposure of 574 days",),
        assess=assess,
        ident_pattern=r"^(?:ACIS|HRC)?(?:-[IS])?([0-9]{1,6})(?:E.*)?$",
    )
