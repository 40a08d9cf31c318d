"""Tar archives with the same bytes each time: names sorted, times and owners fixed."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from datetime import datetime


def tar(members: Mapping[str, bytes], modified: datetime) -> bytes:
    """A tar archive of these files, with the directories they lie in before them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        folders: set[str] = set()
        for name in sorted(members):
            words = name.split("/")[:-1]
            for depth in range(1, len(words) + 1):
                folder = "/".join(words[:depth])
                if folder not in folders:
                    folders.add(folder)
                    entry = _entry(folder, 0, modified)
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(entry)
            archive.addfile(_entry(name, len(members[name]), modified), io.BytesIO(members[name]))
    return out.getvalue()


def tar_gz(members: Mapping[str, bytes], modified: datetime) -> bytes:
    """The same, packed with gzip."""
    return gzip.compress(tar(members, modified), 1, mtime=0)


def _entry(name: str, size: int, modified: datetime) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o644, int(modified.timestamp())
    entry.uname = entry.gname = "archive"
    return entry
