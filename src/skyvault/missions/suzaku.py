"""Suzaku's observations with its X-ray imaging spectrometers, from HEASARC's Suzaku master table."""

from __future__ import annotations

from skyvault.missions.declaration import (
    CATEGORY,
    Band,
    CategoryRule,
    Declaration,
    ObsColumn,
    Product,
    observation,
    seconds,
)
from skyvault.missions.mission import Mission
from skyvault.missions.wanted_files import Wanted, everything

_XIS = tuple(f"XIS{i}" for i in range(4))
_FILES = {name: f"xi{name[-1]}" for name in _XIS}

_WORDS = {name: (f"xi{name[-1]}", "xis") for name in _XIS}
_NAMES = ("*{inst}*",)
_UNPACKED = ("*evt.gz", "*gif.gz", "*img.gz")


class Suzaku(Mission):
    """Suzaku's XIS. Each may have several event lists, one a clocking and editing mode: see get_evt_list_paths."""

    declaration = Declaration(
        name="suzaku",
        pretty_name="Suzaku",
        id_pattern=r"^[0-9]{9}$",
        table="suzamaster",
        columns=(
            *observation(end="stop_time"),
            CATEGORY,
            *(
                column
                for i in range(4)
                for column in (*seconds(f"xis{i}_expo"), ObsColumn(f"xis{i}_num_modes", f"xis{i}_num_modes", "int"))
            ),
        ),
        usable_if_positive=tuple(f"xis{i}_expo" for i in range(4)),
        exposures={name: f"xis{name[-1]}_expo" for name in _XIS},
        category=CategoryRule(
            "category_code", {"0": "MISC", "1": "CAL", "4": "GS", "5": "GS", "7": "EGS", "8": "GCL", "9": "TOO"}
        ),
        instruments=_XIS,
        default_instruments=_XIS,
        aliases={f"X{i}": f"XIS{i}" for i in range(4)},
        fov_deg=9.5 / 60,
        energy_kev=(0.2, 12.0),
        directory="suzaku/data/obs/{oi[0:1]}/{oi}/",
        files=(
            *everything("auxil", "xis/hk", unpack=_UNPACKED),
            Wanted(_NAMES, "xis/event_uf", inst_words=_WORDS, unpack=_UNPACKED),
            Wanted(_NAMES, "xis/event_cl", "products", _WORDS, unpack=_UNPACKED),
            Wanted(_NAMES, "xis/products", "products", _WORDS, unpack=_UNPACKED),
        ),
        products={
            "events": {i: Product("xis/event_cl/ae{oi}{inst}_*_cl.evt", _FILES) for i in _XIS},
            "image": {i: Product("xis/products/ae{oi}{inst}_*_sk.img", _FILES) for i in _XIS},
        },
        bands={"*": (Band(0.2, 12.0),)},
        ident_pattern=r"^([0-9]{9})",
    )
