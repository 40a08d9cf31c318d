"""What one server process holds: the store, the job runner, the query threads, and the settings."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from starlette.requests import Request

from skyvault.errors import Busy
from skyvault.jobs.action_scheduler import ActionScheduler
from skyvault.jobs.results import Results
from skyvault.jobs.runner import Runner
from skyvault.serve.authentication import Accounts
from skyvault.serve.secret import Keys
from skyvault.serve.user_rules import UserRules
from skyvault.serve.user_upload import remove_left
from skyvault.store.duckdb_store import LEASE_S, DuckStore
from skyvault.store.tap_schema import spelled, spelled_name

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.jobs.context import JobContext

P = ParamSpec("P")
T = TypeVar("T")
logger = logging.getLogger(__name__)

#: queries a process runs at once by the synchronous interfaces, and how many more may wait
QUERY_THREADS = 8
WAITING = 128
#: threads that make users' tables, and how many more may wait
BUILD_THREADS = 4
BUILDS_WAITING = 128


class Service:
    """One server process. Made before the first request, closed after the last."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = DuckStore(settings, share=settings.workers)
        #: None: users may not keep tables here
        self.user_rules = (
            None
            if self.store.user_space is None
            else UserRules(settings, self.store.ledger, self.store.layout, self.store.user_space)
        )
        self.store.registry.refresh = self._refresh_registry
        self.accounts = Accounts(self.store.ledger, Keys(settings))
        self.started = time.time()
        #: who does the jobs of each kind
        self.work: dict[str, Callable[[JobContext], None]] = {}
        #: what else is to be closed with the service
        self.closing: list[Callable[[], object]] = []
        self.runner = Runner(
            self.store.ledger,
            self._work,
            Results(self.store.layout.jobs),
            kinds=("tap", "soda"),
            threads=max(2, settings.jobs_in_all // settings.workers),
            per_user=settings.jobs_per_user,
            in_all=settings.jobs_in_all,
        )
        #: None: this server runs no actions
        self.actions = ActionScheduler(self.store.ledger, settings) if settings.actions else None
        self._threads = ThreadPoolExecutor(QUERY_THREADS, thread_name_prefix="skyvault-query")
        self._builders = ThreadPoolExecutor(BUILD_THREADS, thread_name_prefix="skyvault-build")
        self._busy = 0
        self._building = 0
        self._seen_base = f"http://{settings.host}:{settings.port}"
        self._stopped = threading.Event()
        self._janitor = threading.Thread(target=self._tidy, name="skyvault-snapshots", daemon=True)

    def _refresh_registry(self) -> None:
        from skyvault.serve.registry_records import refresh

        refresh(self.store.view(), self.store.ledger, self.settings, self.store.view)

    def start(self) -> None:
        self.runner.start()
        self._janitor.start()
        if self.actions is not None:
            self.actions.start()
        threading.Thread(target=self._warm, name="skyvault-warm", daemon=True).start()

    def _warm(self) -> None:
        """Load what the first real query needs, so that nobody waits for it; the server answers meanwhile."""
        from skyvault.store.query import Limits, compile_query

        if self.user_rules is not None:
            try:
                self.user_rules.keeper.warm()
            except Exception:
                logger.exception("the first user table could not be prepared")
        table = next((shelf for shelf in self.store.view().tables.values() if shelf.stored.positions), None)
        if table is None or table.stored.positions[0].lon is None or table.stored.positions[0].lat is None:
            return
        columns = table.table.columns
        lon, lat = (spelled(columns[i].name) for i in (table.stored.positions[0].lon, table.stored.positions[0].lat))
        text = f"SELECT TOP 1 {lon} FROM {spelled_name(table.table.name)} WHERE DISTANCE({lon}, {lat}, 0, 0) < 0.001"
        try:
            plan, values = compile_query(text, self.store.view(), Limits())
            plan.sql(values)
        except Exception:
            logger.exception("the first query could not be prepared")

    def close(self) -> None:
        self._stopped.set()
        if self.actions is not None:
            self.actions.stop()
        self.runner.stop(grace_s=min(self.settings.stop_grace_s, 5.0))
        for close in self.closing:
            close()
        self._threads.shutdown(cancel_futures=True)
        self._builders.shutdown(cancel_futures=True)
        if self.user_rules is not None:
            self.user_rules.keeper.close()
        self.accounts.close()
        if self._janitor.is_alive():
            self._janitor.join(timeout=5.0)
        self.store.close()

    async def in_thread(self, act: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in a query thread. Raises Busy (503) when too many wait already."""
        if self._busy >= QUERY_THREADS + WAITING:
            raise Busy("too many queries wait for this server", hint="Try again, or use an asynchronous job.")
        self._busy += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, functools.partial(act, *args, **kwargs))
        finally:
            self._busy -= 1

    async def building(self, act: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what makes a user's table in a thread of its own kind. Raises Busy (503) when too many wait."""
        if self._building >= BUILD_THREADS + BUILDS_WAITING:
            raise Busy("too many tables wait to be made", retry_after_s=10)
        self._building += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._builders, functools.partial(act, *args, **kwargs))
        finally:
            self._building -= 1

    def base_url(self, request: Request) -> str:
        """Absolute address of the service's root, without a slash at the end."""
        if self.settings.base_url:
            return self.settings.base_url
        self._seen_base = str(request.base_url).rstrip("/")
        return self._seen_base

    @property
    def address(self) -> str:
        """The same where there is no request (jobs): as set, or as clients last called this process."""
        return self.settings.base_url or self._seen_base

    def _work(self, context: JobContext) -> None:
        other = self.work.get(context.kind)
        if other is not None:
            other(context)
            return
        from skyvault.serve.tap_job import run_tap_job

        run_tap_job(context, self)

    def _tidy(self) -> None:
        """Renew the leases on the snapshots this process reads, and delete what nobody needs."""
        while not self._stopped.wait(LEASE_S / 2):
            try:
                self.store.collect()
                remove_left(self.store.layout.temporary)
                if self.user_rules is not None:
                    self.user_rules.uploads.remove_expired()
            except Exception:
                logger.exception("old snapshots could not be collected")
