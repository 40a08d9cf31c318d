"""What is asked of a downloader: which observations, of which instruments, with whose credentials, to which place."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import NotFound
from skyvault.missions.declaration import Declaration
from skyvault.missions.download_report import DownloadPlan, DownloadReport
from skyvault.missions.faults import MissionTypeError, MissionValueError
from skyvault.missions.wanted_files import filled
from skyvault.model.ports import Progress

#: a path of directories below an archive's root that leads nowhere else
_DIRECTORY: Final = r"([A-Za-z0-9_+-][A-Za-z0-9_.+-]*/)+"
#: a place to fill in an address: {oi}, characters of it {oi[0:3]}, a column {scw_ver}, or one in a form {start:%Y_%m}
_PLACE: Final = re.compile(r"\{(?P<name>[a-z_]\w*)(?:\[(?P<begin>-?\d*):(?P<stop>-?\d*)\])?(?::(?P<form>[^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a password; the password is never shown."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Order:
    """A download, completely said: rows are those of the mission's table, one an observation."""

    declaration: Declaration
    rows: pa.Table
    instruments: tuple[str, ...]
    directory: Path
    connections: int
    with_products: bool
    pipeline_version: str | None = None
    #: by ObsID; the key "" holds for all others
    logins: Mapping[str, Login] = field(default_factory=dict)


class Downloader(Protocol):
    """Who fetches the files of an order."""

    def download(self, order: Order) -> Sequence[str]:
        """Fetch everything; returns the ObsIDs that are whole on disk. A failed one never stops the others."""
        ...


@runtime_checkable
class ReportingDownloader(Downloader, Protocol):
    """A downloader that tells what failed and why, and what it would do."""

    def fetch(self, order: Order, progress: Progress | None = None) -> DownloadReport:
        """Fetch everything and tell what is whole on disk and what is not."""
        ...

    def plan(self, order: Order) -> DownloadPlan:
        """What :meth:`download` would do, without fetching files."""
        ...


def directory_url(declaration: Declaration, row: Mapping[str, Any], base: str | None = None) -> str:
    """The address of an observation's directory at its archive; ``row`` is a row of the mission's table.

    ``base`` is the address of the archive's files, by default the declared one. Raises MissionValueError for a mission
    whose archive has none, or a row whose values would lead elsewhere.
    """
    if declaration.directory is None:
        raise MissionValueError(f"{declaration.pretty_name} has no directory an observation")
    obs_id = str(row["ObsID"])
    words = {key: value for key, value in row.items() if key not in ("oi", "ObsID") and key.isidentifier()}
    words |= declaration.url_words(obs_id) if declaration.url_words else {}
    path = filled(declaration.directory, file_id(declaration, obs_id), **words)
    if not re.fullmatch(_DIRECTORY, path):
        raise MissionValueError(f"the table leads to {path[:80]!r}, which is no directory", where=f"ObsID {obs_id}")
    return (base or declaration.files_url) + path


def directory_urls(declaration: Declaration, table: pa.Table, base: str | None = None) -> pa.Array:
    """:func:`directory_url` of all rows of a mission's table at once; null where that raises."""
    if declaration.directory is None:
        return pa.nulls(table.num_rows, pa.string())
    ids = table["ObsID"].combine_chunks()
    names = pc.utf8_lower(ids) if declaration.is_file_id_lower else ids
    words: dict[str, Any] = {}
    if declaration.url_words is not None and table.num_rows:
        of_rows = [declaration.url_words(str(one)) for one in ids.to_pylist()]
        words = {key: pa.array([row[key] for row in of_rows], pa.string()) for key in of_rows[0]}
    parts: list[Any] = []
    end = 0
    for place in _PLACE.finditer(declaration.directory):
        name, begin, stop, form = place.group("name", "begin", "stop", "form")
        column = names if name == "oi" else words[name] if name in words else table[name].combine_chunks()
        if begin is not None:
            column = pc.utf8_slice_codeunits(column, int(begin or 0), int(stop) if stop else None)
        column = pc.strftime(column, format=form) if form else column.cast(pa.string())
        parts += [declaration.directory[end : place.start()], column]
        end = place.end()
    parts.append(declaration.directory[end:])
    paths = pc.binary_join_element_wise(*parts, "")
    # a null within one is a null, and so is what would lead elsewhere
    is_directory = pc.match_substring_regex(paths, f"^{_DIRECTORY}$")
    return pc.if_else(
        is_directory,
        pc.binary_join_element_wise(base or declaration.files_url, paths, ""),
        pa.scalar(None, pa.string()),
    )


def file_id(declaration: Declaration, obs_id: str) -> str:
    """The ObsID as directories and files of the archive bear it."""
    return obs_id.lower() if declaration.is_file_id_lower else obs_id


def logins_of(credentials: Any) -> dict[str, Login]:
    """Credentials in the seed's three forms: path of an ini file, user and password, or one pair an ObsID.

    An ini file has ``user`` and ``password`` in a section of any name; a section named as an ObsID holds for that one.
    Raises MissionValueError, MissionTypeError, NotFound; no message ever holds a password.
    """
    if credentials is None:
        return {}
    if isinstance(credentials, (str, Path)):
        return _from_ini(Path(credentials).expanduser())
    if not isinstance(credentials, Mapping):
        raise MissionTypeError(
            f"credentials are of type {type(credentials).__name__}",
            hint="Give the path of an ini file, {'user':, 'password':}, or one such pair an ObsID.",
        )
    if {"user", "password"} <= credentials.keys():
        return {"": _login(credentials, "credentials")}
    return {str(obs_id): _login(pair, f"credentials of {obs_id}") for obs_id, pair in credentials.items()}


def _login(pair: Any, where: str) -> Login:
    if not isinstance(pair, Mapping) or not all(isinstance(pair.get(word), str) for word in ("user", "password")):
        raise MissionValueError(f"{where} have no user and password")
    return Login(pair["user"], pair["password"])


def _from_ini(path: Path) -> dict[str, Login]:
    if not path.is_file():
        raise NotFound(f"there is no credentials file {path}")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        raise MissionValueError("the credentials file is no ini file", where=str(path)) from None
    found = {
        name if name.isalnum() and any(c.isdigit() for c in name) else "": _login(parser[name], f"{path}, [{name}]")
        for name in parser.sections()
    }
    if not found:
        raise MissionValueError("the credentials file has no section with user and password", where=str(path))
    return found
