"""Surveys as the pipeline uses them: download what is known of a source, keep it, and reduce it to light curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from skyvault.pipeline.data_files import suffix_of
from skyvault.pipeline.dataset import RawPhotometry
from skyvault.pipeline.faults import ParameterValueError
from skyvault.pipeline.fetching import Fetching
from skyvault.pipeline.names import legal_name
from skyvault.pipeline.parameters import Parameters
from skyvault.pipeline.part import Part
from skyvault.pipeline.source import Source


class ParsObservatory(Parameters):
    """How one observatory downloads and reduces. In a file: ``observatories``, and there a part of its own name."""

    default_cfg_key: ClassVar[str | None] = "observatories"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("obs_name", None, (None, str), "name of the observatory")
        self.add_alias("name", "obs_name")
        self.add_par("obs_module", None, (None, str), "module of an observatory of your own")
        self.add_par("obs_class", None, (None, str), "its class, by default Virtual<NAME>")
        self.add_par("reduce_kwargs", {}, dict, "arguments of the reduction, such as gap and radius")
        self.add_alias("reducer", "reduce_kwargs")
        self.add_par("credentials", {}, dict, "user name and password, or filename and key of a YAML file", secret=True)
        self.add_par("observation_time", None, (None, str, int, float), "Julian year to which sources are moved")
        self.add_par("preferred_catalog_mag", None, (None, str), "filter of the catalogue's magnitudes to use")
        self.add_par(
            "num_threads_download", 0, int, "downloads at once in a process; the archive's manners may allow fewer",
            critical=False,
        )  # fmt: skip
        self.add_par("download_pars_list", [], list, "parameters that are recorded with raw data", critical=False)
        self.add_par("check_download_pars", False, bool, "download again where these have changed", critical=False)
        self.add_par("file_format", "hdf5", str, "of files of data: hdf5, fits or parquet", critical=False)
        self.add_par("save_reduced", True, bool, "keep light curves on disk", critical=False)
        self.add_par("barycentric", True, bool, "times to TDB at the barycentre, where the survey says what they are")
        self.add_par("filtmap", None, (None, str, dict), "new filter names: a dict, or '<observatory>-<filter>'")

    def checked(self, name: str, value: Any) -> Any:
        if name == "file_format" and isinstance(value, str):
            suffix_of(value)
            return value.strip().lower()
        return super().checked(name, value)

    def from_file(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """What all observatories share, and over it what is said to this one."""
        return self.own_part(values, self.__dict__.get("_obs_name", ""))

    @staticmethod
    def own_part(values: Mapping[str, Any], name: str) -> dict[str, Any]:
        """General values, and those in the part of this name over them. Parts are told by their upper-case names."""
        general = {key: value for key, value in values.items() if not (isinstance(value, Mapping) and key.isupper())}
        own = next((value for key, value in values.items() if key.upper() == name and isinstance(value, Mapping)), {})
        general.pop(name.lower(), None)
        return {**general, **own}


class Observatory(Fetching, Part):
    """A survey. Subclasses say how to download and to reduce::

        class VirtualMine(Observatory):
            obs_name = "MINE"
            def download_from_observatory(self, cat_row, **kwargs): return table, {"exptime": 30.0}

    Other kinds of data (parameter ``data_types``): ``download_images``, ``download_cutouts`` and ``download_spectra``.

    ``catalog`` is the list its sources come from; ``root`` the data folder where it is not the usual one.
    """

    pars_class = ParsObservatory
    pars: Any
    #: of the class, overridden by the parameter of this name
    obs_name: ClassVar[str] = ""

    def __init__(self, *, catalog: Any = None, root: Path | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("obs_name", kwargs.pop("name", None) or self.obs_name or None)
        super().__init__(**kwargs)
        if not self.pars.obs_name:
            raise ParameterValueError("an observatory needs a name", hint="Give obs_name.")
        self.name = legal_name(self.pars.obs_name)
        self.catalog = catalog
        self.root = root
        self.cfg_hash = ""
        self.sources: list[Source] = []
        self.raw_data: list[RawPhotometry] = []
        self.failures_list: list[dict[str, Any]] = []


#: the seed's name of it
VirtualObservatory = Observatory
