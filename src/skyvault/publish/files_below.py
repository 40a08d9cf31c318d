"""What the disk knows of the files below a collection's folder, one look each; what leads out of it is not there."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class FilesBelow:
    """Looks at files of one folder. Links inside it are followed, links and paths that lead out of it are not."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._home = root.resolve()
        # whether a folder is inside, asked once for all of its files
        self._inside: dict[Path, bool] = {}

    def status(self, path: Path) -> os.stat_result | None:
        """What is known of a regular file; None for anything else, and for what is not there."""
        try:
            folder = path.parent
            if folder not in self._inside:
                self._inside[folder] = folder.resolve().is_relative_to(self._home)
            if not self._inside[folder]:
                return None
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                if not path.resolve().is_relative_to(self._home):
                    return None
                status = path.stat()
        except (OSError, RuntimeError, ValueError):
            # it was deleted meanwhile, is a link to nowhere or to itself, or no name a file can have
            return None
        return status if stat.S_ISREG(status.st_mode) else None

    def look(self, relative: str) -> tuple[int, int] | None:
        """Size (bytes) and time of change (ns) of the file of a relative path; None when it is not there."""
        status = self.status(self.root / relative)
        return None if status is None else (status.st_size, status.st_mtime_ns)
