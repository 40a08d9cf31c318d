"""INTEGRAL's pointed science windows, from HEASARC's table of public ones."""

from __future__ import annotations

from skyvault.missions.declaration import Declaration, ObsColumn, observation, seconds
from skyvault.missions.mission import Mission

_ALL = ("JEMX1", "JEMX2", "ISGRI", "PICsIT", "SPI")


class INTEGRALPointed(Mission):
    """INTEGRAL's science windows, each about half an hour; the first four digits of an ID are the revolution."""

    declaration = Declaration(
        name="integral_pointed",
        pretty_name="INTEGRAL Pointed",
        id_pattern=r"^[0-9]{12}$",
        table="intscwpub",
        columns=(
            *observation(start="start_date", end="end_date", obs_id="scw_id"),
            ObsColumn("proprietary_usable", "data_in_heasarc", "bool"),
            ObsColumn("target_category", None, constant="MISC"),
            *seconds(**{f"{name.lower()}_exposure": f"good_{name.lower()}" for name in _ALL}),
            ObsColumn("scw_ver", "scw_ver"),
        ),
        usable_if_positive=tuple(f"{name.lower()}_exposure" for name in _ALL),
        exposures={name: f"{name.lower()}_exposure" for name in _ALL},
        instruments=_ALL,
        default_instruments=("JEMX1", "JEMX2", "ISGRI"),
        fov_deg={"JEMX1": 2.4, "JEMX2": 2.4, "ISGRI": 4.15, "PICsIT": 4.15, "SPI": 7.0},
        directory_url="https://heasarc.gsfc.nasa.gov/FTP/integral/data/scw/{oi[0:4]}/{oi}.{scw_ver}/",
        ident_pattern=r"^([0-9]{12})",
    )
