"""Chandra's observations, from HEASARC's copy of the Chandra master list."""

from __future__ import annotations

from skyvault.missions.chandra_rules import TARGET_CLASSES, assess, camera
from skyvault.missions.declaration import (
    CATEGORY,
    Band,
    CategoryRule,
    Declaration,
    ObsColumn,
    Product,
    Selector,
    observation,
    proprietary,
)
from skyvault.missions.mission import Mission
from skyvault.missions.wanted_files import Wanted

_FILES = {"ACIS": "acis", "HRC": "hrc"}
#: what reprocessing needs: unfiltered events and what belongs to them
_LEVEL_1 = tuple(f"*{word}.fits*" for word in ("evt1", "mtl1", "bias0", "pbk0", "flt1", "bpix1", "msk1", "stat1"))
_DETECTORS = ("ACIS-I", "ACIS-S", "HRC-I", "HRC-S")


class Chandra(Mission):
    """Chandra. ACIS and HRC mean both of their detectors; without a grating only observations without one are meant."""

    declaration = Declaration(
        name="chandra",
        pretty_name="Chandra",
        # sequence numbers grow; today's have up to five digits
        id_pattern=r"^[0-9]{1,6}$",
        frame="ICRS",
        table="chanmaster",
        columns=(
            *observation(end=None, duration="exposure"),
            *proprietary(),
            CATEGORY,
            ObsColumn("instrument", "detector", after=camera),
            ObsColumn("grating", "grating"),
            ObsColumn("data_mode", "data_mode"),
            ObsColumn("detector", "detector"),
        ),
        keep={"status": ("processed", "archived")},
        category=CategoryRule(
            "class",
            TARGET_CLASSES,
            fallback="type",
            fallback_codes={"TOO": "TOO", "DDT": "TOO", "CAL": "CAL"},
        ),
        instruments=("ACIS", "HRC", "HETG", "LETG", *_DETECTORS),
        default_instruments=("ACIS", "HRC"),
        selectors=(
            Selector(
                "detector",
                {
                    "ACIS": ("ACIS-I", "ACIS-S", "ACIS"),
                    "HRC": ("HRC-I", "HRC-S", "HRC"),
                    **{d: (d,) for d in _DETECTORS},
                },
            ),
            Selector("grating", {"HETG": ("HETG",), "LETG": ("LETG",)}, otherwise=("NONE", "")),
        ),
        fov_deg={"ACIS": 27.8 / 60, "HRC": 49.5 / 60},
        energy_kev=(0.1, 10.0),
        fov_column="instrument",
        directory="chandra/data/byobsid/{oi[-1:]}/{oi}/",
        files=(
            Wanted(("oif.fits*",), required=True),
            Wanted(("*.fits.gz",), "primary", "products", required=True),
            Wanted(_LEVEL_1, "secondary", "products"),
            Wanted(("*",), "secondary", "raw"),
        ),
        products={
            "events": {i: Product("primary/{inst}f*{oi}N*_evt2.fits", _FILES) for i in _FILES},
            "image": {i: Product("primary/{inst}f*{oi}N*_full_img2.fits", _FILES) for i in _FILES},
        },
        bands={"ACIS": (Band(0.5, 7.0),), "HRC": (Band(0.06, 10.0),)},
        notes=("ObsID 6616 is listed with an exposure of 574 days",),
        assess=assess,
        ident_pattern=r"^(?:ACIS|HRC)?(?:-[IS])?([0-9]{1,6})(?:E.*)?$",
    )
