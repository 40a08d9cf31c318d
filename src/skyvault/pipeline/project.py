"""A project: a target list, observatories and an analysis, run over all sources and resumable at any moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import sqlalchemy as sa

from skyvault.pipeline import database
from skyvault.pipeline.analysis import Analysis
from skyvault.pipeline.catalog import Catalog
from skyvault.pipeline.custom_code import class_named, code_folders, code_version
from skyvault.pipeline.dataset import data_root, product_folder
from skyvault.pipeline.efficiency import AmplitudeRate
from skyvault.pipeline.executors import NAMES, is_executor
from skyvault.pipeline.faults import ParameterValueError
from skyvault.pipeline.observatory import Observatory, ParsObservatory
from skyvault.pipeline.parameter_files import config_path, read_parameters, write_parameters
from skyvault.pipeline.parameters import PROPAGATED, Parameters
from skyvault.pipeline.part import Part
from skyvault.pipeline.run_record import RunRecord, recorded
from skyvault.pipeline.running import RunReport, run_all, stored_histograms
from skyvault.pipeline.source import Detection, Properties, Source
from skyvault.pipeline.tables import Problem
from skyvault.pipeline.versions import config_hash, output_config
from skyvault.science.injection import Efficiency

#: observatory -> module and class
KNOWN: Final[dict[str, tuple[str, str]]] = {
    "DEMO": ("skyvault.pipeline.demo_observatory", "VirtualDemoObs"),
    "ZTF": ("skyvault.pipeline.ztf_observatory", "VirtualZTF"),
    "TESS": ("skyvault.pipeline.tess_observatory", "VirtualTESS"),
    "VO": ("skyvault.pipeline.service_observatory", "VirtualVO"),
    "DASCH": ("skyvault.pipeline.dasch_observatory", "VirtualDASCH"),
    "FILES": ("skyvault.pipeline.files_observatory", "VirtualFiles"),
}


class ParsProject(Parameters):
    """What a project is made of."""

    default_cfg_key: ClassVar[str | None] = "project"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_alias("name", "project")
        self.add_par("obs_names", ["DEMO"], (str, list, tuple), "observatories, by name")
        self.add_par("description", "", str, "what the project is for", critical=False)
        self.add_par("source_batch_size", 100, int, "sources that are committed together", critical=False)
        self.add_par("max_num_total_exceptions", 100, int, "failed sources after which a run stops", critical=False)
        self.add_par("max_num_sequence_exceptions", 10, int, "failed in a row after which it stops", critical=False)
        self.add_par("version_control", False, bool, "keep products by the checksum of all parameters", critical=False)
        self.add_alias("vc", "version_control")
        self.add_par("analysis_module", "skyvault.pipeline.analysis", str, "module of the analysis")
        self.add_par("analysis_class", "Analysis", str, "class of the analysis")
        self.add_par("git_hash", None, (None, str), "version of the code; filled in", critical=False)
        self.add_par("cat_hash", None, (None, str), "checksum of the catalogue's names; filled in")
        self.add_par(
            "executor", "local", str, "'local': processes of this machine; 'serial': this one; 'dask', or the address "
            "or scheduler file of a dask cluster", critical=False,
        )  # fmt: skip
        self.add_par("num_workers", None, (None, int), "processes; by default one a core", critical=False)
        self.add_par("database", None, (None, str), "address of the database; SQLite by default", False, secret=True)

    def checked(self, name: str, value: Any) -> Any:
        if name == "obs_names" and isinstance(value, str | list | tuple):
            names = [value] if isinstance(value, str) else value
            return list(dict.fromkeys(str(one).strip().upper() for one in names))
        if name == "executor" and not is_executor(value):
            raise ParameterValueError(
                f"there is no executor {value!r}", hint=f"There are {', '.join(NAMES)}, and addresses of dask clusters."
            )
        if name in ("source_batch_size", "max_num_total_exceptions") and isinstance(value, int) and value < 1:
            raise ParameterValueError(f"{name} must be at least 1")
        return super().checked(name, value)


def _home_of(name: str, module: str | None, cls: str | None) -> tuple[str, str]:
    """Module and class of an observatory: as said, else the pipeline's own, else Virtual<NAME> of a module <name> in
    this folder or in its folder ``extensions``. Raises ParameterValueError."""
    known = KNOWN.get(name, (None, f"Virtual{name}"))
    if module is None and known[0] is None:
        files = (Path(f"{name.lower()}.py"), Path("extensions", f"{name.lower()}.py"))
        found = next((one for one in files if one.is_file()), None)
        if found is None:
            raise ParameterValueError(
                f"there is no observatory {name!r}",
                hint=f"There are {', '.join(KNOWN)}; your own is found by obs_module and obs_class.",
            )
        module = ".".join(found.with_suffix("").parts)
    return str(module or known[0]), cls or known[1]


class Observatories(list[Observatory]):
    """The observatories of a project, by number or by name in any case."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            found = next((one for one in self if one.name == key.strip().upper()), None)
            if found is None:
                raise ParameterValueError(
                    f"the project has no observatory {key!r}", hint=f"It has {', '.join(one.name for one in self)}."
                )
            return found
        return super().__getitem__(key)


@dataclass(frozen=True, slots=True)
class Status:
    """How far a project is."""

    sources: int
    done: int
    without_data: int
    detections: int
    problems: int


class Project(Part):
    """Runs a whole target list: download, reduce, analyse, keep.

    ``Project("demo", catalog_kwargs={"default": "test"}).run()``. Arguments of parts are given as ``catalog_kwargs``,
    ``obs_kwargs`` (all observatories), ``ZTF={...}`` (one), ``analysis_kwargs``; or in the YAML file under the keys
    ``catalog``, ``observatories``, ``analysis``, ``finder`` and so on.
    """

    pars_class = ParsProject
    pars: Any

    def __init__(
        self, name: str | None = None, *, catalog: Catalog | None = None,
        obs_kwargs: Mapping[str, Any] | None = None, catalog_kwargs: Mapping[str, Any] | None = None,
        analysis_kwargs: Mapping[str, Any] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        wanted = kwargs.get("obs_names")
        listed = [wanted] if isinstance(wanted, str) else list(wanted or ())
        own = {
            key: kwargs.pop(key)
            for key in list(kwargs)
            if isinstance(kwargs[key], Mapping) and (key.isupper() or key.upper() in {str(n).upper() for n in listed})
        }
        #: a client of dask.distributed that was given as executor
        self.dask_client: Any = None
        if not isinstance(kwargs.get("executor", ""), str):
            self.dask_client, kwargs["executor"] = kwargs["executor"], "dask"
        super().__init__(project=name, **kwargs)
        if not self.pars.project:
            raise ParameterValueError("a project needs a name", hint="Project(name='my_project', ...)")
        self.name: str = self.pars.project
        self.root = data_root()
        self.cfg_hash = ""
        self.output_folder: Path | None = None
        shared = {key: self.pars[key] for key in PROPAGATED}
        self.catalog = catalog if catalog is not None else Catalog(**{**shared, **(catalog_kwargs or {})})
        self.observatories = Observatories(
            self._observatory(one, {**shared, **(obs_kwargs or {})}, own) for one in self.pars.obs_names
        )
        strange = [key for key in own if key.upper() not in self.pars.obs_names]
        if strange:
            raise ParameterValueError(
                f"{strange[0]!r} is neither a parameter nor an observatory of the project",
                hint=f"Its observatories are {', '.join(self.pars.obs_names)}.",
            )
        made = class_named(self.pars.analysis_module, self.pars.analysis_class, Analysis)
        self.analysis: Analysis = made(**{**shared, **(analysis_kwargs or {})})

    def _observatory(self, name: str, general: dict[str, Any], own: Mapping[str, Any]) -> Observatory:
        from_file = {}
        if general.get("cfg_file") is not False:
            file = read_parameters(general.get("cfg_file"), self.name, "observatories")
            from_file = ParsObservatory.own_part(file, name)
        special = next((dict(value) for key, value in own.items() if key.upper() == name), {})
        kwargs = {**from_file, **general, **special, "cfg_file": False}
        module, cls = _home_of(name, kwargs.get("obs_module"), kwargs.get("obs_class"))
        made = class_named(module, cls, Observatory)
        if name not in KNOWN:
            # several may be of one class: each has the name the project gives it
            kwargs = {"obs_name": name, **kwargs}
        observatory: Observatory = made(catalog=self.catalog, root=self.root, **kwargs)
        observatory.pars.cfg_file = general.get("cfg_file")
        return observatory

    def __getattr__(self, name: str) -> Any:
        # proj.ztf is proj.observatories["ztf"]
        for one in self.__dict__.get("observatories", ()):
            if one.name.lower() == name.lower():
                return one
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _repr_html_(self) -> str:
        from skyvault.pipeline.project_html import project_html

        return project_html(self)

    # --- versions ----------------------------------------------------------------------------------------------

    def parts(self) -> Iterator[tuple[str, Part]]:
        """All parts with their names in the output configuration."""
        yield "project", self
        yield "catalog", self.catalog
        for one in self.observatories:
            yield f"observatories.{one.name}", one
        yield "analysis", self.analysis
        yield "quality", self.analysis.checker
        yield "finder", self.analysis.finder
        yield "simulator", self.analysis.sim
        kinds = {kind for one in self.observatories for kind in one.pars.data_types}
        if "spectra" in kinds:
            yield "spectrum_finder", self.analysis.spectrum_finder
        if kinds & {"images", "cutouts"}:
            yield "image_finder", self.analysis.image_finder
        for histogram in self.analysis.get_all_histograms():
            yield f"histograms.{histogram.name}", histogram

    def output_config(self) -> dict[str, Any]:
        """Everything the results depend on, and nothing else. Reads the catalogue."""
        self.pars.cat_hash = self.catalog.cat_hash
        path = config_path(None if self.pars.cfg_file in (None, True, False) else self.pars.cfg_file, self.name)
        parts = [part for _, part in self.parts()]
        folders = code_folders(parts, path if self.pars.cfg_file is not False else None)
        self.pars.git_hash = code_version(folders)
        return output_config(self.parts(), self.pars.git_hash)

    def _save_config(self) -> None:
        document = self.output_config()
        self.cfg_hash = config_hash(document) if self.pars.version_control else ""
        for one in self.observatories:
            one.cfg_hash = self.cfg_hash
        self.output_folder = self.root / product_folder(self.name, self.cfg_hash)
        write_parameters(self.output_folder / "config.yaml", document)

    # --- running -----------------------------------------------------------------------------------------------

    def run(
        self, start: int = 0, finish: int | None = None, source_names: str | Sequence[str] | None = None,
        source_ids: int | Sequence[int] | None = None, *, on_progress: Callable[[int, int], object] | None = None,
    ) -> RunReport:  # fmt: skip
        """Do all sources that are not done yet; ``source_names`` and ``source_ids`` (rows) narrow the choice.

        What is done stays done when the run is stopped, killed or fails. ``on_progress(done, of)`` is called after
        each batch. Raises TooManyProblems, and DatabaseError when rows cannot be kept.
        Raises Conflict when this version of the project is run already by another process.
        """
        database.use(self.pars.database)
        self._save_config()
        wanted = self._chosen(start, finish, source_names, source_ids)
        assert self.output_folder is not None
        with recorded(self.output_folder, self._record(len(wanted))) as recorder:
            return run_all(self, wanted, recorder, on_progress)

    def _record(self, chosen: int) -> RunRecord:
        """What is known of a run when it begins."""
        file = self.pars.cfg_file
        path = config_path(file, self.name) if isinstance(file, str | Path) else None
        return RunRecord(
            project=self.name, cfg_hash=self.cfg_hash, description=self.pars.description, sources=len(self.catalog),
            chosen=chosen, executor=str(self.pars.executor), directory=str(Path.cwd()),
            file=None if path is None else str(path.absolute()),
        )  # fmt: skip

    def _chosen(self, start: int, finish: int | None, names: Any, ids: Any) -> list[int]:
        chosen: Iterable[int] = range(*slice(start, finish).indices(len(self.catalog)))
        if names is not None:
            listed = [names] if isinstance(names, str) else names
            numbers = {self.catalog.get_index_from_name(name) for name in listed}
            chosen = [number for number in chosen if number in numbers]
        if ids is not None:
            numbers = {ids} if isinstance(ids, int) else set(ids)
            chosen = [number for number in chosen if number in numbers]
        return list(chosen)

    # --- looking -----------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """How many sources there are, are done, have detections or problems."""
        held = database.use(self.pars.database)
        with held.reading() as connection:

            def count(table: Any, *conditions: Any) -> int:
                mine = (table.project == self.name, table.cfg_hash == self.cfg_hash)
                query = sa.select(sa.func.count()).select_from(table).where(*mine, *conditions)
                return int(connection.execute(query).scalar() or 0)

            return Status(
                sources=len(self.catalog),
                done=count(Properties),
                without_data=count(Properties, Properties.has_data.is_(False)),
                detections=count(Detection, Detection.simulated.is_(False)),
                problems=count(Problem),
            )

    def efficiency(self, **chosen: Any) -> Efficiency:
        """How complete the run is: the fraction of injected events found, against their amplitude (relative flux).

        ``shape``, ``mag`` (range of the sources) and ``width_d`` (range, days) narrow it.
        """
        self._take_stored_histograms()
        return self.analysis.efficiency(**chosen)

    def rates(self, shape: str, **how: Any) -> list[AmplitudeRate]:
        """How often events of a shape happen, or at most: per epoch, or with ``duration_d`` per star and day, in bins
        of amplitude (``bins``), with ``confidence``; see :func:`skyvault.pipeline.efficiency.event_rates`."""
        self._take_stored_histograms()
        return self.analysis.rates(self.get_detections(), shape, **how)

    def _take_stored_histograms(self) -> None:
        """Give the analysis the counts of all that was run so far, in this process or another."""
        if self.output_folder is None and self.pars.version_control:
            self.cfg_hash = config_hash(self.output_config())
        stored_histograms(self, database.use(self.pars.database))

    def select_sources(self) -> Any:
        """A statement that selects this version's sources."""
        return sa.select(Source).where(Source.project == self.name, Source.cfg_hash == self.cfg_hash)

    def select_detections(self) -> Any:
        """A statement that selects this version's detections."""
        return sa.select(Detection).where(Detection.project == self.name, Detection.cfg_hash == self.cfg_hash)

    def get_all_sources(self, session: Any = None) -> list[Source]:
        with database.SmartSession(session) as held:
            return list(held.scalars(self.select_sources()).all())

    def get_detections(self, session: Any = None) -> list[Detection]:
        with database.SmartSession(session) as held:
            return list(held.scalars(self.select_detections()).all())

    def get_problems(self) -> list[dict[str, Any]]:
        """The sources that failed, where and why."""
        held = database.use(self.pars.database)
        query = sa.select(Problem).where(Problem.project == self.name, Problem.cfg_hash == self.cfg_hash)
        with held.session() as session:
            return [
                {"source_name": one.source_name, "step": one.step, "observatory": one.observatory, "what": one.what,
                 "times": one.times} for one in session.scalars(query)
            ]  # fmt: skip
