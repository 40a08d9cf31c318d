"""ESA's XMM-Newton Science Archive: a TAP service, and observation data files in tar archives."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from skyvault.errors import NotFound
from skyvault.sandbox.emulation import Emulation, HeldTable, Place
from skyvault.sandbox.event_files import Seen, file_bytes
from skyvault.sandbox.file_answers import Bodies, file_answer, refusal
from skyvault.sandbox.present_files import odf_names
from skyvault.sandbox.renamed_column import RenamedColumn
from skyvault.sandbox.tar_files import tar, tar_gz
from skyvault.sandbox.xmm_log import all_observations


class Xsa(Emulation):
    """The archive. Tables at /xsa/tap; files at /xsa/nxsa-sl/servlet/data-action-aio?obsno=...&level=ODF.

    Data that are not public yet are given to the user "observer" with the password "plates".
    """

    name: ClassVar[str] = "xsa"
    services: ClassVar[Mapping[str, str]] = {"tap": "/tap", "files": "/nxsa-sl/servlet/"}

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._lock = threading.Lock()
        self._made: dict[str, dict[str, Any]] = {}
        self._bodies = Bodies()

    def tables(self) -> Iterable[HeldTable]:
        """xsa.v_all_observations."""
        return (all_observations(),)

    def routes(self) -> Sequence[BaseRoute]:
        """The servlet that hands out observations; it has a short name, too."""
        return [Route(path, self._answer, methods=["GET"]) for path in ("/nxsa-sl/servlet/data-action-aio", "/data")]

    def middleware(self) -> Sequence[Middleware]:
        """The fault "renamed-column"."""
        return [Middleware(RenamedColumn, archive=self.name, faults=self.place.faults)]

    # --- the truth, for tests --------------------------------------------------------------------------------------

    def files_of(self, mission: str, obs_id: str) -> dict[str, bytes]:
        """{name: bytes} of an observation's data files as they lie in the inner tar archive, and its manifest.

        ``mission`` is "xmm_pointed". Raises NotFound.
        """
        row = self._rows.get(obs_id)
        if row is None or mission != "xmm_pointed":
            raise NotFound(f"the sandbox has no files of {mission}'s observation {obs_id}")
        seen = _seen(row)
        return {one.path: file_bytes(seen, one) for one in odf_names(seen, row["revolution"])}

    def observations(self, mission: str = "xmm_pointed") -> list[str]:
        """ObsIDs whose files everybody may have, in the order of the table; without slews."""
        return [obs_id for obs_id, row in self._rows.items() if _is_public(row)]

    def private_observations(self, mission: str = "xmm_pointed") -> list[str]:
        """ObsIDs whose files need a login."""
        return [obs_id for obs_id, row in self._rows.items() if not _is_public(row)]

    # --- serving ---------------------------------------------------------------------------------------------------

    @property
    def _rows(self) -> dict[str, dict[str, Any]]:
        with self._lock:
            if not self._made:
                for row in all_observations().rows.to_pylist():
                    if row["ra"] is not None and row["duration"] > 0 and row["observing_mode"] == "POINTED":
                        self._made[row["observation_id"]] = row
        return self._made

    def _answer(self, request: Request) -> Response:
        asked = {name.lower(): value for name, value in request.query_params.items()}
        obs_id, level = asked.get("obsno", ""), asked.get("level", "ODF").upper()
        row = self._rows.get(obs_id)
        if row is None:
            return PlainTextResponse(f"Observation {obs_id[:20]} is not available in the archive.\n", 404)
        if level != "ODF":
            return PlainTextResponse(f"There is no product of level {level[:20]}.\n", 404)
        if not _is_public(row) and (refused := refusal(request)) is not None:
            return refused
        body = self._bodies.get(obs_id, lambda: self._packed(obs_id, row))
        return file_answer(request, f"{obs_id}.tar.gz", body, _seen(row).modified, attachment=True)

    def _packed(self, obs_id: str, row: Mapping[str, Any]) -> bytes:
        """A packed tar archive that holds another one and the manifest."""
        modified = _seen(row).modified
        files = self.files_of("xmm_pointed", obs_id)
        outside = {name: body for name, body in files.items() if name.startswith("MANIFEST")}
        inside = tar({name: body for name, body in files.items() if name not in outside}, modified)
        return tar_gz({**outside, f"{row['revolution']:04d}_{obs_id}.TAR": inside}, modified)


def _seen(row: Mapping[str, Any]) -> Seen:
    start = (datetime.fromisoformat(row["start_utc"]) - datetime(1858, 11, 17)).total_seconds() / 86400.0
    return Seen("xmm_pointed", row["observation_id"], row["target"], row["ra"], row["dec"], start, row["duration"])


def _is_public(row: Mapping[str, Any]) -> bool:
    ends = row["proprietary_end_date"]
    return ends is not None and datetime.fromisoformat(ends).replace(tzinfo=UTC) <= datetime.now(UTC)
