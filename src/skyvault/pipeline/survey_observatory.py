"""What the real surveys have in common: their archives are asked politely, with credentials where there are any."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from skyvault.pipeline.observatory import Observatory, ParsObservatory
from skyvault.pipeline.observatory_credentials import credential_of

if TYPE_CHECKING:
    from pathlib import Path

    from skyvault.config import Settings
    from skyvault.missions.service import ArchiveService
    from skyvault.net.remote_file import RemoteFile


@functools.cache
def unkept(mission: type[Any]) -> type[Any]:
    """A mission of variable stars whose answers are not kept a second time: they become raw data."""

    class Unkept(mission):  # type: ignore[misc]
        def _archive_of(self, settings: Any, client: Any) -> Any:
            archive = super()._archive_of(settings, client)
            archive.cache.limit_bytes = 0
            return archive

    return Unkept


class ParsSurvey(ParsObservatory):
    """How a real survey is asked."""

    #: downloads at once, as many as the survey's archive is content with
    connections: ClassVar[int] = 4

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_threads_download = self.connections
        self.add_par("refresh", False, bool, "ask the archive anew, even where its answer is kept", critical=False)


class SurveyObservatory(Observatory):
    """An observatory whose data come from an archive on the network.

    ``settings`` say where the archive is and how politely it is asked (``SKYVAULT_POLITENESS__<ARCHIVE>__CONNECTIONS``
    and ``..._REQUESTS_PER_MINUTE``); by default this machine's.
    """

    pars_class = ParsSurvey
    pars: Any

    def __init__(self, *, settings: Settings | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = settings
        self._service: ArchiveService | None = None
        self._process = 0
        self._processes = 1
        self._making = threading.Lock()

    def service_class(self) -> type[ArchiveService]:
        """How the archive is asked; for subclasses."""
        raise NotImplementedError

    @property
    def archive(self) -> Any:
        """The archive's services. Each process has its own connections."""
        with self._making:
            return self._own_service()

    def _own_service(self) -> Any:
        if self._service is None or self._process != os.getpid():
            from skyvault.config import Settings

            service = self.service_class()(self.settings or Settings())
            credential = credential_of(self.pars.credentials, self.name)
            if credential is not None:
                for name in service.addresses:
                    service.client.credentials.add(service.address(name), credential)
            # what came is kept as raw data: no second copy in the cache of answers
            service.cache.limit_bytes = 0
            self._share(service)
            self._service, self._process = service, os.getpid()
        return self._service

    def _share(self, service: ArchiveService) -> None:
        """Of several processes each takes its part of what the archive likes."""
        from skyvault.net.addresses import host_of
        from skyvault.net.politeness import Manners

        politeness, parts = service.client.politeness, self._processes
        if parts <= 1:
            return
        wish = service.settings.politeness.get(service.archive)
        for name, public in service.addresses.items():
            host = host_of(service.address(name))
            if wish is not None:
                whole = Manners(wish.get("connections", 8), wish.get("requests_per_minute") or None)
            elif host == host_of(public):
                whole = Manners(service.politeness.connections, service.politeness.requests_per_minute)
            else:
                # a mirror or a sandbox
                whole = Manners()
            rate = whole.requests_per_minute
            politeness.prescribe(
                host, Manners(max(1, whole.connections // parts), None if rate is None else max(1, rate // parts))
            )

    def begin_process(self, processes: int) -> None:
        self._processes, self._making = processes, threading.Lock()

    def _fetched(self, wanted: Sequence[tuple[RemoteFile, str]], folder: Path) -> None:
        """Files into a folder, side by side; those that are there are not asked for again. Raises the first fault."""
        from skyvault.missions.time_domain import fetch_all

        folder.mkdir(parents=True, exist_ok=True)
        fetch_all(self.archive, [(remote, folder / name) for remote, name in wanted])

    def __getstate__(self) -> dict[str, Any]:
        # connections and passwords in them stay in the process they were made in
        return {**self.__dict__, "_service": None, "_process": 0, "_making": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._making = threading.Lock()
