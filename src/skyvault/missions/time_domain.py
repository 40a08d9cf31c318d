"""Missions of variable stars: made for one search, with light curves and images of what is found there.

Their archives hold up to billions of observations and answer only for a place or an object. So there is no table of the
whole archive to copy: ``DASCH.around("RY Cnc")`` asks for one place, keeps the answer under what was asked, and from
then on everything is as with every other mission: filters, states, cached tables, downloads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import pyarrow as pa
import pyarrow.compute as pc

from skyvault.config import Settings
from skyvault.errors import SkyvaultError, TransientError
from skyvault.missions.connections import default_archives, table_directory
from skyvault.missions.declaration import Declaration
from skyvault.missions.download import Order
from skyvault.missions.download_report import (
    DownloadPlan,
    DownloadReport,
    ObservationProblem,
    PlannedFile,
    WholeObservation,
)
from skyvault.missions.faults import MissionValueError, NoTableError
from skyvault.missions.light_curve_files import LightCurveTable
from skyvault.missions.mission import Mission, TableSource
from skyvault.missions.parse_name import Resolver
from skyvault.missions.search import Search
from skyvault.missions.service import ArchiveService
from skyvault.missions.state import UpstreamChange, read_state
from skyvault.missions.table_cache import cache_path
from skyvault.model.ports import Progress
from skyvault.net.batch import fetch_files
from skyvault.net.client import HttpClient
from skyvault.net.faults import Refused
from skyvault.net.remote_file import Order as FileOrder
from skyvault.net.remote_file import RemoteFile
from skyvault.net.stopping import side_by_side


class TimeDomainArchive(Protocol):
    """What a mission of this kind needs of its archive."""

    def observations(self, search: Search, *, refresh: bool = False) -> tuple[pa.Table, str]:
        """The observations a search finds, in the archive's columns, and the address they came from."""
        ...

    def image_of(self, row: dict[str, Any]) -> RemoteFile:
        """The image of an observation, a row of the mission's table."""
        ...


class TimeDomainMission(Mission):
    """A mission for one search.

    ``search`` says what is asked; without it, it is that of the saved state, or a local ``table`` must be given.
    ``refresh`` asks the archive again. Otherwise as :class:`~skyvault.missions.mission.Mission`.
    """

    #: how its archive is asked
    service_class: ClassVar[type[ArchiveService]]
    #: columns with the archive's other names of an observation, for :meth:`obs_ids_of`
    id_columns: ClassVar[tuple[str, ...]] = ()
    #: the radius of :meth:`around` when none is given
    default_radius_deg: ClassVar[float] = 0.0

    def __init__(
        self,
        insts: str | Sequence[str] | None = None,
        save_file_path: str | Path | None = None,
        *,
        search: Search | None = None,
        settings: Settings | None = None,
        client: HttpClient | None = None,
        refresh: bool = False,
        table: Any = None,
        cache: str | Path | None = None,
        resolver: Resolver | None = None,
        downloader: Any = None,
        output: str | Path | None = None,
    ) -> None:
        settings = settings or Settings()
        if search is None and save_file_path is not None and table is None:
            search = Search.read(read_state(save_file_path, self.declaration.name).get("search"))
        if search is None and table is None:
            raise NoTableError(
                f"the archive of {self.declaration.pretty_name} answers for one place or object only",
                hint=f"Say which: {type(self).__name__}.around('RY Cnc') or .around('129.98 19.82').",
            )
        self.search = search
        self.archive = self._archive_of(settings, client)
        folder = Path(cache) if cache is not None else table_directory(settings, self.declaration)
        if search is not None:
            folder = folder / self.declaration.name / search.key
        is_kept = search is not None and cache_path(folder, self.declaration.name).exists()
        super().__init__(
            insts,
            save_file_path,
            table=table,
            cache=folder,
            source=None if search is None else _Asked(self.archive, search, refresh=refresh),
            resolver=resolver,
            downloader=downloader or ImageDownloader(self.archive),
            output=output,
            settings=settings,
        )
        if refresh and is_kept:
            # the old table stays where the archive cannot be asked
            self.refresh()

    def _archive_of(self, settings: Settings, client: HttpClient | None) -> ArchiveService:
        return self.service_class(settings, client)

    @classmethod
    def around(
        cls,
        target: Any,
        radius: Any = None,
        insts: str | Sequence[str] | None = None,
        *,
        resolver: Resolver | None = None,
        settings: Settings | None = None,
        **how: Any,
    ) -> Self:
        """The observations that cover a place: a name, "ra dec" or (ra, dec) in ICRS degrees, or a SkyCoord.

        ``radius`` is a Quantity or degrees. Names that hold no coordinates are asked of ``resolver``, by default
        Sesame. Raises NameResolveError, MissionValueError, NoObservations, and what the archive's requests raise.
        """
        settings = settings or Settings()
        width = cls.default_radius_deg if radius is None else radius
        search = Search.around(target, width, resolver or _Resolver(settings))
        return cls(insts, search=search, settings=settings, resolver=resolver, **how)

    def __repr__(self) -> str:
        chosen = ", ".join(self._chosen) if len(self._chosen) < 10 else f"{len(self._chosen)} instruments"
        return f"<{self.pretty_name}: {len(self)} of {self.num_obs} observations, {chosen}>"

    def _state(self) -> dict[str, Any]:
        state = super()._state()
        if self.search is not None:
            state["search"] = self.search.as_dict()
        return state

    def refresh(self, source: TableSource | None = None) -> UpstreamChange:
        """Ask the archive the same once more, cache it, and apply all filters again; tells what changed."""
        asked = source or (None if self.search is None else _Asked(self.archive, self.search, refresh=True))
        return super().refresh(asked)

    @property
    def folder(self) -> Path:
        """Where light-curve files and images of this mission are kept."""
        return Path(self.raw_data_path)

    def obs_ids_of(self, archive_id: Any) -> list[str]:
        """The ObsIDs of what the archive calls so: plate, visit, exposure, target. Raises MissionValueError."""
        wanted = str(archive_id).strip().lower()
        found = []
        for name in ("ObsID", *self.id_columns):
            mask = pc.equal(pc.utf8_lower(self._table[name].cast(pa.string())), wanted)
            found += self._table["ObsID"].filter(mask).to_pylist()
        if not found:
            raise MissionValueError(
                f"{wanted[:60]!r} is none of the {self.num_obs} observations of {self.pretty_name}",
                hint=f"Looked for in {', '.join(('ObsID', *self.id_columns))}.",
            )
        return list(dict.fromkeys(found))

    def row_of(self, obs_id: str) -> dict[str, Any]:
        """An observation's row. Raises MissionValueError when the table has none of that ID."""
        row = pc.index(self._table["ObsID"], str(obs_id)).as_py()
        if row < 0:
            raise MissionValueError(f"observation {str(obs_id)[:80]!r} is not in the table of {self.pretty_name}")
        return {name: self._table[name][row].as_py() for name in self._table.column_names}

    def image(self, obs_id: str, *, refresh: bool = False) -> Path:
        """The path of an observation's image (FITS), fetched unless it is here. Raises what fetching raises."""
        remote = self.archive.image_of(self.row_of(obs_id))  # type: ignore[attr-defined]
        return self.archive.fetched(remote, self.folder / obs_id / name_of(remote), refresh=refresh)

    def get_image_path(self, obs_id: str, lo_en: Any = None, hi_en: Any = None, inst: str | None = None) -> str:
        """The path of an image, fetched unless it is here. These missions have no energy bands."""
        if lo_en is not None or hi_en is not None:
            raise MissionValueError(f"images of {self.pretty_name} have no energy bands")
        return str(self.image(obs_id))

    def light_curve(self, source: Any = None, **how: Any) -> LightCurveTable:
        """The light curve of a source. Raises MissionValueError where the archive has none."""
        raise MissionValueError(f"the archive of {self.pretty_name} has no light curves")


@dataclass(frozen=True)
class _Asked:
    """A search as the source of a mission's table."""

    archive: Any
    search: Search
    refresh: bool = False

    def observations(self, declaration: Declaration) -> tuple[pa.Table, str]:
        rows, where = self.archive.observations(self.search, refresh=self.refresh)
        return rows, where


class ImageDownloader:
    """Downloads the images of chosen observations, one each, into a directory for each ObsID."""

    def __init__(self, archive: Any) -> None:
        self.archive = archive

    def download(self, order: Order) -> list[str]:
        """The ObsIDs whose image is on disk after :meth:`fetch`."""
        return self.fetch(order).whole

    def fetch(self, order: Order, progress: Progress | None = None) -> DownloadReport:
        """Fetch all; a failed one never stops the others."""
        orders, refused = self._orders(order)
        for one in orders.values():
            one.target.parent.mkdir(parents=True, exist_ok=True)
        report = fetch_files(
            orders.values(),
            self.archive.client,
            parallel=order.connections,
            progress=progress,
            ledger=self.archive.downloads,
        )
        owner = {str(one.target): obs_id for obs_id, one in orders.items()}
        rows = tuple(
            WholeObservation(
                owner[str(row.order.target)], 1, row.order.target.stat().st_size, row.received_bytes, row.was_there
            )
            for row in report.rows
        )
        failed = [
            ObservationProblem(
                owner[str(p.order.target)], str(p.error), ((p.order.remote.name, p.reason),), p.may_pass,
                isinstance(p.error, Refused),
            )
            for p in report.problems
        ]  # fmt: skip
        return DownloadReport(rows, (*refused, *failed))

    def plan(self, order: Order) -> DownloadPlan:
        """The files :meth:`fetch` would fetch. Where addresses must be asked for, they are."""
        orders, refused = self._orders(order)
        files = tuple(
            PlannedFile(obs_id, one.remote.identity, one.target, one.remote.size_bytes, one.target.is_file())
            for obs_id, one in orders.items()
        )
        return DownloadPlan(files, tuple(refused), tuple(one.obs_id for one in files if one.is_here))

    def _orders(self, order: Order) -> tuple[dict[str, FileOrder], list[ObservationProblem]]:
        def asked(row: dict[str, Any]) -> RemoteFile | SkyvaultError:
            try:
                return self.archive.image_of(row)  # type: ignore[no-any-return]
            except SkyvaultError as error:
                return error

        orders: dict[str, FileOrder] = {}
        refused = []
        rows = order.rows.to_pylist()
        # addresses of some archives must be asked for, one by one
        answers = side_by_side(asked, rows, parallel=order.connections, name="addresses")
        for row, remote in zip(rows, answers, strict=True):
            obs_id = str(row["ObsID"])
            if isinstance(remote, SkyvaultError):
                error = remote
                refused.append(
                    ObservationProblem(
                        obs_id, str(error), (), isinstance(error, TransientError), isinstance(error, Refused)
                    )
                )
                continue
            orders[obs_id] = FileOrder(remote, order.directory / obs_id / name_of(remote))
        return orders, refused


@dataclass(frozen=True)
class _Resolver:
    """The default resolver, made only for names that need it."""

    settings: Settings

    def resolve(self, names: Sequence[str]) -> dict[str, tuple[float, float]]:
        known = default_archives(self.settings).resolver
        return {} if known is None else dict(known.resolve(names))


def fetch_all(
    archive: ArchiveService, wanted: Sequence[tuple[RemoteFile, Path]], *, refresh: bool = False
) -> list[Path]:
    """All files at their places, side by side. Raises the first fault, after everything else has come."""
    for _, target in wanted:
        target.parent.mkdir(parents=True, exist_ok=True)
    orders = [FileOrder(remote, target) for remote, target in wanted]
    report = fetch_files(
        orders, archive.client, parallel=archive.politeness.connections, ledger=archive.downloads, refresh=refresh
    )
    if report.problems:
        raise report.problems[0].error
    return [target for _, target in wanted]


def name_of(remote: RemoteFile) -> str:
    """The file's name at its archive: the last word of its path, or of a parameter that holds one."""
    from urllib.parse import parse_qsl, urlsplit

    parts = urlsplit(remote.url)
    words = [parts.path, *(value for key, value in parse_qsl(parts.query) if key in ("uri", "ID", "file"))]
    names = [word.rstrip("/").rpartition("/")[2] for word in words]
    name = next((n for n in reversed(names) if n.endswith((".fits", ".fz", ".gz"))), names[0])
    safe = "".join(c if c.isalnum() or c in "._+-" else "_" for c in name)[:200].lstrip(".")
    return safe or "image.fits"
