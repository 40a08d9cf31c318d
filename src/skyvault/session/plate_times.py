"""Times of plates: UTC before 1960, for which ERFA warns that such a scale did not exist yet, which is known here."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from skyvault.quiet import quiet


@contextlib.contextmanager
def old_utc_is_fine() -> Iterator[None]:
    """Within, astropy does not warn of "dubious years"."""
    with quiet(message=".*dubious year.*"):
        yield


def accept_old_utc() -> None:
    """From now on astropy does not warn of "dubious years" in this process: every printed table would."""
    warnings.filterwarnings("ignore", message=".*dubious year.*")
