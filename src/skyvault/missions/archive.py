"""An archive of one's own: observations of several missions together, downloaded, tidied, processed, saved, reloaded.

Reloading asks nobody: the chosen observations of each mission lie in the archive's own directory. Only
:meth:`Archive.download` and :meth:`Archive.update` use the network.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import Conflict, FormatError, SkyvaultError, StoreError
from skyvault.missions.archive_layout import (
    KeptFile,
    Layout,
    damaged_files,
    read_manifest,
    tidy,
    write_document,
    write_manifest,
)
from skyvault.missions.archive_processes import ProcessedArchive
from skyvault.missions.archive_record import ProcessRecord
from skyvault.missions.faults import MissionTypeError, MissionValueError, MissionWarning, NotDownloadedError
from skyvault.net.partial import disk_fault
from skyvault.quiet import quiet

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.missions.mission import Mission

_FORMAT: Final = 1
_FIRST_VERSION: Final = "0.0.0"


class DuplicateMissionError(MissionValueError):
    """An archive has each mission once."""


class ArchiveExistsError(Conflict):
    """There is an archive of that name already."""


class Archive(ProcessedArchive):
    """Observations of several missions, under a name.

    A new archive takes ``missions`` (one of each kind), saves their choice of observations and, unless
    ``download_products`` is None, downloads them: with products, or raw data only where it is False; a dictionary by
    mission says it for each. ``use_preprocessed`` puts downloaded products into the archive's tidy tree. The name of
    an existing archive alone reloads it, without any download; ``clobber`` replaces it (raw data stay).

    ``output`` is the directory below which ``archives/NAME`` lies; by default that of the first mission, or
    ``skyvault_output`` here; ``settings`` say where the archives are that update() asks. Raises ArchiveExistsError,
    DuplicateMissionError, MissionTypeError, MissionValueError.
    """

    def __init__(
        self,
        archive_name: str,
        missions: Mission | Sequence[Mission] | None = None,
        clobber: bool = False,
        download_products: bool | Mapping[str, bool] | None = True,
        use_preprocessed: bool | Mapping[str, bool] = False,
        *,
        output: str | Path | None = None,
        num_cores: int | None = None,
        credentials: Any = None,
        is_linked: bool = True,
        settings: Settings | None = None,
    ) -> None:
        self._settings = settings
        given = _missions(missions)
        if output is None:
            output = given[0].top_level_path if given else "skyvault_output"
        self._output = Path(output).expanduser().absolute()
        super().__init__(archive_name, Layout(self._output, archive_name))
        self._is_linked = is_linked
        self._version = _FIRST_VERSION
        #: {mission: {ObsID: why it is not whole on disk}}
        self._missing: dict[str, dict[str, str]] = {}
        exists = self._info_path.is_file()
        if not given:
            if not exists:
                raise MissionValueError(
                    f"there is no archive {archive_name!r} below {self._output}",
                    hint="Give the missions a new one shall have.",
                )
            self._reload()
            return
        if exists and not clobber:
            raise ArchiveExistsError(
                f"there is an archive {archive_name!r} already",
                where=str(self._layout.root),
                hint="Give its name alone to reload it, or clobber=True to replace it.",
            )
        if exists:
            shutil.rmtree(self._layout.root)
        self._missions = {one.name: one for one in given}
        self._download = _by_mission(download_products, self.mission_names, "download_products")
        self._use_preprocessed = _by_mission(use_preprocessed, self.mission_names, "use_preprocessed")
        self.save()
        if download_products is not None:
            self.download(num_cores=num_cores, credentials=credentials)
        for one in given:
            if not one.locked:
                one.locked = True
        self.save()

    # --- what it holds ---------------------------------------------------------------------------------------------

    @property
    def archive_name(self) -> str:
        return self._name

    @property
    def archive_path(self) -> Path:
        """The archive's directory."""
        return self._layout.root

    @property
    def top_level_path(self) -> Path:
        return self._output

    @property
    def version(self) -> str:
        """Counts what the archive went through: the middle number goes up when an update changed its observations."""
        return self._version

    @property
    def preprocessed_missions(self) -> list[str]:
        """Missions whose downloaded products were put into the tidy tree."""
        return [name for name in self._missions if self._use_preprocessed.get(name)]

    @property
    def files(self) -> list[KeptFile]:
        """The products in the tidy tree, as the manifest lists them."""
        return read_manifest(self._layout)

    def damaged_files(self) -> dict[str, str]:
        """{path: what is wrong} of products that are not what they were when they were put into the tree."""
        return damaged_files(self._layout)

    def __len__(self) -> int:
        return len(self._missions)

    def __iter__(self) -> Iterator[Mission]:
        return iter(self.missions)

    def __contains__(self, name: object) -> bool:
        return name in self._missions

    def __delitem__(self, which: int | str) -> None:
        """Take a mission out of the archive; its raw data stay where they are."""
        name = self[which].name
        del self._missions[name]
        self._record.forget(name)
        for kept in (self._summaries, self._use, self._final, self._regions, self._missing):
            kept.pop(name, None)
        for path in (self._layout.processed(name), self._layout.failed(name), self._layout.root / "regions" / name):
            shutil.rmtree(path, ignore_errors=True)
        write_manifest(self._layout, [one for one in self.files if one.mission != name])
        for path in self._layout.save_info.glob(f"{name}_*"):
            path.unlink()
        self.save()

    def __repr__(self) -> str:
        listed = ", ".join(f"{one.pretty_name} ({len(one)})" for one in self)
        return f"<Archive {self._name} {self._version}: {listed}>"

    def info(self) -> None:
        """Print what the archive holds and what was done."""
        print(f"Archive {self._name}, version {self._version}, {self._layout.root}")
        files = self.files
        for one in self:
            state = one.downloaded_type if one.download_completed else "not downloaded"
            tidied = sum(kept.mission == one.name for kept in files)
            print(f"  {one.pretty_name}: {len(one)} observations, {state}, {tidied} products in the tree")
            for process, found in self._record.of("process_success").get(one.name, {}).items():
                print(f"    {process}: {sum(found.values())} of {len(found)} went well")

    # --- downloads -------------------------------------------------------------------------------------------------

    def download(self, num_cores: int | None = None, credentials: Any = None) -> dict[str, list[str]]:
        """Download what is not there yet and tidy the products; {mission: ObsIDs that are whole on disk}.

        Observations that fail are told by a warning and kept in ``missing_observations``; the next call fetches them.
        An archive that fails does not stop the others: after all were asked, StoreError tells which did not answer.
        """
        whole: dict[str, list[str]] = {}
        problems = []
        for one in self:
            if one.download_completed and not self._missing.get(one.name):
                whole[one.name] = one.filtered_obs_ids.tolist()
                continue
            try:
                whole[one.name] = one.download(
                    num_cores, credentials=credentials, download_products=self._download.get(one.name, True)
                )
            except SkyvaultError as error:
                problems.append((one.pretty_name, error))
                continue
            report = one.download_report
            self._missing[one.name] = {p.obs_id: p.reason for p in report.problems} if report else {}
        self._tidy()
        self.save()
        if problems:
            told = "; ".join(f"{name}: {error.what}" for name, error in problems)
            raise StoreError(
                f"not all missions were downloaded: {told}",
                where=str(self._layout.root),
                hint="What came is kept; download() of the archive goes on.",
            ) from problems[0][1]
        return whole

    @property
    def missing_observations(self) -> dict[str, dict[str, str]]:
        """{mission: {ObsID: why}} of observations whose download failed; :meth:`download` tries them again."""
        return {name: dict(one) for name, one in self._missing.items() if one}

    def _tidy(self) -> None:
        kept = [one for one in self.files if one.mission not in self.preprocessed_missions]
        for name in self.preprocessed_missions:
            if self[name].download_completed:
                missing = self._missing.get(name, {})
                kept += tidy(self._layout, self[name], without=missing, is_linked=self._is_linked)
        if kept:
            write_manifest(self._layout, kept)

    def use_preprocessed(self, mission_name: str) -> list[KeptFile]:
        """Put the downloaded products of a mission into the tidy tree. Raises NotDownloadedError."""
        if not self[mission_name].download_completed:
            raise NotDownloadedError(
                f"no data of {self[mission_name].pretty_name} were downloaded yet", hint="Call download() first."
            )
        self._use_preprocessed[mission_name] = True
        self._tidy()
        self.save()
        return [one for one in self.files if one.mission == mission_name]

    def delete_raw_data(self, force_del: bool = False, all_raw_data: bool = False) -> None:
        """Delete the raw data of all missions; asks for each unless ``force_del``. The tidy tree stays."""
        for one in self:
            one.delete_raw_data(force_del, all_raw_data)
        self.save()

    # --- saved and reloaded ----------------------------------------------------------------------------------------

    @property
    def _info_path(self) -> Path:
        return self._layout.save_info / "process_info.json"

    def save(self) -> None:
        """Write everything; what was saved before stays until the new one is whole on disk. Raises StoreError."""
        try:
            self._write()
        except OSError as error:
            raise disk_fault(error, self._layout.save_info) from None

    def _write(self) -> None:
        import pyarrow.parquet as pq

        self._layout.save_info.mkdir(parents=True, exist_ok=True)
        known = {}
        for one in self:
            one.save(self._layout.save_info)
            rows = self._layout.save_info / f"{one.name}_observations.parquet"
            chosen = one.filtered_obs_info
            if not rows.is_file() or not pq.read_table(rows).equals(chosen):
                beside = rows.with_name(f".{rows.name}.part")
                pq.write_table(chosen, beside)
                beside.replace(rows)
            known[one.name] = {
                "output": one.top_level_path,
                "download_products": self._download.get(one.name, True),
                "use_preprocessed": self._use_preprocessed.get(one.name, False),
                "missing": self._missing.get(one.name, {}),
            }
        write_document(
            self._info_path,
            {
                "format": _FORMAT,
                "version": self._version,
                "mission_names": self.mission_names,
                "missions": known,
                "obs_summaries": self._summaries,
                "use_this_obs": self._use,
                "final_process_success": self._final,
                "source_regions": self._regions,
                **self._record.as_document(),
            },
        )

    def _reload(self) -> None:
        try:
            document = json.loads(self._info_path.read_text(encoding="utf-8"))
            if document["format"] != _FORMAT:
                raise KeyError("format")
            known = {name: document["missions"][name] for name in document["mission_names"]}
            self._version = str(document["version"])
            self._download = {name: bool(one["download_products"]) for name, one in known.items()}
            self._use_preprocessed = {name: bool(one["use_preprocessed"]) for name, one in known.items()}
            self._summaries, self._use = document["obs_summaries"], document["use_this_obs"]
            self._final, self._regions = document["final_process_success"], document["source_regions"]
            self._record = ProcessRecord.from_document(document)
            self._missing = {name: dict(one["missing"]) for name, one in known.items()}
            outputs = {name: str(one["output"]) for name, one in known.items()}
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise FormatError(
                f"the archive cannot be read: {type(error).__name__} {error}",
                where=str(self._info_path),
                hint="An older save may lie in previous_versions beside it.",
            ) from None
        for name, output in outputs.items():
            one = _class_of(name)(
                save_file_path=self._layout.save_info / f"{name}_state.json",
                table=self._layout.save_info / f"{name}_observations.parquet",
                output=output,
                settings=self._settings,
            )
            if not one.locked:
                one.locked = True
            self._missions[name] = one

    def update(
        self,
        download_new: bool = True,
        *,
        source: Any = None,
        cache: str | Path | None = None,
        downloader: Any = None,
        num_cores: int | None = None,
        credentials: Any = None,
    ) -> dict[str, dict[str, Any]]:
        """Ask the archives for their tables anew and apply all filters again; {mission: what changed}.

        When observations came or went, the version's middle number goes up and the states before move to
        ``previous_versions``; new observations are downloaded. Raises what a filter raises that finds nothing any
        more; the archive is as it was then.
        """
        made: dict[str, Mission] = {}
        changes: dict[str, dict[str, Any]] = {}
        for one in self:
            made[one.name], changes[one.name] = self._refreshed(
                one,
                cache=cache,
                source=source,
                downloader=downloader,
                output=one.top_level_path,
                settings=self._settings,
            )
        if not any(one["sel_obs_change"] for one in changes.values()):
            return changes
        self._keep_previous()
        major, minor, _ = self._version.split(".")
        self._version = f"{major}.{int(minor) + 1}.0"
        self._missions = made
        self._missing = {}
        for name, change in changes.items():
            for obs_id in change["removed_obs_ids"]:
                for kept in (self._summaries, self._use, self._final):
                    kept.get(name, {}).pop(obs_id, None)
        for path in self._layout.save_info.glob("*_observations.parquet"):
            path.unlink()
        if download_new:
            self.download(num_cores=num_cores, credentials=credentials)
        for fresh in made.values():
            if not fresh.locked:
                fresh.locked = True
        self.save()
        return changes

    def _refreshed(self, known: Mission, **how: Any) -> tuple[Mission, dict[str, Any]]:
        """A mission with the filters of a saved one on the archive's present table, and what is different."""
        state = self._layout.save_info / f"{known.name}_state.json"
        saved = json.loads(state.read_text(encoding="utf-8"))
        # what is no longer in a cached table is told below
        with tempfile.TemporaryDirectory() as directory, quiet(MissionWarning):
            unlocked = Path(directory) / state.name
            write_document(unlocked, {**saved, "locked": False, "processed": False})
            fresh = type(known)(save_file_path=unlocked, **how)
            told = fresh.refresh()
        before, after = saved["selected_obs"], fresh.filtered_obs_ids.tolist()
        was, now = set(before), set(after)
        change = replace(
            told,
            removed_obs_ids=tuple(one for one in before if one not in now),
            new_obs_ids=tuple(one for one in after if one not in was),
        )
        return fresh, change.as_dict()

    def _keep_previous(self) -> None:
        kept = self._layout.save_info / "previous_versions" / self._version
        kept.mkdir(parents=True, exist_ok=True)
        for path in self._layout.save_info.iterdir():
            if path.is_file() and not path.name.startswith("."):
                shutil.copyfile(path, kept / path.name)


def _missions(given: Any) -> list[Mission]:
    """Missions as a list, each kind once."""
    from skyvault.missions.mission import Mission

    listed = [] if given is None else [given] if isinstance(given, Mission) else list(given)
    for one in listed:
        if not isinstance(one, Mission):
            raise MissionTypeError(f"an archive is made of missions, not of {type(one).__name__}")
        if not len(one):
            raise MissionValueError(f"no observation of {one.pretty_name} is chosen", hint="Call its reset_filter().")
    names = [one.name for one in listed]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DuplicateMissionError(
            f"{', '.join(twice)} is given twice", hint="Choose all its observations in one mission object."
        )
    return listed


def _by_mission(given: Any, names: Sequence[str], what: str) -> dict[str, bool]:
    if given is None or isinstance(given, bool):
        return {name: bool(given) if given is not None else True for name in names}
    if not isinstance(given, Mapping) or not all(isinstance(value, bool) for value in given.values()):
        raise MissionTypeError(f"{what} is True, False, or a dictionary of these by mission")
    if strange := [name for name in given if name not in names]:
        raise MissionValueError(f"{what} names {', '.join(map(repr, strange))}, no mission of the archive")
    return {name: bool(given.get(name, True)) for name in names}


def _class_of(name: str) -> type[Mission]:
    from skyvault.missions.naming import known_missions

    for one in known_missions().values():
        if one.declaration.name == name:
            return one
    raise FormatError(f"the archive holds a mission {name!r} that this version of Skyvault does not know")
