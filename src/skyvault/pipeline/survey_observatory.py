"""What the real surveys have in common: their archives are asked politely, with credentials where there are any."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from skyvault.pipeline.observatory import Observatory, ParsObservatory
from skyvault.pipeline.observatory_credentials import credential_of

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.missions.service import ArchiveService


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

    def service_class(self) -> type[ArchiveService]:
        """How the archive is asked; for subclasses."""
        raise NotImplementedError

    @property
    def archive(self) -> Any:
        """The archive's services. Each process has its own connections."""
        if self._service is None or self._process != os.getpid():
            from skyvault.config import Settings

            service = self.service_class()(self.settings or Settings())
            credential = credential_of(self.pars.credentials, self.name)
            if credential is not None:
                for name in service.addresses:
                    service.client.credentials.add(service.address(name), credential)
            self._service, self._process = service, os.getpid()
        return self._service

    def __getstate__(self) -> dict[str, Any]:
        # connections and passwords in them stay in the process they were made in
        return {**self.__dict__, "_service": None, "_process": 0}
