"""Where things lie in the data directory, and the number of our file format."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skyvault.config import Secret, Settings

#: format of snapshot files; a newer one is refused in a sentence, an older one rebuilt by ``skyvault upgrade``
FORMAT = 1


#: a scratch folder nobody has touched for so long, and whose process is not found, is given up
_QUIET_S = 60.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below the data directory (SKYVAULT_HOME), and where its ledger is when that is not a file in it."""

    home: Path
    #: the address of a PostgreSQL database (SKYVAULT_LEDGER); None: the ledger is a file in the data directory
    ledger_address: Secret | None = None

    @classmethod
    def of(cls, settings: Settings) -> Layout:
        """Where these settings say that things are."""
        return cls(settings.home, settings.ledger)

    @property
    def ledger(self) -> Path:
        return self.home / "ledger.sqlite"

    def has_ledger(self) -> bool:
        """Whether anything may have been written down already."""
        return self.ledger_address is not None or self.ledger.exists()

    @property
    def store(self) -> Path:
        return self.home / "store"

    @property
    def temporary(self) -> Path:
        return self.home / "tmp"

    @property
    def uploads(self) -> Path:
        """Users' tables that come in pieces, as far as they have come."""
        return self.temporary / "uploads"

    @property
    def jobs(self) -> Path:
        return self.home / "jobs"

    def stale_scratch(self) -> list[Path]:
        """Scratch folders of publishes that ended without clearing up (killed): their process is gone."""
        if not self.temporary.is_dir():
            return []
        return sorted(path for path in self.temporary.glob("build-*-*") if path.is_dir() and not _is_running(path))

    def make(self) -> Layout:
        """Create the directories; private to the user, since results and uploads lie there."""
        for path in (self.home, self.store, self.temporary, self.jobs):
            path.mkdir(parents=True, exist_ok=True)
        os.chmod(self.jobs, 0o700)
        os.chmod(self.temporary, 0o700)
        return self


def _is_running(scratch: Path) -> bool:
    """Whether the process that made ``build-<pid>-<id>`` still runs, as far as can be known."""
    pid = scratch.name.split("-")[1]
    if not pid.isdigit():
        return True
    if int(pid) == os.getpid():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        # in another container the number says nothing about our processes: what was touched lately is left alone
        return time.time() - scratch.stat().st_mtime < _QUIET_S
    except PermissionError:
        return True
    return True
