"""Surveys as the pipeline uses them: download what is known of a source, keep it, and reduce it to light curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from skyvault.errors import SkyvaultError
from skyvault.pipeline.data_files import rows_of
from skyvault.pipeline.dataset import Lightcurve, RawPhotometry, data_root, save_lightcurves
from skyvault.pipeline.downloads import in_order
from skyvault.pipeline.faults import DataError, DataMissing, ParameterValueError
from skyvault.pipeline.names import legal_name
from skyvault.pipeline.parameter_files import plain
from skyvault.pipeline.parameters import Parameters
from skyvault.pipeline.part import Part
from skyvault.pipeline.source import Source
from skyvault.science.light_curve_reduction import by_filter_and_season
from skyvault.science.photometry_statistics import median_place
from skyvault.science.samples import Indices
from skyvault.science.time_scales import TDB_BARYCENTER, AlignedTimes, Site, TimeFrame, to_barycenter

#: columns of raw photometry that light curves keep
_TAKEN_OVER: Final = (
    "exptime", "ra", "dec", "mag", "magerr", "flux", "fluxerr", "flag", "filter", "pos1", "pos2", "bg",
)  # fmt: skip
#: sources that stay in memory, and are committed together
_LATEST: Final = 100


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
        self.add_par(
            "num_threads_download", 0, int, "downloads at once in a process; the archive's manners may allow fewer",
            critical=False,
        )  # fmt: skip
        self.add_par("download_pars_list", [], list, "parameters that are recorded with raw data", critical=False)
        self.add_par("check_download_pars", False, bool, "download again where these have changed", critical=False)
        self.add_par("save_reduced", True, bool, "keep light curves on disk", critical=False)
        self.add_par("barycentric", True, bool, "times to TDB at the barycentre, where the survey says what they are")
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


def described(times: AlignedTimes) -> dict[str, Any]:
    """What a light curve says about its times: scale and place, None where they are not known, and why they stayed."""
    about: dict[str, Any] = {"time_scale": times.frame.scale, "time_position": times.frame.position}
    return about if times.reason is None else {**about, "time_note": times.reason}


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
    #: where the telescope stands, for times that are of the telescope
    site: ClassVar[Site | None] = None

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

    def pieces(
        self, dataset: RawPhotometry, keep: Any, *, gap: float, drop_bad: bool,
        each: Callable[[Indices, float], Mapping[str, Any]] | None = None, **more: Any,
    ) -> list[Lightcurve]:  # fmt: skip
        """Light curves of the rows ``keep``, shape (n,), by filter and season.

        ``more`` is known about all of them; ``each(rows, first MJD)`` tells what is known about one of them.
        """
        columns = self.taken_over(dataset)
        flag = columns.get("flag")
        if flag is not None and flag.dtype.kind == "S":
            raise DataError(f"the flags of {dataset.source_name} must be numbers, 0 for good")
        if drop_bad:
            keep = keep & (np.ones(len(keep), np.bool_) if flag is None else flag == 0)
            if "mag" in columns:
                keep = keep & np.isfinite(columns["mag"])
        chosen = np.flatnonzero(keep)
        times = self.aligned_times(dataset, chosen)
        more = {**described(times), **more}
        filters = columns.get("filter")
        made = []
        for piece in by_filter_and_season(times.mjd, None if filters is None else filters[chosen], gap):
            rows = chosen[piece]
            part = {"mjd": times.mjd[piece], **{name: column[rows] for name, column in columns.items()}}
            own = {} if each is None else each(rows, float(part["mjd"][0]))
            made.append(self.lightcurve(dataset, part, **{**more, **own}))
        return made

    def taken_over(self, dataset: RawPhotometry) -> dict[str, Any]:
        """Columns of raw photometry that light curves keep, by standard name; a subclass may change or add some."""
        return {name: column for name in _TAKEN_OVER if (column := dataset.column(name)) is not None}

    def aligned_times(self, dataset: RawPhotometry, rows: Indices) -> AlignedTimes:
        """Times of some rows: MJD in TDB at the barycentre where ``time_info`` of the data set says what they are
        ("scale" and "position"), else as the survey gives them, with the reason."""
        info = dataset.time_info or {}
        frame = TimeFrame(info.get("scale"), info.get("position"))
        mjd = dataset.mjds[rows]
        if not self.pars.barycentric:
            return AlignedTimes(mjd, frame, "the parameter barycentric is off")
        if frame == TDB_BARYCENTER or not frame.is_known or not len(mjd):
            return AlignedTimes(mjd, frame, None if frame.is_known else "the survey does not say what its times are")
        ra, dec = self._place_of(dataset)
        return to_barycenter(mjd, frame, ra, dec, site=self.site)

    @staticmethod
    def _place_of(dataset: RawPhotometry) -> tuple[float | None, float | None]:
        row = (dataset.altdata or {}).get("cat_row") or {}
        if isinstance(row.get("ra"), float | int) and isinstance(row.get("dec"), float | int):
            return float(row["ra"]), float(row["dec"])
        if dataset.sources:
            return dataset.sources[0].ra, dataset.sources[0].dec
        ra, dec = dataset.column("ra"), dataset.column("dec")
        if ra is None or dec is None:
            return None, None
        place = median_place(np.asarray(ra, np.float64), np.asarray(dec, np.float64))
        return place if place[0] == place[0] else (None, None)

    def lightcurve(
        self, dataset: RawPhotometry, columns: dict[str, Any], *, zero_point: float | None = None, **altdata: Any
    ) -> Lightcurve:
        """One light curve of these columns; ``altdata`` is added to what is known about it. ``zero_point`` is the
        magnitude of one unit of flux; None for microjansky on the AB system."""
        kept = {key: value for key, value in (dataset.altdata or {}).items() if key not in ("cat_row", "download_pars")}
        kept |= {"time_stamp_alignment": "start", **altdata}
        if "ra" in columns and "dec" in columns:
            ra, dec = median_place(np.asarray(columns["ra"], np.float64), np.asarray(columns["dec"], np.float64))
            if ra == ra:
                kept["ra"], kept["dec"] = ra, dec
        made = Lightcurve(
            columns,
            source_name=dataset.source_name,
            observatory=self.name,
            project=self.project,
            cfg_hash=self.cfg_hash,
            raw_data_filename=dataset.filename,
            zero_point_instrumental=zero_point,
            filter=kept.get("filter"),
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

    def _source_with(self, row: Mapping[str, Any], data: Any, altdata: Mapping[str, Any]) -> Source:
        """A source of data that were asked for by the survey's own name of it, reduced; nothing is saved."""
        from skyvault.pipeline.rows import source_of

        row = {key: value for key, value in row.items() if value is not None}
        raw = RawPhotometry(source_name=str(row["name"]), observatory=self.name, root=self.root)
        raw.name_file(row["ra"])
        self._fill(raw, data, {**altdata, "cat_row": row})
        source = source_of(row, self.project, self.cfg_hash)
        source.local_names = {self.name: altdata.get("TICID") or altdata.get("oids") or altdata.get("ref_number")}
        source.raw_photometry.append(raw)
        self.reduce(raw, source=source)
        return source

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
        """Raw photometry of a source: from its file where there is one, else downloaded and kept.

        An empty answer is kept like any other, and is not asked for again.
        """
        raw, is_new = self._raw_of(cat_row, download_args)
        if save and is_new:
            raw.save(cat_row["ra"])
        return raw

    def fetch_raws(
        self, cat_rows: Iterable[Mapping[str, Any]], *, save: bool = True,
        download_args: Mapping[str, Any] | None = None,
    ) -> Iterator[tuple[Mapping[str, Any], RawPhotometry | Exception]]:  # fmt: skip
        """Raw photometry of many sources, in their order, ``num_threads_download`` at once; what failed is given as
        the error. Files are written here, one after the other: HDF5 takes no two threads at once."""
        threads = max(int(self.pars.num_threads_download), 1)
        for row, got in in_order(lambda row: self._raw_of(row, download_args), cat_rows, threads=threads):
            if isinstance(got, Exception):
                yield row, got
                continue
            raw, is_new = got
            if save and is_new:
                try:
                    raw.save(row["ra"])
                except DataError as error:
                    yield row, error
                    continue
            yield row, raw

    def _raw_of(
        self, cat_row: Mapping[str, Any], download_args: Mapping[str, Any] | None
    ) -> tuple[RawPhotometry, bool]:
        """Raw photometry, and whether it was downloaded now."""
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
                    return raw, False
        data, altdata = self.download_from_observatory(dict(cat_row), **(download_args or {}))
        self._fill(raw, data, {**altdata, "cat_row": dict(cat_row), "download_pars": wanted})
        return raw, True

    def _fill(self, raw: RawPhotometry, data: Any, altdata: Mapping[str, Any]) -> None:
        raw.altdata = dict(altdata)
        raw.colmap, raw.time_info = self.columns_of(data, altdata)
        raw.set_data(rows_of(data))
        # in the order in which a file gives them back
        raw.altdata, raw.colmap, raw.time_info = plain(raw.altdata), plain(raw.colmap), plain(raw.time_info)

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
        ``failures_list``, and with ``save`` in the table of problems, and does not stop the others. The latest 100 stay
        in ``sources`` and ``raw_data``; rows are committed 100 at a time."""
        from skyvault.pipeline.rows import keep_fetched, source_of

        numbers = range(*slice(start, stop).indices(len(self.catalog)))
        rows = (self.get_catalog_row(number) for number in numbers)
        count = 0
        done: list[Source] = []
        problems: list[dict[str, Any]] = []
        for row, got in self.fetch_raws(rows, save=save, download_args=download_args):
            source = source_of(row, self.project, self.cfg_hash, self.catalog)
            try:
                if isinstance(got, Exception):
                    raise got
                source.raw_photometry.append(got)
                if reduce:
                    curves = self.reduce(got, source=source)
                    if save and self.pars.save_reduced:
                        save_lightcurves(curves, source.ra)
            except Exception as error:  # whatever a survey or a stranger's code raises
                self.failures_list.append({"index": row.get("cat_index"), "error": str(error), "cat_row": dict(row)})
                step = "download" if isinstance(got, Exception) else "reduce"
                problems.append(self._problem(source, step, error))
            else:
                done.append(source)
                count += 1
                self.sources = [*self.sources, source][-_LATEST:]
                self.raw_data = [one.raw_photometry[0] for one in self.sources]
            if len(done) + len(problems) >= _LATEST:
                if save:
                    keep_fetched(done, problems)
                done, problems = [], []
        if save:
            keep_fetched(done, problems)
        return count

    def _problem(self, source: Source, step: str, error: Exception) -> dict[str, Any]:
        what = str(error) if isinstance(error, SkyvaultError) else f"{type(error).__name__}: {error}"
        return {
            "project": source.project, "cfg_hash": source.cfg_hash, "source_name": source.name,
            "cat_index": source.cat_index, "observatory": self.name, "step": step, "what": what[:1000],
        }  # fmt: skip

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
