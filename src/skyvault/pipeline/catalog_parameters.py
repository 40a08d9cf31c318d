"""What is to be said about a target list: where it comes from, and which of its columns is which."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from skyvault.pipeline.catalog_presets import PRESETS, preset_named
from skyvault.pipeline.faults import ParameterValueError
from skyvault.pipeline.parameters import Parameters

_J2000: Final = 2000.0
#: frames a list may have -> those of astropy; FK4 is that of plate catalogues, equinox and epoch B1950
FRAMES: Final = {
    "icrs": "icrs", "fk5": "fk5", "fk4": "fk4", "galactic": "galactic", "ecliptic": "barycentricmeanecliptic",
}  # fmt: skip
#: parameters that name a column whose values change results
USED: Final = (
    "ra_column", "dec_column", "pm_ra_column", "pm_dec_column", "parallax_column", "mag_column", "mag_error_column",
)  # fmt: skip


class ParsCatalog(Parameters):
    """Where a target list is, and which column is which."""

    default_cfg_key: ClassVar[str | None] = "catalog"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        text, year = (None, str), (None, str, int, float)
        self.add_par("catalog_name", None, text, "name of the list; by default that of its file")
        self.add_alias("name", "catalog_name")
        self.add_alias("cat_name", "catalog_name")
        self.add_par("filename", None, (None, str, Path), "file: FITS, CSV, Parquet, HDF5, VOTable, ECSV", False)
        self.add_par("query", None, text, "ADQL query whose answer is the list", critical=False)
        self.add_par("service", None, text, "TAP service for it: an address, or gaia, vizier, gavo", critical=False)
        self.add_par("name_column", "name", str, "column with a name that is unique")
        self.add_par("ra_column", "ra", str, "column with right ascensions, degrees (or hours as 12:34:56.7)")
        self.add_par("dec_column", "dec", str, "column with declinations, degrees (or as -12:34:56.7)")
        self.add_par("pm_ra_column", None, text, "column with proper motions in right ascension x cos(dec), mas/yr")
        self.add_par("pm_dec_column", None, text, "column with proper motions in declination, mas/yr")
        self.add_par("parallax_column", None, text, "column with parallaxes, mas")
        self.add_par("mag_column", "mag", str, "column with magnitudes")
        self.add_par("mag_error_column", "magerr", str, "column with errors of the magnitudes")
        self.add_par("mag_filter_name", "R", str, "filter of these magnitudes")
        self.add_par("coord_frame", "icrs", str, "frame of the places: icrs, fk5, fk4 (B1950), galactic, ecliptic")
        self.add_alias("coord_frame_data", "coord_frame")
        self.add_par("catalog_observation_year", _J2000, year, "epoch of the places, Julian year")
        self.add_par("alias_column", None, text, "column with another name")
        self.add_par("columns", None, (None, list), "columns to keep in memory; None keeps all", critical=False)
        self.add_par("default", None, text, f"a list that is known: {', '.join(PRESETS)}")
        self.add_par("mag_to_column_map", None, (None, dict), "filter -> column, for other magnitudes")
        self.add_par("mag_to_error_column_map", None, (None, dict), "filter -> column of errors")
        self.add_par("url", None, text, "where the file can be fetched from", critical=False)
        self.add_par("reference", None, text, "who made the list", critical=False)

    def setup_from_defaults(self, given: Mapping[str, Any]) -> None:
        wanted = given.get("default") or self.load_preset(given)
        if wanted is None:
            return
        name = preset_named(str(wanted))
        self._take({"catalog_name": name, **PRESETS[name].values, "default": name})

    def load_preset(self, given: Mapping[str, Any]) -> str | None:
        """The preset a configuration file names."""
        from skyvault.pipeline.parameter_files import read_parameters

        if given.get("cfg_file") is False:
            return None
        found = read_parameters(given.get("cfg_file"), given.get("project"), self._cfg_key).get("default")
        return None if found is None else str(found)

    def checked(self, name: str, value: Any) -> Any:
        if name == "default" and isinstance(value, str):
            return preset_named(value)
        if name == "coord_frame" and isinstance(value, str):
            if value.strip().lower() not in FRAMES:
                raise ParameterValueError(f"there is no frame {value!r}", hint=f"There are {', '.join(FRAMES)}.")
            return value.strip().lower()
        if name == "catalog_observation_year" and isinstance(value, str):
            return julian_year(value)
        return super().checked(name, value)


def julian_year(when: Any) -> float:
    """A Julian year of a number, a text that is one, an astropy Time, or an ISO date. Raises ParameterValueError."""
    if hasattr(when, "jyear"):
        return float(when.jyear)
    try:
        return float(when)
    except (TypeError, ValueError):
        pass
    from astropy.time import Time

    try:
        # a minute between UTC and TDB moves no star, and years before UTC need no warning
        return float(Time(when, scale="tdb").jyear)
    except (TypeError, ValueError):
        raise ParameterValueError(f"{str(when)[:40]!r} is no time", hint="Give a Julian year or an ISO date.") from None
