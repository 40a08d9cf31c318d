"""XRISM's pointed observations, from HEASARC's XRISM master table."""

from __future__ import annotations

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
from skyvault.missions.wanted_files import Wanted, When, everything

_FOLDERS: tuple[tuple[str, When], ...] = (
    ("event_uf", "always"),
    ("hk", "always"),
    ("event_cl", "products"),
    ("products", "products"),
)
_UNPACKED = ("*evt.gz", "*gif.gz", "*img.gz")


class XRISMPointed(Mission):
    """XRISM with its calorimeter Resolve and its imager Xtend."""

    declaration = Declaration(
        name="xrism_pointed",
        pretty_name="XRISM Pointed",
        id_pattern=r"^[0-9]{9}$",
        table="xrismmastr",
        columns=(
            *observation(),
            # 88068 (the year 2099) stands for "not yet known"
            *proprietary(nulls=(0.0, 88068.0)),
            CATEGORY,
            *seconds("exposure", xtend_exposure="xtd_expo"),
            ObsColumn("resolve_mode", "rsl_datamode"),
            ObsColumn("xtend_mode1-2", "xtd_datamode1"),
            ObsColumn("xtend_mode3-4", "xtd_datamode2"),
            ObsColumn("xtend_dataclass1-2", "xtd_dataclas1"),
            ObsColumn("xtend_dataclass3-4", "xtd_dataclas2"),
        ),
        usable_if_positive=("exposure",),
        exposures={"RESOLVE": "exposure", "XTEND": "xtend_exposure"},
        category=CategoryRule(
            "subject_category",
            {
                "Non-Jet-Dominated AGN": "AGN",
                "Blazars and Other Jet-Dominated AGN": "BLZ",
                "Solar System": "SOL",
                "Supernova Remnants": "SNR",
                "Normal Galaxies: Integrated Emission": "NGS",
                "Groups and Clusters of Galaxies": "GCL",
                "Extragalactic Diffuse Emission and Surveys": "EGS",
                "Extragalactic Transients (SNe, GRBs, GW, TDEs)": "EGS",
                "BH and NS Binaries": "NS",
                "Non-Accreting Neutron Stars": "NS",
                "Galactic Diffuse Emission and Surveys": "GS",
                "Stellar Coronae/Winds/Young Stars": "STR",
                "Accreting White Dwarfs and Novae": "STR",
            },
        ),
        instruments=("RESOLVE", "XTEND"),
        default_instruments=("RESOLVE", "XTEND"),
        fov_deg={"XTEND": 19 / 60, "RESOLVE": 1.5 / 60},
        energy_kev=(0.3, 13.0),
        directory="xrism/data/obs/{oi[0:1]}/{oi}/",
        files=(
            *everything("auxil", unpack=_UNPACKED),
            *(
                Wanted(("*",), f"{inst.lower()}/{folder}", when, only_for=(inst,), unpack=_UNPACKED)
                for inst in ("RESOLVE", "XTEND")
                for folder, when in _FOLDERS
            ),
        ),
        products={
            "events": {
                "RESOLVE": Product("resolve/event_cl/xa{oi}rsl_p0px1000_cl.evt"),
                "XTEND": Product("xtend/event_cl/xa{oi}xtd_p*_cl.evt"),
            },
            "image": {
                "RESOLVE": Product("resolve/products/xa{oi}rsl_p0px1000_cl.sky.img"),
                "XTEND": Product("xtend/products/xa{oi}xtd_p*_cl.sky.img"),
            },
        },
        bands={"RESOLVE": (Band(1.7, 12.0),), "XTEND": (Band(0.4, 20.0),)},
        ident_pattern=r"^([0-9]{9})",
    )
