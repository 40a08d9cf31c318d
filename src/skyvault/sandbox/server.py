"""The sandbox: archives of the world on one port of loopback, started in this process or served for others."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from skyvault.errors import ConfigError, SkyvaultError, UsageError
from skyvault.sandbox.archives import ARCHIVES, emulation, present
from skyvault.sandbox.emulation import Emulation, Place
from skyvault.sandbox.faults import KINDS, Faults, FaultyAnswers, fault_from
from skyvault.sandbox.held_tables import build, makers_version, tap_app

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

_START_S: Final = 60.0


class Sandbox:
    """Archives on loopback. A context manager: entered it runs in a thread of this process.

    ``directory`` keeps what is made once (tables, files), for this and later sandboxes. ``archives`` are those that
    are wanted, all by default; ``more`` are emulations of other archives. Faults are switched on by
    ``sandbox.faults``.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        port: int = 0,
        archives: Iterable[str] | None = None,
        more: Iterable[type[Emulation]] = (),
    ) -> None:
        wanted = tuple(present() if archives is None else archives)
        if strange := set(wanted) - ARCHIVES.keys():
            raise UsageError(
                f"the sandbox has no archive {', '.join(sorted(strange))}", hint=f"It has {', '.join(ARCHIVES)}."
            )
        self.directory = Path(directory).absolute()
        classes = {name: emulation(name) for name in wanted} | {cls.name: cls for cls in more}
        self.archives = tuple(classes)
        self.faults = Faults()
        self._listener = _listen(port)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.emulations: dict[str, Emulation] = {
            name: cls(Place(f"{self.url}/{name}", self.directory / "files" / name, self.faults))
            for name, cls in classes.items()
        }

    # --- what clients need to know ---------------------------------------------------------------------------------

    def endpoints(self) -> dict[str, dict[str, str]]:
        """{archive: {service: address}}, as :class:`skyvault.config.Settings` takes it."""
        return {
            name: {service: f"{self.url}/{name}{path}" for service, path in one.services.items()}
            for name, one in self.emulations.items()
        }

    def environment(self) -> dict[str, str]:
        """Environment variables that send a process to this sandbox instead of the real archives."""
        return {
            f"SKYVAULT_ENDPOINTS__{archive.upper()}__{service.upper()}": address
            for archive, services in self.endpoints().items()
            for service, address in services.items()
        }

    # --- running ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Sandbox:
        import uvicorn

        ready = threading.Event()
        config = uvicorn.Config(
            self._app(ready.set),
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
            server_header=False,
        )
        # faults close connections by raising, which is no news here
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="sandbox", daemon=True
        )
        self._thread.start()
        while not ready.wait(0.05):
            if not self._thread.is_alive():
                raise SkyvaultError("the sandbox could not be started")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(_START_S)
        self._listener.close()
        self._forget()

    def serve(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        import uvicorn

        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        config = uvicorn.Config(
            self._app(lambda: None), log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=2
        )
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[self._listener])
        self._forget()

    def _forget(self) -> None:
        for name, one in self.emulations.items():
            if one.has_addresses_in_rows:
                shutil.rmtree(self._tap_home(name), ignore_errors=True)

    def build(self) -> None:
        """Make what is made once; safe to call from several processes."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with _locked(self.directory / "lock"):
            for name, one in self.emulations.items():
                build(self._tap_home(name), f"{makers_version()} {name}", one.tables)

    def _tap_home(self, name: str) -> Path:
        """Where an archive's tables are; those with this sandbox's own addresses in them go when it closes."""
        own = f"-{self.port}" if self.emulations[name].has_addresses_in_rows else ""
        return self.directory / "tap" / makers_version() / f"{name}{own}"

    def _app(self, is_ready: object) -> ASGIApp:
        from starlette.applications import Starlette
        from starlette.routing import Mount, Route

        self.build()
        taps: dict[str, Starlette] = {}
        mounts = []
        for name, one in self.emulations.items():
            routes = list(one.routes())
            home = self._tap_home(name)
            if build(home, f"{makers_version()} {name}", one.tables):
                taps[name] = tap_app(home, f"{self.url}/{name}{one.tap_root}")
                routes.append(Mount(one.tap_root or "/", app=taps[name]))
            mounts.append(Mount(f"/{name}", routes=routes, middleware=list(one.middleware())))

        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            async with contextlib.AsyncExitStack() as stack:
                for tap in taps.values():
                    await stack.enter_async_context(tap.router.lifespan_context(tap))
                if callable(is_ready):
                    is_ready()
                yield

        app = Starlette(
            routes=[Route("/sandbox/faults", self._faults_page, methods=["GET", "PUT", "POST", "DELETE"]), *mounts],
            lifespan=lifespan,
        )
        return FaultyAnswers(app, self.faults)

    async def _faults_page(self, request: Request) -> Response:
        """GET: what is on; PUT a list: exactly these; POST one: this too; DELETE: none."""
        from starlette.responses import JSONResponse

        try:
            if request.method in ("PUT", "POST"):
                document = json.loads(await request.body())
                made = [fault_from(one) for one in (document if isinstance(document, list) else [document])]
                if request.method == "PUT":
                    self.faults.set(*made)
                else:
                    for fault in made:
                        self.faults.add(fault)
            elif request.method == "DELETE":
                self.faults.clear()
        except (UsageError, ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        from dataclasses import asdict

        return JSONResponse(
            {"on": [asdict(one) for one in self.faults.all()], "struck": self.faults.struck, "kinds": KINDS}
        )


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as problem:
        listener.close()
        raise ConfigError(f"port {port} of this machine cannot be had ({problem})", hint="Choose another.") from None
    listener.listen(1024)
    return listener


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
