"""The files of an observation that are wanted, found in its archive's directories."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from skyvault.missions.declaration import Declaration
from skyvault.missions.download import directory_url, file_id
from skyvault.missions.faults import NoFilesError
from skyvault.missions.listing import ArchiveTree, Entry
from skyvault.missions.wanted_files import Wanted, filled
from skyvault.net.auth import Password
from skyvault.net.remote_file import Packing

#: folders within folders of shared directories
_DEEPEST: Final = 6


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A wanted file: where from, where to (below the mission's raw directory), how packed."""

    url: str
    path: Path
    packing: Packing
    about_bytes: int | None


@dataclass(frozen=True, slots=True)
class Listing:
    """How the wanted files of one mission's observations are found.

    ``base`` is the address of the archive's files; ``with_products`` and ``version`` are as asked for.
    """

    tree: ArchiveTree
    declaration: Declaration
    base: str
    instruments: tuple[str, ...]
    with_products: bool
    version: str | None = None

    def files(self, row: Mapping[str, Any], credential: Password | None = None) -> list[ListedFile]:
        """All wanted files of an observation, a row of the mission's table.

        Raises NoFilesError naming what the archive lacks, and what :meth:`ArchiveTree.entries` raises.
        """
        obs_id = str(row["ObsID"])
        oi = file_id(self.declaration, obs_id)
        insts = instruments_of(self.declaration, self.instruments, row)
        home = directory_url(self.declaration, row, self.base)
        found: dict[Path, ListedFile] = {}
        lacking: list[str] = []
        for one in self.declaration.files:
            if not one.is_wanted(insts, self.with_products):
                continue
            if one.shared_root is None:
                start, place, folder = home, Path(obs_id), filled_folder(one.folder, oi)
            else:
                start, place = self.base + self.declaration.shared_directory, Path()
                folder = filled_folder(one.shared_root, oi)
            names = one.names(oi, insts)
            met: set[str] = set()
            for entry, url, below in self._entries(start, folder, one, credential):
                hits = [name for name in names if fnmatch.fnmatchcase(entry.name, name)]
                if not hits or one.is_left_out(entry.name, oi):
                    continue
                met.update(hits)
                listed = _listed(one, entry, url, place / below, oi)
                found.setdefault(listed.path, listed)
            if one.required:
                lacking += [
                    f"{folder.replace('{version}', '*')}/{name}".lstrip("/") for name in names if name not in met
                ]
        if lacking:
            raise NoFilesError(
                f"the archive has no {', '.join(lacking[:4])}{' ...' if len(lacking) > 4 else ''}",
                where=f"ObsID {obs_id}",
            )
        if not found:
            raise NoFilesError("the archive has none of the files that are wanted", where=f"ObsID {obs_id}")
        return list(found.values())

    def _entries(
        self, start: str, folder: str, one: Wanted, credential: Password | None
    ) -> Iterator[tuple[Entry, str, Path]]:
        """Files of a folder with their addresses and places below; nothing where its parent lists no such folder.

        A folder that is listed but then not to be had is a fault, lest an observation seem whole without it.
        """
        url, below = start, Path()
        for segment in filter(None, folder.split("/")):
            if one.shared_root is not None and "{version}" not in segment:
                name: str | None = segment
            else:
                name = self._segment(self.tree.entries(url, credential), segment)
            if name is None:
                return
            url, below = f"{url}{quote(name)}/", below / name
        yield from self._walk(url, below, one.deep, credential, _DEEPEST)

    def _walk(
        self, url: str, below: Path, is_deep: bool, credential: Password | None, depth: int
    ) -> Iterator[tuple[Entry, str, Path]]:
        for entry in self.tree.entries(url, credential).values():
            there = url + quote(entry.name)
            if not entry.is_directory:
                yield entry, there, below
            elif is_deep and depth:
                yield from self._walk(f"{there}/", below / entry.name, True, credential, depth - 1)

    def _segment(self, entries: Mapping[str, Entry], segment: str) -> str | None:
        """The name of a folder; of several versions the newest, or the one that was asked for."""
        if "{version}" not in segment:
            return segment if segment in entries and entries[segment].is_directory else None
        before, _, after = segment.partition("{version}")
        pattern = re.compile(rf"{re.escape(before)}(\d{{1,9}}){re.escape(after)}")
        versions = {
            match[1]: name
            for name, entry in entries.items()
            if entry.is_directory and (match := pattern.fullmatch(name))
        }
        if self.version is not None and self.declaration.has_versions:
            asked = [name for number, name in versions.items() if int(number) == int(self.version)]
            if not asked and versions:
                raise NoFilesError(
                    f"the archive has no {before}{self.version}{after}",
                    hint=f"It has {', '.join(sorted(versions.values()))}.",
                )
            return asked[0] if asked else None
        return versions[max(versions, key=int)] if versions else None


def filled_folder(folder: str, oi: str) -> str:
    """A folder with parts of the ObsID filled in; its version is found later."""
    return filled(folder.replace("{version}", "{{version}}"), oi)


def instruments_of(declaration: Declaration, chosen: Sequence[str], row: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of the chosen instruments with which an observation was made."""
    if declaration.is_one_inst_per_obs and declaration.fov_column:
        actual = str(row.get(declaration.fov_column))
        return (actual,) if actual in declaration.instruments else tuple(chosen)
    exposures = declaration.exposures
    made = tuple(inst for inst in chosen if inst not in exposures or row.get(exposures[inst]))
    return made or tuple(chosen)


def _listed(one: Wanted, entry: Entry, url: str, place: Path, oi: str) -> ListedFile:
    packing = Packing.NONE
    name = entry.name
    if one.is_unpacked(name):
        packing = Packing.COMPRESS if name.endswith(".Z") else Packing.GZIP
        name = name.rpartition(".")[0]
    if one.rename is not None:
        name = filled(one.rename, oi)
    return ListedFile(url, place / name, packing, entry.about_bytes)
