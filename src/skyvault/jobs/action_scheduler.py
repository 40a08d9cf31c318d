"""Actions of published resources run by themselves: each when it is due, one at a time of a resource, wherever.

Any number of server processes, on any number of machines that share the ledger, may each have a scheduler: the ledger
lets one begin. A run of a server that is gone ends with it, and is made up once.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from skyvault.errors import Conflict, NotFound, SkyvaultError
from skyvault.jobs.action_process import LEASE_S, ActionTask, run_process
from skyvault.jobs.holder import this_process, verdict
from skyvault.ledger.resources import ActionRun, Origin, Registered
from skyvault.model.action import ScheduledAction, actions_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from skyvault.config import Settings
    from skyvault.ledger.ledger import Ledger
    from skyvault.ledger.resources import Outcome

logger = logging.getLogger("skyvault.actions")

#: runs a process looks after at once
_AT_ONCE: Final = 2
_LOOK_S: Final = 1.0
#: how often runs of processes that are gone are looked for although nobody has written anything
_BURY_S: Final = 5.0


class ActionScheduler:
    """Begins what is due. ``clock`` gives seconds since 1970."""

    def __init__(self, ledger: Ledger, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self.ledger = ledger
        self.settings = settings
        self.clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="skyvault-actions", daemon=True)
        self._running: list[threading.Thread] = []
        self._counter: int | None = None
        self._looked = 0.0
        self._stamp: tuple[int, float] | None = None
        self._resources: list[Registered] = []
        self._newest: dict[tuple[str, str], ActionRun] = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more, end what runs. Returns when it is over."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10.0)
        for thread in self._running:
            thread.join(timeout=10.0)

    def _loop(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                pause = self.look()
            except SkyvaultError as problem:
                logger.warning("actions cannot be looked at now: %s", problem)
                pause = _LOOK_S
            except Exception:
                logger.exception("actions cannot be looked at")
                pause = 10 * _LOOK_S

    def look(self) -> float:
        """Begin what is due; gives how long there is nothing to do, in seconds."""
        self._refresh()
        now = self.clock()
        pause = _LOOK_S
        self._running = [thread for thread in self._running if thread.is_alive()]
        for resource in self._resources:
            for action in actions_of(resource.document):
                newest = self._newest.get((resource.name.lower(), action.name))
                at, origin = due(action, resource, newest, now)
                if at is None:
                    continue
                if at > now:
                    pause = min(pause, at - now)
                elif len(self._running) < _AT_ONCE:
                    self._begin(resource, action, newest, origin)
        return max(pause, 0.01)

    def _refresh(self) -> None:
        counter, now = self.ledger.change_counter(), time.monotonic()
        if counter == self._counter and now - self._looked < _BURY_S:
            return
        resources = self.ledger.resources
        stamp = resources.stamp()
        if stamp != self._stamp:
            self._resources = [one for one in resources.all() if one.document.get("actions")]
            self._stamp = stamp
        if self._resources:
            resources.bury(verdict)
            self._newest = resources.newest()
        self._counter, self._looked = counter, now

    def _begin(self, resource: Registered, action: ScheduledAction, newest: ActionRun | None, origin: Origin) -> None:
        number = self.ledger.resources.begin(
            resource.name,
            action.name,
            origin=origin,
            last=0 if newest is None else newest.number,
            holder=this_process(),
            lease_s=LEASE_S,
        )
        if number is None:
            return
        self._counter = None
        task = ActionTask(self.settings, resource, action)
        thread = threading.Thread(target=self._look_after, args=(task, number), name=f"skyvault-action-{number}")
        thread.daemon = True
        self._running.append(thread)
        thread.start()

    def _look_after(self, task: ActionTask, number: int) -> None:
        try:
            outcome = run_process(self.ledger, task, number, stopping=self._stopping)
            tell = logger.info if outcome == "done" else logger.warning
            tell("the action %s of %s: %s", task.action.name, task.resource.name, outcome)
        except Exception:
            logger.exception("the run of an action was lost")


def due(
    action: ScheduledAction, resource: Registered, newest: ActionRun | None, now: float
) -> tuple[float | None, Origin]:
    """When an action is to run next, and why; None while it runs, or until it is loaded anew."""
    if newest is not None and newest.outcome == "running":
        return None, "schedule"
    if newest is not None and newest.outcome in ("stopped", "died") and newest.origin == "schedule":
        # its server went away under it: once more, but not for ever
        return now, "again"
    since = resource.since.get(action.name, resource.published_at)
    last = None if newest is None else newest.began_at
    return action.due(now, since=since, loaded_at=resource.loaded_at, last=last), "schedule"


def run_by_hand(
    ledger: Ledger, settings: Settings, schema: str, name: str, *, echo: Callable[[bytes], object] | None = None
) -> Outcome:
    """Run an action now, whether or not a server runs. Raises NotFound, and Conflict while one of its resource runs."""
    resource = ledger.resources.find(schema)
    if resource is None:
        known = ", ".join(one.name for one in ledger.resources.all())
        told = f"There are {known}." if known else "Publish a resource.yaml first."
        raise NotFound(f"no resource {schema!r} is published", hint=told)
    actions = {one.name: one for one in actions_of(resource.document)}
    if name not in actions:
        told = f"There are {', '.join(actions)}." if actions else "Its resource.yaml names none, as published last."
        raise NotFound(f"{resource.name} has no action {name!r}", hint=told)
    ledger.resources.bury(verdict)
    newest = ledger.resources.newest().get((resource.name.lower(), name))
    number = ledger.resources.begin(
        resource.name,
        name,
        origin="hand",
        last=0 if newest is None else newest.number,
        holder=this_process(),
        lease_s=LEASE_S,
    )
    if number is None:
        running = next((one for one in ledger.resources.runs(resource.name) if one.outcome == "running"), None)
        told = "another" if running is None else repr(running.action)
        raise Conflict(f"the action {told} of {resource.name} runs just now", hint="Try again when it is done.")
    stopping = threading.Event()
    outcomes: list[Outcome] = []
    task = ActionTask(settings, resource, actions[name])
    thread = threading.Thread(
        target=lambda: outcomes.append(run_process(ledger, task, number, stopping=stopping, echo=echo))
    )
    thread.start()
    try:
        thread.join()
    except BaseException:
        # stopped by Ctrl-C: the process must not go on alone
        stopping.set()
        thread.join()
        raise
    return outcomes[0] if outcomes else "failed"
