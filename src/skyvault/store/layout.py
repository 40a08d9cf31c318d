"""Where things lie in the data directory, and the number of our file format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

#: format of snapshot files; a newer one is refused in a sentence, an older one rebuilt by ``skyvault upgrade``
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below the data directory (SKYVAULT_HOME)."""

    home: Path

    @property
    def ledger(self) -> Path:
        return self.home / "ledger.sqlite"

    @property
    def store(self) -> Path:
        return self.home / "store"

    @property
    def temporary(self) -> Path:
        return self.home / "tmp"

    @property
    def jobs(self) -> Path:
        return self.home / "jobs"

    def make(self) -> Layout:
        """Create the directories; private to the user, since results and uploads lie there."""
        for path in (self.home, self.store, self.temporary, self.jobs):
            path.mkdir(parents=True, exist_ok=True)
        os.chmod(self.jobs, 0o700)
        os.chmod(self.temporary, 0o700)
        return self
