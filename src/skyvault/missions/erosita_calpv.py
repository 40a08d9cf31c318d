"""eROSITA's observations of its calibration and performance verification phase (early data release, 2021)."""

from __future__ import annotations

from skyvault.missions.declaration import Declaration, ObsColumn, Product, observation
from skyvault.missions.erosita_rules import TABLES_URL, TELESCOPES, TM_ROWS, assess
from skyvault.missions.fields import FieldMission
from skyvault.missions.wanted_files import Bundle, Wanted


class eROSITACalPV(FieldMission):
    """eROSITA's calibration fields, by name and type.

    The field of view is that of the largest scan: some observations were pointed, others scanned a field.
    """

    declaration = Declaration(
        name="erosita_calpv",
        pretty_name="eROSITACalPV",
        id_pattern=r"^[0-9]{6}$",
        archive="erosita",
        service="tables",
        service_url=TABLES_URL,
        table="erosita_calpv_info.csv",
        table_kind="csv",
        files_service="edr",
        files_url="https://erosita.mpe.mpg.de/edr/",
        columns=(
            *observation(start="start", end="end", duration="duration", usable="science_usable"),
            ObsColumn("Field_Name", "Field_Name"),
            ObsColumn("Field_Type", "Field_Type"),
            ObsColumn("active_insts", "active_insts"),
            ObsColumn("download", "download", optional=True),
        ),
        instruments=TELESCOPES,
        default_instruments=TELESCOPES,
        fov_deg=4.5,
        energy_kev=(0.2, 10.0),
        # a field's observations come together
        bundle=Bundle("{download}", (Wanted(("*{oi}*",), but_not=("*eRO*",), required=True),)),
        narrowing=TM_ROWS,
        products={"events": {"*": Product("*m00_{oi}_020_EventList_c001.fits")}},
        field_aliases={
            "IGR_J13020_6359": ("IGR_J13020_6359__2RXP_J130159_635806_",),
            "HR_3165": ("HR_3165__ZET_PUP_",),
            "CRAB_I": ("CRAB_1",),
            "CRAB_II": ("CRAB_2",),
            "CRAB_III": ("CRAB_3",),
            "CRAB_IV": ("CRAB_4",),
            "CRAB": ("CRAB_1", "CRAB_2", "CRAB_3", "CRAB_4"),
            "47_TUC": ("47_TUC__NGC_104_",),
            "NGC_104": ("47_TUC__NGC_104_",),
            "TGUH2213P1": ("TGUH2213P1__DARK_CLOUD_",),
            "A3391": ("A3391_A3395",),
            "A3395": ("A3391_A3395",),
        },
        # a misprint of the release's pages
        replaced_ids={"700195": ("700199", "700200")},
        assess=assess,
        ident_pattern=r"^([0-9]{6})",
    )
