"""ROSAT's pointed observations, from HEASARC's ROSAT archive table."""

from __future__ import annotations

from skyvault.missions.declaration import (
    CATEGORY,
    Band,
    CategoryRule,
    Declaration,
    ObsColumn,
    Product,
    Selector,
    observation,
)
from skyvault.missions.mission import Mission
from skyvault.missions.wanted_files import Wanted

#: kinds of target by the digits 1 to 9 of the proposals
_TARGETS = ("STR", "STR", "CV", "NS", "SNR", "NGS", "AGN", "GCL", "EGE")
_PSPC = ("PSPCB", "PSPCC")
_PSPC_PRODUCTS = tuple(f"{{oi}}_{word}.fits*" for word in ("bk2", "bk3", "im2", "im3", "mex"))
_PSPC_BANDS = (Band(0.07, 2.4, "1"), Band(0.4, 2.4, "2"), Band(0.07, 0.4, "3"))


def camera(instrument: str) -> str:
    """The camera's name; plain PSPC stands for pointings that completed the survey, which PSPC-B made."""
    name = instrument.upper().replace("-", "").replace(" ", "")
    return "PSPCB" if name == "PSPC" else name


def url_words(obs_id: str) -> dict[str, str]:
    """The archive's directory is that of the camera, which the second letter of an ObsID tells."""
    return {"camera": "hri" if obs_id[1].upper() == "H" else "pspc"}


class ROSATPointed(Mission):
    """ROSAT's pointings, one camera each."""

    declaration = Declaration(
        name="rosat_pointed",
        pretty_name="ROSAT Pointed",
        id_pattern=r"^(RH|rh|RP|rp|RF|rf|WH|wh|WP|wp|WF|wf)\d{6}([A-Z]\d{2}|)$",
        table="rosmaster",
        columns=(
            *observation(start="start_time", duration="exposure", obs_id="seq_id"),
            ObsColumn("instrument", "instrument", after=camera),
            ObsColumn("with_filter", "filter"),
            CATEGORY,
            ObsColumn("target_name", "name"),
            ObsColumn("proc_rev", "proc_rev", "int"),
            ObsColumn("fits_type", "fits_type"),
        ),
        usable_if_positive=("duration",),
        category=CategoryRule("subj_cat", dict(zip("123456789", _TARGETS, strict=True))),
        instruments=(*_PSPC, "HRI"),
        default_instruments=(*_PSPC, "HRI"),
        aliases={"PSPC-B": "PSPCB", "PSPC-C": "PSPCC", "PSPC B": "PSPCB", "PSPC C": "PSPCC"},
        selectors=(Selector("instrument", {name: (name,) for name in (*_PSPC, "HRI")}),),
        fov_deg={"PSPCB": 1.0, "PSPCC": 1.0, "HRI": 19 / 60},
        energy_kev=(0.1, 2.4),
        fov_column="instrument",
        directory="rosat/data/{camera}/processed_data/{oi[2:3]}00000/{oi}/",
        url_words=url_words,
        files=(
            Wanted(("{oi}_anc.fits*", "{oi}_bas.fits*"), required=True),
            Wanted(("{oi}_bk1.fits*", "{oi}_im1.fits*"), "", "products", required=True),
            Wanted(_PSPC_PRODUCTS, "", "products", only_for=_PSPC, required=True),
        ),
        products={
            "events": {"*": Product("{oi}_bas.fits")},
            "image": {"*": Product("{oi}_im{band}.fits")},
            "expmap": {name: Product("{oi}_mex.fits") for name in _PSPC},
            "background": {"*": Product("{oi}_bk{band}.fits")},
        },
        bands={"PSPCB": _PSPC_BANDS, "PSPCC": _PSPC_BANDS, "HRI": (Band(0.07, 2.4, "1"),)},
        is_file_id_lower=True,
        ident_pattern=r"^([A-Za-z]{2}\d{6}(?:[A-Z]\d{2})?)",
    )
