"""Target lists that are known by a short name: where each comes from, and which of its columns is which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from skyvault.pipeline.faults import ParameterValueError

#: archive, service and address of what lists come from; the settings' ``endpoints`` go before these addresses
SERVICES: Final[dict[str, tuple[str, str, str]]] = {
    "gaia": ("gaia", "tap", "https://gea.esac.esa.int/tap-server/tap"),
    "vizier": ("vizier", "tap", "https://tapvizier.cds.unistra.fr/TAPVizieR/tap"),
    "gavo": ("gavo", "tap", "https://dc.g-vo.org/tap"),
    "white_dwarfs": (
        "catalogs", "white_dwarfs",
        "https://warwick.ac.uk/fac/sci/physics/research/astro/research/catalogues/gaiaedr3_wd_main.fits.gz",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preset:
    """A known list: what it holds, its other names, and values of the catalogue's parameters."""

    about: str
    also: tuple[str, ...]
    values: dict[str, Any]


#: what the columns of gaia_source are; EDR3 and DR3 are of epoch 2016.0
_GAIA: Final[dict[str, Any]] = {
    "name_column": "source_id", "mag_column": "phot_g_mean_mag", "mag_filter_name": "Gaia_G",
    "pm_ra_column": "pmra", "pm_dec_column": "pmdec", "parallax_column": "parallax",
    "catalog_observation_year": 2016.0,
    "mag_to_column_map": {
        "gaia_g": "phot_g_mean_mag", "gaia_bp": "phot_bp_mean_mag", "gaia_rp": "phot_rp_mean_mag",
    },
}  # fmt: skip
_GAIA_COLUMNS: Final = (
    "g.source_id, g.ra, g.dec, g.parallax, g.parallax_error, g.pmra, g.pmdec, "
    "g.phot_g_mean_mag, g.phot_bp_mean_mag, g.phot_rp_mean_mag"
)
_DR3: Final = "https://ui.adsabs.harvard.edu/abs/2023A&A...674A...1G/abstract"


def _variables(table: str, more: str, about: str, also: tuple[str, ...], paper: str) -> Preset:
    """A class of variable stars of Gaia DR3: their table joined with gaia_source."""
    query = (
        f"SELECT {_GAIA_COLUMNS}, {more} FROM gaiadr3.{table} AS v "
        "JOIN gaiadr3.gaia_source AS g ON g.source_id = v.source_id"
    )
    return Preset(about, also, {**_GAIA, "service": "gaia", "query": query, "reference": paper})


PRESETS: Final[dict[str, Preset]] = {
    "test": Preset("ten places at random", (), {"catalog_name": "test", "name_column": "object_id"}),
    "wd": Preset(
        "1.28 million white dwarfs of Gaia EDR3",
        ("wds", "white dwarf", "white dwarfs"),
        {
            **_GAIA,
            "catalog_name": "WD", "filename": "GaiaEDR3_WD_main.fits", "url": "white_dwarfs",
            "mag_error_column": "phot_g_mean_mag_error",
            "mag_to_error_column_map": {
                "gaia_g": "phot_g_mean_mag_error", "gaia_bp": "phot_bp_mean_mag_error",
                "gaia_rp": "phot_rp_mean_mag_error",
            },
            # 160 columns of 1.28 million rows would fill a gigabyte
            "columns": [
                "WDJ_name", "source_id", "ra", "dec", "parallax", "parallax_error", "pmra", "pmdec",
                "phot_g_mean_mag", "phot_g_mean_mag_error", "phot_bp_mean_mag", "phot_bp_mean_mag_error",
                "phot_rp_mean_mag", "phot_rp_mean_mag_error", "Pwd", "teff_H", "logg_H", "mass_H",
            ],
            "reference": "https://ui.adsabs.harvard.edu/abs/2021MNRAS.508.3877G/abstract",
        },
    ),
    "nearby": Preset(
        "stars within 25 pc in Gaia DR3", ("nearby stars", "25 pc"),
        {
            **_GAIA,
            "service": "gaia", "reference": _DR3,
            "query": f"SELECT {_GAIA_COLUMNS} FROM gaiadr3.gaia_source AS g "
                     "WHERE g.parallax > 40 AND g.parallax_over_error > 10 AND g.ruwe < 1.4",
        },
    ),
    "rr lyrae": _variables(
        "vari_rrlyrae", "v.pf, v.p1_o, v.best_classification", "RR Lyrae stars of Gaia DR3",
        ("rrlyrae", "rr lyr", "rrl"), "https://ui.adsabs.harvard.edu/abs/2023A&A...674A..18C/abstract",
    ),
    "cepheids": _variables(
        "vari_cepheid", "v.pf, v.p1_o, v.type_best_classification", "Cepheids of Gaia DR3",
        ("cepheid",), "https://ui.adsabs.harvard.edu/abs/2023A&A...674A..17R/abstract",
    ),
    "eclipsing binaries": _variables(
        "vari_eclipsing_binary", "v.frequency, v.global_ranking", "eclipsing binaries of Gaia DR3",
        ("eclipsing binary", "eb", "ebs"), "https://ui.adsabs.harvard.edu/abs/2023A&A...674A..16M/abstract",
    ),
}  # fmt: skip


def preset_named(words: str) -> str:
    """The name of the preset meant, in any case, with blanks, dashes or underscores. Raises ParameterValueError."""
    asked = " ".join(str(words).lower().replace("_", " ").replace("-", " ").split())
    for name, preset in PRESETS.items():
        if asked == name or asked in preset.also:
            return name
    raise ParameterValueError(f"no target list {words!r} is known", hint=f"Known are {', '.join(PRESETS)}.")


def address_of(service: str) -> str:
    """The address of a service by its short name, as the settings have it; what is an address stays one."""
    known = SERVICES.get(service.strip().lower())
    if known is None:
        if "://" in service:
            return service
        raise ParameterValueError(
            f"{service[:60]!r} is neither an address nor a known service", hint=f"Known are {', '.join(SERVICES)}."
        )
    from skyvault.config import Settings

    return Settings().endpoint(*known)
