"""Fetching: what surveys have of sources, each asked for once, many at a time, kept in files and in the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from skyvault.errors import NotFound, SkyvaultError
from skyvault.pipeline.data_files import FORMATS, rows_of
from skyvault.pipeline.dataset import RawPhotometry, data_root
from skyvault.pipeline.downloads import in_order
from skyvault.pipeline.faults import CatalogError, DataError, DataMissing, ParameterValueError
from skyvault.pipeline.parameter_files import plain
from skyvault.pipeline.raw_data import KINDS, RawData
from skyvault.pipeline.raw_photometry import RawRows
from skyvault.pipeline.reducing import Reducing
from skyvault.pipeline.source import Source

#: sources that stay in memory, and are committed together
_LATEST: Final = 100


class Fetching(Reducing):
    """What an observatory does to have a source's data; ``download_from_observatory`` and, for other kinds,
    ``download_images(cat_row, folder)``, ``download_cutouts(cat_row, folder)`` and ``download_spectra(cat_row)`` say
    how the survey is asked. Each gives a table and a dict of what is known about it."""

    catalog: Any
    sources: list[Source]
    raw_data: list[RawPhotometry]
    failures_list: list[dict[str, Any]]

    def download_from_observatory(self, cat_row: Mapping[str, Any], **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """A table of everything this survey has of a source, and what is known about it; no rows where it has nothing.

        ``cat_row`` is a dict as :meth:`Catalog.dict_from_row` makes it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how to download")

    def columns_of(self, data: Any, altdata: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        """Which column is which, and how times become MJD, where names do not say it."""
        return {}, {}

    def times_of(self, kind: str) -> dict[str, Any]:
        """What the times (column mjd) of images, cutouts or spectra are: "scale" and "position" where known."""
        return {"format": "mjd", "offset": 0.0}

    def kinds(self) -> list[str]:
        """Kinds of data that are wanted (parameter ``data_types``) and that this observatory has. Raises
        ParameterValueError where that is none."""
        wanted = list(self.pars.data_types)
        found = [one for one in wanted if one == "photometry" or hasattr(self, f"download_{one}")]
        if not found:
            raise ParameterValueError(f"{self.name} has no {' or '.join(wanted) or 'data'}")
        return found

    # --- one source --------------------------------------------------------------------------------------------

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
        raw, is_new = self._raw_of(cat_row, "photometry", download_args)
        if save and is_new:
            raw.save(cat_row["ra"])
        assert isinstance(raw, RawPhotometry)
        return raw

    def fetch_data(
        self, cat_row: Mapping[str, Any], *, save: bool = True, download_args: Mapping[str, Any] | None = None
    ) -> list[RawRows]:
        """Raw data of a source of all :meth:`kinds`, as :meth:`fetch_raw` does. Images are files in any case."""
        held = [self._raw_of(cat_row, kind, download_args) for kind in self.kinds()]
        if save:
            for raw, is_new in held:
                if is_new:
                    raw.save(cat_row["ra"])
        return [raw for raw, _ in held]

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
        held = self.fetch_data(cat_row, save=save, download_args=download_args)
        self._give(source, held, save=save, reduce=reduce, **(reducer_args or {}))
        if save:
            keep_sources([source], session)
        return source

    def _give(self, source: Source, held: Sequence[RawRows], *, save: bool, reduce: bool, **reducer_args: Any) -> None:
        if reduce:
            self.take(source, held, save=save, **reducer_args)
            return
        for raw in held:
            if isinstance(raw, RawPhotometry):
                source.raw_photometry.append(raw)
            elif isinstance(raw, RawData):
                source.raw_data.append(raw)

    def _source_with(self, row: Mapping[str, Any], data: Any, altdata: Mapping[str, Any]) -> Source:
        """A source of data that were asked for by the survey's own name of it, reduced; nothing is saved."""
        from skyvault.pipeline.rows import source_of

        row = {key: value for key, value in row.items() if value is not None}
        raw = RawPhotometry(
            source_name=str(row["name"]), observatory=self.name, root=self.root, file_format=self.pars.file_format
        )
        raw.name_file(row["ra"])
        self._fill(raw, data, {**altdata, "cat_row": row})
        source = source_of(row, self.project, self.cfg_hash)
        source.local_names = {self.name: altdata.get("TICID") or altdata.get("oids") or altdata.get("ref_number")}
        source.raw_photometry.append(raw)
        self.reduce(raw, source=source)
        return source

    def begin_process(self, processes: int) -> None:
        """Told at the start of each of ``processes`` that work on a project side by side."""

    # --- many sources ------------------------------------------------------------------------------------------

    def fetch_many(
        self, cat_rows: Iterable[Mapping[str, Any] | Exception], *, save: bool = True,
        download_args: Mapping[str, Any] | None = None,
    ) -> Iterator[tuple[Any, list[RawRows] | Exception]]:  # fmt: skip
        """Raw data of many sources, in their order, ``num_threads_download`` at once; what failed is given as the
        error, so is a row that is one. Files are written here, one by one: HDF5 takes no two threads at once."""
        threads = max(int(self.pars.num_threads_download), 1)
        kinds = self.kinds()

        def asked(row: Mapping[str, Any] | Exception) -> list[tuple[RawRows, bool]]:
            if isinstance(row, Exception):
                raise row
            return [self._raw_of(row, kind, download_args) for kind in kinds]

        for row, got in in_order(asked, cat_rows, threads=threads):
            if isinstance(got, Exception):
                yield row, got
                continue
            try:
                if save and not isinstance(row, Exception):
                    for raw, is_new in got:
                        if is_new:
                            raw.save(row["ra"])
            except DataError as error:
                yield row, error
            else:
                yield row, [raw for raw, _ in got]

    def fetch_numbers(self, numbers: Iterable[int]) -> Iterator[list[RawRows] | Exception]:
        """Raw data of rows of the catalogue, in their order, as :meth:`fetch_many` gives them."""

        def row_of(number: int) -> dict[str, Any] | Exception:
            try:
                return self.get_catalog_row(number)
            except Exception as error:  # a row that cannot be used is its source's own problem
                return error

        return (got for _, got in self.fetch_many(row_of(number) for number in numbers))

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
        for row, got in self.fetch_many(rows, save=save, download_args=download_args):
            source = source_of(row, self.project, self.cfg_hash, self.catalog)
            try:
                if isinstance(got, Exception):
                    raise got
                self._give(source, got, save=save, reduce=reduce)
            except Exception as error:  # whatever a survey or a stranger's code raises
                self.failures_list.append({"index": row.get("cat_index"), "error": str(error), "cat_row": dict(row)})
                step = "download" if isinstance(got, Exception) else "reduce"
                problems.append(self._problem(source, step, error))
            else:
                done.append(source)
                count += 1
                self.sources = [*self.sources, source][-_LATEST:]
                self.raw_data = [raw for one in self.sources for raw in one.raw_photometry[:1]]
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

    def _raw_of(
        self, cat_row: Mapping[str, Any], kind: str, download_args: Mapping[str, Any] | None
    ) -> tuple[RawRows, bool]:
        """Raw data of a kind, and whether they were downloaded now."""
        made: type[RawRows] = RawPhotometry if kind == "photometry" else KINDS[kind]
        raw = made(
            source_name=str(cat_row["name"]), observatory=self.name, root=self.root, file_format=self.pars.file_format
        )
        raw.name_file(cat_row["ra"])
        wanted = {name: getattr(self.pars, name) for name in self.pars.download_pars_list}
        if raw.check_file_exists():
            if not raw.check_data_exists():
                # a damaged file, or an image that is gone, is no reason to have no data
                self.pars.vprint(f"{raw.get_fullname()} is damaged and is fetched again")
            else:
                same = (raw.altdata or {}).get("download_pars") == wanted
                if same or not self.pars.check_download_pars:
                    raw.size = raw.get_fullname().stat().st_size
                    return raw, False
        row, how = dict(cat_row), download_args or {}
        if kind == "photometry":
            data, altdata = self.download_from_observatory(row, **how)
        elif isinstance(raw, RawData) and kind != "spectra":
            data, altdata = getattr(self, f"download_{kind}")(row, raw.files_folder, **how)
        else:
            data, altdata = getattr(self, f"download_{kind}")(row, **how)
        self._fill(raw, data, {**altdata, "cat_row": row, "download_pars": wanted})
        return raw, True

    def _fill(self, raw: RawRows, data: Any, altdata: Mapping[str, Any]) -> None:
        raw.altdata = dict(altdata)
        if raw.data_type == "photometry":
            raw.colmap, raw.time_info = self.columns_of(data, altdata)
        else:
            raw.time_info = self.times_of(raw.data_type)
        raw.set_data(rows_of(data))
        # in the order in which a file gives them back
        raw.altdata, raw.colmap, raw.time_info = plain(raw.altdata), plain(raw.colmap), plain(raw.time_info)

    def populate_sources(self, files_glob: str = "RA*/*", num_files: int | None = None, session: Any = None) -> int:
        """Make rows of the raw files on disk, of all kinds and formats, for a database that was lost; returns of how
        many sources. A file's source is found in the catalogue by its name; one that cannot be read or is of no source
        of the catalogue is put in ``failures_list``.
        """
        from skyvault.pipeline.rows import keep_sources, source_of

        folder = (self.root or data_root()) / self.name
        kinds: dict[str, type[RawRows]] = {"photometry": RawPhotometry, **KINDS}
        files = []
        for path in sorted(folder.glob(files_glob)):
            kind = next((one for one in kinds if path.name.startswith(f"{self.name}_{one}_")), None)
            if kind is not None and path.suffix in FORMATS.values() and path.is_file():
                files.append((path, kinds[kind]))
        found: dict[str, Source] = {}
        names: set[str] = set()
        for path, made in files[:num_files]:
            raw = made(observatory=self.name, root=self.root, folder=self.name)
            raw.filename = str(path.relative_to(folder))
            try:
                raw.load()
                row = self.catalog.get_row(raw.source_name, "name", "dict")
            except (DataError, DataMissing, CatalogError, ParameterValueError, NotFound) as error:
                self.failures_list.append({"file": str(path), "error": str(error)})
                continue
            raw.name_file(row["ra"])
            raw.size = path.stat().st_size
            # what was read is only needed for the rows of the database
            raw._rows = None
            source = found.setdefault(raw.source_name, source_of(row, self.project, self.cfg_hash, self.catalog))
            self._give(source, [raw], save=False, reduce=False)
            names.add(raw.source_name)
            if len(found) > _LATEST:
                keep_sources(found.values(), session)
                found = {}
        keep_sources(found.values(), session)
        return len(names)
