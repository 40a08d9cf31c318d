"""XMM-Newton's pointed observations, from ESA's XMM-Newton Science Archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from skyvault.missions.declaration import Declaration, ObsColumn, Politeness, observation, proprietary
from skyvault.missions.mission import Mission
from skyvault.missions.wanted_files import Bundle, Wanted

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


_INSTRUMENTS = ("M1", "M2", "PN", "OM", "R1", "R2")
#: the archive cannot leave out instruments; spacecraft files and the list of all are always kept
_ODF = (
    Wanted(("*{oi}_{inst}*",), inst_words={name: (name,) for name in _INSTRUMENTS}),
    Wanted(("*{oi}_SC*", "*MANIFEST*")),
)

#: HEASARC's copy, without what only XSA knows
_AT_HEASARC = Declaration(
    name="xmm_pointed",
    pretty_name="XMM-Newton Pointed",
    id_pattern=r"^[0-9]{10}$",
    table="xmmmaster",
    columns=(
        *observation(duration="duration"),
        ObsColumn("revolution", "xmm_revolution", "int"),
        # 416422 (the year 2998) stands for "not yet known"
        ObsColumn("proprietary_end_date", "public_date", "time", (0.0, 416422.0)),
        ObsColumn("proprietary_usable", "data_in_heasarc", "bool"),
    ),
    keep={"status": ("processed", "archived")},
    keep_ids=r"^[0-8]",
    instruments=_INSTRUMENTS,
    default_instruments=("M1", "M2", "PN"),
    aliases={"MOS1": "M1", "MOS2": "M2", "RGS1": "R1", "RGS2": "R2"},
    fov_deg=15 / 60,
    energy_kev=(0.15, 12.0),
    directory="xmm/data/rev0/{oi}/ODF/",
    files=_ODF,
    assess=assess,
    ident_pattern=r"^([0-9]{10})",
)
_XSA = "https://nxsa.esac.esa.int/"


class XMMPointed(Mission):
    """XMM-Newton without its slews. ``use_heasarc``: table and files come from HEASARC's copy, not from ESA."""

    def __init__(
        self,
        insts: str | Sequence[str] | None = None,
        save_file_path: str | Path | None = None,
        use_heasarc: bool = False,
        **others: Any,
    ) -> None:
        if use_heasarc:
            self.declaration = _AT_HEASARC  # type: ignore[misc]
        super().__init__(insts, save_file_path, **others)

    declaration = replace(
        _AT_HEASARC,
        archive="xsa",
        service_url=f"{_XSA}tap-server/tap",
        table="xsa.v_all_observations",
        # without TOP the service sends 2,000 rows and does not say that there are more
        counts_rows_first=True,
        alternative=_AT_HEASARC,
        columns=(
            *observation(
                start="start_utc", end=None, duration="duration", obs_id="observation_id", usable="with_science"
            ),
            ObsColumn("revolution", "revolution", "int"),
            *proprietary("proprietary_end_date"),
        ),
        keep={},
        # more than ten connections at once are dropped
        politeness=Politeness(connections=10),
        files_url=f"{_XSA}nxsa-sl/servlet/",
        directory=None,
        files=(),
        bundle=Bundle("data-action-aio?obsno={oi}&level=ODF", _ODF, is_nested=True),
    )
