"""How far a piece of work has come, shown on stderr while a person watches."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import TaskID


class TerminalProgress:
    """A progress bar a step, on stderr; silent when stderr is no terminal. See :class:`skyvault.model.ports.Progress`.

    To be used in a ``with`` statement, so that the terminal is left tidy whatever happens.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def start(self, what: str, total: int | None = None) -> None:
        self.finish()
        self._task = self._bars.add_task(what, total=total)

    def advance(self, by: int = 1) -> None:
        if self._task is not None:
            self._bars.advance(self._task, by)

    def finish(self) -> None:
        if self._task is not None:
            task = self._bars.tasks[self._bars.task_ids.index(self._task)]
            self._bars.update(self._task, total=task.total or task.completed, completed=task.total or task.completed)
            self._task = None
