"""eROSITA's first all-sky survey, the western Galactic half (data release 1), as sky tiles."""

from __future__ import annotations

from skyvault.missions.declaration import Band, Declaration, ObsColumn, Product, observation
from skyvault.missions.erosita_rules import TABLES_URL, TELESCOPES, TM_ROWS, assess
from skyvault.missions.mission import Mission
from skyvault.missions.wanted_files import Wanted

_BANDS = (
    Band(0.2, 0.6, "1"),
    Band(0.6, 2.3, "2"),
    Band(2.3, 5.0, "3"),
    Band(0.2, 2.3, "4"),
    Band(0.2, 0.5, "5"),
    Band(0.5, 1.0, "6"),
    Band(1.0, 2.0, "7"),
)


class eRASS1DE(Mission):
    """The tiles of eRASS1. Without a search distance a position belongs to the tile whose core holds it."""

    declaration = Declaration(
        name="erosita_all_sky_de_dr1",
        pretty_name="eRASS DE:1",
        id_pattern=r"^[0-9]{6}$",
        archive="erosita",
        service="tables",
        service_url=TABLES_URL,
        table="erass_de_dr1_info.csv",
        table_kind="csv",
        files_service="dr1",
        files_url="https://erosita.mpe.mpg.de/dr1/",
        columns=(
            *observation(start="start", end="end"),
            ObsColumn("ra_min", "ra_min", "float"),
            ObsColumn("ra_max", "ra_max", "float"),
            ObsColumn("dec_min", "dec_min", "float"),
            ObsColumn("dec_max", "dec_max", "float"),
            ObsColumn("neigh_obs", tuple(f"field{i}" for i in range(1, 10))),
        ),
        tile_columns=("ra_min", "ra_max", "dec_min", "dec_max"),
        instruments=TELESCOPES,
        default_instruments=TELESCOPES,
        fov_deg=1.8,
        energy_kev=(0.2, 10.0),
        directory="erodat/data/download/{oi[3:6]}/{oi[0:3]}/",
        files=(
            Wanted(("*_EventList_*",), "EXP_{version}", required=True),
            Wanted(("*_Image_*",), "EXP_{version}", "products", required=True),
            Wanted(("*_ExposureMap_*", "*_BackgrImage_*"), "DET_{version}", "products", required=True),
        ),
        narrowing=TM_ROWS,
        products={
            "events": {"*": Product("EXP_*/e*01_{oi}_020_EventList_c???.fits")},
            "image": {"*": Product("EXP_*/e*01_{oi}_02{band}_Image_c???.fits")},
            "expmap": {"*": Product("DET_*/e*01_{oi}_02{band}_ExposureMap_c???.fits")},
            "background": {"*": Product("DET_*/e*01_{oi}_02{band}_BackgrImage_c???.fits")},
        },
        bands={"*": _BANDS},
        assess=assess,
        ident_pattern=r"^([0-9]{6})",
    )
