"""NuSTAR's pointed science observations, from HEASARC's NuSTAR master table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skyvault.missions.declaration import (
    CATEGORY,
    Band,
    CategoryRule,
    Declaration,
    ObsColumn,
    Product,
    observation,
    proprietary,
    seconds,
)
from skyvault.missions.mission import Mission
from skyvault.missions.wanted_files import Wanted, everything

_FILES = {"FPMA": "A", "FPMB": "B"}
_WORDS = {inst: (word,) for inst, word in _FILES.items()}
_UNPACKED = ("*evt.gz", "*img.gz")


def assess(obs_info: Mapping[str, Any]) -> dict[str, Any]:
    """{instrument: usable?}: those that were active."""
    return {inst: bool(facts["active"]) for inst, facts in obs_info.items()}


class NuSTARPointed(Mission):
    """NuSTAR without its slews. Observations without time on target stay in the table, as not usable."""

    declaration = Declaration(
        name="nustar_pointed",
        pretty_name="NuSTAR Pointed",
        id_pattern=r"^[0-9]{11}$",
        table="numaster",
        columns=(
            *observation(),
            *proprietary(),
            CATEGORY,
            *seconds("exposure_a", "exposure_b", "ontime_a", "ontime_b"),
            ObsColumn("nupsdout", "nupsdout", "int"),
            ObsColumn("issue_flag", "issue_flag", "int"),
            ObsColumn("target_name", "name"),
        ),
        keep={
            "observation_mode": ("science",),
            "spacecraft_mode": ("inertial",),
            "status": ("processed", "archived"),
        },
        usable_if_positive=("ontime_a", "ontime_b"),
        exposures={"FPMA": "ontime_a", "FPMB": "ontime_b"},
        category=CategoryRule(
            "subject_category",
            {
                "Active galaxies and Quasars": "AGN",
                "Non-Proposal ToOs": "TOO",
                "Proposed ToOs and Directors Discretionary Time": "TOO",
                "Galactic Compact Sources": "GS",
                "Solar System Objects": "SOL",
                "Calibration Observations": "CAL",
                "Non-ToO Supernovae, Supernova Remnants, and Galactic diffuse": "SNR",
                "Normal galaxies": "NGS",
                "Galaxy clusters and extragalactic diffuse objects": "GCL",
            },
        ),
        instruments=("FPMA", "FPMB"),
        default_instruments=("FPMA", "FPMB"),
        aliases={"FA": "FPMA", "FB": "FPMB"},
        fov_deg=6.5 / 60,
        energy_kev=(3.0, 79.0),
        directory="nustar/data/obs/{oi[1:3]}/{oi[0:1]}/{oi}/",
        files=(
            Wanted(("nu{oi}.cat.gz",), rename="{oi}_cat.fits"),
            *everything("auxil", "hk", unpack=_UNPACKED),
            Wanted(("*{oi}{inst}_uf*",), "event_uf", inst_words=_WORDS, required=True, unpack=_UNPACKED),
            # a few observations were never cleaned
            Wanted(("*{oi}{inst}*",), "event_cl", "products", _WORDS, unpack=_UNPACKED),
        ),
        products={
            "events": {i: Product("event_cl/nu{oi}{inst}01_cl.evt", _FILES) for i in _FILES},
            "image": {i: Product("event_cl/nu{oi}{inst}01_sk.img", _FILES) for i in _FILES},
        },
        bands={"*": (Band(3.0, 78.0),)},
        assess=assess,
        ident_pattern=r"^([0-9]{11})",
    )
