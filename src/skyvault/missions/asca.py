"""ASCA's observations, from HEASARC's ASCA master catalogue."""

from __future__ import annotations

from skyvault.missions.declaration import CATEGORY, Band, CategoryRule, Declaration, Product, observation, seconds
from skyvault.missions.mission import Mission
from skyvault.missions.wanted_files import Wanted, everything

_SIS, _GIS = ("SIS0", "SIS1"), ("GIS2", "GIS3")
_EVENTS = {"SIS0": "s0", "SIS1": "s1", "GIS2": "g2", "GIS3": "g3"}
_IMAGES = {"SIS0": "sis", "SIS1": "sis", "GIS2": "gis", "GIS3": "gis"}
_WORDS = {inst: (word,) for inst, word in _EVENTS.items()}
_IMAGE_WORDS = {inst: (word,) for inst, word in _IMAGES.items()}
_SCREENED = ("spectra", "lcurves", "screened")
_UNPACKED = ("*.evt.gz", "*.totsky.gz", "*.totexpo.gz")
_SIS_BANDS = (Band(0.4, 2.0, "lo"), Band(2.0, 10.0, "hi"), Band(0.4, 10.0, "all"))
_GIS_BANDS = (Band(0.7, 2.0, "lo"), Band(2.0, 10.0, "hi"), Band(0.7, 10.0, "all"))


class ASCA(Mission):
    """ASCA. Event lists are those of high bit rate; images hold both detectors of a kind."""

    declaration = Declaration(
        name="asca",
        pretty_name="ASCA",
        id_pattern=r"^[0-9]{8}$",
        table="ascamaster",
        columns=(
            *observation(obs_id="sequence_number"),
            CATEGORY,
            *seconds("sis_exposure", "gis_exposure"),
        ),
        usable_if_positive=("sis_exposure", "gis_exposure"),
        exposures={name: "sis_exposure" if name in _SIS else "gis_exposure" for name in (*_SIS, *_GIS)},
        category=CategoryRule(
            "subject_category",
            {
                "AGN": "AGN",
                "SUPERNOVA REMNANTS AND GALACTIC DIFFUSE EMISSION": "SNR",
                "CLUSTERS OF GALAXIES AND SUPERCLUSTERS": "GCL",
                "STARS": "GS",
                "NORMAL STARS": "GS",
                "X RAY BINARIES": "XRB",
                "COSMIC X-RAY BACKGROUND AND DEEP SURVEYS AND OTHER": "EGS",
                "NORMAL GALAXIES": "NGS",
                "CATACLYSMIC VARIABLES": "CV",
            },
        ),
        instruments=(*_SIS, *_GIS),
        default_instruments=(*_SIS, *_GIS),
        aliases={"S0": "SIS0", "S1": "SIS1", "G2": "GIS2", "G3": "GIS3"},
        fov_deg={**{name: 11 / 60 for name in _SIS}, **{name: 25 / 60 for name in _GIS}},
        energy_kev=(0.4, 12.0),
        directory="asca/data/rev2/{oi}/",
        files=(
            *everything("aux", "calib", "telem", unpack=_UNPACKED),
            Wanted(("*{oi}{inst}*",), "unscreened", inst_words=_WORDS, unpack=_UNPACKED),
            Wanted(("*{oi}{inst}*",), "images", "products", _IMAGE_WORDS, unpack=_UNPACKED),
            *(Wanted(("*{oi}{inst}*",), f, "products", _WORDS, unpack=_UNPACKED) for f in _SCREENED),
        ),
        products={
            "events": {i: Product("screened/ad{oi}{inst}*h.evt", _EVENTS) for i in _EVENTS},
            "image": {i: Product("images/ad{oi}{inst}*_{band}.totsky", _IMAGES) for i in _IMAGES},
            "expmap": {i: Product("images/ad{oi}{inst}*.totexpo", _IMAGES) for i in _IMAGES},
        },
        bands={**{name: _SIS_BANDS for name in _SIS}, **{name: _GIS_BANDS for name in _GIS}},
        ident_pattern=r"^([0-9]{8})",
    )
