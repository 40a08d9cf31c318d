"""INTEGRAL's pointed science windows, from HEASARC's table of public ones."""

from __future__ import annotations

from skyvault.missions.declaration import Declaration, ObsColumn, observation, seconds
from skyvault.missions.mission import Mission
from skyvault.missions.wanted_files import Wanted

_ALL = ("JEMX1", "JEMX2", "ISGRI", "PICsIT", "SPI")

#: ISGRI and PICsIT together are IBIS, and their Compton mode needs both
_WORDS = {
    "JEMX1": ("jmx1",),
    "JEMX2": ("jmx2",),
    "ISGRI": ("isgri", "ibis", "compton"),
    "PICsIT": ("picsit", "ibis", "compton"),
    "SPI": ("spi",),
}


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
        energy_kev=(3.0, 10_000.0),
        directory="integral/data/scw/{oi[0:4]}/{oi}.{scw_ver}/",
        shared_directory="integral/data/",
        files=(
            Wanted(("*_scw.txt*", "sc_*", "swg.fits*"), required=True, unpack=()),
            Wanted(("*{inst}*",), inst_words=_WORDS, unpack=()),
            # all windows of a revolution share these
            Wanted(shared_root="scw/{oi[0:4]}/rev.{version}/", deep=True, unpack=()),
            Wanted(shared_root="aux/adp/{oi[0:4]}.{version}/", deep=True, unpack=()),
        ),
        ident_pattern=r"^([0-9]{12})",
    )
