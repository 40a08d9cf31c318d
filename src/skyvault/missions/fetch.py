"""Observations from their archive to disk: files found, fetched side by side, checked, and marked whole one by one."""

from __future__ import annotations

import fnmatch
import os
import shutil
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from skyvault.config import Secret, Settings
from skyvault.errors import SkyvaultError, StoreError
from skyvault.ledger.downloads import Downloads
from skyvault.missions.declaration import Declaration
from skyvault.missions.download import Login, Order, file_id
from skyvault.missions.download_report import (
    DownloadPlan,
    DownloadReport,
    ObservationProblem,
    PlannedFile,
    WholeObservation,
)
from skyvault.missions.faults import MissionValueError, NoFilesError
from skyvault.missions.file_list import ListedFile, Listing, instruments_of
from skyvault.missions.listing import ArchiveTree
from skyvault.missions.manifest import Choice, KeptFile, kept_file, whole_files, write_manifest
from skyvault.missions.narrowing import make_copies
from skyvault.missions.wanted_files import Bundle
from skyvault.model.ports import Progress
from skyvault.net.addresses import host_of, shown_address
from skyvault.net.auth import Password
from skyvault.net.batch import FetchProblem, fetch_files
from skyvault.net.client import HttpClient
from skyvault.net.content import is_fits_start
from skyvault.net.download import Fetched
from skyvault.net.faults import Refused, Unreachable, WrongContent
from skyvault.net.fits_sums import refuse_damaged_fits
from skyvault.net.partial import disk_fault
from skyvault.net.remote_file import Order as FileOrder
from skyvault.net.remote_file import Packing, RemoteFile
from skyvault.net.stopping import side_by_side
from skyvault.net.unpack import unpack

#: ends of the names of files that are FITS at every archive
_FITS: Final = (".fits", ".fit", ".FIT", ".evt", ".img", ".totsky", ".totexpo")
#: where tar archives are unpacked before their files go to their observations
_BUNDLES: Final = ".bundles"


class ArchiveFiles:
    """The usual downloader: asks the archives at the addresses that the settings give.

    ``downloads`` gives the ledger's rows of files, where there shall be any.
    """

    def __init__(
        self, settings: Settings, client: HttpClient, *, downloads: Callable[[], Downloads | None] = lambda: None
    ) -> None:
        self.settings = settings
        self.client = client
        self._downloads = downloads

    def download(self, order: Order) -> list[str]:
        """The ObsIDs that are whole on disk after :meth:`fetch`."""
        return self.fetch(order).whole

    def fetch(self, order: Order, progress: Progress | None = None) -> DownloadReport:
        """Fetch all observations of an order. One that is whole already is not looked for at the archive again.

        A failed observation stops no other; Ctrl-C keeps what came and is raised. Raises MissionValueError before
        anything is fetched.
        """
        work = _Work(self, order)
        work.find(progress)
        work.fetch(progress)
        return work.report()

    def plan(self, order: Order) -> DownloadPlan:
        """The files of an order, from the archive's lists; no file is fetched."""
        work = _Work(self, order)
        work.find(None)
        planned = [
            PlannedFile(
                one.obs_id, shown_address(listed.url), order.directory / listed.path, listed.about_bytes, is_here
            )
            for one in work.observations
            for listed in one.files
            for is_here in ((order.directory / listed.path).is_file(),)
        ]
        planned += [
            PlannedFile(obs_id, shown_address(url), order.directory / obs_id, None, False)
            for url, obs_ids in work.bundles.items()
            for obs_id in obs_ids[:1]
        ]
        problems = tuple(one.problem for one in work.observations if one.problem)
        return DownloadPlan(tuple(planned), problems, tuple(one.obs_id for one in work.observations if one.whole))

    def base(self, declaration: Declaration) -> str:
        """Where the archive's files are, with a slash at its end."""
        url = self.settings.endpoint(declaration.archive, declaration.files_service, declaration.files_url)
        return url.rstrip("/") + "/"


@dataclass(slots=True)
class _Observation:
    obs_id: str
    row: Mapping[str, Any]
    files: list[ListedFile] = field(default_factory=list)
    left: int = 0
    received: int = 0
    whole: WholeObservation | None = None
    problem: ObservationProblem | None = None
    faults: list[FetchProblem] = field(default_factory=list)

    def fail(self, error: SkyvaultError) -> None:
        hint = f" {error.hint}" if error.hint else ""
        self.problem = ObservationProblem(
            self.obs_id,
            f"{error.what.rstrip('.')}.{hint}",
            may_pass=isinstance(error, Unreachable),
            is_refused=isinstance(error, Refused),
        )


class _Work:
    """One download under way."""

    def __init__(self, archive: ArchiveFiles, order: Order) -> None:
        self.client = archive.client
        self.order = order
        self.declaration = order.declaration
        self.base = archive.base(order.declaration)
        self.root = order.directory
        self.ledger = archive._downloads()
        wanted = self.declaration.wanted()
        if not wanted:
            raise MissionValueError(f"{self.declaration.pretty_name} does not say which files are wanted")
        version = order.pipeline_version
        if version is not None and not self.declaration.has_versions:
            raise MissionValueError(f"{self.declaration.pretty_name} has no pipeline versions to choose from")
        if version is not None and not (version.isascii() and version.isdigit() and len(version) < 10):
            raise MissionValueError(f"pipeline_version {version!r} is no number")
        self.choice = Choice(
            tuple(sorted(order.instruments)) if any(one.needs_instruments for one in wanted) else (),
            order.with_products and any(one.when != "always" for one in wanted),
            version,
        )
        self.observations = [_Observation(str(row["ObsID"]), row) for row in order.rows.to_pylist()]
        self.by_id = {one.obs_id: one for one in self.observations}
        #: address of a tar archive -> the observations in it
        self.bundles: dict[str, list[str]] = {}
        self.shared: dict[Path, list[_Observation]] = {}
        self.lock = threading.Lock()

    # -- what is wanted -------------------------------------------------------------------------------------------

    def find(self, progress: Progress | None) -> None:
        """Look for the files of every observation that is not whole."""
        missing = []
        for one in self.observations:
            files = whole_files(self.root, one.obs_id, self.choice)
            if files is None:
                missing.append(one)
            else:
                one.whole = WholeObservation(one.obs_id, len(files), sum(f.size_bytes for f in files), was_there=True)
                self._narrow(one, [self.root / f.path for f in files])
        if self.declaration.bundle is not None:
            for one in missing:
                self._find_bundle(one, self.declaration.bundle)
            return
        listing = Listing(
            ArchiveTree(self.client),
            self.declaration,
            self.base,
            self.order.instruments,
            self.order.with_products,
            self.order.pipeline_version,
        )

        def look(one: _Observation) -> None:
            try:
                one.files = listing.files(one.row, self._credential(one.obs_id))
            except SkyvaultError as error:
                one.fail(error)
            if progress is not None:
                with self.lock:
                    progress.advance(1)

        if progress is not None and missing:
            progress.start(f"files of {len(missing)} observations", len(missing))
        try:
            side_by_side(look, missing, parallel=self.order.connections, name="list")
        finally:
            if progress is not None and missing:
                progress.finish()

    def _find_bundle(self, one: _Observation, bundle: Bundle) -> None:
        address = bundle.address
        try:
            if address.startswith("{") and address.endswith("}"):
                url = self._own_address(str(one.row.get(address[1:-1]) or ""))
            else:
                url = self.base + address.format(oi=file_id(self.declaration, one.obs_id))
        except SkyvaultError as error:
            one.fail(error)
            return
        self.bundles.setdefault(url, []).append(one.obs_id)

    def _own_address(self, url: str) -> str:
        """An address out of the table: only this archive's, or the same file where the settings say it is."""
        for known in (self.base, self.declaration.files_url):
            if url.startswith(known) and ".." not in url:
                return self.base + url[len(known) :]
        raise NoFilesError(
            f"the table's address {shown_address(url)[:200] if '://' in url else url[:80]!r} is not the archive's"
        )

    def _credential(self, obs_id: str) -> Password | None:
        login: Login | None = self.order.logins.get(obs_id) or self.order.logins.get("")
        return None if login is None else Password(login.user, Secret(login.password))

    # -- fetching -------------------------------------------------------------------------------------------------

    def fetch(self, progress: Progress | None) -> None:
        """Fetch the files of all observations, all together."""
        orders: dict[Path, FileOrder] = {}
        for one in self.observations:
            for listed in one.files:
                target = self.root / listed.path
                sharing = self.shared.setdefault(target, [])
                sharing.append(one)
                if target not in orders:
                    orders[target] = self._file_order(one, listed)
            one.left = len(one.files)
        for url, obs_ids in self.bundles.items():
            target = self.root / _BUNDLES / _bundle_name(url)
            self.shared[target] = [self.by_id[obs_id] for obs_id in obs_ids]
            label = f"ObsID {obs_ids[0]}" if len(obs_ids) == 1 else f"ObsIDs {obs_ids[0]} to {obs_ids[-1]}"
            remote = RemoteFile(url=url, label=label, packing=Packing.TAR, credential=self._credential(obs_ids[0]))
            orders[target] = FileOrder(remote, target)
        if not orders:
            return
        fetch_files(
            orders.values(),
            self.client,
            parallel=self.order.connections,
            progress=progress,
            ledger=self.ledger,
            on_done=self._done,
        )
        self._sweep()

    def _file_order(self, one: _Observation, listed: ListedFile) -> FileOrder:
        is_fits = listed.path.name.endswith(_FITS)
        name = f"ObsID {one.obs_id}, {listed.path.name}"
        remote = RemoteFile(
            url=listed.url,
            label=name,
            packing=listed.packing,
            content="fits" if is_fits else "any",
            verify=partial(_refuse_damage, name=name),
            credential=self._credential(one.obs_id),
        )
        return FileOrder(remote, self.root / listed.path)

    def _done(self, result: Fetched | FetchProblem) -> None:
        """A file came, or did not. Called in the thread that fetched it."""
        sharing = self.shared[result.order.target]
        if self.declaration.bundle is not None:
            for one in sharing:
                self._unbundle(one, result)
            return
        for number, one in enumerate(sharing):
            with self.lock:
                one.left -= 1
                if isinstance(result, FetchProblem):
                    one.faults.append(result)
                elif number == 0:
                    one.received += result.received_bytes
                is_last = one.left == 0 and not one.faults
            if is_last:
                self._finish(one, [(self.root / listed.path, listed.url) for listed in one.files])

    def _finish(self, one: _Observation, files: Sequence[tuple[Path, str]]) -> None:
        """All files of an observation are there: write them down."""
        try:
            kept: list[KeptFile] = [kept_file(self.root, path, shown_address(url)) for path, url in files]
            self._narrow(one, [path for path, _ in files])
            if one.problem is not None:
                return
            write_manifest(self.root, one.obs_id, self.choice, kept)
        except OSError as error:
            one.fail(disk_fault(error, self.root / one.obs_id))
            return
        except SkyvaultError as error:
            one.fail(error)
            return
        one.whole = WholeObservation(one.obs_id, len(kept), sum(f.size_bytes for f in kept), one.received)

    def _narrow(self, one: _Observation, files: Iterable[Path]) -> None:
        """Where fewer detectors are wanted than share an event list: a copy with theirs alone."""
        if self.declaration.narrowing is not None:
            try:
                make_copies(files, self.declaration.narrowing, self.order.instruments)
            except SkyvaultError as error:
                one.whole = None
                one.fail(error)

    # -- tar archives ---------------------------------------------------------------------------------------------

    def _unbundle(self, one: _Observation, result: Fetched | FetchProblem) -> None:
        if isinstance(result, FetchProblem):
            one.faults.append(result)
            return
        one.received += result.received_bytes // max(1, len(self.shared[result.order.target]))
        try:
            files = self._files_of_bundle(one, result.order)
        except OSError as error:
            one.fail(disk_fault(error, self.root / one.obs_id))
        except SkyvaultError as error:
            one.fail(error)
        else:
            self._finish(one, [(path, result.order.remote.url) for path in files])

    def _files_of_bundle(self, one: _Observation, order: FileOrder) -> list[Path]:
        """Put the wanted files of an unpacked tar archive into the observation's directory, without moving any."""
        bundle = self.declaration.bundle
        assert bundle is not None
        folder = order.target
        if bundle.is_nested:
            inner = [path for path in folder.rglob("*") if path.is_file() and path.name.lower().endswith(".tar")]
            for path in inner:
                # a second one is no fault; what is inside decides
                unpack(path, path.with_name(f"{path.name}.unpacked"), order.remote)
        oi = file_id(self.declaration, one.obs_id)
        insts = instruments_of(self.declaration, self.order.instruments, one.row)
        found: list[Path] = []
        for wanted in bundle.wanted:
            if not wanted.is_wanted(insts, self.order.with_products):
                continue
            names = wanted.names(oi, insts)
            hits = [
                path
                for path in sorted(folder.rglob("*"))
                if path.is_file()
                and any(fnmatch.fnmatchcase(path.name, name) for name in names)
                and not wanted.is_left_out(path.name, oi)
                and not path.name.lower().endswith(".tar")
            ]
            if wanted.required and not hits:
                raise NoFilesError(f"the archive's tar file has no {', '.join(names)}", where=f"ObsID {one.obs_id}")
            found += hits
        if not found:
            raise NoFilesError(
                "the archive's tar file has none of the files that are wanted", where=f"ObsID {one.obs_id}"
            )
        for path in found:
            _refuse_damage(path, f"ObsID {one.obs_id}, {path.name}")
        directory = self.root / one.obs_id
        directory.mkdir(parents=True, exist_ok=True)
        return [_linked(path, directory / path.name) for path in found]

    def _sweep(self) -> None:
        """Delete the folders of tar archives: what was wanted from them lies with the observations now."""
        for target in self.shared:
            if target.parent.name == _BUNDLES and target.is_dir():
                done = target.with_name(f"{target.name}.done")
                shutil.rmtree(done, ignore_errors=True)
                os.replace(target, done)
                shutil.rmtree(done, ignore_errors=True)
                if self.ledger is not None:
                    self.ledger.forget(target)
        folder = self.root / _BUNDLES
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    # -- the report -----------------------------------------------------------------------------------------------

    def report(self) -> DownloadReport:
        rows, problems = [], []
        for one in self.observations:
            if one.whole is not None:
                rows.append(one.whole)
            else:
                problems.append(one.problem or self._problem(one))
        return DownloadReport(tuple(rows), tuple(problems))

    def _problem(self, one: _Observation) -> ObservationProblem:
        if not one.faults:
            return ObservationProblem(one.obs_id, "it was not fetched", may_pass=True)
        first = next((f for f in one.faults if isinstance(f.error, Refused)), one.faults[0])
        more = f" ({len(one.faults)} of {max(1, len(one.files))} files)" if len(one.faults) > 1 else ""
        # what the disk says is about a place here
        is_ours = isinstance(first.error, StoreError)
        where = str(self.root) if is_ours else host_of(first.order.remote.url)
        reason = f"{first.error.what.rstrip('.')}{more}, {where}."
        return ObservationProblem(
            one.obs_id,
            f"{reason} {first.error.hint}" if first.error.hint else reason,
            tuple((fault.order.target.name, fault.reason) for fault in one.faults),
            may_pass=all(fault.may_pass for fault in one.faults),
            is_refused=isinstance(first.error, Refused),
        )


def _linked(source: Path, target: Path) -> Path:
    """The file under a second name; a copy where the disk has no links."""
    beside = target.with_name(f".{target.name}.part")
    beside.unlink(missing_ok=True)
    try:
        os.link(source, beside)
    except OSError:
        shutil.copyfile(source, beside)
    os.replace(beside, target)
    # replacing a name by another of the same file does nothing and leaves both
    beside.unlink(missing_ok=True)
    return target


def _bundle_name(url: str) -> str:
    """A folder's name for a tar archive, different for different addresses."""
    import hashlib

    path = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    stem = "".join(c if c.isalnum() or c in "_-" else "_" for c in path.partition(".")[0])[:60]
    return f"{stem}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def _refuse_damage(path: Path, name: str) -> None:
    """FITS files and packed files carry sums of their own, whatever they are called; these must be right."""
    with path.open("rb") as file:
        start = file.read(16)
    if is_fits_start(start):
        refuse_damaged_fits(path, name)
    elif start.startswith(b"\x1f\x8b"):
        _refuse_damaged_gzip(path, name)


def _refuse_damaged_gzip(path: Path, name: str) -> None:
    stream = zlib.decompressobj(wbits=31)
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                while block and not stream.eof:
                    stream.decompress(block, 1 << 20)
                    block = stream.unconsumed_tail
                if stream.eof:
                    return
    except zlib.error:
        raise WrongContent("the packed file is damaged", where=name) from None
    raise WrongContent("the packed file is cut", where=name)
