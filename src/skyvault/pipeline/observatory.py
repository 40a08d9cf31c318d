"""Surveys as the pipeline uses them: download what is known of a source, keep it, and reduce it to light curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from skyvault.pipeline.data_files import rows_of
from skyvault.pipeline.dataset import Lightcurve, RawPhotometry, data_root, save_lightcurves
from skyvault.pipeline.faults import DataError, DataMissing, ParameterValueError
from skyvault.pipeline.names import legal_name
from skyvault.pipeline.parameter_files import plain
from skyvault.pipeline.parameters import Parameters
from skyvault.pipeline.part import Part
from skyvault.pipeline.source import Source
from skyvault.science.light_curve_reduction import by_filter_and_season
from skyvault.science.photometry_statistics import median_place


class ParsObservatory(Parameters):
    """How one observatory downloads and reduces. In a file: ``observatories``, and there a part of its own name."""

    default_cfg_key: ClassVar[str | None] = "observatories"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("obs_name", None, (None, str), "name of the observatory")
        self.add_alias("name", "obs_name")
        self.add_par("reduce_kwargs", {}, dict, "arguments of the reduction, such as gap and radius")
        self.add_alias("reducer", "reduce_kwargs")
        self.add_par("credentials", {}, dict, "user name and password, or filename and key of a YAML file", secret=True)
        self.add_par("observation_time", None, (None, str, int, float), "Julian year to which sources are moved")
        self.add_par("preferred_catalog_mag", None, (None, str), "filter of the catalogue's magnitudes to use")
        self.add_par("num_threads_download", 0, int, "downloads at once in a process", critical=False)
        self.add_par("download_pars_list", [], list, "parameters that are recorded with raw data", critical=False)
        self.add_par("check_download_pars", False, bool, "download again where these have changed", critical=False)
        self.add_par("save_reduced", True, bool, "keep light curves on disk", critical=False)
        self.add_par("filtmap", None, (None, str, dict), "new filter names: a dict, or '<observatory>-<filter>'")

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


class Observatory(Part):
    """A survey. Subclasses say how to download and to reduce::

        class VirtualMine(Observatory):
            obs_name = "MINE"
            def download_from_observatory(self, cat_row, **kwargs): return table, {"exptime": 30.0}

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

    @property
    def project(self) -> str:
        return self.pars.project or "TEST_PROJECT"

    # --- for subclasses ----------------------------------------------------------------------------------------

    def download_from_observatory(self, cat_row: Mapping[str, Any], **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """A table of everything this survey has of a source, and what is known about it; no rows where it has nothing.

        ``cat_row`` is a dict as :meth:`Catalog.dict_from_row` makes it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how to download")

    def reduce_photometry(
        self, dataset: RawPhotometry, source: Source | None = None, *, gap: float = 0.0, drop_bad: bool = False,
        **kwargs: Any,
    ) -> list[Lightcurve]:  # fmt: skip
        """Light curves of raw photometry: one a filter, and a season where ``gap`` (days) is positive."""
        rows = dataset.data
        if not len(rows):
            return []
        return self.pieces(dataset, np.ones(len(rows), np.bool_), gap=gap, drop_bad=drop_bad)

    # --- what they build on ------------------------------------------------------------------------------------

    def pieces(self, dataset: RawPhotometry, keep: Any, *, gap: float, drop_bad: bool, **more: Any) -> list[Lightcurve]:
        """Light curves of the rows ``keep``, shape (n,), by filter and season."""
        columns = {
            name: column
            for name in ("exptime", "ra", "dec", "mag", "magerr", "flux", "fluxerr", "flag", "filter")
            if (column := dataset.column(name)) is not None
        }
        flag = columns.get("flag")
        if flag is not None and flag.dtype.kind == "S":
            raise DataError(f"the flags of {dataset.source_name} must be numbers, 0 for good")
        if drop_bad:
            keep = keep & (np.ones(len(keep), np.bool_) if flag is None else flag == 0)
            if "mag" in columns:
                keep = keep & np.isfinite(columns["mag"])
        chosen = np.flatnonzero(keep)
        mjd = dataset.mjds[chosen]
        filters = columns.get("filter")
        made = []
        for piece in by_filter_and_season(mjd, None if filters is None else filters[chosen], gap):
            rows = chosen[piece]
            part = {"mjd": mjd[piece], **{name: column[rows] for name, column in columns.items()}}
            made.append(self.lightcurve(dataset, part, **more))
        return made

    def lightcurve(self, dataset: RawPhotometry, columns: dict[str, Any], **altdata: Any) -> Lightcurve:
        """One light curve of these columns; ``altdata`` is added to what is known about it."""
        kept = {key: value for key, value in (dataset.altdata or {}).items() if key not in ("cat_row", "download_pars")}
        kept |= {"time_stamp_alignment": "start", **altdata}
        if "ra" in columns and "dec" in columns:
            ra, dec = median_place(columns["ra"], columns["dec"])
            if ra == ra:
                kept["ra"], kept["dec"] = ra, dec
        made = Lightcurve(
            columns,
            source_name=dataset.source_name,
            observatory=self.name,
            project=self.project,
            cfg_hash=self.cfg_hash,
            raw_data_filename=dataset.filename,
            altdata=kept,
            root=self.root,
        )
        made.filter = self._mapped(made.filter)
        made.altdata.setdefault("series_name", f"series_{made.filter}")
        return made

    def _mapped(self, name: str | None) -> str | None:
        rule = self.pars.filtmap
        if name is None or rule is None:
            return name
        if isinstance(rule, dict):
            return str(rule.get(name, name))
        return str(rule).replace("<observatory>", self.name.lower()).replace("<filter>", name)

    # --- fetching ----------------------------------------------------------------------------------------------

    def get_catalog_row(self, index: int) -> dict[str, Any]:
        """A row of the catalogue as this observatory wants it: its epoch and magnitude."""
        if self.catalog is None:
            raise ParameterValueError(f"{self.name} has no catalogue", hint="Give catalog=Catalog(...).")
        row: dict[str, Any] = self.catalog.get_row(
            index, "number", "dict", self.pars.observation_time, self.pars.preferred_catalog_mag
        )
        return row

    def fetch_raw(
        self, cat_row: Mapping[str, Any], *, save: bool = True, download_args: Mapping[str, Any] | None = None
    ) -> RawPhotometry:
        """Raw photometry of a source: from its file where there is one, else downloaded and kept."""
        raw = RawPhotometry(source_name=str(cat_row["name"]), observatory=self.name, root=self.root)
        raw.name_file(cat_row["ra"])
        wanted = {name: getattr(self.pars, name) for name in self.pars.download_pars_list}
        if raw.check_file_exists():
            try:
                raw.load()
            except (DataError, DataMissing):
                # a damaged file is no reason to have no data
                self.pars.vprint(f"{raw.get_fullname()} is damaged and is fetched again")
            else:
                same = (raw.altdata or {}).get("download_pars") == wanted
                if same or not self.pars.check_download_pars:
                    raw.size = raw.get_fullname().stat().st_size
                    return raw
        data, altdata = self.download_from_observatory(dict(cat_row), **(download_args or {}))
        raw.altdata = {**altdata, "cat_row": dict(cat_row), "download_pars": wanted}
        raw.colmap, raw.time_info = self.columns_of(data, altdata)
        raw.set_data(rows_of(data))
        # in the order in which a file gives them back
        raw.altdata, raw.colmap, raw.time_info = plain(raw.altdata), plain(raw.colmap), plain(raw.time_info)
        if save:
            raw.save(cat_row["ra"])
        return raw

    def columns_of(self, data: Any, altdata: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        """Which column is which, and how times become MJD, where names do not say it."""
        return {}, {}

    def fetch_source(
        self, cat_row: Mapping[str, Any], source: Source | None = None, *, save: bool = True, reduce: bool = True,
        session: Any = None, download_args: Mapping[str, Any] | None = None,
        reducer_args: Mapping[str, Any] | None = None,
    ) -> Source:  # fmt: skip
        """The source with raw data and light curves, fetched unless it is here; ``save`` keeps files and rows.

        Raises what downloading and reducing raise.
        """
        from skyvault.pipeline.rows import keep_sources, source_of

        source = source or source_of(cat_row, self.project, self.cfg_hash, self.catalog)
        raw = self.fetch_raw(cat_row, save=save, download_args=download_args)
        source.raw_photometry.append(raw)
        if reduce:
            curves = self.reduce(raw, source=source, **(reducer_args or {}))
            if save and self.pars.save_reduced:
                save_lightcurves(curves, source.ra)
        if save:
            keep_sources([source], session)
        return source

    def fetch_all_sources(
        self, start: int = 0, stop: int | None = None, *, save: bool = True, reduce: bool = True,
        download_args: Mapping[str, Any] | None = None,
    ) -> int:  # fmt: skip
        """Fetch the sources from ``start`` to before ``stop``; returns how many. A failing one is put in
        ``failures_list`` and does not stop the others. The latest 100 stay in ``sources`` and ``raw_data``."""
        from concurrent.futures import ThreadPoolExecutor

        count = 0
        numbers = range(*slice(start, stop).indices(len(self.catalog)))

        def one(number: int) -> Source | None:
            row = self.get_catalog_row(number)
            try:
                return self.fetch_source(row, save=False, reduce=False, download_args=download_args)
            except Exception as error:  # whatever a survey or a stranger's code raises
                self.failures_list.append({"index": number, "error": str(error), "cat_row": row})
                return None

        from skyvault.pipeline.rows import keep_sources

        threads = max(int(self.pars.num_threads_download), 1)
        with ThreadPoolExecutor(threads) as pool:
            # no more in flight than fit in a batch: the catalogue may be long
            for first in range(0, len(numbers), 100):
                # HDF5 is one at a time whatever the threads: they wait for the network together, files follow
                batch = numbers[first : first + 100]
                done = list(pool.map(one, batch)) if threads > 1 else [one(number) for number in batch]
                found = [source for source in done if source is not None]
                for source in found:
                    raw = source.raw_photometry[0]
                    if save and not raw.check_file_exists():
                        raw.save(source.ra)
                    if reduce:
                        curves = self.reduce(raw, source=source)
                        if save and self.pars.save_reduced:
                            save_lightcurves(curves, source.ra)
                if save:
                    keep_sources(found, None)
                count += len(found)
                self.sources = [*self.sources, *found][-100:]
                self.raw_data = [source.raw_photometry[0] for source in self.sources]
        return count

    def reduce(
        self, dataset: Source | RawPhotometry, data_type: str | None = None, *, source: Source | None = None,
        **kwargs: Any,
    ) -> list[Lightcurve]:  # fmt: skip
        """Light curves of raw data, ordered by time and numbered from 1; appended to the source where there is one.

        Arguments win over the parameter ``reduce_kwargs``.
        """
        if isinstance(dataset, Source):
            source = dataset
            held = [one for one in source.raw_photometry if one.observatory == self.name]
            if not held:
                raise DataMissing(f"{source.name} has no raw data of {self.name}", hint="Call fetch_source first.")
            dataset = held[0]
        kind = data_type or "photometry"
        method = getattr(self, f"reduce_{kind}", None)
        if method is None:
            raise ParameterValueError(f"{self.name} does not reduce {kind}")
        curves: Sequence[Lightcurve] = method(dataset, source, **{**self.pars.reduce_kwargs, **kwargs})
        known = [curve for curve in curves if curve.number]
        known.sort(key=lambda curve: (curve.data["mjd"][0], curve.filter or ""))
        for number, curve in enumerate(known, 1):
            curve.series_number, curve.series_total = number, len(known)
            curve.raw_data = dataset
            if source is not None:
                source.lightcurves.append(curve)
        return known

    def populate_sources(self, files_glob: str = "RA*/*.h5", num_files: int | None = None, session: Any = None) -> int:
        """Make rows of the raw files on disk, for a database that was lost; returns how many.

        A file's source is found in the catalogue by its name.
        """
        from skyvault.pipeline.rows import keep_sources, source_of

        folder = (self.root or data_root()) / self.name
        found = []
        for path in sorted(folder.glob(files_glob))[:num_files]:
            raw = RawPhotometry(observatory=self.name, root=self.root, folder=self.name)
            raw.filename = str(path.relative_to(folder))
            try:
                raw.load()
                row = self.catalog.get_row(raw.source_name, "name", "dict")
            except (DataError, DataMissing) as error:
                self.failures_list.append({"file": str(path), "error": str(error)})
                continue
            raw.name_file(row["ra"])
            source = source_of(row, self.project, self.cfg_hash, self.catalog)
            source.raw_photometry.append(raw)
            found.append(source)
        keep_sources(found, session)
        return len(found)


#: the seed's name of it
VirtualObservatory = Observatory
