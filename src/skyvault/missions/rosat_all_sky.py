"""ROSAT's all-sky survey, as the fields of its archive, from HEASARC's table of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skyvault.missions.declaration import Band, Declaration, ObsColumn, Product, observation
from skyvault.missions.mission import Mission
from skyvault.missions.wanted_files import Wanted

_PRODUCTS = ("bk1", "bk2", "bk3", "im1", "im2", "im3", "mex")


class ROSATAllSky(Mission):
    """The survey's fields. From start to end may be more than a year: the survey passed several times."""

    def __init__(self, save_file_path: str | Path | None = None, **others: Any) -> None:
        super().__init__(None, save_file_path, **others)

    declaration = Declaration(
        name="rosat_all_sky",
        pretty_name="RASS",
        id_pattern=r"^(RS|rs)\d{6}[A-Z]\d{2}$",
        table="rassmaster",
        columns=(
            *observation(start="start_date", end="end_date", duration="exposure", obs_id="seq_id"),
            ObsColumn("target_category", None, constant="ASK"),
        ),
        instruments=("PSPC",),
        default_instruments=("PSPC",),
        fov_deg=3.0,
        energy_kev=(0.1, 2.4),
        directory="rosat/data/pspc/processed_data/900000/{oi}/",
        files=(
            Wanted(("{oi}_anc.fits*", "{oi}_bas.fits*"), required=True),
            # some exposure maps are not packed
            Wanted(tuple(f"{{oi}}_{word}.fits*" for word in _PRODUCTS), "", "products", required=True),
        ),
        products={
            "events": {"*": Product("{oi}_bas.fits")},
            "image": {"*": Product("{oi}_im{band}.fits")},
            "expmap": {"*": Product("{oi}_mex.fits")},
            "background": {"*": Product("{oi}_bk{band}.fits")},
        },
        bands={"*": (Band(0.07, 2.4, "1"), Band(0.4, 2.4, "2"), Band(0.07, 0.4, "3"))},
        is_file_id_lower=True,
        ident_pattern=r"^([A-Za-z]{2}\d{6}[A-Z]\d{2})",
    )
