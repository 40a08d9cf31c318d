"""The real archives behind the missions, at the addresses and with the credentials that the settings give."""

from __future__ import annotations

import atexit
import hashlib
import os
import threading
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyvault.config import Settings
from skyvault.errors import StoreError

if TYPE_CHECKING:
    from skyvault.ledger.downloads import Downloads
    from skyvault.missions.declaration import Declaration
    from skyvault.missions.fetch import ArchiveFiles
    from skyvault.missions.parse_name import Resolver
    from skyvault.missions.tap_source import ArchiveTables
    from skyvault.net.client import HttpClient


class Archives:
    """One way to all archives, for all missions of a process; each part is made when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._client: HttpClient | None = None
        self._ledger: Any = None
        self._resolver: Resolver | None = None
        self._lock = threading.RLock()

    @property
    def client(self) -> HttpClient:
        """The HTTP client that all share, so that manners hold over all of them."""
        with self._lock:
            if self._client is None:
                from skyvault.net.auth import Credentials
                from skyvault.net.client import Deadlines, HttpClient
                from skyvault.net.retry import RetryPolicy

                path = self.settings.credentials_file
                self._client = HttpClient(
                    credentials=None if path is None else Credentials.from_file(path),
                    retries=RetryPolicy(self.settings.archive_attempts, self.settings.archive_backoff_s),
                    deadlines=Deadlines(read_s=self.settings.archive_silence_s),
                )
            return self._client

    @property
    def tables(self) -> ArchiveTables:
        """Who asks archives for their tables of observations."""
        from skyvault.missions.tap_source import ArchiveTables

        return ArchiveTables(self.settings, self.client)

    @property
    def files(self) -> ArchiveFiles:
        """Who fetches files."""
        from skyvault.missions.fetch import ArchiveFiles

        return ArchiveFiles(self.settings, self.client, downloads=self._downloads_if_any)

    @property
    def resolver(self) -> Resolver | None:
        """Who knows where named objects are."""
        with self._lock:
            if self._resolver is None:
                try:
                    from skyvault.missions.sesame import Sesame
                except ImportError:
                    return None
                self._resolver = Sesame(self.settings, self.client)
            return self._resolver

    @property
    def downloads(self) -> Downloads:
        """Where it is written down what was fetched."""
        return self._downloads()

    def agree(self, declaration: Declaration) -> None:
        """Ask a mission's archive as politely as declared or set; mirrors have manners of their own."""
        from skyvault.net.addresses import host_of
        from skyvault.net.politeness import Manners

        wish = self.settings.politeness.get(declaration.archive)
        services = (
            (declaration.service, declaration.service_url),
            (declaration.files_service, declaration.files_url),
        )
        for service, default in services:
            url = self.settings.endpoint(declaration.archive, service, default)
            if wish is not None:
                manners = Manners(wish.get("connections", 8), wish.get("requests_per_minute") or None)
                self.client.politeness.prescribe(host_of(url), manners)
            elif host_of(url) == host_of(default):
                declared = declaration.politeness
                self.client.politeness.agree(host_of(url), Manners(declared.connections, declared.requests_per_minute))

    def close(self) -> None:
        """Close connections and ledger; what is used again is made anew."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            if self._ledger is not None:
                self._ledger.close()
            self._client = self._ledger = self._resolver = None

    def _downloads_if_any(self) -> Downloads | None:
        """Files are fetched all the same where nothing can be written down: each observation has its own manifest."""
        try:
            return self._downloads()
        except (StoreError, OSError) as error:
            import warnings

            from skyvault.missions.faults import MissionWarning

            reason = error.what if isinstance(error, StoreError) else error.strerror or type(error).__name__
            warnings.warn(
                f"what is fetched cannot be written down in {self.settings.home}: {reason.rstrip('.')}",
                MissionWarning,
                stacklevel=2,
            )
            return None

    def _downloads(self) -> Downloads:
        with self._lock:
            if self._ledger is None:
                from skyvault.ledger.ledger import open_ledger
                from skyvault.store.layout import Layout

                home = Path(self.settings.home)
                home.mkdir(parents=True, exist_ok=True)
                self._ledger = open_ledger(Layout(home).ledger)
            downloads: Downloads = self._ledger.downloads
            return downloads


def elsewhere(settings: Settings, *archives: str) -> str:
    """A word for the addresses at which the settings say that archives are; empty where all are at their own.

    What another archive of that name said, such as the sandbox's, must never pass for what the real one says.
    """
    own = {url for archive in archives for url in settings.endpoints.get(archive.lower(), {}).values()}
    if not own:
        return ""
    from urllib.parse import urlsplit

    host = urlsplit(min(own)).netloc.rpartition("@")[2]
    word = "".join(one if one.isalnum() or one in ".-" else "-" for one in host)[:60]
    return f"at-{word}-{hashlib.sha256(repr(sorted(own)).encode()).hexdigest()[:8]}"


def table_directory(settings: Settings, declaration: Declaration) -> Path:
    """Where a mission's table is cached."""
    archives = [one.archive for one in (declaration, declaration.alternative) if one is not None]
    return Path(settings.home) / "missions" / elsewhere(settings, *archives)


_shared: dict[str, Archives] = {}
_shared_lock = threading.Lock()


def default_archives(settings: Settings | None = None) -> Archives:
    """The archives by ``settings`` (by default this machine's); the same for the same settings in a process."""
    chosen = settings or Settings()
    names = ("home", "endpoints", "credentials_file", "politeness", "archive_attempts", "archive_backoff_s",
             "archive_silence_s")  # fmt: skip
    known = {one.name for one in fields(chosen)}
    key = repr([getattr(chosen, name) for name in names if name in known])
    with _shared_lock:
        if key not in _shared:
            _shared[key] = Archives(chosen)
        return _shared[key]


def close_all() -> None:
    """Close what all archives of this process hold open."""
    with _shared_lock:
        for one in _shared.values():
            one.close()
        _shared.clear()


atexit.register(close_all)

#: what a child process must not touch: connections and ledger of its parent
_of_the_parent: list[dict[str, Archives]] = []


def _begin_child() -> None:
    global _shared, _shared_lock
    # kept, not closed: closing would say goodbye on the parent's connections
    _of_the_parent.append(_shared)
    _shared, _shared_lock = {}, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_child)
