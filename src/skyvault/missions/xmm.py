"""XMM-Newton's pointed observations, from ESA's XMM-Newton Science Archive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skyvault.missions.declaration import Declaration, ObsColumn, Politeness, observation, proprietary
from skyvault.missions.mission import Mission

#: filters through which no sky is seen
_BLIND = ("CalClosed", "Closed", "Blocked", "Unknown")
#: modes for engineering and calibration
_MODES = (
    "Diagnostic3x3", "Diagnostic1x1", "CcdDiagnostic", "Diagnostic1x1ResetPerPixel", "Diagnostic", "Noise", "Offset",
    "HighTimeResolutionSingleCcd", "OffsetVariance", "CentroidingConfirmation", "CentroidingData", "DarkHigh",
    "DarkLow", "FlatFieldHigh", "FlatFieldLow",
)  # fmt: skip


def assess(obs_info: Mapping[str, Any]) -> dict[str, Any]:
    """{instrument: {sub-exposure: usable?}}: science exposures through an open filter in a mode for the sky."""

    def is_usable(inst: str, exposure: Mapping[str, Any]) -> bool:
        if exposure["type"] != "SCIENCE" or exposure["mode"] in _MODES:
            return False
        return inst in ("R1", "R2") or (exposure.get("filter") is not None and exposure["filter"] not in _BLIND)

    return {
        inst: {key: is_usable(inst, one) for key, one in facts["exposures"].items()} if facts["active"] else {}
        for inst, facts in obs_info.items()
    }


class XMMPointed(Mission):
    """XMM-Newton without its slews."""

    declaration = Declaration(
        name="xmm_pointed",
        pretty_name="XMM-Newton Pointed",
        id_pattern=r"^[0-9]{10}$",
        archive="xsa",
        service_url="https://nxsa.esac.esa.int/tap-server/tap",
        table="xsa.v_all_observations",
        columns=(
            *observation(
                start="start_utc", end=None, duration="duration", obs_id="observation_id", usable="with_science"
            ),
            ObsColumn("revolution", "revolution", "int"),
            *proprietary("proprietary_end_date"),
        ),
        keep_ids=r"^[0-8]",
        instruments=("M1", "M2", "PN", "OM", "R1", "R2"),
        default_instruments=("M1", "M2", "PN"),
        aliases={"MOS1": "M1", "MOS2": "M2", "RGS1": "R1", "RGS2": "R2"},
        fov_deg=15 / 60,
        # more than ten connections at once are dropped
        politeness=Politeness(connections=10),
        directory_url="https://nxsa.esac.esa.int/nxsa-sl/servlet/data-action-aio?obsno={oi}&level=ODF",
        assess=assess,
        ident_pattern=r"^([0-9]{10})",
    )
