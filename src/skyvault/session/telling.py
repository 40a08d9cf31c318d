"""What a session says while it works, and how its errors look in a notebook."""

from __future__ import annotations

import sys
import time
from typing import Any


class Teller:
    """Prints what a session does, if it may; warnings always, on standard error."""

    def __init__(self, *, may_speak: bool) -> None:
        self.may_speak = may_speak

    def say(self, text: str) -> None:
        """Progress, on standard output."""
        if self.may_speak:
            print(text)

    def warn(self, text: str) -> None:
        """Something the user should know, on standard error."""
        print(f"warning: {text}", file=sys.stderr)


class Stopwatch:
    """Whole seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __str__(self) -> str:
        return f"{time.monotonic() - self._start:.0f} seconds"


def show_errors_plainly() -> None:
    """In IPython: our errors are one line, without a traceback. Elsewhere nothing happens."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return
    from skyvault.errors import SkyvaultError

    def show(
        shell: Any, kind: type[BaseException], error: BaseException, traceback: Any, tb_offset: Any = None
    ) -> None:
        print(f"error: {error} ({kind.__name__})", file=sys.stderr)

    shell.set_custom_exc((SkyvaultError,), show)
