"""ESA's XMM-Newton Science Archive: a TAP service, and observation data files in tar archives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from skyvault.sandbox.emulation import Emulation, HeldTable
from skyvault.sandbox.xmm_log import all_observations


class Xsa(Emulation):
    """The archive. Tables at /xsa/tap; files at /xsa/nxsa-sl/servlet/data-action-aio?obsno=...&level=ODF."""

    name: ClassVar[str] = "xsa"
    services: ClassVar[Mapping[str, str]] = {"tap": "/tap", "files": "/nxsa-sl/servlet/"}

    def tables(self) -> Iterable[HeldTable]:
        """xsa.v_all_observations."""
        return (all_observations(),)
