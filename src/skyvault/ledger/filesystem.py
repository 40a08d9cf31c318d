"""Is a folder on this machine's own disk? SQLite's locks cannot be trusted over a network."""

from __future__ import annotations

import os
from pathlib import Path

#: File systems shared by several machines: byte-range locks and shared memory, which WAL needs, do not reach across.
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "afs", "kafs", "coda", "ceph", "lustre", "gpfs"}
    | {"beegfs", "glusterfs", "pvfs2", "orangefs", "ocfs2", "gfs2", "moosefs", "panfs", "davfs", "fuse.sshfs"}
    | {"fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.davfs2", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse"}
    | {"fuse.juicefs", "fuse.mfs", "fuse.beegfs", "fuse.cvmfs2"}
)
_MOUNTS = "/proc/self/mountinfo"


def _unescape(text: str) -> str:
    # proc(5): blanks, tabs, line ends and backslashes of a path are written as octal
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def file_system_of(path: Path, mounts: str | None = None) -> str | None:
    """The type of the file system ``path`` (which need not exist yet) would lie on; None where it cannot be known.

    ``mounts`` is the text of /proc/self/mountinfo.
    """
    if mounts is None:
        try:
            with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
                mounts = file.read()
        except OSError:
            return None
    place = os.path.realpath(path)
    found, kind = "", None
    for line in mounts.splitlines():
        head, separator, tail = line.partition(" - ")
        fields = head.split(" ")
        if not separator or len(fields) < 5:
            continue
        root = _unescape(fields[4])
        inside = place == root or place.startswith(root.rstrip("/") + "/")
        # later mounts lie on top of earlier ones at the same place
        if inside and len(root) >= len(found):
            found, kind = root, tail.split(" ")[0]
    return kind


def is_network(kind: str | None) -> bool:
    """Whether a file system of this type is shared over a network."""
    return kind in NETWORK_FILE_SYSTEMS
