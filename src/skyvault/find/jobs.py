"""A query that runs at the service by itself: pyvo's job, with patience, and saved for another process."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests
from pyvo.dal.tap import AsyncTAPJob
from pyvo.io import uws

from skyvault.errors import FormatError, UsageError
from skyvault.find.faults import QueryRefused, ServiceFault, ServiceUnreachable
from skyvault.find.results import Results, is_told_cut, refuse_fault
from skyvault.find.session import document
from skyvault.net.addresses import shown_address, split_address

if TYPE_CHECKING:
    from skyvault.config import Settings

_FORMAT: Final = 1
#: how long a service is asked to hold its answer until something happens; proxies cut what is silent for a minute
_WAIT_S: Final = 30
_POLL_S: Final = 30.0
#: phases a job can still leave by itself
ACTIVE: Final = frozenset(("PENDING", "QUEUED", "EXECUTING", "RUN", "HELD", "SUSPENDED", "UNKNOWN"))
_FINAL: Final = frozenset(("COMPLETED", "ERROR", "ABORTED", "ARCHIVED"))


class Job(AsyncTAPJob):  # type: ignore[misc]
    """A TAP job. ``save`` writes where it is, and :func:`resume_job` takes it up, tomorrow or elsewhere."""

    _job: Any
    #: how many rows come at most, where the result does not say whether it is whole
    row_limit: Callable[[], int | None] | None = None
    #: seconds between two looks where the service does not hold its answers
    poll_s = 1.0
    sleep: Callable[[float], object] = staticmethod(time.sleep)

    def _update(self, wait_for_statechange: bool = False, timeout: float | None = None) -> None:
        params = None
        limit_s = _POLL_S
        if wait_for_statechange and self._job:
            held_s = _WAIT_S if timeout is None else max(1, min(_WAIT_S, int(timeout)))
            params = {"WAIT": str(held_s), "PHASE": self._job.phase}
            limit_s += held_s
        if timeout is not None:
            limit_s = min(limit_s, timeout)
        response = self._asked("GET", self.url, params=params, timeout=limit_s)
        response.raw.read = partial(response.raw.read, decode_content=True)
        try:
            self._job = uws.parse_job(response.raw.read)
        except Exception as error:
            raise ServiceFault(
                f"the description of the job cannot be read ({type(error).__name__})", where=shown_address(self.url)
            ) from None

    def _asked(self, method: str, url: str, **how: Any) -> requests.Response:
        try:
            response = self._session.request(method, url, stream=True, **how)
        except requests.RequestException as error:
            raise ServiceUnreachable(str(error), where=shown_address(url)) from None
        refuse_fault(response, url)
        return response

    def run(self) -> Job:
        """Start it; once more does nothing."""
        try:
            self._asked("POST", f"{self.url}/phase", data={"PHASE": "RUN"})
        except QueryRefused:
            # a service that took the first of two requests refuses the second
            self._update()
            if self._job.phase == "PENDING":
                raise
        return self

    def wait(self, *, phases: Iterable[str] | None = None, timeout: float | None = 600.0) -> Job:
        """Until the job is in one of ``phases`` (default: done), at most ``timeout`` seconds in all (None: ever).

        Dropped connections on the way cost nothing. Raises ServiceFault when the time is over (the job goes on) or
        the job ended otherwise.
        """
        wanted = set(phases or ("COMPLETED", "ABORTED", "ERROR"))
        clock = time.monotonic
        if self._job.phase == "PENDING":
            # whoever started it since then
            self._update()
        until = None if timeout is None else clock() + timeout
        while True:
            left_s = None if until is None else until - clock()
            if left_s is not None and left_s <= 0:
                raise ServiceFault(
                    f"after {timeout:,.0f} s the job is still {self._job.phase}",
                    where=shown_address(self.url),
                    hint="It goes on: wait again, or save it by job.save(path).",
                )
            if self._job.phase == "PENDING" and "PENDING" not in wanted:
                raise ServiceFault(
                    "the job was never started", where=shown_address(self.url), hint="Call job.run() first."
                )
            begun = clock()
            with self._session.within(left_s) if hasattr(self._session, "within") else contextlib.nullcontext():
                self._update(wait_for_statechange=True, timeout=left_s)
            phase = self._job.phase
            if phase in wanted:
                return self
            if phase in _FINAL:
                raise ServiceFault(f"the job is {phase}", where=shown_address(self.url))
            if clock() - begun < self.poll_s:
                pause_s = self.poll_s if until is None else min(self.poll_s, max(0.0, until - clock()))
                self.sleep(pause_s if str(self._job.version or "1.0") < "1.1" else min(pause_s, 0.05))

    def raise_if_error(self) -> None:
        """Raises QueryRefused with what the service says, if the job failed or was aborted."""
        if self._job.phase not in ("ERROR", "ABORTED"):
            return
        summary = self._job.errorsummary
        told = " ".join(str(summary.message.content).split()) if summary is not None and summary.message else ""
        ended = "failed" if self._job.phase == "ERROR" else "was aborted"
        raise QueryRefused(told or f"the job {ended}, and the service does not say why", where=shown_address(self.url))

    def fetch_result(self, max_retries: int = 0) -> Results:
        """The rows. Raises QueryRefused for a job that failed, ServiceFault for one without result."""
        address = self.result_uri
        if address is None:
            self._update()
            self.raise_if_error()
            address = self.result_uri
        if address is None:
            raise ServiceFault(
                f"the job has no result; it is {self._job.phase}", where=shown_address(self.url), hint="Wait for it."
            )
        response = self._asked("GET", address)
        with document(response) as file:
            return Results.read(
                file,
                url=address,
                session=self._session,
                asked_rows=self._client_set_maxrec,
                row_limit=self.row_limit,
                is_told_cut=is_told_cut(response),
            )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write down where the job is. Whoever resumes it needs their own token: none is written.

        Raises UsageError for a job that was deleted.
        """
        if self.url is None:
            raise UsageError("the job was deleted")
        target = Path(path)
        document = {
            "format": _FORMAT,
            "service": getattr(self._session, "base_url", None),
            "job": self.url,
            "maxrec": self._client_set_maxrec,
        }
        beside = target.with_name(f"{target.name}.{os.getpid()}.part")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
        os.replace(beside, target)
        return target


def resume_job(path: str | os.PathLike[str], *, token: Any = None, settings: Settings | None = None) -> Job:
    """A job that was saved, by this or another process. Raises FormatError, ServiceFault (it is no longer there)."""
    from skyvault.find.offers import offer_of
    from skyvault.find.tap import get_tap_service

    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        address, service, maxrec = document["job"], document["service"], document["maxrec"]
        is_ours = document["format"] == _FORMAT and (maxrec is None or isinstance(maxrec, int))
        split_address(address)
        split_address(service)
    except FileNotFoundError:
        raise UsageError("there is no such file", where=str(path)) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError):
        raise FormatError("this is no saved job", where=str(path)) from None
    if not is_ours:
        raise FormatError("the saved job has a form this version does not know", where=str(path))
    asked = get_tap_service(service, token=token, settings=settings)
    job = Job(address, session=asked._session)
    job._client_set_maxrec = maxrec
    job.row_limit = lambda: offer_of(asked).row_limit(maxrec)
    return job
