"""NASA's HEASARC: the observing logs of ten X-ray missions by TAP, and their files below /FTP/."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, Final

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skyvault.errors import NotFound
from skyvault.sandbox import past_missions, present_missions
from skyvault.sandbox.directory_tree import DirectoryTree
from skyvault.sandbox.emulation import Emulation, HeldTable, Place
from skyvault.sandbox.heasarc_files import roots
from skyvault.sandbox.observation_root import Root
from skyvault.sandbox.queries import OpenSchema
from skyvault.sandbox.renamed_column import RenamedColumn

#: mission -> its table
TABLES: Final[Mapping[str, Callable[[], HeldTable]]] = {
    "xmm_pointed": present_missions.xmmmaster,
    "chandra": present_missions.chanmaster,
    "nustar_pointed": present_missions.numaster,
    "swift": present_missions.swiftmastr,
    "xrism_pointed": present_missions.xrismmastr,
    "rosat_pointed": past_missions.rosmaster,
    "rosat_all_sky": past_missions.rassmaster,
    "asca": past_missions.ascamaster,
    "suzaku": past_missions.suzamaster,
    "integral_pointed": past_missions.intscwpub,
}
_INTEGRAL: Final = "integral/data"


class Heasarc(Emulation):
    """The archive. Tables are in the schema public and may be named without it; files lie below /heasarc/FTP/.

    Data that are not public yet are given to the user "observer" with the password "plates". Chandra's observation
    15541 has an event list of 40 MB; NuSTAR's 60001003002 has no event_cl; ROSAT's RP700068N00 exists only in the
    layout of the first processing.
    """

    name: ClassVar[str] = "heasarc"
    services: ClassVar[Mapping[str, str]] = {"tap": "/tap", "files": "/FTP/"}

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._lock = threading.Lock()
        self._made: tuple[DirectoryTree, dict[tuple[str, str], Root]] | None = None

    def tables(self) -> Iterable[HeldTable]:
        """The ten observing logs."""
        return [table() for table in TABLES.values()]

    def routes(self) -> Sequence[BaseRoute]:
        """The directory tree."""
        return [Route("/FTP/{path:path}", self._answer, methods=["GET"])]

    def middleware(self) -> Sequence[Middleware]:
        """What queries pass: the fault "renamed-column", and the schema's name without quotes."""
        return [
            Middleware(RenamedColumn, archive=self.name, faults=self.place.faults),
            Middleware(OpenSchema, archive=self.name),
        ]

    # --- the truth, for tests --------------------------------------------------------------------------------------

    def files_of(self, mission: str, obs_id: str) -> dict[str, bytes]:
        """{path below the observation's directory: bytes as they are sent} of all the archive holds of it.

        ``mission`` is a mission's name ("chandra"). Raises NotFound.
        """
        return self._tree.files(self._root(mission, obs_id))

    def path_of(self, mission: str, obs_id: str) -> str:
        """The observation's directory below /FTP/, such as chandra/data/byobsid/1/15541. Raises NotFound."""
        return self._root(mission, obs_id).path

    def shared_files_of(self, obs_id: str) -> dict[str, bytes]:
        """{path below /FTP/: bytes} of what INTEGRAL's science window shares with the others of its revolution."""
        turn = obs_id[:4]
        found: dict[str, bytes] = {}
        for path in (f"{_INTEGRAL}/scw/{turn}/rev.001", *(f"{_INTEGRAL}/aux/adp/{turn}.00{n}" for n in (1, 2))):
            root = self._tree.root(path)
            if root is not None:
                found |= {f"{path}/{name}": body for name, body in self._tree.files(root).items()}
        return found

    def observations(self, mission: str) -> list[str]:
        """ObsIDs of a mission whose files everybody may read, in the order of its table."""
        return [obs_id for (of, obs_id), root in self._all[1].items() if of == mission and root.is_public]

    def private_observations(self, mission: str) -> list[str]:
        """ObsIDs of a mission whose files need a login."""
        return [obs_id for (of, obs_id), root in self._all[1].items() if of == mission and not root.is_public]

    # --- serving ---------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Response:
        return self._tree.answer(request, request.path_params["path"], f"/{self.name}/FTP/")

    @property
    def _tree(self) -> DirectoryTree:
        return self._all[0]

    @property
    def _all(self) -> tuple[DirectoryTree, dict[tuple[str, str], Root]]:
        with self._lock:
            if self._made is None:
                found = [
                    (mission, root)
                    for mission, table in TABLES.items()
                    for root in roots(mission, table().rows.to_pylist())
                ]
                of_ids: dict[tuple[str, str], Root] = {}
                for mission, root in found:
                    if not root.is_shared:
                        of_ids.setdefault((mission, root.seen.obs_id), root)
                self._made = DirectoryTree(root for _, root in found), of_ids
        return self._made

    def _root(self, mission: str, obs_id: str) -> Root:
        root = self._all[1].get((mission, obs_id))
        if root is None:
            raise NotFound(f"the sandbox has no files of {mission}'s observation {obs_id}")
        return root
