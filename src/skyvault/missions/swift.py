"""Swift's observations, from HEASARC's Swift master table."""

from __future__ import annotations

from skyvault.missions.declaration import Band, Declaration, ObsColumn, Product, observation, seconds
from skyvault.missions.mission import Mission
from skyvault.missions.wanted_files import Wanted, everything

_FOLDERS = (
    *(("XRT", f"xrt/{folder}") for folder in ("event", "hk", "image")),
    *(("UVOT", f"uvot/{folder}") for folder in ("event", "hk", "image")),
    *(("BAT", f"bat/{folder}") for folder in ("event", "rate", "survey")),
)
_PRODUCTS = (("XRT", "xrt/products"), ("UVOT", "uvot/products"))


class Swift(Mission):
    """Swift. XRT, BAT and UVOT observe together, with fields of 12 arcminutes, 50 degrees and 9 arcminutes."""

    declaration = Declaration(
        name="swift",
        pretty_name="Swift",
        id_pattern=r"^[0-9]{11}$",
        table="swiftmastr",
        columns=(
            *observation(start="start_time", end="stop_time"),
            ObsColumn("target_category", None, constant="MISC"),
            *seconds("xrt_exposure", "bat_exposure", "uvot_exposure"),
            ObsColumn("roll_angle", "roll_angle", "float"),
        ),
        usable_if_positive=("xrt_exposure", "bat_exposure", "uvot_exposure"),
        exposures={"XRT": "xrt_exposure", "BAT": "bat_exposure", "UVOT": "uvot_exposure"},
        instruments=("XRT", "BAT", "UVOT"),
        default_instruments=("XRT", "BAT"),
        fov_deg={"XRT": 11.8 / 60, "BAT": 50.0, "UVOT": 8.5 / 60},
        energy_kev=(0.2, 150.0),
        directory="swift/data/obs/{start:%Y_%m}/{oi}/",
        files=(
            *everything("auxil"),
            *(Wanted(("*",), f, "raw", only_for=(inst,), but_not=("*cl.evt*",)) for inst, f in _FOLDERS),
            *(Wanted(("*",), f, "products", only_for=(inst,)) for inst, f in (*_FOLDERS, *_PRODUCTS)),
        ),
        products={
            "events": {
                "XRT": Product("xrt/event/sw{oi}xpc*po_cl.evt"),
                "BAT": Product("bat/event/sw{oi}bevsh*_uf.evt"),
            },
            "image": {
                "XRT": Product("xrt/products/sw{oi}xpc_sk.img"),
                "UVOT": Product("uvot/products/sw{oi}u_sk.img"),
            },
            "expmap": {
                "XRT": Product("xrt/products/sw{oi}xpc_ex.img"),
                "UVOT": Product("uvot/products/sw{oi}u_ex.img"),
            },
        },
        # UVOT sees optical and ultraviolet light: 170 to 600 nm
        bands={"XRT": (Band(0.01, 10.23),), "UVOT": (Band(0.00207, 0.00729),)},
        ident_pattern=r"^([0-9]{11})",
    )
