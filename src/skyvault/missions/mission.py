"""A mission: an archive's observations, chosen by filters, downloaded, found again on disk, saved and reloaded.

A mission class is this one with a :class:`~skyvault.missions.declaration.Declaration`. Its table comes from a file in
the archive's own columns, from the cache, or from a source that asks the archive; the first two need no network.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import StoreError
from skyvault.missions.columns import observations, read_table
from skyvault.missions.declaration import Declaration, ProductKind
from skyvault.missions.download import Downloader, Order, ReportingDownloader, logins_of
from skyvault.missions.download_report import DownloadPlan, DownloadReport, ObservationProblem, WholeObservation
from skyvault.missions.faults import (
    MissionTypeError,
    MissionValueError,
    MissionWarning,
    NoObsAfterFilterError,
    NotDownloadedError,
)
from skyvault.missions.filtering import FilteredSelection
from skyvault.missions.filters import ids_mask
from skyvault.missions.match import Zones
from skyvault.missions.narrowing import copy_path
from skyvault.missions.parse_name import Resolver
from skyvault.missions.products import product_files, template_of
from skyvault.missions.state import FORMAT, UpstreamChange, decode, encode, read_state, write_state
from skyvault.missions.table_cache import Origin, content_hash, origin_now, read_cache, read_zones, write_cache
from skyvault.missions.targets import target_table
from skyvault.model.ports import Progress

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.missions.connections import Archives

#: what users may ask of an archive at once, whatever the declaration says of politeness
_MOST_CORES = 64


class TableSource(Protocol):
    """Who asks an archive for its table."""

    def observations(self, declaration: Declaration) -> tuple[pa.Table, str]:
        """The archive's table in its own columns, and the address it came from."""
        ...


class Mission(FilteredSelection):
    """A mission by its declaration.

    ``table`` is a file (or Arrow table) in the archive's own columns or in the mission's; without it the copy in
    ``cache`` (a directory) is taken, and without one ``source`` is asked and its answer cached. ``save_file_path``
    takes up a saved state. ``output`` is where downloaded data go. ``source``, ``resolver`` and ``downloader`` are by
    default the archives themselves, as ``settings`` (by default this machine's) say where they are.
    """

    def __init__(
        self,
        insts: str | Sequence[str] | None = None,
        save_file_path: str | Path | None = None,
        *,
        table: Any = None,
        cache: str | Path | None = None,
        source: TableSource | None = None,
        resolver: Resolver | None = None,
        downloader: Downloader | None = None,
        output: str | Path | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._settings = settings
        state = None if save_file_path is None else read_state(save_file_path, self.declaration.name)
        self._cache = Path(cache).expanduser() if cache is not None else self._default_cache()
        self._source = source
        #: the table as it was cached, whose sorted positions are kept beside it
        self._cached_rows: pa.Table | None = None
        rows, self._origin = self._first_table(table)
        super().__init__(rows, insts)
        self._resolver = resolver
        self._downloader = downloader
        self._output = (
            Path(output).expanduser().absolute() if output is not None else Path("skyvault_output").absolute()
        )
        #: what the last download brought; None before one
        self.download_report: DownloadReport | None = None
        self._saved: dict[str, Any] | None = None
        #: what changed since the state was saved; None for a mission without one
        self.upstream_change: UpstreamChange | None = None
        if state is not None:
            self._take_up(state)

    def __repr__(self) -> str:
        return f"<{self.pretty_name}: {len(self)} of {self.num_obs} observations, {', '.join(self._chosen)}>"

    # --- the archives ----------------------------------------------------------------------------------------------

    def _archives(self) -> Archives:
        """The real archives, with the manners this mission's wants."""
        from skyvault.missions.connections import default_archives

        archives = default_archives(self._settings)
        archives.agree(self.declaration)
        return archives

    @property
    def resolver(self) -> Resolver | None:
        """Who is asked for the positions of names."""
        return self._resolver or self._archives().resolver

    @resolver.setter
    def resolver(self, resolver: Resolver | None) -> None:
        self._resolver = resolver

    def _default_cache(self) -> Path:
        from skyvault.config import Settings
        from skyvault.missions.connections import table_directory

        return table_directory(self._settings or Settings(), self.declaration)

    # --- the table's origin ----------------------------------------------------------------------------------------

    def _first_table(self, table: Any) -> tuple[pa.Table, Origin | None]:
        if table is not None:
            if isinstance(table, (str, os.PathLike)):
                archive, where = read_table(Path(table)), str(table)
            elif isinstance(table, pa.Table) or hasattr(table, "__arrow_c_stream__"):
                archive, where = pa.table(table), "table"
            else:
                raise MissionTypeError(f"table must be a file or an Arrow table, not {type(table).__name__}")
            self._service = where
            return observations(archive, self.declaration, where=where), None
        cached = read_cache(self._cache, self.declaration.name)
        if cached is not None:
            self._service = cached[1].service
            self._cached_rows = cached[0]
            return cached
        return self._fetched(self._source or self._archives().tables)

    def _fetched(self, source: TableSource) -> tuple[pa.Table, Origin]:
        archive, service = source.observations(self.declaration)
        rows = observations(archive, self.declaration, where=service)
        origin = origin_now(self.declaration.name, service, rows)
        try:
            write_cache(self._cache, rows, origin)
        except StoreError as error:
            # the table is here, and was long in coming
            warnings.warn(
                f"the table of {self.pretty_name} cannot be kept and will be fetched again next time: {error}",
                MissionWarning,
                stacklevel=4,
            )
        self._service = service
        self._cached_rows = rows
        return rows, origin

    def _kept_zones(self) -> Zones | None:
        if self._origin is None or self._table is not self._cached_rows:
            return None
        return read_zones(self._cache, self._origin)

    @property
    def table_origin(self) -> Origin:
        """Where the table came from, when, and the hash of its content."""
        if self._origin is None:
            self._origin = origin_now(self.name, self._service, self._table)
        return self._origin

    def refresh(self, source: TableSource | None = None) -> UpstreamChange:
        """Ask the archive for its table anew, cache it, and apply all filters to it again; tells what changed."""
        self._require_unlocked()
        saved = self._state()
        rows, origin = self._fetched(source or self._source or self._archives().tables)
        return self._replace_table(rows, origin, saved)

    def _replace_table(self, rows: pa.Table, origin: Origin, saved: Mapping[str, Any]) -> UpstreamChange:
        operations = self._operations
        self.all_obs_info = rows
        self._origin = origin
        self._replay(operations)
        self.upstream_change = self._compared(saved)
        return self.upstream_change

    def cache_table(self) -> Path:
        """Put the table into the cache, from where the next mission of this kind is made without a file."""
        return write_cache(self._cache, self._table, self.table_origin)

    # --- directories and downloads ---------------------------------------------------------------------------------

    @property
    def top_level_path(self) -> str:
        """The directory that holds a directory of raw data for each mission."""
        return str(self._output)

    @top_level_path.setter
    def top_level_path(self, path: str | Path) -> None:
        directory = Path(path).expanduser().absolute()
        if not directory.is_dir():
            raise MissionValueError(f"there is no directory {directory}", hint="Create it first.")
        self._output = directory

    @property
    def raw_data_path(self) -> str:
        """The directory of this mission's raw data, one below for each ObsID."""
        return str(self._output / f"{self.name}_raw") + os.sep

    @property
    def download_completed(self) -> bool:
        """Whether the data of the chosen observations were downloaded."""
        return self._downloaded is not None

    @property
    def downloaded_type(self) -> str:
        """'raw', 'preprocessed' or 'raw+preprocessed'. Raises NotDownloadedError before a download."""
        if self._downloaded is None:
            raise NotDownloadedError(
                f"no data of {self.pretty_name} were downloaded yet", hint="Call download() first."
            )
        return self._downloaded

    def download(
        self,
        num_cores: int | None = None,
        credentials: Any = None,
        download_products: bool = True,
        pipeline_version: int | str | None = None,
        *,
        retry: DownloadReport | None = None,
        progress: Progress | None = None,
    ) -> list[str]:
        """Fetch the chosen observations; returns the ObsIDs that are whole on disk.

        ``num_cores`` files come at once, by default as many as the archive's manners allow. ``credentials`` are the
        path of an ini file, {'user':, 'password':} or one such pair an ObsID. A failed observation does not stop the
        others: a warning tells of it, ``download_report`` holds each reason, and ``retry`` takes that report to fetch
        only what failed. Whole observations are not fetched again, files that were cut are resumed. ``progress`` is
        told how far it has come. Raises MissionValueError, MissionTypeError before anything is fetched.
        """
        order = self._order(num_cores, credentials, download_products, pipeline_version)
        if retry is not None:
            order = replace(order, rows=self._rows_of(retry))
        downloader = self._downloader or self._archives().files
        if isinstance(downloader, ReportingDownloader):
            report = downloader.fetch(order, progress)
        else:
            report = _plain_report(order, downloader.download(order))
        if retry is not None:
            report = replace(report, rows=(*retry.rows, *report.rows))

        def again(failed: DownloadReport) -> DownloadReport:
            self.download(num_cores, credentials, download_products, pipeline_version, retry=failed, progress=progress)
            assert self.download_report is not None
            return self.download_report

        self.download_report = replace(report, _again=again)
        if report.rows:
            has_products = bool(download_products) and bool(self.declaration.products)
            self._downloaded = "raw+preprocessed" if has_products else "raw"
        if report.problems and isinstance(downloader, ReportingDownloader):
            warnings.warn(
                f"{len(report.problems)} of {len(report.rows) + len(report.problems)} observations of"
                f" {self.pretty_name} did not come; {report.problems[0]} See download_report, and retry() there.",
                MissionWarning,
                stacklevel=2,
            )
        return report.whole

    def plan_download(
        self,
        credentials: Any = None,
        download_products: bool = True,
        pipeline_version: int | str | None = None,
    ) -> DownloadPlan:
        """The files :meth:`download` would fetch, with their sizes as far as the archive tells; none is fetched."""
        order = self._order(None, credentials, download_products, pipeline_version)
        downloader = self._downloader or self._archives().files
        if not isinstance(downloader, ReportingDownloader):
            raise MissionValueError(f"the downloader of {self.pretty_name} cannot tell what it would fetch")
        return downloader.plan(order)

    def _order(self, num_cores: Any, credentials: Any, with_products: bool, version: Any) -> Order:
        if num_cores is not None and (isinstance(num_cores, bool) or not isinstance(num_cores, int)):
            raise MissionTypeError(f"num_cores must be a whole number, not {num_cores!r}")
        if num_cores is not None and not 1 <= num_cores <= _MOST_CORES:
            raise MissionValueError(f"num_cores must be 1 to {_MOST_CORES}, not {num_cores}")
        logins = logins_of(credentials)
        if not len(self):
            raise NoObsAfterFilterError(f"no observation of {self.pretty_name} is chosen", hint="Call reset_filter().")
        polite = self.declaration.politeness.connections
        return Order(
            declaration=self.declaration,
            rows=self.filtered_obs_info,
            instruments=tuple(self._chosen),
            directory=Path(self.raw_data_path),
            connections=polite if num_cores is None else min(num_cores, polite),
            with_products=bool(with_products),
            pipeline_version=None if version is None else str(version),
            logins=logins,
        )

    def _rows_of(self, report: DownloadReport) -> pa.Table:
        """The observations a report says are not whole."""
        if not isinstance(report, DownloadReport):
            raise MissionTypeError(f"retry takes a download_report, not {type(report).__name__}")
        return self._table.filter(pa.array(ids_mask(self._table["ObsID"], [one.obs_id for one in report.problems])))

    def delete_raw_data(self, force_del: bool = False, all_raw_data: bool = False) -> None:
        """Delete the raw data of the chosen observations, or with ``all_raw_data`` the mission's whole directory.

        Asks first unless ``force_del``; an answer other than Y leaves all as it is. A locked mission stays locked.
        """
        root = Path(self.raw_data_path)
        targets = [root] if all_raw_data else [root / str(one) for one in self.filtered_obs_ids]
        targets = [target for target in targets if target.is_dir()]
        if not targets:
            return
        what = f"all data below {root}" if all_raw_data else f"the data of {len(targets)} observations below {root}"
        if not force_del and input(f"Delete {what}? [Y/N] ").strip().upper() != "Y":
            return
        for target in targets:
            shutil.rmtree(target)
        self._downloaded = None

    # --- products on disk ------------------------------------------------------------------------------------------

    def get_evt_list_path(self, obs_id: str, inst: str | None = None) -> str:
        """The path of a downloaded event list. MissionValueError when there are several: see get_evt_list_paths."""
        return self._one_path("events", obs_id, inst, None, None)

    def get_evt_list_paths(self, obs_id: str, inst: str | None = None) -> list[str]:
        """The paths of all downloaded event lists of an instrument (modes, bit rates, sub-exposures), sorted."""
        return [str(path) for path in self._paths("events", obs_id, inst, None, None)]

    def get_image_path(self, obs_id: str, lo_en: Any = None, hi_en: Any = None, inst: str | None = None) -> str:
        """The path of a downloaded image in an energy band, which may be left out where there is only one."""
        return self._one_path("image", obs_id, inst, lo_en, hi_en)

    def get_expmap_path(self, obs_id: str, lo_en: Any = None, hi_en: Any = None, inst: str | None = None) -> str:
        """The path of a downloaded exposure map in an energy band, which may be left out where there is only one."""
        return self._one_path("expmap", obs_id, inst, lo_en, hi_en)

    def get_background_path(self, obs_id: str, lo_en: Any = None, hi_en: Any = None, inst: str | None = None) -> str:
        """The path of a downloaded background map in an energy band, which may be left out where there is only one."""
        return self._one_path("background", obs_id, inst, lo_en, hi_en)

    def _one_path(self, kind: ProductKind, obs_id: str, inst: str | None, lo_en: Any, hi_en: Any) -> str:
        files = self._paths(kind, obs_id, inst, lo_en, hi_en)
        if len(files) > 1:
            listed = ", ".join(path.name for path in files[:4])
            raise MissionValueError(
                f"observation {obs_id} has {len(files)} such files: {listed}",
                hint="Choose one of get_evt_list_paths()." if kind == "events" else "Choose one yourself.",
            )
        return str(files[0])

    def _paths(self, kind: ProductKind, obs_id: str, inst: str | None, lo_en: Any, hi_en: Any) -> list[Path]:
        if not self.declaration.products.get(kind):
            template_of(self.declaration, kind, "")
        if self.downloaded_type == "raw" and kind != "events":
            raise NotDownloadedError(
                f"only raw data of {self.pretty_name} were downloaded", hint="Call download(download_products=True)."
            )
        if not isinstance(obs_id, str) or not self.check_obsid_pattern(obs_id):
            raise MissionValueError(
                f"{obs_id!r} cannot be an ObsID of {self.pretty_name}", hint=f"They match {self.id_regex}."
            )
        row = pc.index(self._table["ObsID"], obs_id).as_py()
        if row < 0 or not self._current()[row]:
            raise MissionValueError(f"observation {obs_id} is not among the chosen of {self.pretty_name}")
        instrument = self._instrument_of(row, obs_id, inst)
        files = product_files(self.declaration, kind, Path(self.raw_data_path), obs_id, instrument, lo_en, hi_en)
        narrowing = self.declaration.narrowing
        suffix = narrowing.suffix(self._chosen) if narrowing is not None and kind == "events" else ""
        return [copy for path in files if (copy := copy_path(path, suffix)).is_file()] if suffix else files

    def _instrument_of(self, row: int, obs_id: str, inst: str | None) -> str:
        asked = None if inst is None else self.check_inst_names(inst)[0]
        if self.one_inst_per_obs and self.declaration.fov_column:
            actual = str(self._table[self.declaration.fov_column][row].as_py())
            if asked is not None and self._fov_key(asked) != actual:
                warnings.warn(f"observation {obs_id} was made with {actual}, not {inst}", MissionWarning, stacklevel=4)
            return actual
        if asked is not None:
            return asked
        if len(self._chosen) == 1 or any("*" in products for products in self.declaration.products.values()):
            return self._chosen[0]
        raise MissionValueError(
            f"observation {obs_id} has several instruments", hint=f"Give inst: {', '.join(self._chosen)}."
        )

    # --- processing ------------------------------------------------------------------------------------------------

    def assess_process_obs(self, obs_info: Mapping[str, Any]) -> dict[str, Any]:
        """Which instruments and sub-exposures of an observation are worth processing, by what is known about them.

        Raises MissionValueError where no rule is declared or the information is not of its shape.
        """
        if self.declaration.assess is None:
            raise MissionValueError(f"there is no rule yet to assess observations of {self.pretty_name}")
        if not isinstance(obs_info, Mapping):
            raise MissionTypeError(f"the information on an observation is a dictionary, not {type(obs_info).__name__}")
        try:
            return self.declaration.assess(obs_info)
        except (KeyError, TypeError, AttributeError) as error:
            raise MissionValueError(f"the information on the observation lacks {error}") from None

    def ident_to_obsid(self, ident: str) -> str:
        """The ObsID within an identifier of a processing step, such as 0201903501M1S001."""
        import re

        pattern = self.declaration.ident_pattern
        match = re.match(pattern, ident) if pattern and isinstance(ident, str) else None
        found = match[1] if match else ident
        if not self.check_obsid_pattern(found):
            raise MissionValueError(f"{ident!r} holds no ObsID of {self.pretty_name}")
        return found

    @staticmethod
    def show_allowed_target_types(table_format: str = "fancy_grid") -> None:
        """Print the types of target one may filter by, and what they mean."""
        print(target_table(table_format))

    def info(self) -> None:
        """Print how many observations there are, how long, and from when to when: all, and the chosen ones."""
        print(f"{self.pretty_name} ({', '.join(self._chosen)}), {self._service}")
        for word, table in (("All", self._table), ("Chosen", self.filtered_obs_info)):
            line = f"  {word}: {table.num_rows} observations"
            if table.num_rows:
                hours = pc.sum(table["duration"].cast(pa.int64())).as_py() / 3.6e9
                line += f", {hours:.1f} h, {pc.min(table['start']).as_py()} to {pc.max(table['end']).as_py()} UTC"
            print(line)

    # --- saved states ----------------------------------------------------------------------------------------------

    def save(self, save_root_path: str | Path, state_file_name: str | None = None) -> None:
        """Save the choice of observations as JSON in a directory, by default as {name}_state.json.

        Raises NoObsAfterFilterError when none is chosen, MissionValueError for a name that does not end in .json.
        """
        if not len(self):
            raise NoObsAfterFilterError(f"no observation of {self.pretty_name} is chosen; there is nothing to save")
        write_state(save_root_path, state_file_name or f"{self.name}_state.json", self._state())

    def _state(self) -> dict[str, Any]:
        chosen = self.filtered_obs_info
        origin = self.table_origin
        proprietary = (
            chosen["proprietary_usable"].to_pylist()
            if "proprietary_usable" in chosen.column_names
            else [True] * chosen.num_rows
        )
        return {
            "format": FORMAT,
            "name": self.name,
            "chos_inst": self._chosen,
            "downloaded_type": self._downloaded,
            "processed": self._processed,
            "locked": self._locked,
            "table": {"service": origin.service, "date": origin.date, "content_hash": origin.content_hash},
            "selected_obs": chosen["ObsID"].to_pylist(),
            "science_usable": chosen["science_usable"].to_pylist(),
            "proprietary_usable": proprietary,
            "filtering_operations": [
                {"name": one["name"], "arguments": {key: encode(value) for key, value in one["arguments"].items()}}
                for one in self._operations
            ],
        }

    def _take_up(self, state: dict[str, Any]) -> None:
        self._saved = state
        self._chosen = self.check_inst_names(state["chos_inst"], show_warn=False)
        self._operations = [
            {"name": one["name"], "arguments": {key: decode(value) for key, value in one["arguments"].items()}}
            for one in state["filtering_operations"]
        ]
        selected = ids_mask(self._table["ObsID"], state["selected_obs"])
        if any(one["name"] == "filter_array" for one in self._operations):
            self._manual = selected
        self._passed, self._filter = selected, None
        self._processed, self._locked = bool(state["processed"]), bool(state.get("locked", False))
        self.upstream_change = self._compared(state)
        self._downloaded = state["downloaded_type"]
        if self.upstream_change.is_selection_changed:
            gone = self.upstream_change.removed_obs_ids
            warnings.warn(
                f"{len(gone)} saved observations are no longer in the table: {', '.join(gone[:5])}; "
                "update() applies the filters again",
                MissionWarning,
                stacklevel=3,
            )

    def _compared(self, saved: Mapping[str, Any]) -> UpstreamChange:
        """What differs between a saved selection and the present one."""
        now = self._table.filter(pa.array(self._current()))
        before, after = saved["selected_obs"], now["ObsID"].to_pylist()
        was, present = set(before), set(after)
        changed = {}
        for column in ("science_usable", "proprietary_usable"):
            if column in self._table.column_names:
                rows = self._table.filter(pa.array(ids_mask(self._table["ObsID"], before)))
                values = dict(zip(rows["ObsID"].to_pylist(), rows[column].to_pylist(), strict=True))
                old = zip(before, saved[column], strict=True)
                changed[column] = tuple(one for one, value in old if values.get(one, value) != value)
        return UpstreamChange(
            is_table_changed=saved["table"]["content_hash"] != content_hash(self._table),
            removed_obs_ids=tuple(one for one in before if one not in present),
            new_obs_ids=tuple(one for one in after if one not in was),
            which_changed_science_usable=changed.get("science_usable", ()),
            which_changed_proprietary_usable=changed.get("proprietary_usable", ()),
        )

    def _replay(self, operations: Sequence[Mapping[str, Any]]) -> None:
        """Apply recorded filters to the present table, exactly as they were called."""
        self._forget_filters()
        for one in operations:
            if one["name"] == "filter_array":
                self.filter_array = np.asarray(ids_mask(self._table["ObsID"], one["arguments"]["selected_obs"]))
            elif one["name"].startswith("filter_on_") and callable(method := getattr(self, one["name"], None)):
                method(**one["arguments"])
            else:
                raise MissionValueError(f"{str(one['name'])[:40]!r} is no filter of {self.pretty_name}")

    def update(self, download_new: bool = False) -> dict[str, Any]:
        """Apply the recorded filters again to the present table; returns what changed since the state was saved.

        Everything stays as it was when a filter finds nothing any more. A mission without a saved state is compared
        with itself. ``download_new`` fetches the selection when observations came.
        """
        saved = self._saved or self._state()
        before = (self._manual, self._passed, self._operations, self._downloaded, self._locked)
        self._locked = False
        try:
            self._replay(self._operations)
        except Exception:
            self._manual, self._passed, self._operations, self._downloaded, self._locked = before
            self._filter = None
            raise
        self.upstream_change = self._compared(saved)
        if download_new and self.upstream_change.new_obs_ids:
            self.download(download_products=saved["downloaded_type"] != "raw")
        elif not self.upstream_change.is_selection_changed:
            self._downloaded, self._locked = before[3], before[4]
        return self.upstream_change.as_dict()


def _plain_report(order: Order, whole: Sequence[str]) -> DownloadReport:
    """The report of a downloader that tells ObsIDs only."""
    wanted = [str(one) for one in order.rows["ObsID"].to_pylist()]
    came = set(whole)
    return DownloadReport(
        tuple(WholeObservation(one, 0, 0) for one in wanted if one in came),
        tuple(ObservationProblem(one, "it did not come") for one in wanted if one not in came),
    )
